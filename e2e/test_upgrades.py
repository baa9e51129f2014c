"""The owner changes etcd's version while clients write: up, down, half-way back, over several minor
versions in one edit; what can't be done is refused with the reason, and nobody is touched.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.membership import moment, served
from e2e.harness.operator import Operator, absent
from e2e.harness.report import Measure
from e2e.harness.wait import until

OLD, PATCHED, NEXT, NEWEST = "v3.5.21", "v3.5.35", "v3.6.16", "v3.7.3"
SIZES = {"storage": {"size": "1Gi"}}
UPGRADED_WITHIN_S = 180.0


async def runs(cluster: EtcdCluster, version: str) -> float:
    """Until every member runs it and the change is over; returns the seconds that it took."""
    began = asyncio.get_running_loop().time()

    async def is_done() -> bool:
        status = await cluster.status()
        versions = {member.get("version") for member in status.get("members", [])}
        return versions == {version} and "upgrade" not in status

    await until(f"{cluster.name} to run {version}", is_done, within_s=UPGRADED_WITHIN_S)
    await cluster.ready()
    return asyncio.get_running_loop().time() - began


async def to(cluster: EtcdCluster, version: str) -> float:
    await cluster.edit(version=version)
    return await runs(cluster, version)


async def pod_uids(cluster: EtcdCluster) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in (await cluster.pods()).items()}


async def walk(cluster: EtcdCluster, measure: Measure, *versions: str) -> None:
    """From one version to the next; the first is what it starts with."""
    await cluster.apply(size=3, version=versions[0], **SIZES)
    await cluster.ready()
    async with served(cluster, measure, f"{cluster.name}: {' '.join(versions)}"):
        for before, after in itertools.pairwise(versions):
            measure(f"{before} to {after}", await to(cluster, after))


async def test_members_go_up_and_down_one_after_the_other(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    await walk(EtcdCluster(kube, namespace, "stairs"), measure, OLD, PATCHED, NEXT, NEWEST)


async def test_several_minor_versions_in_one_edit_and_back(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "lift")
    await walk(cluster, measure, PATCHED, NEWEST, PATCHED)
    await cluster.tells("UpgradeStarted", of="v3.6.16, then v3.7.3")


async def test_older_version_is_put_back_half_way(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "halfway")
    await cluster.apply(size=3, version=PATCHED, **SIZES)
    await cluster.ready()

    async def mixed(newer: str) -> bool:
        members = (await cluster.status()).get("members", [])
        return [member.get("version") for member in members].count(newer) == 1

    async with served(cluster, measure, "put back half-way"):
        await cluster.edit(version=NEXT)
        await until("one member to be newer", lambda: mixed(NEXT), within_s=60.0)
        await to(cluster, PATCHED)
        await to(cluster, NEXT)
        await cluster.edit(version=PATCHED)
        await until("one member to be older", lambda: mixed(PATCHED), within_s=60.0)
        await to(cluster, NEXT)
        await cluster.tells("DowngradeCancelled", of="3.5")


async def test_what_can_not_be_is_refused_and_touches_nobody(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "refused")
    await cluster.apply(size=3, version=OLD, **SIZES)
    await cluster.ready()
    before = await pod_uids(cluster)
    async with served(cluster, measure, "refused versions"):
        await cluster.edit(version=NEXT)
        assert "set v3.5.35" in await cluster.shows("VersionRefused", kind="UpToDate")
        await cluster.edit(version="v3.5.99")
        said = await cluster.shows("ProbeFailed", kind="UpToDate", within_s=120.0)
        assert "v3.5.99" in said
        await cluster.edit(version=OLD)
        await cluster.shows("UpToDate", kind="UpToDate", status="True")
    assert await pod_uids(cluster) == before


# --- what must not matter to a change that is under way


def rule_is(*rules: str) -> Callable[[Object], object]:
    return lambda status: (status.get("plan") or {}).get("rule") in rules


# In the order in which they are passed through: the operator dies a moment after each.
UP: tuple[tuple[str, Callable[[Object], object]], ...] = (
    ("recorded", lambda status: status.get("upgrade")),
    ("probed", lambda status: (status.get("upgrade") or {}).get("probed")),
    ("compared", lambda status: (status.get("upgrade") or {}).get("before")),
    ("taken", rule_is("correct_drift", "restart_next")),
    ("first", rule_is("restart_next", "wait_for_turn")),
)
DOWN: tuple[tuple[str, Callable[[Object], object]], ...] = (
    ("recorded", lambda status: status.get("upgrade")),
    ("enabled", rule_is("enable_downgrade", "wait_for_version")),
    ("first", rule_is("restart_next", "wait_for_turn")),
)
LONGEST_AFTER_STEP_S = 0.3


async def test_the_operator_is_killed_at_every_step_and_the_change_comes_to_its_end(
    kube: Kube, namespace: str, operator: Operator, measure: Measure, tmp_path: Path
) -> None:
    cluster = EtcdCluster(kube, namespace, "mortal")
    await cluster.apply(size=3, version=PATCHED, **SIZES)
    await cluster.ready()
    mortal = await operator.process(tmp_path, namespace)
    async with served(cluster, measure, "operator killed while it upgrades"), absent(operator):
        for target, points in ((NEXT, UP), (PATCHED, DOWN)):
            for number, (point, when) in enumerate(points):
                async with mortal.lives():
                    if not number:
                        await cluster.edit(version=target)
                    await moment(cluster, f"{target}: {point}", when, within_s=60.0)
                    await asyncio.sleep(random.uniform(0, LONGEST_AFTER_STEP_S))
            async with mortal.lives():
                await runs(cluster, target)
    assert "Traceback" not in mortal.log()


@contextlib.asynccontextmanager
async def a_pod_dies_after_each_change_of_the_template(
    cluster: EtcdCluster, killed: list[str]
) -> AsyncIterator[None]:
    """Until the end of the block: whoever it is comes back on the newest template at once."""

    async def kill_one() -> None:
        seen = 0
        async for found in cluster.kube.watch(
            "StatefulSet", cluster.namespace, cluster.name, for_s=UPGRADED_WITHIN_S * 2
        ):
            generation = found["metadata"]["generation"]
            if seen and generation != seen:
                killed.append(f"{cluster.name}-{random.randrange(3)}")
                await cluster.kube.delete("Pod", cluster.namespace, killed[-1])
            seen = generation

    async with asyncio.TaskGroup() as group:
        killing = group.create_task(kill_one())
        yield
        killing.cancel()


async def test_any_pod_may_restart_at_any_moment_of_it(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "anytime")
    await cluster.apply(size=3, version=PATCHED, **SIZES)
    await cluster.ready()
    killed: list[str] = []
    async with (
        served(cluster, measure, "a pod killed after each change of the template"),
        a_pod_dies_after_each_change_of_the_template(cluster, killed),
    ):
        await to(cluster, NEWEST)
        await cluster.edit(options={"snapshotCount": 4321})
        await to(cluster, PATCHED)
    assert len(killed) >= 4, killed
