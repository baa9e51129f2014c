"""A disk comes back empty under a member, or its volume is gone. Under its old ID it could vote
away what it had acknowledged before, so it must stay down, whatever happens to the leadership
meanwhile; the owner is told, and the others keep serving.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from e2e.harness import node
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object
from e2e.harness.report import Measure
from e2e.harness.wait import UnavailableError, never, until
from e2e.harness.writer import Writer

WATCHED_FOR_S = 40.0

# What happens to the data of a member, by its pod.
Loss = Callable[[Kube, Object], Awaitable[None]]


async def lose_volume(kube: Kube, pod: Object) -> None:
    """Claim and pod are deleted: the StatefulSet makes new ones under the same names."""
    meta = pod["metadata"]
    await kube.delete("PersistentVolumeClaim", meta["namespace"], f"data-{meta['name']}")
    await kube.delete("Pod", meta["namespace"], meta["name"], grace_s=0)


def comes_back(cluster: EtcdCluster, victim: str, old_id: str) -> Callable[[], Awaitable[object]]:
    """A probe: whether the emptied member takes part again, by any sign that there is."""

    async def probe() -> object:
        pod = await cluster.pod(victim)
        statuses = (pod or {}).get("status", {}).get("containerStatuses", [])
        if any(status["ready"] for status in statuses):
            return f"pod {victim} is ready"
        if any(m["name"] == victim and m["ready"] for m in (await cluster.status())["members"]):
            return f"member {victim} is shown as ready"
        try:
            served_as = await cluster.etcd(victim).own_id()
            follows = await cluster.etcd(victim).leader_id()
        except UnavailableError:
            return None
        return f"{victim} serves as {served_as}" if served_as == old_id and follows else None

    return probe


async def closed(cluster: EtcdCluster) -> None:
    """Waits until no running pod sees a configuration that would let it join without data."""

    async def all_closed() -> bool:
        texts = [await node.mounted_configuration(pod) for pod in (await cluster.pods()).values()]
        return all(text.count("=http://") == 1 and "existing" in text for text in texts)

    await until(f"the files in {cluster.name}'s pods to be closed", all_closed, within_s=150.0)


async def a_member_loses_its_data(cluster: EtcdCluster, lose: Loss, *, leads: bool) -> Writer:
    await cluster.apply(size=3)
    await cluster.ready()
    ids, leader = await cluster.ids(), await cluster.leader()
    victim = leader if leads else next(name for name in ids if name != leader)
    survivors = [name for name in ids if name != victim]
    pod = await cluster.pod(victim)
    assert pod is not None
    async with Writer(cluster) as writer:
        await lose(cluster.kube, pod)
        message = await cluster.shows("EmptyDataDirectory", within_s=90.0)
        assert victim in message
        stalled = condition(await cluster.get(), "Stalled")
        assert (stalled["status"], stalled["reason"]) == ("True", "EmptyDataDirectory")
        assert "replaced" in stalled["message"], "it says what to do next"
        await cluster.tells("EmptyDataDirectory")

        # The leader that remembers what the member had is what made etcd itself refuse it.
        async def leadership_moves() -> bool:
            old_leader = await cluster.etcd(survivors[0]).leader_id()
            old = next(name for name in survivors if ids[name] == old_leader)
            new = next(name for name in survivors if name != old)
            await cluster.etcd(old).move_leader(ids[new])
            return True

        await until("the leadership to move", leadership_moves, within_s=30.0)
        await cluster.kube.delete("Pod", cluster.namespace, victim, grace_s=0)
        probe = comes_back(cluster, victim, ids[victim])
        await never(f"{victim} came back without its data", probe, for_s=WATCHED_FOR_S)
        await writer.goes_on()
    await cluster.shows("EmptyDataDirectory", within_s=90.0)
    for survivor in survivors:
        await writer.nothing_is_lost(survivor)
    return writer


async def everything_restarts_and_the_leader_is_empty(cluster: EtcdCluster) -> None:
    """All processes end at once, as when a rack loses power: nobody is there to ask."""
    await cluster.apply(size=3)
    await cluster.ready()
    ids, victim = await cluster.ids(), await cluster.leader()
    survivors = [name for name in ids if name != victim]
    async with Writer(cluster) as writer:
        await closed(cluster)
        pods = await cluster.pods()
        async with asyncio.TaskGroup() as group:
            for name in survivors:
                group.create_task(node.signal(pods[name], "etcd", "KILL"))
            group.create_task(node.lose_data_and_crash(cluster.kube, pods[victim]))
        await cluster.shows("EmptyDataDirectory", within_s=120.0)
        probe = comes_back(cluster, victim, ids[victim])
        await never(f"{victim} came back without its data", probe, for_s=WATCHED_FOR_S / 2)
        await writer.goes_on(within_s=60.0)
    for survivor in survivors:
        await writer.nothing_is_lost(survivor)


async def test_a_member_without_its_data_never_comes_back_under_its_old_id(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    stories: dict[str, tuple[Loss, bool]] = {
        "follower-emptied": (node.lose_data_and_crash, False),
        "leader-emptied": (node.lose_data_and_crash, True),
        "leader-volume-lost": (lose_volume, True),
    }
    async with asyncio.TaskGroup() as group:
        tasks = {
            name: group.create_task(
                a_member_loses_its_data(EtcdCluster(kube, namespace, name), lose, leads=leads)
            )
            for name, (lose, leads) in stories.items()
        }
    for name, task in tasks.items():
        gap = task.result().longest_gap_s
        measure(f"longest gap between acknowledged writes, {name.replace('-', ' ')}", gap)


async def test_the_leader_is_empty_after_all_members_restarted_at_once(
    cluster: EtcdCluster,
) -> None:
    await everything_restarts_and_the_leader_is_empty(cluster)


async def test_a_cluster_that_lost_all_its_data_is_not_begun_anew_in_silence(
    cluster: EtcdCluster,
) -> None:
    await cluster.apply(size=3)
    await cluster.ready()
    await cluster.etcd().put("only", "copy")
    pods = await cluster.pods()
    async with asyncio.TaskGroup() as group:
        for pod in pods.values():
            group.create_task(lose_volume(cluster.kube, pod))
    message = await cluster.shows("QuorumUnrecoverable", kind="Stalled", status="True")
    assert "lost their data" in message
    await cluster.tells("QuorumUnrecoverable")

    async def begun_anew() -> object:
        for name in pods:
            with contextlib.suppress(UnavailableError):
                return f"{name} serves: {await cluster.etcd(name).members()}"
        return condition(await cluster.get(), "Ready").get("status") == "True"

    await never("an empty cluster took the place of the lost one", begun_anew, for_s=25.0)
