"""How late does a handler hear of a change, at 2,000 changes a second?

Workload: events of 2 kB from a server that stamps each as it writes it (bench/event_server.py: a
real API server can't say when it wrote one), through our wire, reflector and indexed cache to a
handler.
Limits: p99 of the delay ≤ 20 ms, and every event arrives.

Usage: python bench/watch_events.py [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import uvloop
from api_server import before_others, limit, oversleeping, percentile, stopwatch
from event_server import STAMP, serving

from controllers.resources import CLUSTERS
from informers.informer_set import InformerSet
from informers.store import by_owner
from informers.wire import connect

if TYPE_CHECKING:
    from informers.decode import Object

RATE = 2_000
P99_LIMIT_MS = 20.0
# What is under way when the time is over may still arrive.
GRACE_S = 10.0


@dataclass
class Delays:
    """A handler: for each change the milliseconds since its stamp."""

    found_ms: list[float] = field(default_factory=list)

    def on_add(self, obj: object, *, initial: bool) -> None: ...

    def on_update(self, old: object, new: Object) -> None:
        self.found_ms.append((time.monotonic_ns() - int(new.labels[STAMP])) / 1e6)

    def on_delete(self, obj: object) -> None: ...


async def run(kubeconfig: str, seconds: float) -> tuple[list[float], float, float]:
    """The delays in ms, and the wall and CPU seconds of this process meanwhile."""
    delays, end = Delays(), time.monotonic() + seconds + GRACE_S
    async with await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api:
        informers = InformerSet(api, CLUSTERS, indexers={"owner": by_owner}, streaming=False)
        informers.add_handler(delays)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(informers.run())
            await informers.wait_synced()
            wall, cpu = stopwatch()
            # What is missing when the time is over shows in the figures.
            while len(delays.found_ms) < RATE * seconds and time.monotonic() < end:
                await asyncio.sleep(0.05)
            wall_end, cpu_end = stopwatch()
            task.cancel()
    return delays.found_ms, wall_end - wall, cpu_end - cpu


def measure(seconds: float) -> bool:
    """First as any process, then ahead of others."""
    among = measure_as(f"among others, load {os.getloadavg()[0]:.0f}", seconds, ahead=False)
    return all([among, measure_as(before_others(), seconds, ahead=True)])


def measure_as(conditions: str, seconds: float, *, ahead: bool) -> bool:
    with serving(rate=RATE, seconds=seconds, ahead=ahead) as kubeconfig, oversleeping() as machine:
        found, wall_s, cpu_s = uvloop.run(run(kubeconfig, seconds))
    p99 = percentile(found, 0.99)
    each_second = [percentile(found[at : at + RATE], 0.99) for at in range(0, len(found), RATE)]
    print(f"{len(found)} events of 2 kB at {RATE}/s ({conditions}), delay to the handler")
    print(f"  p50 {percentile(found, 0.5):.2f}  p99 {p99:.2f}  max {max(found):.2f} ms")
    print(
        f"  p99 of each second: median {median(each_second):.2f}  worst {max(each_second):.2f} ms"
    )
    print(
        f"  CPU {cpu_s / len(found) * 1e6:.0f} us an event, {100 * cpu_s / wall_s:.0f} % of a core"
    )
    print(f"  a process that only sleeps: p99 {percentile(machine, 0.99):.2f} ms late")
    return all(
        [
            limit("watch_events p99 of the delay", p99, P99_LIMIT_MS, "ms"),
            limit("watch_events missing", RATE * seconds - len(found), 0, "events"),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    sys.exit(0 if measure(parser.parse_args().seconds) else 1)
