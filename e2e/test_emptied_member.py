"""A disk comes back empty under a member, or its volume is gone. Under its old ID it could vote
away what it had acknowledged before, so it never serves under that one again; it is replaced by a
new member in its place, while the others keep serving.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from e2e.harness import node
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object
from e2e.harness.report import Measure
from e2e.harness.wait import UnavailableError, never, until
from e2e.harness.writer import Writer

REPLACED_WITHIN_S = 120.0

# What happens to the data of a member, by its pod.
Loss = Callable[[Kube, Object], Awaitable[None]]


async def lose_volume(kube: Kube, pod: Object) -> None:
    """Claim and pod are deleted: the StatefulSet makes new ones under the same names."""
    meta = pod["metadata"]
    await kube.delete("PersistentVolumeClaim", meta["namespace"], f"data-{meta['name']}")
    await kube.delete("Pod", meta["namespace"], meta["name"], grace_s=0)


async def replaced(cluster: EtcdCluster, victim: str, ids: dict[str, str]) -> float:
    """Waits until a new member is a voter in the victim's place and the cluster is Ready; returns
    the seconds that it took. Fails when the victim serves under its old ID.
    """
    began = time.monotonic()

    async def is_another() -> bool:
        with contextlib.suppress(UnavailableError):
            assert await cluster.etcd(victim).own_id() != ids[victim], f"{victim} came back"
        member = (await cluster.members()).get(victim)
        return member is not None and member.id != ids[victim] and not member.learner

    await until(f"{victim} to be replaced", is_another, within_s=REPLACED_WITHIN_S)
    await cluster.ready()
    seconds = time.monotonic() - began
    now = await cluster.ids()
    assert {name: now[name] for name in ids if name != victim} == {
        name: id_ for name, id_ in ids.items() if name != victim
    }
    assert now[victim] != ids[victim]
    return seconds


async def closed(cluster: EtcdCluster) -> None:
    """Waits until no running pod sees a configuration that would let it join without data."""

    async def all_closed() -> bool:
        texts = [await node.mounted_configuration(pod) for pod in (await cluster.pods()).values()]
        return all(text.count("=http://") == 1 and "existing" in text for text in texts)

    await until(f"the files in {cluster.name}'s pods to be closed", all_closed, within_s=150.0)


async def a_member_loses_its_data(
    cluster: EtcdCluster, lose: Loss, *, leads: bool
) -> tuple[float, Writer]:
    await cluster.apply(size=3)
    await cluster.ready()
    ids, leader = await cluster.ids(), await cluster.leader()
    victim = leader if leads else next(name for name in ids if name != leader)
    pod = await cluster.pod(victim)
    assert pod is not None
    async with Writer(cluster) as writer:
        await lose(cluster.kube, pod)
        seconds = await replaced(cluster, victim, ids)
        await writer.goes_on()
    for name in ids:
        await writer.nothing_is_lost(name)
    return seconds, writer


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
        await replaced(cluster, victim, ids)
        await writer.goes_on(within_s=60.0)
    for name in ids:
        await writer.nothing_is_lost(name)


async def test_a_member_without_its_data_is_replaced_and_never_serves_as_itself(
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
        seconds, writer = task.result()
        what = name.replace("-", " ")
        measure(f"{what} to replaced and Ready, three at a time", seconds)
        measure(f"longest gap between acknowledged writes, {what}", writer.longest_gap_s)


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
