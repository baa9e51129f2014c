"""The owner changes the size while clients write. Members join one at a time, as learners, and
leave one at a time; who changed his mind is obeyed at once; what stands in the way is said, and
nothing is left half-way.
"""

import asyncio

import pytest

from e2e.harness import dns, node
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, kubectl
from e2e.harness.membership import (
    claim_uids,
    decided,
    has_members,
    joining,
    listed,
    moment,
    one_learner_at_most,
    scale,
    served,
    stays_ready,
    waits,
)
from e2e.harness.report import Measure
from e2e.harness.wait import never, until

NEWER = "v3.6.16"
SEVERAL_SIZES = (3, 5, 3, 1, 3)


async def kubectl_scale(cluster: EtcdCluster, size: int) -> float:
    await kubectl(
        "scale", "-n", cluster.namespace, f"etcdcluster/{cluster.name}", f"--replicas={size}"
    )
    return await has_members(cluster, size)


async def up_and_down(cluster: EtcdCluster, measure: Measure) -> None:
    await cluster.apply(size=1)
    await cluster.ready()
    uids: list[dict[str, str]] = []
    async with served(cluster, measure, "1-3-5-3-1-3"):
        before = 1
        for size in SEVERAL_SIZES:
            measure(f"{before} to {size} members", await kubectl_scale(cluster, size))
            uids.append(await claim_uids(cluster))
            before = size
    first, last = uids[0], uids[-1]
    assert first.keys() == last.keys()
    kept = [name for name in first if first[name] == last[name]]
    assert kept == ["data-updown-0"], "volumes of members that had left were started on again"


async def at_once(cluster: EtcdCluster, measure: Measure) -> None:
    await cluster.apply(size=1, version=NEWER)
    await cluster.ready()
    async with (
        served(cluster, measure, "1-7 in one edit"),
        one_learner_at_most(cluster),
        stays_ready(cluster),
    ):
        measure("1 to 7 members", await scale(cluster, 7))


async def test_the_size_goes_up_and_down_and_no_volume_serves_twice(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(up_and_down(EtcdCluster(kube, namespace, "updown"), measure))
        group.create_task(at_once(EtcdCluster(kube, namespace, "once"), measure))


async def changed_half_way(cluster: EtcdCluster, measure: Measure) -> None:
    """3 to 7, but 5 are enough when the sixth has been added already."""
    await cluster.apply(size=3)
    await cluster.ready()
    async with served(cluster, measure, "3-7 changed to 5"), one_learner_at_most(cluster):
        await cluster.edit(size=7)
        await moment(
            cluster,
            "the sixth member to be listed",
            lambda status: listed(status) and joining(status)["ordinal"] == 5,
            within_s=120.0,
        )
        await scale(cluster, 5)


async def changed_at_once(cluster: EtcdCluster, measure: Measure) -> None:
    """To 5 and back in every moment of the fourth member's way, and in none."""
    await cluster.apply(size=3)
    await cluster.ready()
    async with served(cluster, measure, "3-5-3 within moments"):
        await cluster.edit(size=5)
        await cluster.edit(size=3)
        await has_members(cluster, 3)
        for what, when in (("decided", decided), ("listed", listed)):
            await cluster.edit(size=5)
            await moment(cluster, f"the fourth to be {what}", when)
            await scale(cluster, 3)


async def one_is_frozen(cluster: EtcdCluster, measure: Measure) -> None:
    """Etcd takes no new member while one of three does not answer: that is said, and waited for."""
    await cluster.apply(size=3)
    await cluster.ready()
    leader = await cluster.leader()
    frozen = next(name for name in await cluster.ids() if name != leader)
    async with served(cluster, measure, "a follower frozen before growth"):
        pod = await cluster.pod(frozen)
        assert pod is not None
        process = await node.process_id(pod, "etcd")
        await node.run_inside("kill", "-STOP", process)
        await missed(cluster, frozen)
        await cluster.edit(size=5)
        await waits(cluster, "grow", frozen)
        shown = condition(await cluster.get(), "UpToDate")
        assert (shown["status"], shown["reason"]) == ("False", "Scaling")
        # Liveness may have ended it by now; then it is back already.
        await node.run_inside("sh", "-c", f"kill -CONT {process} || true")
        await has_members(cluster, 5)


async def missed(cluster: EtcdCluster, name: str) -> None:
    async def is_missed() -> bool:
        members = (await cluster.status())["members"]
        return [m["name"] for m in members if not m["ready"]] == [name]

    await until(f"{name} to be missed", is_missed, within_s=60.0)


async def test_an_owner_who_changes_his_mind_is_obeyed_and_growth_waits_for_who_is_away(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(changed_half_way(EtcdCluster(kube, namespace, "halfway"), measure))
        group.create_task(changed_at_once(EtcdCluster(kube, namespace, "atonce"), measure))
        group.create_task(one_is_frozen(EtcdCluster(kube, namespace, "frozen"), measure))


async def test_a_member_that_cannot_start_is_withdrawn_and_said_and_tried_again(
    cluster: EtcdCluster, measure: Measure
) -> None:
    await cluster.apply(size=1, recovery={"joinDeadlineSeconds": 15})
    await cluster.ready()
    full = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}
    await cluster.kube.create("ResourceQuota", cluster.namespace, full)
    async with served(cluster, measure, "a learner that never starts"):
        await cluster.edit(size=3)
        await moment(cluster, "the second member to be listed", listed)
        await cluster.tells("MemberWithdrawn", within_s=90.0)
        status = await cluster.status()
        assert status["withdrawn"]["name"] == "db-1"
        members = await cluster.members()
        assert not members.keys() - {"db-0", "db-1"}, "nobody else was tried instead"
        # The cause is gone, and any change of the spec tries again at once.
        await cluster.kube.delete("ResourceQuota", cluster.namespace, "full")
        await cluster.edit(recovery={"joinDeadlineSeconds": 120})
        measure("1 to 3 members after a withdrawn one", await has_members(cluster, 3))


@pytest.mark.essential
async def test_nothing_joins_or_is_replaced_while_the_owner_has_paused_it(
    cluster: EtcdCluster, measure: Measure
) -> None:
    await cluster.apply(size=3)
    await cluster.ready()
    ids, claims = await cluster.ids(), await claim_uids(cluster)
    leader = await cluster.leader()
    victim = next(name for name in ids if name != leader)
    async with served(cluster, measure, "a follower emptied during a pause"):
        await cluster.edit(paused=True)
        await cluster.shows("Paused", kind="Paused", status="True", within_s=20.0)
        await cluster.edit(size=5)
        pod = await cluster.pod(victim)
        assert pod is not None
        await node.lose_data_and_crash(cluster.kube, pod)

        async def somebody_acted() -> object:
            changed = joining(await cluster.status())
            listed_now, claims_now = await cluster.ids(), await claim_uids(cluster)
            return changed or listed_now != ids or claims_now != claims

        await never("membership changed in spite of the pause", somebody_acted, for_s=12.0)
        await cluster.edit(paused=False)
        measure("an emptied member and two new ones", await has_members(cluster, 5))
    now = await cluster.ids()
    assert [name for name in ids if now[name] != ids[name]] == [victim]


def remembers_denials(corefile: str) -> str:
    """As CoreDNS was set up before kubeadm 1.31: a name that was asked for too early does not
    resolve for the next half minute.
    """
    return dns.with_cache(corefile, "cache 30")


async def test_members_join_although_dns_remembers_that_they_were_unknown(
    cluster: EtcdCluster, kube: Kube, measure: Measure
) -> None:
    async with dns.configured(kube, remembers_denials):
        await cluster.apply(size=1)
        await cluster.ready()
        async with served(cluster, measure, "1-3 with DNS that remembers denials"):
            measure("1 to 3 members, DNS remembers denials", await scale(cluster, 3))
