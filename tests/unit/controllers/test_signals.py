"""SIGTERM and SIGINT, on real processes with a real event loop."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

PROGRAM = """
import asyncio, sys, time
import uvloop
from controllers.manager import Manager, stopping_on_signals
from controllers.runtime import Controller, Result
from informers.queue import WorkQueue

class Reconciler:
    async def reconcile(self, key):
        print("running", flush=True)
        {work}
        print("done", flush=True)
        return Result()

async def main():
    queue = WorkQueue("test", clock=time.monotonic)
    queue.add("a")
    manager = Manager(
        caches={{}}, controllers=[Controller("test", queue, Reconciler())],
        grace_s={grace_s}, stop_within_s={stop_within_s},
    )
    with stopping_on_signals(manager.stop):
        await manager.run()
    print("stopped", flush=True)

{runner}
"""


@contextmanager
def process(*, work="pass", grace_s=2.0, stop_within_s=3.0, runner="uvloop.run(main())"):
    """A manager whose reconcile does `work`, once that runs."""
    program = PROGRAM.format(work=work, grace_s=grace_s, stop_within_s=stop_within_s, runner=runner)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert "running" in iter_until(running, "running")
            yield running
        finally:
            running.kill()


def iter_until(running: subprocess.Popen, word: str) -> list[str]:
    lines: list[str] = []
    while word not in lines and (line := running.stdout.readline()):
        lines.append(line.strip())
    return lines


@pytest.mark.parametrize("runner", ["uvloop.run(main())", "asyncio.run(main())"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_m2_signal_drains_and_ends_with_zero(number, runner):
    with process(work="await asyncio.sleep(0.3)", runner=runner) as running:
        running.send_signal(number)
        lines = [line for line in iter_until(running, "stopped") if line in {"done", "stopped"}]

        assert lines == ["done", "stopped"]
        assert running.wait(timeout=10) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once(second):
    with process(work="await asyncio.sleep(100)", grace_s=60, stop_within_s=90) as running:
        running.send_signal(signal.SIGTERM)
        assert any("stopping" in line for line in iter(running.stdout.readline, ""))
        running.send_signal(second)

        assert running.wait(timeout=10) == -second


def test_reconcile_that_blocks_the_loop_is_ended_by_the_deadline():
    started = time.monotonic()
    with process(
        work="""
        try:
            await asyncio.sleep(100)
        finally:
            time.sleep(100)""",
        grace_s=0.1,
        stop_within_s=1.0,
    ) as running:
        running.send_signal(signal.SIGTERM)

        assert running.wait(timeout=10) == 1
        assert "not stopped within 1 s" in running.stderr.read()
    assert time.monotonic() - started < 10
