"""No operator in the cluster: somebody runs it on a laptop, where pods are not routable. It forms a
cluster through the API server, and goes on when a pod is killed and when the API server restarts.
"""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.installation import NAME, NAMESPACE, Installation
from e2e.harness.kube import Kube, Object
from e2e.harness.node import run_inside
from e2e.harness.outside import OperatorOutside
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer

API_SERVER = "kube-apiserver"


@pytest_asyncio.fixture(loop_scope="session")
async def nobody_inside(kube: Kube, operator: Installation) -> AsyncIterator[None]:
    """No operator in the cluster, for the time of the test; not even one on its way out."""
    await operator.scale(0)
    try:

        async def is_gone() -> bool:
            return not await kube.list("Pod", NAMESPACE, f"app.kubernetes.io/name={NAME}")

        await until("the operator's pod to be gone", is_gone, within_s=30.0)
        yield
    finally:
        await operator.scale(1)


async def test_an_operator_on_a_laptop_forms_a_cluster_and_cares_for_it(
    nobody_inside: None, cluster: EtcdCluster, tmp_path: Path, measure: Measure
) -> None:
    outside = OperatorOutside(cluster.namespace, tmp_path / "operator.log")
    async with outside.runs():
        await cluster.apply(size=3)
        measure("three members, operator outside, apply to Ready", await cluster.ready())
        before = await cluster.ids()
        async with Writer(cluster) as writer:
            await kill_a_pod(cluster)
            measure("API server killed to Ready seen anew", await restart_api_server(cluster))
            await writer.goes_on()
        await writer.nothing_is_lost()
        assert await cluster.ids() == before
        await sees_a_member_go_and_come_back(cluster)
    assert "traceback" not in outside.last_words().lower()


async def kill_a_pod(cluster: EtcdCluster) -> None:
    """The operator sees the new pod as the same member, through a port-forward of its own."""
    name = f"{cluster.name}-1"
    pod = await cluster.pod(name)
    assert pod is not None
    await cluster.kube.delete("Pod", cluster.namespace, name, grace_s=0)

    async def is_another() -> bool:
        now = await cluster.pod(name)
        return now is not None and now["metadata"]["uid"] != pod["metadata"]["uid"]

    await until(f"a new pod {name}", is_another, within_s=60.0)
    await cluster.ready()


async def restart_api_server(cluster: EtcdCluster) -> float:
    """Killed, started again by the node; returns the seconds until the operator is at work again.

    It is at work when it has answered an edit that was made after the restart.
    """
    await run_inside("pkill", "-KILL", "-x", API_SERVER)
    began = time.monotonic()

    async def is_back() -> Object:
        return await cluster.get()

    await until("the API server to be back", is_back, within_s=60.0)
    await cluster.edit(paused=True)
    await cluster.shows("Paused", kind="Paused", status="True")
    await cluster.edit(paused=None)
    await cluster.ready()
    return time.monotonic() - began


async def sees_a_member_go_and_come_back(cluster: EtcdCluster) -> None:
    """Status after the restart comes from etcd itself: a crash of a member shows, and its end."""
    name = f"{cluster.name}-2"
    await cluster.kube.delete("Pod", cluster.namespace, name, grace_s=0)

    async def is_seen() -> bool:
        return condition(await cluster.get(), "MembersHealthy").get("status") == "False"

    await until(f"{name} to be missed", is_seen, within_s=30.0)
    await cluster.ready()
