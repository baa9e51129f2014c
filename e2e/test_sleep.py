"""The owner sets the size to 0 for the night. The pods end and the volumes stay; in the morning the
same members go on from them, and only then does the cluster become what it is to be now.
"""

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.etcd import Member
from e2e.harness.membership import claim_uids, has_members, same_data, scale, served
from e2e.harness.report import Measure
from e2e.harness.writer import Writer

Identity = tuple[str, dict[str, Member], dict[str, str]]


async def identity(cluster: EtcdCluster) -> Identity:
    """What must survive a night: the cluster's ID, its members, their volumes."""
    return await cluster.etcd().cluster_id(), await cluster.members(), await claim_uids(cluster)


async def fall_asleep(cluster: EtcdCluster) -> None:
    before = await claim_uids(cluster)
    await cluster.edit(size=0)
    await cluster.shows("Stopped", within_s=90.0)
    await cluster.gone_to_sleep()
    assert await claim_uids(cluster) == before
    assert condition(await cluster.get(), "Stalled")["status"] == "False"


async def test_a_cluster_sleeps_and_wakes_up_as_itself_and_then_grows(
    cluster: EtcdCluster, measure: Measure
) -> None:
    await cluster.apply(size=3)
    await cluster.ready()
    async with Writer(cluster) as writer:
        await writer.goes_on()
    before = await identity(cluster)

    await fall_asleep(cluster)
    measure("3 members awake again", await scale(cluster, 3))
    assert await identity(cluster) == before
    await writer.nothing_is_lost()
    async with Writer(cluster) as second:
        await second.goes_on()

    await fall_asleep(cluster)
    await cluster.edit(size=5)
    measure("3 members asleep to 5 awake", await has_members(cluster, 5))
    cluster_id, members, claims = await identity(cluster)
    assert cluster_id == before[0]
    assert before[1].items() <= members.items()
    assert before[2].items() <= claims.items()
    for earlier in (writer, second):
        await earlier.nothing_is_lost()
    async with served(cluster, measure, "after two nights"):
        await same_data(cluster)


async def test_a_cluster_can_be_put_to_sleep_while_it_grows(cluster: EtcdCluster) -> None:
    await cluster.apply(size=1)
    await cluster.ready()
    await cluster.etcd().put("before", "sleep")
    cluster_id = await cluster.etcd().cluster_id()
    await cluster.edit(size=3)
    await cluster.tells("MemberAdded", within_s=60.0)
    await cluster.edit(size=0)
    await cluster.shows("Stopped", within_s=90.0)
    await cluster.gone_to_sleep()
    await scale(cluster, 3)
    assert await cluster.etcd().cluster_id() == cluster_id
    assert await cluster.etcd().get("before") == "sleep"
    await same_data(cluster)
