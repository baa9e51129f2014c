"""A cluster is to be saved before another version, and the place to save it to is not there: no
member is touched, and what is in the way is told, until the owner goes back or on without.
"""

import pytest

from e2e.harness.backup import EtcdBackup
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube
from e2e.harness.membership import waits
from e2e.test_saved_before import YEARLY
from e2e.test_upgrades import NEXT, PATCHED, pod_uids, runs

pytestmark = pytest.mark.inside_only("pods that take backups run the operator's image")

GO_ON = {"metadata": {"annotations": {"etcd.etcd.io/upgrade-without-backup": NEXT}}}


async def test_another_version_waits_for_a_backup_that_can_not_be_taken(
    cluster: EtcdCluster, kube: Kube, namespace: str
) -> None:
    await EtcdBackup(kube, namespace, "leap-days").apply(**YEARLY)
    await cluster.apply(size=1, version=PATCHED)
    await cluster.ready()
    before = await pod_uids(cluster)

    await cluster.edit(version=NEXT)
    # The claim that its schedule names.
    await waits(cluster, "wait_for_version", '"backups" not found')
    assert "EtcdBackup db-before-v3-6-16-" in await cluster.shows("Upgrading", kind="UpToDate")

    await cluster.edit(version=PATCHED)
    await cluster.shows("UpToDate", kind="UpToDate", status="True")
    assert await pod_uids(cluster) == before

    await cluster.edit(version=NEXT)
    await waits(cluster, "wait_for_version", '"backups" not found')
    assert await pod_uids(cluster) == before
    await kube.patch("EtcdCluster", namespace, cluster.name, GO_ON)
    await runs(cluster, NEXT)
    backups = await kube.list("EtcdBackup", namespace)
    assert all(one.get("status", {}).get("phase") != "Completed" for one in backups)
