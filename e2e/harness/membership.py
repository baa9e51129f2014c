"""Changes of membership as tests see them: the moments in which something may go wrong, and what
holds after each, whatever went wrong: the members are those that the spec asks for, all of them
have the same data, and no acknowledged write is lost.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.etcd import Member
from e2e.harness.kube import Object
from e2e.harness.report import Measure
from e2e.harness.wait import TimedOutError, UnavailableError, never, until
from e2e.harness.writer import Writer

# Generous: these tests share two cores, and etcd wants five quiet seconds before each new member.
CHANGED_WITHIN_S = 180.0
MOMENT_WITHIN_S = 90.0
WATCHED_FOR_S = 300.0

# --- moments, as status tells them


def joining(status: Object) -> Object:
    """The one change in flight; empty when there is none."""
    found: Object = status.get("joining") or {}
    return found


def decided(status: Object) -> bool:
    """Recorded, and nothing done about it yet."""
    return bool(joining(status)) and not joining(status).get("id")


def listed(status: Object) -> bool:
    """Etcd lists the new member, which has not started."""
    return bool(joining(status).get("id")) and not joining(status).get("started")


def started(status: Object) -> bool:
    """It runs, and is not a voter yet as far as the operator knows."""
    return bool(joining(status).get("started"))


async def moment(
    cluster: EtcdCluster, what: str, when: Callable[[Object], object], *, within_s: float = 0.0
) -> Object:
    """The first status of which `when` is true, within milliseconds of its being written."""
    limit_s = within_s or MOMENT_WITHIN_S
    seen: Object = {}
    async for found in cluster.kube.watch(
        "EtcdCluster", cluster.namespace, cluster.name, for_s=limit_s
    ):
        seen = found.get("status", {})
        if when(seen):
            return seen
    raise TimedOutError(f"waited {limit_s:.0f} s for {what} of {cluster.name}; plan: {plan(seen)}")


def plan(status: Object) -> Object:
    found: Object = status.get("plan") or {}
    return found


async def waits(cluster: EtcdCluster, rule: str, word: str, *, within_s: float = 60.0) -> None:
    """Waits until the plan is to wait, by this rule, with this word in what for."""

    async def said() -> bool:
        now = plan(await cluster.status())
        return now.get("rule") == rule and word in now.get("waitsFor", "")

    await until(f"{cluster.name} to wait for {word} ({rule})", said, within_s=within_s)


# --- what holds afterwards


async def claim_uids(cluster: EtcdCluster) -> dict[str, str]:
    """The uids of the volume claims that are not on their way out, by name."""
    claims = await cluster.kube.list("PersistentVolumeClaim", cluster.namespace)
    return {
        claim["metadata"]["name"]: claim["metadata"]["uid"]
        for claim in claims
        if claim["metadata"]["name"].startswith(f"data-{cluster.name}-")
        and "deletionTimestamp" not in claim["metadata"]
    }


async def has_members(cluster: EtcdCluster, size: int, *, within_s: float = 0.0) -> float:
    """Waits until exactly the first `size` are members, voters all, and nothing is left of others:
    by status, by etcd, by pods and by claims. Returns the seconds that it took.
    """
    began = time.monotonic()
    names = {f"{cluster.name}-{n}" for n in range(size)}

    async def is_so() -> bool:
        found = await cluster.get()
        status, generation = found.get("status", {}), found["metadata"]["generation"]
        ready = condition(found, "Ready")
        if ready.get("status") != "True" or ready["observedGeneration"] != generation:
            return False
        if joining(status) or len(status["members"]) != size:
            return False
        members = await cluster.members()
        all_vote = all(one.started and not one.learner for one in members.values())
        claims = await claim_uids(cluster)
        return (
            all_vote
            and members.keys() == (await cluster.pods()).keys() == names
            and claims.keys() == {f"data-{name}" for name in names}
        )

    limit_s = within_s or CHANGED_WITHIN_S
    await until(f"{cluster.name} to have {size} members", is_so, within_s=limit_s)
    return time.monotonic() - began


async def scale(cluster: EtcdCluster, size: int) -> float:
    """Edits the size, waits for the members; returns the seconds."""
    await cluster.edit(size=size)
    return await has_members(cluster, size)


async def replaced(cluster: EtcdCluster, victim: str, ids: dict[str, str]) -> float:
    """Waits until somebody new votes in the victim's place, beside the same others as in `ids`.

    Returns the seconds that it took.
    """
    began = time.monotonic()

    async def is_another() -> bool:
        new = (await cluster.members()).get(victim)
        return new is not None and new.id != ids[victim] and not new.learner

    await until(f"{victim} to be replaced", is_another, within_s=CHANGED_WITHIN_S)
    await has_members(cluster, len(ids))
    now = await cluster.ids()
    assert now[victim] != ids[victim]
    assert {**now, victim: ids[victim]} == ids, "nobody else was replaced"
    return time.monotonic() - began


async def same_data(cluster: EtcdCluster) -> None:
    """Waits until all members have the same hash at one revision, by etcd's own reckoning."""
    pods = await cluster.pods()
    revision = max([await cluster.etcd(pod).revision() for pod in pods])
    question = ("endpoint", "hashkv", "--cluster", f"--rev={revision}", "-w=json")

    async def hashes() -> dict[str, tuple[int, int]]:
        try:
            text = await cluster.etcdctl(next(iter(pods)), *question)
        except AssertionError as error:  # a member that is not at this revision yet
            raise UnavailableError(str(error)) from error
        found = {one["Endpoint"]: one["HashKV"] for one in json.loads(text)}
        return {
            endpoint: (one["hash"], one.get("compact_revision", 0))
            for endpoint, one in found.items()
        }

    async def all_told() -> dict[str, tuple[int, int]] | None:
        told = await hashes()
        return told if len(told) == len(pods) else None

    told = await until(f"hashes of {cluster.name}'s members", all_told, within_s=30.0)
    assert told is not None
    assert len(set(told.values())) == 1, f"the members' data differ at {revision}: {told}"


@asynccontextmanager
async def served(cluster: EtcdCluster, measure: Measure, story: str) -> AsyncIterator[Writer]:
    """Somebody writes from here to the end of the block. Then nothing that was acknowledged is
    lost, and all members have the same data.
    """
    async with Writer(cluster) as writer:
        yield writer
        await writer.goes_on()
    await writer.nothing_is_lost(await cluster.leader())
    await same_data(cluster)
    measure(f"longest gap between acknowledged writes, {story}", writer.longest_gap_s)


@asynccontextmanager
async def one_learner_at_most(cluster: EtcdCluster) -> AsyncIterator[None]:
    """From here to the end of the block etcd is asked all the time."""

    async def learners() -> list[Member]:
        members = (await cluster.members()).values()
        found = [member for member in members if member.learner]
        return found if len(found) > 1 else []

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(
            never("two learners at once", learners, for_s=WATCHED_FOR_S, every_s=0.2)
        )
        yield
        watching.cancel()


@asynccontextmanager
async def stays_ready(cluster: EtcdCluster) -> AsyncIterator[None]:
    """From here to the end of the block every status that is written says Ready."""

    async def watched() -> None:
        async for found in cluster.kube.watch(
            "EtcdCluster", cluster.namespace, cluster.name, for_s=WATCHED_FOR_S
        ):
            ready = condition(found, "Ready")
            assert ready.get("status") == "True", f"{cluster.name} is not Ready: {ready}"

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watched())
        yield
        watching.cancel()
