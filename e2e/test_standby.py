"""Two operators run, and the one that leads freezes in the middle of its work. The other takes
over; when the first wakes up, nothing is broken.
"""

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.harness.cluster import EtcdCluster
from e2e.harness.installation import Installation
from e2e.harness.kube import Object
from e2e.harness.report import Measure
from e2e.harness.wait import never, until
from e2e.harness.writer import Writer

pytestmark = pytest.mark.inside_only("two pods of the Deployment, one of which stands by")

TAKEN_OVER_WITHIN_S = 25.0


@pytest_asyncio.fixture(loop_scope="session")
async def two(installation: Installation) -> AsyncIterator[Installation]:
    await installation.scale(2)
    try:
        yield installation
    finally:
        await installation.scale(1)


async def test_a_frozen_leader_is_replaced_and_does_no_harm_when_it_wakes_up(
    two: Installation, db: EtcdCluster, cluster: EtcdCluster, measure: Measure
) -> None:
    frozen = await two.leader()
    pod = (await two.pods())[frozen]
    await cluster.apply(size=3)

    async def accepted() -> object:
        return (await cluster.status()).get("bootstrap")

    await until("the creation to have begun", accepted, within_s=20.0)
    async with Writer(db) as writer:
        await two.send("STOP", frozen)
        began = time.monotonic()
        try:
            second = await two.leader(other_than=frozen, within_s=TAKEN_OVER_WITHIN_S)
            measure("leading operator frozen to the other one leading", time.monotonic() - began)
            await cluster.ready()
            formed = await cluster.ids()
        finally:
            await two.send("CONT", frozen)
        await writer.goes_on()

        async def it_is_over() -> bool:
            """The first has ended and been started again, or stands by."""
            now = (await two.pods()).get(frozen)
            return now is None or restarts(now) > restarts(pod) or is_ready(now)

        await until(f"{frozen} to end or to stand by", it_is_over, within_s=30.0)

        async def harm() -> object:
            status = await cluster.status()
            holder = await two.holder()
            if frozen in holder:
                return f"{frozen} leads again beside {second}"
            if status["bootstrap"]["epoch"] != 1:
                return "a second bootstrap"
            return None

        await never("the frozen leader did harm", harm, for_s=6.0)
    await writer.nothing_is_lost()
    assert await cluster.ids() == formed
    assert {await cluster.etcd(pod).cluster_id() for pod in formed} == {
        (await cluster.status())["clusterID"]
    }
    await cluster.ready()
    await db.ready()


def restarts(pod: Object) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))


def is_ready(pod: Object) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    return bool(statuses) and all(status["ready"] for status in statuses)
