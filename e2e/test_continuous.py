"""The changes of a cluster go to a volume as they come, whoever dies: a window grows to the last
write. What can't be kept is told, and once etcd has compacted it another window begins.
"""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from e2e.harness import node
from e2e.harness.backup import EtcdBackup, make_claim
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer
from e2e.test_tls import AS_THE_DEFAULT_IS, client_secret

pytestmark = [
    pytest.mark.inside_only("pods that keep changes run the operator's image"),
    pytest.mark.long,
]

PLACE: Object = {
    "clusterName": "db",
    "storageType": "Local",
    "local": {"claimName": "backups", "path": "etcd"},
}
# Never due by itself.
CONTINUOUS: Object = PLACE | {
    "schedule": "0 0 29 2 *",
    "continuous": {"enabled": True, "flushInterval": "2s"},
}
# The status has it within a minute; the rest is for a loaded machine.
WRITTEN_WITHIN_S = 120.0


async def archiver(
    backup: EtcdBackup, reason: str, *, status: str = "False", within_s: float = 60.0
) -> str:
    """Waits until ArchiverReady says so; returns its message."""

    async def message() -> str | None:
        seen = condition(await backup.get(), "ArchiverReady")
        is_so = (seen.get("reason"), seen.get("status")) == (reason, status)
        return str(seen["message"]) if is_so else None

    wanted = f"ArchiverReady={status}/{reason}"
    found = await until(wanted, message, within_s=within_s)
    assert found is not None
    return found


async def is_kept(backup: EtcdBackup, *, within_s: float = 60.0) -> None:
    await archiver(backup, "Archiving", status="True", within_s=within_s)


async def pods_of(backup: EtcdBackup) -> list[Object]:
    """The pods that keep the changes: one, and one that is about to end."""
    uid = (await backup.get())["metadata"]["uid"]
    labels = f"app.kubernetes.io/component=archiver,etcd.etcd.io/backup-uid={uid}"
    return await backup.kube.list("Pod", backup.namespace, labels)


async def pod_of(backup: EtcdBackup) -> Object:
    """The pod that keeps the changes, once it runs."""

    async def running() -> Object | None:
        pods = await pods_of(backup)
        staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return next((one for one in staying if one["status"]["phase"] == "Running"), None)

    found = await until("the archiver's pod to run", running, within_s=60.0)
    assert found is not None
    return found


async def revision(cluster: EtcdCluster) -> int:
    endpoint = json.loads(await cluster.etcdctl("db-0", "endpoint", "status", "-w", "json"))
    return int(endpoint[0]["Status"]["header"]["revision"])


async def windows_up_to(backup: EtcdBackup, end: int) -> list[Object]:
    """The windows, once the last of them has come to that revision."""

    async def reached() -> list[Object]:
        windows: list[Object] = (await backup.get())["status"].get("windows", [])
        return windows if windows and windows[-1]["endRevision"] >= end else []

    return await until(f"a window to reach revision {end}", reached, within_s=WRITTEN_WITHIN_S)


async def unarchived_s(operator: Operator, namespace: str) -> float:
    """The seconds of changes that would be lost, as Prometheus would read them."""
    pattern = rf'^etcd_operator_backup_unarchived_seconds{{.*namespace="{namespace}".*}} (.*)$'
    found = re.search(pattern, await operator.metrics(), re.MULTILINE)
    assert found is not None
    return float(found[1])


@asynccontextmanager
async def frozen(pod: Object) -> AsyncIterator[None]:
    """Its process does nothing from here to the end of the block."""
    await node.signal(pod, "agent", "STOP")
    try:
        yield
    finally:
        await node.signal(pod, "agent", "CONT")


async def test_changes_are_kept_whoever_dies(
    cluster: EtcdCluster,
    kube: Kube,
    operator: Operator,
    namespace: str,
    tmp_path: Path,
    measure: Measure,
) -> None:
    await make_claim(kube, namespace, "backups")
    await cluster.apply(size=3, **AS_THE_DEFAULT_IS)
    backup = EtcdBackup(kube, namespace, "nightly")
    await backup.apply(**CONTINUOUS)
    await archiver(backup, "NoMemberRuns", within_s=20.0)
    await cluster.ready()
    began = time.monotonic()
    await is_kept(backup, within_s=120.0)
    measure("from a cluster that is Ready to changes that are kept", time.monotonic() - began)
    (base,) = [
        one
        for one in await kube.list("EtcdBackup", namespace)
        if one["metadata"]["name"] != "nightly"
    ]

    async with Writer(cluster, await client_secret(cluster, tmp_path / "client")) as writer:
        before = await pod_of(backup)
        await node.signal(before, "agent", "KILL")
        await writer.goes_on()
        await kube.delete("Pod", namespace, before["metadata"]["name"], grace_s=0)
        await operator.kill()
        await writer.goes_on()
        await operator.at_work()
        after = await pod_of(backup)
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        await kube.delete("Pod", namespace, (await cluster.status())["leader"], grace_s=0)
        await writer.goes_on()
    await writer.nothing_is_lost("db-1")
    await cluster.ready()

    # All is in one window: from the backup to the last write.
    (window,) = await windows_up_to(backup, await revision(cluster))
    assert window["startRevision"] == base["status"]["etcdRevision"]
    assert base["status"]["storagePath"].endswith(window["base"])
    spec = (await pod_of(backup))["spec"]
    assert not [name for volume in spec["volumes"] for name in volume if name == "projected"]


async def test_what_is_not_kept_is_told_and_what_was_compacted_begins_another_window(
    cluster: EtcdCluster, kube: Kube, operator: Operator, namespace: str
) -> None:
    await make_claim(kube, namespace, "backups")
    await cluster.apply(size=1)
    await cluster.ready()
    backup = EtcdBackup(kube, namespace, "nightly")
    await backup.apply(**CONTINUOUS)
    await is_kept(backup, within_s=120.0)
    await cluster.etcd().put("kept", "1")
    (first,) = await windows_up_to(backup, await revision(cluster))

    # A pod that hangs is no pod that says how far it is: the lag goes on by the clock.
    async with frozen(await pod_of(backup)):

        async def lags() -> bool:
            return await unarchived_s(operator, namespace) > 15.0

        await until("the lag to be told", lags, within_s=60.0)
        await archiver(backup, "ArchiverSilent", status="Unknown")
    await is_kept(backup)

    async def catches_up() -> bool:
        return await unarchived_s(operator, namespace) < 15.0

    await until("the lag to be gone", catches_up, within_s=30.0)

    await kube.patch("EtcdBackup", namespace, "nightly", {"spec": {"suspend": True}})
    await archiver(backup, "Suspended")

    async def no_pod() -> bool:
        return not await pods_of(backup)

    await until("the archiver's pod to end", no_pod, within_s=60.0)
    for number in range(5):
        await cluster.etcd().put("missed", str(number))
    await cluster.etcdctl("db-0", "compact", str(await revision(cluster)))
    await kube.patch("EtcdBackup", namespace, "nightly", {"spec": {"suspend": False}})
    assert "compacted" in await archiver(backup, "BaseNeeded")

    by_hand = EtcdBackup(kube, namespace, "by-hand")
    await by_hand.apply(**PLACE)
    await by_hand.shows("BackupCompleted", within_s=90.0)
    await is_kept(backup)
    await cluster.etcd().put("kept", "2")
    old, new = await windows_up_to(backup, await revision(cluster))
    assert old["startRevision"] == first["startRevision"]
    status = (await by_hand.get())["status"]
    assert new["startRevision"] == status["etcdRevision"] > old["endRevision"]
    assert status["storagePath"].endswith(new["base"])
