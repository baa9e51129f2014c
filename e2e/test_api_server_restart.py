"""The API server is killed, and with it every watch and every way in from outside. It comes back,
and the operator is at work again: it answers an edit, and sees members come and go.
"""

import time

import pytest

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Object
from e2e.harness.node import run_inside
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer

API_SERVER = "kube-apiserver"


@pytest.mark.essential
async def test_the_operator_is_at_work_again_after_the_api_server_was_killed(
    cluster: EtcdCluster, operator: Operator, measure: Measure
) -> None:
    await cluster.apply(size=3)
    await cluster.ready()
    before = await cluster.ids()
    async with Writer(cluster) as writer:
        seconds = await restart_api_server(cluster)
        measure("API server killed to an edit answered and Ready", seconds)
        await writer.goes_on()
    await writer.nothing_is_lost()
    assert await cluster.ids() == before
    await sees_a_member_go_and_come_back(cluster)
    assert "Traceback" not in await operator.logs()


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
