"""A cluster with TLS is saved into a volume, by a pod of its own; what keeps others from being
taken is said in their conditions, and goes on when it is mended.
"""

import json
from datetime import datetime

import pytest

from e2e.harness.backup import EtcdBackup, look_into, make_claim
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.report import Measure
from e2e.harness.wait import until

pytestmark = pytest.mark.inside_only("pods that take backups run the operator's image")

VOLUME: Object = {
    "clusterName": "db",
    "storageType": "Local",
    "local": {"claimName": "backups", "path": "etcd/nightly"},
}
NOBODY: Object = {
    "clusterName": "db",
    "storageType": "S3",
    "s3": {
        "bucket": "b",
        "endpoint": "http://127.0.0.1:9",
        "pathStyle": True,
        "accessKeySecret": "keys",
        "secretKeySecret": "keys",
    },
}


async def test_a_cluster_is_saved_and_what_is_in_the_way_is_told(
    cluster: EtcdCluster, kube: Kube, namespace: str, measure: Measure
) -> None:
    def backup(name: str) -> EtcdBackup:
        return EtcdBackup(kube, namespace, name)

    await cluster.apply(size=3, security={"tls": {"enabled": True}})
    await make_claim(kube, namespace, "backups")
    # Before there is anything to save.
    await backup("early").apply(**VOLUME)
    await backup("early").shows("NoMemberRuns", within_s=20.0)
    await backup("no-claim").apply(**VOLUME | {"local": {"claimName": "not-there"}})
    await backup("no-secret").apply(**NOBODY)
    await cluster.ready()
    for number in range(20):
        await cluster.etcdctl("db-0", "put", f"key-{number}", "x" * 100)
    await backup("early").shows("BackupCompleted", within_s=90.0)

    await backup("once").apply(**VOLUME)
    measure("a backup of a small cluster into a volume", await completed(backup("once")))

    status = (await backup("once").get())["status"]
    both = await is_in_the_volume(kube, cluster, status)
    assert [file for file in both if "/early-" in file]
    pods = await kube.list("Pod", namespace, "app.kubernetes.io/name=etcd-backup")
    spec = next(pod["spec"] for pod in pods if pod["metadata"]["name"].startswith("once-"))
    assert not [name for volume in spec["volumes"] for name in volume if name == "projected"]
    # The others are where they were, and say why.
    assert "not-there" in await backup("no-claim").shows("PodUnschedulable")
    assert '"keys" not found' in await backup("no-secret").shows("ContainerConfigError")
    keys = {"metadata": {"name": "keys"}, "stringData": {"accessKey": "a", "secretKey": "s3cr3t"}}
    await kube.create("Secret", namespace, keys)
    told = await backup("no-secret").shows("StoreUnavailable", within_s=60.0)
    assert "127.0.0.1:9" in told
    assert "s3cr3t" not in json.dumps(await backup("no-secret").get())
    # One that is beyond the retention of its schedule is marked so, and goes with its data.
    mark = {"metadata": {"annotations": {"etcd.etcd.io/expired": "true"}}}
    await kube.patch("EtcdBackup", namespace, "early", mark)

    async def expired() -> bool:
        return await kube.get("EtcdBackup", namespace, "early") is None

    await until("the expired backup to be gone", expired, within_s=60.0)
    # A backup that is deleted takes its Job with it, and leaves what it has stored.
    await kube.delete("EtcdBackup", namespace, "once")

    async def gone() -> bool:
        jobs = await kube.list("Job", namespace, "app.kubernetes.io/name=etcd-backup")
        return not [job for job in jobs if job["metadata"]["name"].startswith("once-")]

    await until("the Job of the deleted backup to be gone", gone, within_s=30.0)
    left = await is_in_the_volume(kube, cluster, status)
    assert not [file for file in left if "/early-" in file]


async def completed(backup: EtcdBackup) -> float:
    """Waits for it; returns the seconds from its creation to the end of the backup."""
    await backup.shows("BackupCompleted", within_s=90.0)
    found = await backup.get()
    began = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
    return (datetime.fromisoformat(found["status"]["completionTime"]) - began).total_seconds()


async def is_in_the_volume(kube: Kube, cluster: EtcdCluster, status: Object) -> list[str]:
    """What the status says is what a pod with the volume finds, and what etcd has.

    Returns all files of the cluster's backups.
    """
    place = status["storagePath"].removeprefix("pvc://backups/")
    assert place.startswith("etcd/nightly/")
    found = await look_into(kube, cluster.namespace, "backups", place)
    assert found["sha256"] == found["trailer"] == status["sha256"]
    assert found["manifest"]["content"]["keys"] == status["keys"] == 20
    assert found["manifest"]["content"]["revision"] == status["etcdRevision"]
    endpoint = json.loads(await cluster.etcdctl("db-0", "endpoint", "status", "-w", "json"))
    assert status["etcdRevision"] == endpoint[0]["Status"]["header"]["revision"]
    assert status["member"] == found["manifest"]["member"]["name"]
    assert status["member"] != (await cluster.status())["leader"]
    files: list[str] = found["files"]
    return files
