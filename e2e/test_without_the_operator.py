"""The operator is gone, for good or again and again: nothing depends on its being there at any
moment.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object, kubectl
from e2e.harness.operator import Operator, absent
from e2e.harness.process import OperatorProcess
from e2e.harness.wait import until
from e2e.harness.writer import Writer

LONGEST_AFTER_STEP_S = 0.4
LONGEST_LIFE_S = 1.5


Step = Callable[[EtcdCluster], Awaitable[object]]


def made(kind: str, name: str) -> Step:
    async def probe(cluster: EtcdCluster) -> Object | None:
        return await cluster.kube.get(kind, cluster.namespace, name.format(cluster.name))

    return probe


async def accepted(cluster: EtcdCluster) -> object:
    return (await cluster.status()).get("bootstrap")


async def one_has_started(cluster: EtcdCluster) -> object:
    members = (await cluster.status()).get("bootstrap", {}).get("members", [])
    return [member for member in members if member.get("started")]


async def closed(cluster: EtcdCluster) -> object:
    return (await cluster.status()).get("bootstrap", {}).get("closed")


async def some_pod_runs(cluster: EtcdCluster) -> object:
    return [p for p in (await cluster.pods()).values() if p["status"]["phase"] == "Running"]


# Every step of a creation that leaves a trace, in order: the operator dies a moment after each.
STEPS: tuple[tuple[str, Step], ...] = (
    ("accepted", accepted),
    ("peer-service", made("Service", "{}-peer")),
    ("configuration", made("ConfigMap", "{}-config")),
    ("stateful-set", made("StatefulSet", "{}")),
    ("pods", some_pod_runs),
    ("started", one_has_started),
    ("closing", closed),
)


async def is_whole(cluster: EtcdCluster, size: int) -> None:
    """One cluster that was made once: its members, its first epoch, and it takes writes."""
    assert len(await cluster.members()) == size
    bootstrap = (await cluster.status())["bootstrap"]
    assert (bootstrap["epoch"], bootstrap["closed"]) == (1, True)
    ids = {await cluster.etcd(pod).cluster_id() for pod in await cluster.pods()}
    assert ids == {(await cluster.status())["clusterID"]}
    await cluster.etcd().put("whole", cluster.name)


@pytest.mark.essential
async def test_the_operator_is_killed_at_every_step_of_creations_and_they_finish(
    kube: Kube, namespace: str, operator: Operator, tmp_path: Path
) -> None:
    mortal = await operator.process(tmp_path, namespace)
    async with absent(operator):
        await creations_under_fire(kube, namespace, mortal)
    assert "Traceback" not in mortal.log()


async def creations_under_fire(kube: Kube, namespace: str, operator: OperatorProcess) -> None:
    clusters: list[tuple[EtcdCluster, int]] = []
    for number, (name, step) in enumerate(STEPS):
        size = 3 if number % 2 == 1 else 1
        cluster = EtcdCluster(kube, namespace, f"at-{name}")
        clusters.append((cluster, size))
        async with operator.lives():
            await cluster.apply(size=size)

            async def reached(step: Step = step, cluster: EtcdCluster = cluster) -> object:
                return await step(cluster)

            await until(f"{name} of {cluster.name}", reached, within_s=60.0)
            await asyncio.sleep(
                random.uniform(0, LONGEST_AFTER_STEP_S)
            )  # where, is not ours to know
    # And blindly: lives too short to finish anything.
    late = EtcdCluster(kube, namespace, "at-random")
    clusters.append((late, 3))
    await late.apply(size=3)
    for _ in range(4):
        async with operator.lives():
            await asyncio.sleep(1.0 + random.uniform(0.05, LONGEST_LIFE_S))
    async with operator.lives():
        async with asyncio.TaskGroup() as group:
            for cluster, _ in clusters:
                group.create_task(cluster.ready())
        for cluster, size in clusters:
            await is_whole(cluster, size)


async def test_a_running_cluster_and_the_end_of_its_namespace_need_no_operator(
    db: EtcdCluster, cluster: EtcdCluster, operator: Operator
) -> None:
    await cluster.apply(size=3, storage={"deletionPolicy": "Retain"})
    await cluster.ready()
    async with absent(operator):
        async with Writer(cluster) as writer:
            await cluster.kube.delete("Pod", cluster.namespace, "db-1", grace_s=0)

            async def all_ready() -> bool:
                found = await cluster.kube.get("StatefulSet", cluster.namespace, "db")
                return found is not None and found["status"].get("readyReplicas") == 3

            await until("Kubernetes to bring the pod back", all_ready, within_s=60.0)
            await writer.goes_on()
        await writer.nothing_is_lost()
        await kubectl("delete", "namespace", cluster.namespace, "--timeout=75s")
