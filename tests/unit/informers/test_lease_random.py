"""Never two leaders: three electors, one Lease, requests that fail in every way, at random times.

Clocks run at the same rate here, so client-go's promise holds without its margin for skew: between
the end of one's work and the start of another's nobody works, whatever the API server does.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import looptime
from hypothesis import given, settings
from hypothesis import strategies as st

from informers.lease import LeaderElector, LeadershipLost
from tests.unit.informers.lease_server import LeaseServer
from tests.unit.informers.test_lease import wall_clock_off_by

FAULTS = st.sampled_from(
    ["ok", "ok", "ok", "abort", "lost", "late", "hang", "conflict", "cancelled", 1.0, 4.0, 7.0]
)


class Participant:
    """Runs for leader again and again, as a process that is restarted after each loss."""

    def __init__(self, server: LeaseServer, number: int, working: set[str], stop_s: float) -> None:
        self.server = server
        self.number = number
        self.working = working
        self.stop_s = stop_s
        self.led = 0

    async def work(self) -> None:
        assert not self.working, f"{self.identity} leads beside {self.working}"
        self.working.add(self.identity)
        self.led += 1
        try:
            await asyncio.sleep(self.stop_s)
        finally:
            self.working.discard(self.identity)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for life in range(1000):
            self.identity = f"{self.number}-{life}"
            elector = LeaderElector(
                self.server,
                namespace="ns",
                name="lock",
                identity=self.identity,
                clock=loop.time,
                wall_clock=wall_clock_off_by(timedelta(0)),
                rng=random.Random(self.number),
                die=lambda reason: None,
            )
            try:
                await elector.run(self.work)
            except LeadershipLost:
                await asyncio.sleep(1)


@settings(max_examples=40, deadline=None)
@given(
    faults=st.lists(FAULTS, max_size=120),
    stops=st.lists(st.floats(5, 60), min_size=3, max_size=3),
)
def test_l7_never_two_leaders_and_always_one_again(faults, stops):
    loop = looptime.new_event_loop(start=0, noop_cycles=1)
    try:
        loop.run_until_complete(election(faults, stops))
    finally:
        loop.close()


async def election(faults, stops) -> None:
    server, working = LeaseServer(), set()
    server.faults.extend(faults)
    participants = [Participant(server, i, working, stops[i]) for i in range(3)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each.run()) for each in participants]
        while server.faults:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(30)
        before = sum(each.led for each in participants)
        await asyncio.sleep(120)
        assert sum(each.led for each in participants) > before, "nobody leads although all is well"
        for task in tasks:
            task.cancel()
