"""Who comes from the operator that this one replaces applies what he has, and gets what it asks
for: every manifest of its README, of its samples and of ours becomes Ready. Where the old one was
vague, a condition says what is missing, and with that the manifest becomes Ready, too.

What is changed before is what a throwaway node can't have: another registry, etcd 3.5.9.
"""

import asyncio
import contextlib
import copy
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from e2e.harness.backup import EtcdBackup, EtcdRestore, make_claim
from e2e.harness.certificates import authority, certificate, secret
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import CHECKOUT, Kube, Object, apply
from e2e.harness.report import Measure
from e2e.test_tls import started

pytestmark = pytest.mark.long

THEIRS = CHECKOUT / "tests/unit/api/manifests_of_replaced_operator.yaml"
OURS = CHECKOUT / "manifests/samples"
ON_THE_NODE = {"version": "v3.5.21", "repository": "quay.io/coreos/etcd"}
THEIR_CLASS = "fast-ssd"


def manifests(kind: str) -> dict[str, Object]:
    """All of a kind, by name, as they are written."""
    files = [THEIRS, *sorted(OURS.glob("*.yaml"))]
    found = [one for file in files for one in read(file) if one["kind"] == kind]
    return {one["metadata"]["name"]: one for one in found}


def read(file: Path) -> list[Object]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def fitted(spec: Object) -> Object:
    """A cluster's spec that the node has an image for; what is not set stays so."""
    return {key: ON_THE_NODE.get(key, value) for key, value in spec.items()}


async def applied(namespace: str, one: Object, **changes: object) -> None:
    """Applies a manifest, with some fields of the spec otherwise, and without those set to None."""
    one = copy.deepcopy(one)
    one["metadata"]["namespace"] = namespace
    if changes:
        spec = one["spec"] | changes
        one["spec"] = {key: value for key, value in spec.items() if value is not None}
    ended = await apply(one)
    assert ended.code == 0, ended.err


async def cluster_applied(kube: Kube, namespace: str, name: str) -> EtcdCluster:
    one = manifests("EtcdCluster")[name]
    await applied(namespace, one, **fitted(one.get("spec", {})))
    return EtcdCluster(kube, namespace, name)


@contextlib.asynccontextmanager
async def their_surroundings(kube: Kube, namespace: str) -> AsyncIterator[None]:
    """What `every-field` names: a storage class, the user's certificate and its authority."""
    standard = await kube.get("StorageClass", None, "standard")
    assert standard is not None
    same = ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")
    fields = {key: standard[key] for key in same if key in standard}
    await kube.create("StorageClass", None, {"metadata": {"name": THEIR_CLASS}, **fields})
    ours, name = authority("ours"), "every-field"
    names = [f"{name}.{namespace}.svc.cluster.local"]
    names += [f"*.{name}-peer.{namespace}.svc.cluster.local"]
    pair = certificate("web", ours, names).pair()
    for what, data in (("my-certificate", pair), ("my-ca", {"ca.crt": ours.pem()})):
        await kube.create("Secret", namespace, secret(what, data))
    try:
        yield
    finally:
        await kube.delete("StorageClass", None, THEIR_CLASS)


async def becomes_ready(cluster: EtcdCluster, size: int, measure: Measure) -> None:
    if size == 0:
        await cluster.shows("Stopped")
        return
    took = await cluster.ready(within_s=200.0)
    measure(f"{cluster.name}, {size} members, beside the others", took)
    first = f"{cluster.name}-0"
    assert await started(cluster, first) == {f"{cluster.name}-{n}" for n in range(size)}
    await cluster.etcdctl(first, "put", "of", cluster.name)


async def test_every_cluster_becomes_ready(kube: Kube, namespace: str, measure: Measure) -> None:
    clusters = manifests("EtcdCluster")
    sizes = {name: one.get("spec", {}).get("size", 3) for name, one in clusters.items()}
    assert len(sizes) == 5
    began = time.monotonic()
    async with their_surroundings(kube, namespace), asyncio.TaskGroup() as group:
        for name, size in sizes.items():
            cluster = await cluster_applied(kube, namespace, name)
            group.create_task(becomes_ready(cluster, size, measure))
    measure(f"all {len(sizes)} clusters of the replaced operator", time.monotonic() - began)


async def content_of(cluster: EtcdCluster) -> list[Object]:
    pod = f"{cluster.name}-0"
    found = await cluster.etcdctl(pod, "get", "", "--prefix", "-w", "json")
    keys: list[Object] = json.loads(found)["kvs"]
    return keys


@pytest.mark.inside_only("pods that take backups run the operator's image")
async def test_every_backup_and_restore_becomes_ready_with_what_its_condition_asks_for(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    async with their_surroundings(kube, namespace):
        cluster = await cluster_applied(kube, namespace, "every-field")
        await make_claim(kube, namespace, "backups")
        await schedules(kube, namespace)
        await cluster.ready(within_s=200.0)
        await cluster.etcdctl("every-field-0", "put", "a", "b")
        saved = await content_of(cluster)
        began = time.monotonic()
        await saved_once(kube, namespace)
        measure("once, with a volume named", time.monotonic() - began)
        await cluster.etcdctl("every-field-0", "put", "a", "changed after the backup")

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for name in ("as-new", "etcdrestore-sample"):
                group.create_task(restored_as_new(kube, namespace, name, saved))
            group.create_task(restored_in_place(kube, namespace, cluster, saved))
        measure("two new clusters and one in place, at once", time.monotonic() - began)


async def schedules(kube: Kube, namespace: str) -> None:
    """They are Ready when they wait for their time."""
    found = manifests("EtcdBackup")
    await applied(namespace, found["scheduled"])
    message = await EtcdBackup(kube, namespace, "scheduled").shows("NotSupportedYet")
    assert "spec.clusterNamespace" in message
    await applied(namespace, found["scheduled"], clusterNamespace=namespace)
    await applied(namespace, found["etcdbackup-sample"])
    for name in ("scheduled", "etcdbackup-sample"):
        backup = EtcdBackup(kube, namespace, name)
        await backup.shows("Scheduled")
        one = await backup.get()
        assert condition(one, "Ready")["status"] == "True"
        assert one["status"]["nextScheduleTime"]


async def saved_once(kube: Kube, namespace: str) -> None:
    one, backup = manifests("EtcdBackup")["once"], EtcdBackup(kube, namespace, "once")
    await applied(namespace, one)
    assert "spec.local.claimName" in await backup.shows("NotSupportedYet")
    await applied(namespace, one, local={"claimName": "backups"})
    await backup.shows("BackupCompleted", within_s=90.0)


async def restored_as_new(kube: Kube, namespace: str, name: str, saved: list[Object]) -> None:
    """A schedule has no data of its own: what is restored is one of its backups."""
    one, restore = manifests("EtcdRestore")[name], EtcdRestore(kube, namespace, name)
    await applied(namespace, one)
    await restore.shows("BackupNotFound")
    await applied(
        namespace,
        one,
        backupName="once",
        backupNamespace=namespace,
        clusterTemplate=fitted(one["spec"]["clusterTemplate"]),
    )
    await restore.shows("RestoreCompleted", within_s=200.0)
    cluster = EtcdCluster(kube, namespace, one["spec"]["clusterName"])
    await cluster.ready()
    assert await content_of(cluster) == saved


async def restored_in_place(
    kube: Kube, namespace: str, cluster: EtcdCluster, saved: list[Object]
) -> None:
    one, restore = manifests("EtcdRestore")["in-place"], EtcdRestore(kube, namespace, "in-place")
    await applied(namespace, one)
    message = await restore.shows("NotSupportedYet")
    assert "spec.dataDir" in message
    assert "spec.walDir" in message
    await applied(namespace, one, backupName="once", dataDir=None, walDir=None)
    assert "etcd.etcd.io/confirm-skip-hash-check" in await restore.shows("NotConfirmed")
    confirmed = {"annotations": {"etcd.etcd.io/confirm-skip-hash-check": "in-place"}}
    await kube.patch("EtcdRestore", namespace, "in-place", {"metadata": confirmed})
    await restore.shows("RestoreCompleted", within_s=200.0)
    await cluster.ready()
    assert await content_of(cluster) == saved
