"""The owner sets an option that no check knows to be wrong, and that etcd can't start with, while
clients write: one member stops at it and says why; the next edit, back or on, goes on from there.
"""

import asyncio

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object
from e2e.harness.membership import claim_uids, served
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.test_rolls import ROLLED_WITHIN_S, SIZES, options_reach, uids

# A container's root can't be written to.
WRONG: Object = {"extra": {"log-outputs": "/etcd.log"}}


async def stopped(cluster: EtcdCluster) -> set[tuple[str, str]]:
    """Waits until the roll has stopped; returns the pods, by name and uid."""
    said = await cluster.shows("RolloutBlocked", kind="UpToDate", within_s=120.0)
    assert "/etcd.log" in said
    assert "stay on the older one" in said
    assert condition(await cluster.get(), "Stalled")["status"] == "True"
    await cluster.tells("RolloutBlocked", of="/etcd.log")
    return set((await uids(cluster)).items())


async def follow(cluster: EtcdCluster, options: Object) -> float:
    """Sets them, and waits until every member has them; returns the seconds that it took."""
    began = asyncio.get_running_loop().time()
    await cluster.edit(options=options)
    await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=ROLLED_WITHIN_S)
    await cluster.ready()
    return asyncio.get_running_loop().time() - began


async def test_one_member_stops_at_a_bad_option_and_follows_the_next_edit(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "badoption")
    await cluster.apply(size=3, **SIZES)
    await cluster.ready()
    ids, claims = await cluster.ids(), await claim_uids(cluster)
    before = set((await uids(cluster)).items())
    async with served(cluster, measure, "an option that etcd can't start with"):
        await cluster.edit(options=WRONG)
        untouched = before & await stopped(cluster)
        assert len(untouched) == 2

        measure("a bad option taken back", await follow(cluster, {"extra": None}))
        back = set((await uids(cluster)).items())
        assert untouched < back

        await cluster.edit(options=WRONG)
        assert len(back & await stopped(cluster)) == 2
        corrected = {"extra": None, "snapshotCount": 4321}
        measure("a bad option corrected", await follow(cluster, corrected))
        assert not back & set((await uids(cluster)).items())
        await until("old files to be gone", lambda: options_reach(cluster), within_s=30.0)
    # A member that can't start on an option never loses its data for it.
    assert (await cluster.ids(), await claim_uids(cluster)) == (ids, claims)
