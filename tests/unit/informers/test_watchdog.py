"""The thread that ends a process whose event loop is blocked. Real time, in tenths of seconds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from informers.lease import LeaderElector, LeadershipLost
from informers.watchdog import Watchdog
from tests.unit.informers.lease_server import LeaseServer

TIMINGS = {"lease_duration_s": 0.6, "renew_deadline_s": 0.4, "retry_period_s": 0.1}


def elector(die) -> LeaderElector:
    return LeaderElector(
        LeaseServer(), namespace="ns", name="lock", identity="me", die=die, **TIMINGS
    )


async def test_l8_blocked_loop_is_ended_before_the_lease_is():
    """While the loop is still blocked: nothing inside it could have done it."""
    died = threading.Event()
    blocked_until_died = []

    async def work() -> None:
        blocked_until_died.append(died.wait(timeout=0.6))  # blocks the loop, as no await could

    await elector(lambda reason: died.set()).run(work)

    assert blocked_until_died == [True]


async def test_l8_work_that_ignores_its_cancellation_is_ended():
    died = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = LeaseServer()
    running = LeaderElector(
        server,
        namespace="ns",
        name="lock",
        identity="me",
        die=lambda reason: loop.call_soon_threadsafe(died.set),
        **TIMINGS,
    )

    async def stubborn() -> None:
        server.always = "abort"
        while not died.is_set():
            try:
                await died.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(LeadershipLost):
        async with asyncio.timeout(5):
            await running.run(stubborn)
    assert died.is_set()


async def test_l8_renewing_leader_is_left_alone():
    died = threading.Event()

    async def work() -> None:
        await asyncio.sleep(1.0)  # more than the watchdog's 0.44 s

    await elector(lambda reason: died.set()).run(work)

    assert not died.is_set()


def test_watchdog_that_ended_does_nothing():
    died = threading.Event()
    with Watchdog("late", deadline=time.monotonic() + 0.05, clock=time.monotonic, die=died.set):
        pass

    assert not died.wait(0.1)


def test_deadline_that_is_moved_holds():
    died = []
    with Watchdog(
        "late", deadline=time.monotonic() + 0.05, clock=time.monotonic, die=died.append
    ) as watchdog:
        watchdog.deadline += 1000
        time.sleep(0.1)

    assert died == []


def test_l8_process_ends_with_its_reason():
    """By default the process is gone: no clean-up, no traceback, status 1."""
    code = (
        "import time; from informers.watchdog import Watchdog\n"
        "with Watchdog('too late', deadline=time.monotonic(), clock=time.monotonic):\n"
        "    time.sleep(30)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr == "etcd-operator: too late\n"
