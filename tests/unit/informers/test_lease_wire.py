"""The elector on the real wire, against an API server that breaks or hangs connections.

An elector that catches only the API's own errors fails here: an aborted connection ends it while
its leader runs on, and a hung one hangs it for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from informers.lease import LeaderElector, LeadershipLost
from tests.unit.informers.api_faults import abort, hang

if TYPE_CHECKING:
    from informers.wire import KubeApi

LEASE_S = 4.0
LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock"


def elector(api: KubeApi, identity: str = "me") -> LeaderElector:
    return LeaderElector(
        api,
        namespace="ns",
        name="lock",
        identity=identity,
        lease_duration_s=LEASE_S,
        renew_deadline_s=2.0,
        retry_period_s=0.3,
        # These run in real time: a busy machine must fail the test, not end the process.
        die=lambda reason: None,
    )


class Work:
    def __init__(self) -> None:
        self.is_running = False

    async def __call__(self) -> None:
        self.is_running = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.is_running = False


@pytest.mark.parametrize("fault", [abort, hang], ids=["abort", "hang"])
async def test_l8_work_is_cancelled_when_the_server_aborts_or_hangs(server, api, fault):
    loop, work = asyncio.get_running_loop(), Work()
    async with asyncio.timeout(15), asyncio.TaskGroup() as group:
        task = group.create_task(outcome(elector(api), work))
        await server.wait_seen("update", 2)
        server.on_every("*", fault)
        failing_since = loop.time()
    lasted_s = loop.time() - failing_since

    assert isinstance(task.result(), LeadershipLost)
    assert not work.is_running
    assert lasted_s < LEASE_S


async def outcome(running: LeaderElector, work: Work) -> BaseException | None:
    try:
        await running.run(work)
    except LeadershipLost as error:
        return error
    return None


@pytest.mark.parametrize("fault", [abort, hang], ids=["abort", "hang"])
async def test_l4_one_aborted_or_hung_request_does_not_end_leading(server, api, fault):
    work = Work()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = LeaderElector(
            api,
            namespace="ns",
            name="lock",
            identity="me",
            lease_duration_s=4,
            renew_deadline_s=3,
            retry_period_s=0.2,
            die=lambda reason: None,
        )
        task = group.create_task(running.run(work))
        await server.wait_seen("update", 1)
        server.script("update", fault)
        await server.wait_seen("update", 4)
        assert work.is_running
        task.cancel()

    lease = server.objects("leases")["ns/lock"]
    assert lease["spec"]["holderIdentity"] == ""


async def test_l6_next_one_leads_as_soon_as_the_lease_is_released(server, api):
    loop, second = asyncio.get_running_loop(), Work()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        first = group.create_task(elector(api, "first").run(Work()))
        await server.wait_seen("update", 1)
        next_one = group.create_task(elector(api, "second").run(second))
        await server.wait_seen("get", 2)
        first.cancel()
        released_at = loop.time()
        await server.wait_until(lambda: holder(server) == "second")
        assert loop.time() - released_at < 1
        next_one.cancel()

    assert server.objects("leases")["ns/lock"]["spec"]["leaseTransitions"] == 1


def holder(server) -> str:
    return server.objects("leases")["ns/lock"]["spec"]["holderIdentity"]
