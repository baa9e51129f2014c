"""Somebody deletes what was needed: the cluster goes back to the second before, in its place. Then
it is lost, and another one begins at a revision in the middle of its life.
"""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from e2e.harness.backup import EtcdBackup, EtcdRestore, make_claim
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.report import Measure
from e2e.test_continuous import CONTINUOUS, is_kept, revision, windows_up_to
from e2e.test_restore_in_place import BUMP, content_of, data_claims, seconds
from e2e.test_tls import AS_THE_DEFAULT_IS

pytestmark = [
    pytest.mark.inside_only("pods that restore run the operator's image"),
    pytest.mark.long,
]


async def test_a_cluster_goes_back_to_the_second_before_a_mistake_and_a_lost_one_to_a_revision(
    cluster: EtcdCluster, kube: Kube, namespace: str, measure: Measure
) -> None:
    await make_claim(kube, namespace, "backups")
    await cluster.apply(size=3, **AS_THE_DEFAULT_IS)
    await cluster.ready()
    nightly = EtcdBackup(kube, namespace, "nightly")
    await nightly.apply(**CONTINUOUS)
    await is_kept(nightly, within_s=120.0)
    (base,) = [
        one["metadata"]["name"]
        for one in await kube.list("EtcdBackup", namespace)
        if one["metadata"]["name"] != "nightly"
    ]
    for number in range(10):
        await cluster.etcdctl("db-0", "put", f"key-{number}", f"value {number}")
    await cluster.etcdctl("db-0", "del", "key-1")
    lease = (await cluster.etcdctl("db-0", "lease", "grant", "3600")).split()[1]
    await cluster.etcdctl("db-0", "put", "leased", "for an hour", f"--lease={lease}")
    middle = await content_of(cluster)
    await cluster.etcdctl("db-0", "put", "key-2", "written over")
    good = await content_of(cluster)
    moment = await the_next_second()

    # The mistake, and what is written after it.
    await cluster.etcdctl("db-0", "del", "key-", "--prefix")
    await cluster.etcdctl("db-0", "put", "later", "of no use")
    bad = await content_of(cluster)
    (window,) = await windows_up_to(nightly, await revision(cluster))
    assert window["startRevision"] < revision_of(middle) < window["endRevision"]

    early = EtcdRestore(kube, namespace, "too-early")
    await early.apply(
        backupName="nightly",
        clusterName="db",
        restoreType="Replace",
        pointInTime="2020-01-01T00:00:00Z",
    )
    refusal = await early.shows("TargetNotRestorable", within_s=60.0)
    assert "it is before all that can be, which begins with" in refusal
    assert (await content_of(cluster))["header"]["revision"] == revision_of(bad)

    back = EtcdRestore(kube, namespace, "back")
    await back.apply(
        backupName="nightly", clusterName="db", restoreType="Replace", pointInTime=moment
    )
    await back.shows("RestoreCompleted", within_s=240.0)
    await cluster.ready()

    status = (await back.get())["status"]
    measure("three members put back to a second, in their place", seconds(status))
    assert status["sourceRevision"] == revision_of(good)
    assert status["replayed"] == revision_of(good) - window["startRevision"]
    found = await content_of(cluster)
    assert values(found) == values(good)
    # Nobody who has watched the cluster before sees revisions go back.
    assert revision_of(found) >= revision_of(bad) + BUMP - 10
    assert "3600" in await cluster.etcdctl("db-0", "lease", "timetolive", lease)
    await cluster.etcdctl("db-0", "put", "after", "wards")

    # Its new data have another history; the old one is still in the store.
    await cluster.delete()
    await cluster.gone()
    for claim in await data_claims(kube, namespace):
        await kube.delete("PersistentVolumeClaim", namespace, claim)
    again = EtcdRestore(kube, namespace, "again")
    await again.apply(backupName=base, clusterName="db", revision=revision_of(middle))
    await again.shows("RestoreCompleted", within_s=240.0)

    status = (await again.get())["status"]
    measure("a lost cluster of three, restored to a revision", seconds(status))
    assert status["sourceRevision"] == revision_of(middle)
    found = await content_of(cluster)
    assert found["kvs"] == middle["kvs"]
    await cluster.ready()
    await cluster.etcdctl("db-0", "put", "after", "wards")


async def the_next_second() -> str:
    """A whole second that lies between all that was written and all that will be."""
    moment = int(time.time()) + 2
    await asyncio.sleep(moment + 1 - time.time())
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def revision_of(content: Object) -> int:
    return int(content["header"]["revision"])


def values(content: Object) -> list[Object]:
    """What a jump of revisions leaves as it was."""
    kept = ("key", "value", "version", "lease")
    return [{name: kv[name] for name in kept if name in kv} for kv in content["kvs"]]
