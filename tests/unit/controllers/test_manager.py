"""Start and stop order, on virtual time, with real controllers, queues and elector.

Docstrings quote the controller-runtime tests whose behaviour is kept.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controllers.manager import Manager
from controllers.runtime import Controller, Result
from informers.lease import LeaderElector, LeadershipLost
from informers.queue import WorkQueue
from tests.unit.informers.lease_server import LeaseServer

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


class World:
    """Parts that write down when they start and stop; `log` is the order of events."""

    def __init__(self, **manager: Any) -> None:
        self.log: list[str] = []
        self.lease = LeaseServer()
        self.queue = WorkQueue[str]("test")
        self.reconcile_s = 1.0
        self.wind_down_s = 0.0  # what a reconcile takes to end when it is cancelled
        self.cache = Part(self, "cache")
        self.server = Part(self, "server")
        self.task = Part(self, "task")
        self.controller = Controller("controller", self.queue, self)
        options = {
            "caches": {"pods": self.cache},
            "controllers": [self.controller],
            "servers": [self.server],
            "tasks": {"task": self.task.run},
            "die": self.log.append,
        } | manager
        self.manager = Manager(**options)

    def elector(self) -> LeaderElector:
        return LeaderElector(
            self.lease,
            namespace="ns",
            name="lock",
            identity="me",
            clock=asyncio.get_running_loop().time,
            rng=random.Random(1),
            die=self.log.append,
        )

    async def reconcile(self, key: str) -> Result:
        self.log.append(f"reconcile {key}")
        try:
            await asyncio.sleep(self.reconcile_s)
            self.log.append(f"done {key}")
        except asyncio.CancelledError:
            await asyncio.sleep(self.wind_down_s)
            self.log.append(f"cancelled {key}")
            raise
        return Result()

    @asynccontextmanager
    async def running(self, *, until: float):
        """Run the manager, enter the block at a moment, and wait for the end after it."""
        async with asyncio.TaskGroup() as group:
            self.run = group.create_task(outcome(self.manager.run()))
            await asyncio.sleep(until - now())
            yield
        self.ended_at = now()

    @property
    def error(self) -> BaseException | None:
        return self.run.result()


class Part:
    """A cache, a server or a task. `fails_at`: seconds after its start; synced after `sync_s`."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.sync_s = 1.0
        self.fails_at: float | None = None
        self.error: BaseException | None = OSError(f"{name} is broken")
        self.stop_error: Exception | None = None

    async def run(self) -> None:
        self.world.log.append(f"{self.name} starts")
        try:
            await asyncio.sleep(1e9 if self.fails_at is None else self.fails_at)
            if self.error is not None:
                raise self.error
        finally:
            self.world.log.append(f"{self.name} stops")
            if self.stop_error is not None:
                raise self.stop_error

    async def wait_synced(self) -> None:
        await asyncio.sleep(self.sync_s)
        self.world.log.append(f"{self.name} synced")

    async def start(self) -> None:
        self.world.log.append(f"{self.name} starts")
        if self.fails_at is not None:
            assert self.error is not None
            raise self.error

    async def stop(self) -> None:
        self.world.log.append(f"{self.name} stops")
        if self.stop_error is not None:
            raise self.stop_error


async def outcome(run) -> BaseException | None:
    try:
        await run
    except Exception as error:  # noqa: BLE001 - what it is, is what the tests look at
        return error
    return None


# ------------------------------------------------------------------ order
async def test_m1_m2_parts_start_and_stop_in_order():
    """Should start the cache before starting anything else (but the servers)."""
    world = World()
    world.queue.add("a")
    async with world.running(until=10):
        world.manager.stop()

    assert world.error is None
    assert world.log == [
        "server starts",
        "cache starts",
        "cache synced",
        "task starts",
        "reconcile a",
        "done a",
        "task stops",
        "cache stops",
        "server stops",
    ]


async def test_m2_lease_is_released_after_all_parts_are_done():
    """Should only cancel the leader election after all runnables are done.

    The Lease is renewed while a reconcile ends, and released when nothing of ours runs.
    """
    world = World()
    world.manager._elector = world.elector()
    world.reconcile_s = 8
    world.queue.add("a")
    async with world.running(until=5):
        world.manager.stop()
        before = len(world.lease.history)
        await asyncio.sleep(3.5)
        assert len(world.lease.history) > before
        assert world.lease.holder == "me"

    assert world.ended_at == 9
    assert world.log[-4:] == ["task stops", "done a", "cache stops", "server stops"]
    assert world.lease.holder == ""


async def test_m1_leader_tasks_wait_for_the_lease_and_others_do_not():
    world = World()
    world.lease.store(spec={"holderIdentity": "other", "leaseDurationSeconds": 15})
    world.manager._elector = world.elector()
    world.queue.add("a")
    async with world.running(until=10):
        assert world.log[-1] == "task starts"
        await asyncio.sleep(20)
        assert "done a" in world.log
        world.manager.stop()


async def test_m3_standby_that_stops_is_never_elected():
    """Should prevent leader election when shutting down a non-elected manager.

    Nor does a Lease that becomes free then fall to it: it never starts a reconcile.
    """
    world = World()
    world.lease.store(spec={"holderIdentity": "other", "leaseDurationSeconds": 15})
    world.manager._elector = world.elector()
    world.queue.add("a")
    async with world.running(until=10):
        world.lease.store(spec={"holderIdentity": ""})
        world.manager.stop()

    assert world.error is None
    assert world.lease.holder == ""
    assert not [entry for entry in world.log if entry.startswith("reconcile")]


async def test_m3_election_won_during_the_stop_starts_nothing_and_is_given_back():
    world = World()
    world.manager._elector = world.elector()
    world.lease.faults.extend(["ok", "late"])
    world.queue.add("a")
    async with world.running(until=1.5):
        assert world.lease.holder == "me"  # but the answer is still on its way
        world.manager.stop()

    assert world.lease.holder == ""
    assert not [entry for entry in world.log if entry.startswith("reconcile")]


async def test_m3_election_won_after_the_stop_began_starts_nothing():
    world = World()

    class WonTooLate:
        async def run(self, lead) -> None:
            world.manager.stop()
            await lead()

    world.manager._elector = WonTooLate()
    world.queue.add("a")
    async with world.running(until=5):
        pass

    assert world.error is None
    assert "reconcile a" not in world.log


# ------------------------------------------------------------------ grace
async def test_m2_running_reconciles_may_end_within_the_grace_period():
    """Should wait for runnables to stop."""
    world = World(grace_s=7)
    world.reconcile_s = 6
    for key in "ab":
        world.queue.add(key)
    async with world.running(until=2):
        world.manager.stop()

    assert world.ended_at == 7
    assert "done a" in world.log
    assert "reconcile b" not in world.log


async def test_m2_reconciles_that_take_longer_are_cancelled():
    world = World(grace_s=7)
    world.reconcile_s = 100
    world.queue.add("a")
    async with world.running(until=2):
        world.manager.stop()

    assert world.ended_at == 9
    assert "cancelled a" in world.log
    assert world.error is None


async def test_m2_no_grace_cancels_at_once():
    """Should not wait for runnables if gracefulShutdownTimeout is 0."""
    world = World(grace_s=0)
    world.reconcile_s = 100
    world.queue.add("a")
    async with world.running(until=2):
        world.manager.stop()

    assert world.ended_at == 2


@pytest.mark.parametrize("fault", ["hang", "abort", 100.0])
async def test_m2_release_that_hangs_does_not_hold_up_the_end(fault):
    world = World()
    world.manager._elector = world.elector()
    async with world.running(until=2):
        world.lease.always = fault
        world.manager.stop()

    assert world.ended_at <= 2 + 10
    assert world.error is None


# ------------------------------------------------------------------ failures
@pytest.mark.parametrize("part", ["cache", "task"])
async def test_m4_part_that_dies_ends_the_manager_with_its_error(part):
    """Should return an error if any Components fail to Start."""
    world = World()
    getattr(world, part).fails_at = 5
    async with world.running(until=1):
        pass

    assert str(world.error) == f"{part} is broken"
    assert [entry for entry in world.log if entry.endswith("stops")][-1] == "server stops"


@pytest.mark.parametrize("part", ["cache", "task"])
async def test_m4_part_that_is_cancelled_from_within_ends_the_manager(part):
    """As when a task it awaits was cancelled: it is dead, and must not be missed in silence."""
    world = World()
    broken = getattr(world, part)
    broken.fails_at, broken.error = 5, asyncio.CancelledError()
    async with world.running(until=1):
        pass

    assert "ended as cancelled" in str(world.error)
    assert world.log[-1] == "server stops"


async def test_m4_server_that_cannot_listen_ends_the_start():
    world = World()
    world.server.fails_at = 0
    async with world.running(until=1):
        pass

    assert str(world.error) == "server is broken"
    assert world.log == ["server starts", "server stops"]


async def test_m4_cache_that_ends_by_itself_is_an_error():
    world = World()
    world.cache.fails_at, world.cache.error = 5, None
    async with world.running(until=1):
        pass

    assert str(world.error) == "pods ended by itself"


async def test_task_may_end_by_itself():
    world = World()
    world.task.fails_at, world.task.error = 1, None
    async with world.running(until=10):
        assert world.log[-1] == "task stops"
        world.manager.stop()

    assert world.error is None


async def test_m3_both_errors_are_told():
    """Should return both runnables and stop errors when both error."""
    world = World()
    world.task.fails_at = 5
    world.server.stop_error = OSError("server does not stop")
    async with world.running(until=1):
        pass

    assert isinstance(world.error, ExceptionGroup)
    assert [str(each) for each in world.error.exceptions] == [
        "task is broken",
        "server does not stop",
    ]


async def test_c5_nothing_works_before_the_caches_are_read_however_long_it_takes():
    world = World()
    world.cache.sync_s = 3600
    async with world.running(until=3599):
        assert "task starts" not in world.log
        await asyncio.sleep(2)
        assert "task starts" in world.log
        world.manager.stop()

    assert world.error is None


async def test_l8_lost_lease_cancels_reconciles_without_grace():
    """Should disable gracefulShutdown when stopping to lead."""
    world = World(grace_s=7)
    world.manager._elector = world.elector()
    world.reconcile_s = 1000
    world.queue.add("a")
    async with world.running(until=2):
        world.lease.store(spec={"holderIdentity": "thief"})

    assert isinstance(world.error, LeadershipLost)
    assert "cancelled a" in world.log
    assert world.ended_at < 2 + 2.1
    assert world.lease.holder == "thief"


async def test_l8_lease_that_is_lost_during_the_grace_period_ends_it():
    world = World(grace_s=7)
    world.manager._elector = world.elector()
    world.reconcile_s = 1000
    world.queue.add("a")
    async with world.running(until=2):
        world.lease.store(spec={"holderIdentity": "thief"})
        world.manager.stop()

    assert isinstance(world.error, LeadershipLost)
    assert world.ended_at < 2 + 2.1


# ------------------------------------------------------------------ cancellation
@pytest.mark.parametrize("at", [0, 0.5, 1, 1.5, 5])
async def test_m4_cancelled_manager_stops_in_order_and_leaves_nothing(at):
    """Should not leak goroutines when stopped."""
    world = World()
    world.manager._elector = world.elector()
    world.queue.add("a")
    async with asyncio.TaskGroup() as group:
        run = group.create_task(world.manager.run())
        await asyncio.sleep(at)
        run.cancel()
    if world.log:
        assert world.log[-1] == "server stops"

    assert run.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert world.lease.lease is None or world.lease.holder == ""


async def test_cancelled_twice_it_cancels_everything_at_once():
    world = World()
    world.reconcile_s = 1000
    world.queue.add("a")
    async with asyncio.TaskGroup() as group:
        run = group.create_task(world.manager.run())
        await asyncio.sleep(2)
        run.cancel()
        await asyncio.sleep(1)
        run.cancel()

    assert now() == 3
    assert world.log[-1] == "server stops"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stop_before_the_start_is_kept():
    world = World()
    world.manager.stop()
    await world.manager.run()

    assert "cache starts" not in world.log
