"""How late the event loop is."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from controllers.loop_lag import INTERVAL_S, WINDOW_S, LoopLag


async def measured(block_s: float) -> CollectorRegistry:
    lag, registry = LoopLag(), CollectorRegistry()
    registry.register(lag)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lag.run())
        await asyncio.sleep(0)
        time.sleep(block_s)  # noqa: ASYNC251 - the block to be noticed
        await asyncio.sleep(0.01)
        task.cancel()
    return registry


async def test_blocked_loop_is_noticed():
    registry = await measured(INTERVAL_S + 0.06)

    assert 0.06 <= registry.get_sample_value("event_loop_lag_max_seconds") < 1
    assert registry.get_sample_value("event_loop_lag_seconds_count") == 1
    assert registry.get_sample_value("event_loop_lag_seconds_bucket", {"le": "0.05"}) == 0


@pytest.mark.looptime
async def test_idle_loop_is_on_time_and_measured_ten_times_a_second():
    loop = asyncio.get_running_loop()
    lag, registry = LoopLag(clock=loop.time), CollectorRegistry()
    registry.register(lag)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lag.run())
        await asyncio.sleep(100.05)
        task.cancel()

    assert registry.get_sample_value("event_loop_lag_seconds_count") == pytest.approx(1000, abs=1)
    assert lag.max_s < 0.001


@pytest.mark.looptime
async def test_maximum_is_forgotten_after_two_windows():
    loop, jump = asyncio.get_running_loop(), 0.0
    lag = LoopLag(clock=lambda: loop.time() + jump)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lag.run())
        await asyncio.sleep(1.05)
        jump = 3.0
        await asyncio.sleep(WINDOW_S)
        assert lag.max_s == pytest.approx(3)
        await asyncio.sleep(WINDOW_S)
        assert lag.max_s < 0.001
        task.cancel()
