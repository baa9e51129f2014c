"""A member is lost: its disk is empty, its claim is gone, its data is wrong, somebody removed it,
or the owner wants another one. On proof, and on proof alone, a new member takes its place, with a
new ID on a new volume, while the others serve; whoever dies in between, it comes to its end.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path

from e2e.harness import node
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object, kubectl
from e2e.harness.membership import (
    claim_uids,
    decided,
    has_members,
    joining,
    listed,
    moment,
    replaced,
    same_data,
    scale,
    served,
    started,
)
from e2e.harness.operator import Operator, absent
from e2e.harness.process import OperatorProcess
from e2e.harness.report import Measure
from e2e.harness.wait import UnavailableError, never, until

REPLACE = "etcd.etcd.io/replace"
MEMBER_LABEL = "etcd.etcd.io/member"
LONGEST_AFTER_STEP_S = 0.3
HELD_FOR_S = 25.0

Story = Coroutine[object, object, None]


async def a_ready_cluster(cluster: EtcdCluster, **spec: object) -> dict[str, str]:
    """Of three members; returns their IDs."""
    await cluster.apply(size=3, **spec)
    await has_members(cluster, 3)
    return await cluster.ids()


async def a_follower(cluster: EtcdCluster) -> str:
    leader = await cluster.leader()
    return next(name for name in await cluster.ids() if name != leader)


async def empty(cluster: EtcdCluster, victim: str) -> None:
    pod = await cluster.pod(victim)
    assert pod is not None
    await node.lose_data_and_crash(cluster.kube, pod)


async def kill(cluster: EtcdCluster, name: str) -> None:
    """Deletes the pod as a lost node or an impatient person does: nothing ends in order."""
    await cluster.kube.delete("Pod", cluster.namespace, name, grace_s=0)


async def pod_exists(cluster: EtcdCluster, name: str) -> None:
    async def exists() -> Object | None:
        return await cluster.pod(name)

    await until(f"pod {name} to be made", exists, within_s=60.0)


# --- who loses what


async def emptied(cluster: EtcdCluster, measure: Measure, *, who: str) -> None:
    ids = await a_ready_cluster(cluster)
    victim = await cluster.leader() if who == "leader" else f"{cluster.name}-{who}"
    claims = await claim_uids(cluster)
    async with served(cluster, measure, f"directory of {who} emptied"):
        await empty(cluster, victim)
        measure(f"directory of {who} emptied to replaced", await replaced(cluster, victim, ids))
    changed = claims.items() ^ (await claim_uids(cluster)).items()
    assert {name for name, _ in changed} == {f"data-{victim}"}


async def claim_deleted(cluster: EtcdCluster, measure: Measure) -> None:
    ids = await a_ready_cluster(cluster)
    victim = await a_follower(cluster)
    async with served(cluster, measure, "claim and pod deleted"):
        claim = f"data-{victim}"
        await cluster.kube.delete("PersistentVolumeClaim", cluster.namespace, claim)
        await kill(cluster, victim)
        measure("claim and pod deleted to replaced", await replaced(cluster, victim, ids))


async def test_a_member_without_its_data_is_replaced_in_its_place(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    async with asyncio.TaskGroup() as group:
        for name, who in (("first", "0"), ("middle", "1"), ("leading", "leader")):
            cluster = EtcdCluster(kube, namespace, name)
            group.create_task(emptied(cluster, measure, who=who))
        group.create_task(claim_deleted(EtcdCluster(kube, namespace, "claimless"), measure))


async def removed_by_hand(cluster: EtcdCluster, measure: Measure) -> None:
    ids = await a_ready_cluster(cluster)
    victim = await a_follower(cluster)
    other = next(name for name in ids if name != victim)
    async with served(cluster, measure, "member removed by hand"):
        await remove_by_hand(cluster, other, ids[victim])
        measure("member removed by hand to put back", await replaced(cluster, victim, ids))


async def remove_by_hand(cluster: EtcdCluster, speaker: str, member_id: str) -> None:
    """Once etcd allows it: it wants all members connected for five seconds."""

    async def remove() -> bool:
        try:
            await cluster.etcdctl(speaker, "member", "remove", member_id)
        except AssertionError as refused:
            raise UnavailableError(str(refused)) from refused
        return True

    await until("etcd to let the member be removed", remove, within_s=30.0)


async def corrupt(cluster: EtcdCluster, measure: Measure) -> None:
    """Nobody can write until the alarm is gone; the suspect's volume is kept to be looked at."""
    ids = await a_ready_cluster(cluster)
    victim = await a_follower(cluster)
    claim = await cluster.kube.get("PersistentVolumeClaim", cluster.namespace, f"data-{victim}")
    assert claim is not None
    volume = claim["spec"]["volumeName"]
    try:
        async with served(cluster, measure, "alarm CORRUPT"):
            await cluster.etcd(victim).raise_corrupt(ids[victim])
            measure("alarm CORRUPT to replaced", await replaced(cluster, victim, ids))
        assert await cluster.etcd().alarms() == []
        kept = await cluster.kube.get("PersistentVolume", None, volume)
        assert kept is not None
        assert kept["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
        assert kept["metadata"]["labels"][MEMBER_LABEL] == victim
    finally:
        await cluster.kube.delete("PersistentVolume", None, volume)


async def asked_for(cluster: EtcdCluster, measure: Measure) -> None:
    """On the cluster, by name; then on a pod; and nobody is replaced twice for one request."""
    ids = await a_ready_cluster(cluster)
    first, second = f"{cluster.name}-1", f"{cluster.name}-2"
    async with served(cluster, measure, "replaced on request"):
        who = f"etcdcluster/{cluster.name}"
        await kubectl("annotate", "-n", cluster.namespace, who, f"{REPLACE}={first}")
        measure("request on the cluster to replaced", await replaced(cluster, first, ids))
        after_first = await cluster.ids()
        await kubectl("annotate", "-n", cluster.namespace, f"pod/{second}", f"{REPLACE}=true")
        measure("request on a pod to replaced", await replaced(cluster, second, after_first))
    assert REPLACE not in ((await cluster.get())["metadata"].get("annotations") or {})
    after_second = await cluster.ids()

    async def once_more() -> bool:
        return await cluster.ids() != after_second

    await never("a request was obeyed twice", once_more, for_s=4.0)


async def test_a_removed_a_corrupt_and_an_unwanted_member_are_replaced(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(removed_by_hand(EtcdCluster(kube, namespace, "removed"), measure))
        group.create_task(corrupt(EtcdCluster(kube, namespace, "corrupt"), measure))
        group.create_task(asked_for(EtcdCluster(kube, namespace, "asked"), measure))


# --- who dies in between


async def killed_before_it_starts(cluster: EtcdCluster, measure: Measure) -> None:
    await cluster.apply(size=1)
    await cluster.ready()
    async with served(cluster, measure, "learners' pods killed"):
        await cluster.edit(size=3)
        for name in (f"{cluster.name}-1", f"{cluster.name}-2"):
            await moment(cluster, f"{name} to be listed", waits_for(name))
            await pod_exists(cluster, name)
            await kill(cluster, name)
        await has_members(cluster, 3)


def waits_for(name: str) -> Callable[[Object], bool]:
    def is_listed(status: Object) -> bool:
        return listed(status) and joining(status)["name"] == name

    return is_listed


async def killed_before_it_votes(cluster: EtcdCluster, measure: Measure) -> None:
    await cluster.apply(size=1)
    await cluster.ready()
    async with served(cluster, measure, "learners' pods killed once started"):
        await cluster.edit(size=3)
        await moment(cluster, "the second member to start", started)
        await kill(cluster, f"{cluster.name}-1")
        await has_members(cluster, 3)


async def replacement_killed(cluster: EtcdCluster, measure: Measure) -> None:
    ids = await a_ready_cluster(cluster)
    victim = await a_follower(cluster)
    async with served(cluster, measure, "a replacement's pod killed twice"):
        await empty(cluster, victim)
        await moment(cluster, "the new member to be listed", listed)
        await kill(cluster, victim)
        await moment(cluster, "the new member to start", started)
        await kill(cluster, victim)
        await replaced(cluster, victim, ids)


async def test_pods_of_new_members_are_killed_before_they_start_and_before_they_vote(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(killed_before_it_starts(EtcdCluster(kube, namespace, "early"), measure))
        group.create_task(killed_before_it_votes(EtcdCluster(kube, namespace, "late"), measure))
        group.create_task(replacement_killed(EtcdCluster(kube, namespace, "again"), measure))


Reached = Callable[[EtcdCluster], Awaitable[object]]


def status_says(what: str, when: Callable[[Object], object]) -> Reached:
    async def reached(cluster: EtcdCluster) -> object:
        return await moment(cluster, what, when)

    return reached


async def pod_is_made(cluster: EtcdCluster) -> None:
    await pod_exists(cluster, f"{cluster.name}-1")


async def is_off_the_list(cluster: EtcdCluster) -> None:
    name = f"{cluster.name}-1"
    old = (await cluster.ids())[name]

    async def is_off() -> bool:
        return (await cluster.ids()).get(name) != old

    await until(f"{name} to be off the list", is_off, within_s=60.0)


# In the order in which they are passed through: the operator dies a moment after each.
GROWTH: tuple[tuple[str, Reached], ...] = (
    ("decided", status_says("a join to be decided", decided)),
    ("listed", status_says("a member to be listed", listed)),
    ("pod", pod_is_made),
    ("started", status_says("a member to start", started)),
)
REPLACEMENT: tuple[tuple[str, Reached], ...] = (
    ("decided", status_says("a replacement to be decided", decided)),
    ("removed", is_off_the_list),
    ("listed", status_says("a member to be listed", listed)),
    ("started", status_says("a member to start", started)),
)


async def starts_alone(cluster: EtcdCluster, name: str) -> None:
    """Waits until the learner runs, which without an operator stays one; then its pod is killed."""

    async def runs() -> bool:
        member = (await cluster.members()).get(name)
        return member is not None and member.started

    await until(f"{name} to start", runs, within_s=60.0)
    assert (await cluster.members())[name].learner
    await kill(cluster, name)


@contextlib.asynccontextmanager
async def under_fire(
    clusters: dict[str, EtcdCluster],
    client_of: str,
    operator: Operator,
    measure: Measure,
    tmp_path: Path,
) -> AsyncIterator[OperatorProcess]:
    """A cluster for each moment, an operator that can die at it, and a client of one cluster."""
    async with asyncio.TaskGroup() as group:
        for cluster in clusters.values():
            group.create_task(cluster.ready())
    first = next(iter(clusters.values()))
    mortal = await operator.process(tmp_path, first.namespace)
    story = f"operator killed, {clusters[client_of].name}"
    async with served(clusters[client_of], measure, story), absent(operator):
        yield mortal
        for cluster in clusters.values():
            await same_data(cluster)
    assert "Traceback" not in mortal.log()


async def test_the_operator_is_killed_in_every_moment_of_growth_and_it_comes_to_its_end(
    kube: Kube, namespace: str, operator: Operator, measure: Measure, tmp_path: Path
) -> None:
    clusters = {point: EtcdCluster(kube, namespace, f"grow-{point}") for point, _ in GROWTH}
    for cluster in clusters.values():
        await cluster.apply(size=1)
    async with under_fire(clusters, "pod", operator, measure, tmp_path) as mortal:
        for point, reached in GROWTH:
            async with mortal.lives():
                await clusters[point].edit(size=3)
                await reached(clusters[point])
                await asyncio.sleep(random.uniform(0, LONGEST_AFTER_STEP_S))
            if point == "pod":
                await starts_alone(clusters[point], f"{clusters[point].name}-1")
        async with mortal.lives(), asyncio.TaskGroup() as group:
            for cluster in clusters.values():
                group.create_task(scale(cluster, 3))


async def test_the_operator_is_killed_in_every_moment_of_a_replacement_and_it_comes_to_its_end(
    kube: Kube, namespace: str, operator: Operator, measure: Measure, tmp_path: Path
) -> None:
    clusters = {point: EtcdCluster(kube, namespace, f"mend-{point}") for point, _ in REPLACEMENT}
    for cluster in clusters.values():
        await cluster.apply(size=3)
    async with under_fire(clusters, "removed", operator, measure, tmp_path) as mortal:
        ids = {point: await cluster.ids() for point, cluster in clusters.items()}
        for point, reached in REPLACEMENT:
            async with mortal.lives():
                await empty(clusters[point], f"{clusters[point].name}-1")
                await reached(clusters[point])
                await asyncio.sleep(random.uniform(0, LONGEST_AFTER_STEP_S))
        async with mortal.lives(), asyncio.TaskGroup() as group:
            for point, cluster in clusters.items():
                group.create_task(replaced(cluster, f"{cluster.name}-1", ids[point]))


# --- who is not replaced


async def test_a_template_that_makes_members_crash_never_costs_a_volume(
    cluster: EtcdCluster, measure: Measure
) -> None:
    """Somebody mounts another folder while the owner has paused it: etcd finds no data, says the
    words of a lost disk, and ends. That is no proof, as it began with the template.
    """
    ids = await a_ready_cluster(cluster)
    claims, victim = await claim_uids(cluster), await a_follower(cluster)
    async with served(cluster, measure, "a member in a crash loop by its template"):
        await cluster.edit(paused=True)
        await cluster.shows("Paused", kind="Paused", status="True", within_s=20.0)
        await mount(cluster, {"subPath": "elsewhere"})
        await kill(cluster, victim)
        await crashes(cluster, victim)
        await cluster.edit(paused=False)
        await cluster.shows("NotPaused", kind="Paused", status="False", within_s=20.0)
        await crashes(cluster, victim)

        async def data_was_given_up() -> object:
            changed = joining(await cluster.status())
            return changed or await claim_uids(cluster) != claims

        await never("a crash loop cost a volume", data_was_given_up, for_s=HELD_FOR_S)
        assert condition(await cluster.get(), "MembersHealthy")["status"] == "False"
        await mount(cluster, {})
        await kill(cluster, victim)
        await has_members(cluster, 3)
    assert await cluster.ids() == ids
    assert await claim_uids(cluster) == claims


async def mount(cluster: EtcdCluster, how: Object) -> None:
    """Mounts the data volumes of pods to come in this way."""
    found = await cluster.kube.get("StatefulSet", cluster.namespace, cluster.name)
    assert found is not None
    template = found["spec"]["template"]
    etcd = next(c for c in template["spec"]["containers"] if c["name"] == "etcd")
    for one in etcd["volumeMounts"]:
        if one["name"] == "data":
            one.pop("subPath", None)
            one.update(how)
    edit = {"spec": {"template": template}}
    await cluster.kube.patch("StatefulSet", cluster.namespace, cluster.name, edit)


async def crashes(cluster: EtcdCluster, name: str) -> None:
    async def has_ended() -> bool:
        pod = await cluster.pod(name)
        if pod is None:
            raise UnavailableError(f"no pod {name}")
        statuses = pod["status"].get("containerStatuses", [])
        return any(s["restartCount"] or "terminated" in s["state"] for s in statuses)

    await until(f"{name} to crash", has_ended, within_s=60.0)
