"""A cluster gets the data of its backup in its place: same name, Services, certificates. What it
had before is kept until its owner says what becomes of it, and can be put back. The operator may
die at any step, and a quorum that is lost for good is no obstacle.
"""

import asyncio
import json
from datetime import datetime

import pytest

from e2e.harness.backup import EtcdBackup, EtcdRestore, make_claim
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import until

pytestmark = [
    pytest.mark.inside_only("pods that restore run the operator's image"),
    pytest.mark.long,
]

VOLUME: Object = {
    "clusterName": "db",
    "storageType": "Local",
    "local": {"claimName": "backups", "path": "etcd"},
}
FIRST = ["data-db-0", "data-db-1", "data-db-2"]
SECOND = ["data-2-db-0", "data-2-db-1", "data-2-db-2"]
KEYS = 20
# Revisions jump ahead of all that watchers can have seen.
BUMP = 1_000_000_000


async def test_a_restore_in_place_and_the_way_back_whoever_dies(
    cluster: EtcdCluster, kube: Kube, namespace: str, operator: Operator, measure: Measure
) -> None:
    await cluster.apply(size=3, version="v3.6.16")
    await make_claim(kube, namespace, "backups")
    await cluster.ready()
    saved = await save(cluster)
    await change(cluster)
    later = await content_of(cluster)
    before, services = await cluster.status(), await uids(kube, namespace, "Service")

    restore = EtcdRestore(kube, namespace, "back")
    await restore.apply(backupName="once", clusterName="db", restoreType="Replace")
    killed = await kill_at_each_step(cluster, operator)
    await restore.shows("RestoreCompleted", within_s=60.0)
    await cluster.ready()

    measure(
        f"restore in place of three, operator killed {len(killed)} times",
        seconds((await restore.get())["status"]),
    )
    assert {"Preparing in epoch 1", "Switching in epoch 1", "Switching in epoch 2"} <= killed
    found = await content_of(cluster)
    assert found["kvs"] == saved["kvs"]
    assert found["header"]["revision"] >= saved["header"]["revision"] + BUMP
    assert found["header"]["cluster_id"] != saved["header"]["cluster_id"]
    assert sorted(await cluster.pods()) == ["db-0", "db-1", "db-2"]
    assert await uids(kube, namespace, "Service") == services
    assert await data_claims(kube, namespace) == sorted(FIRST + SECOND)
    assert (await cluster.status())["clientEndpoints"] == before["clientEndpoints"]
    await cluster.etcdctl("db-1", "put", "after", "the restore")

    await kube.patch("EtcdRestore", namespace, "back", {"spec": {"oldData": "PutBack"}})
    await restore.shows("OldDataPutBack", within_s=120.0)
    await cluster.ready()

    assert (await restore.get())["status"]["phase"] == "PutBack"
    again = await content_of(cluster)
    assert again["kvs"] == later["kvs"]
    assert again["header"]["cluster_id"] == later["header"]["cluster_id"]
    assert (await cluster.status())["members"][0]["id"] == before["members"][0]["id"]
    assert await alarms(kube, namespace) == []
    # What was restored is kept in its turn, until nobody needs it any more.
    assert await data_claims(kube, namespace) == sorted(FIRST + SECOND)
    await discard(restore, FIRST)
    assert (await content_of(cluster))["kvs"] == later["kvs"]


async def test_a_quorum_that_is_lost_for_good_comes_back_from_the_backup(
    cluster: EtcdCluster, kube: Kube, namespace: str, measure: Measure
) -> None:
    await cluster.apply(size=3, security={"tls": {"enabled": True}})
    await make_claim(kube, namespace, "backups")
    await cluster.ready()
    saved = await save(cluster)
    secrets = await uids(kube, namespace, "Secret")
    async with asyncio.TaskGroup() as group:
        for name in ("db-1", "db-2"):
            group.create_task(lose(kube, namespace, name))
    await cluster.shows("QuorumUnrecoverable", kind="Stalled", status="True")

    restore = EtcdRestore(kube, namespace, "back")
    await restore.apply(backupName="once", clusterName="db", restoreType="Replace")
    await restore.shows("RestoreCompleted", within_s=150.0)
    await cluster.ready()

    measure("restore in place after a lost quorum", seconds((await restore.get())["status"]))
    assert (await content_of(cluster))["kvs"] == saved["kvs"]
    assert (await uids(kube, namespace, "Secret")).items() >= secrets.items()
    assert set(FIRST[:1] + SECOND) <= set(await data_claims(kube, namespace))

    await discard(restore, SECOND)
    await cluster.ready()
    assert (await content_of(cluster))["kvs"] == saved["kvs"]


# --- what is in the cluster


async def save(cluster: EtcdCluster) -> Object:
    """Writes keys, some of them more than once, and backs them up; returns all of them."""
    for number in range(KEYS):
        await cluster.etcdctl("db-0", "put", f"key-{number}", f"value {number}")
    await cluster.etcdctl("db-0", "put", "key-0", "again")
    await cluster.etcdctl("db-0", "del", "key-1")
    saved = await content_of(cluster)
    assert len(saved["kvs"]) == KEYS - 1
    backup = EtcdBackup(cluster.kube, cluster.namespace, "once")
    await backup.apply(**VOLUME)
    await backup.shows("BackupCompleted", within_s=90.0)
    return saved


async def change(cluster: EtcdCluster) -> None:
    """What the backup does not have, or has otherwise."""
    await cluster.etcdctl("db-0", "put", "key-2", "changed after the backup")
    await cluster.etcdctl("db-0", "put", "later", "written after the backup")
    await cluster.etcdctl("db-0", "del", "key-3")


async def content_of(cluster: EtcdCluster) -> Object:
    """Every key, with its value and its revisions, and in whose name that is said."""
    found: Object = json.loads(await cluster.etcdctl("db-0", "get", "", "--prefix", "-w", "json"))
    return found


# --- what happens to it


async def kill_at_each_step(cluster: EtcdCluster, operator: Operator) -> set[str]:
    """Kills the operator each time the restore comes to another step; returns the steps."""
    killed: set[str] = set()

    async def is_complete() -> bool:
        status = await cluster.status()
        phase, joining = (status.get("restore") or {}).get("phase"), status.get("joining")
        step = f"{phase} in epoch {status['bootstrap']['epoch']}"
        if joining is not None:
            step += f", {joining['name']} joins"
        if phase not in {None, "Completed"} and step not in killed:
            killed.add(step)
            await operator.kill()
        return phase == "Completed"

    await until("the cluster to be restored", is_complete, within_s=200.0)
    return killed


async def discard(restore: EtcdRestore, left: list[str]) -> None:
    """What was set aside goes; waits until only these volume claims are left."""
    kube, namespace = restore.kube, restore.namespace
    await kube.patch("EtcdRestore", namespace, restore.name, {"spec": {"oldData": "Discard"}})

    async def only_these() -> bool:
        return await data_claims(kube, namespace) == left

    await until("what was set aside to be gone", only_these, within_s=60.0)


async def lose(kube: Kube, namespace: str, pod: str) -> None:
    """Its volume, and itself: the StatefulSet makes others, which are empty."""
    await kube.delete("PersistentVolumeClaim", namespace, f"data-{pod}")
    await kube.delete("Pod", namespace, pod, grace_s=0)


# --- what Kubernetes has


async def data_claims(kube: Kube, namespace: str) -> list[str]:
    """The members' volume claims of all epochs that are not on their way out."""
    claims = await kube.list("PersistentVolumeClaim", namespace)
    metadata = [claim["metadata"] for claim in claims]
    names = [one["name"] for one in metadata if "deletionTimestamp" not in one]
    return sorted(name for name in names if name.startswith("data-"))


async def alarms(kube: Kube, namespace: str) -> list[str]:
    """Events that call somebody for help though nothing is wrong."""
    events = await kube.list("Event", namespace)
    wrong = {"QuorumLost", "MembersUnreachable", "QuorumUnrecoverable"}
    return [event["message"] for event in events if event["reason"] in wrong]


async def uids(kube: Kube, namespace: str, kind: str) -> dict[str, str]:
    """By name: who has the same uid was not made anew."""
    found = await kube.list(kind, namespace)
    return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}


def seconds(status: Object) -> float:
    began, ended = (datetime.fromisoformat(status[key]) for key in ("startTime", "completionTime"))
    return (ended - began).total_seconds()
