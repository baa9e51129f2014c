"""A cluster is saved into each kind of object store, is lost with everything in its namespace that
tells of it, and comes back from the store alone: every key, lease and user.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.harness.backup import EtcdBackup, EtcdRestore
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.stores import store
from e2e.test_restore_objects import content_of

pytestmark = pytest.mark.inside_only("pods that take backups run the operator's image")

TEMPLATE: Object = {"size": 1, "version": "v3.6.16"}


async def said(cluster: EtcdCluster, *arguments: str) -> Any:
    return json.loads(await cluster.etcdctl("db-0", *arguments, "-w", "json"))


async def kept_of(cluster: EtcdCluster, revision: int) -> Object:
    """All that has to come back, and etcd's own hash over it."""
    (hashed,) = await said(cluster, "endpoint", "hashkv", "--rev", str(revision))
    leases = await cluster.etcdctl("db-0", "lease", "list")
    user = await said(cluster, "user", "get", "alice")
    role = await said(cluster, "role", "get", "reader")
    return {
        "kvs": (await content_of(cluster))["kvs"],
        "hash": hashed["HashKV"]["hash"],
        "leases": sorted(leases.splitlines()[1:]),
        "roles": user["roles"],
        "permissions": role["perm"],
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", ["S3", "Azure"])
async def test_a_lost_cluster_comes_back_from_the_store_alone(
    cluster: EtcdCluster, kube: Kube, namespace: str, tmp_path: Path, kind: str
) -> None:
    async with store(kind, tmp_path, kube) as there:
        await there.give_keys(kube, namespace)
        await cluster.apply(**TEMPLATE)
        await cluster.ready()
        for number in range(20):
            await cluster.etcdctl("db-0", "put", f"key-{number}", "x" * 1000)
        await cluster.etcdctl("db-0", "put", "key-0", "again")
        await cluster.etcdctl("db-0", "del", "key-1")
        _, lease, *_ = (await cluster.etcdctl("db-0", "lease", "grant", "3600")).split()
        await cluster.etcdctl("db-0", "put", "leased", "y", f"--lease={lease}")
        await cluster.etcdctl("db-0", "role", "add", "reader")
        await cluster.etcdctl("db-0", "role", "grant-permission", "reader", "read", "key-")
        await cluster.etcdctl("db-0", "user", "add", "alice:wonderland")
        await cluster.etcdctl("db-0", "user", "grant-role", "alice", "reader")
        backup = EtcdBackup(kube, namespace, "once")
        await backup.apply(clusterName="db", compression=True, **there.spec)
        await backup.shows("BackupCompleted", within_s=120.0)
        saved = (await backup.get())["status"]
        before = await kept_of(cluster, saved["etcdRevision"])

        await cluster.delete()
        await cluster.gone()
        for claim in await cluster.claims():
            await kube.delete("PersistentVolumeClaim", namespace, claim)
        await kube.delete("EtcdBackup", namespace, "once")
        path = "/".join(saved["storagePath"].split("/")[-2:])
        restore = EtcdRestore(kube, namespace, "again")
        await restore.apply(
            clusterName="db", store={**there.spec, "path": path}, clusterTemplate=TEMPLATE
        )
        await restore.shows("RestoreCompleted", within_s=200.0)

        assert await kept_of(cluster, saved["etcdRevision"]) == before
