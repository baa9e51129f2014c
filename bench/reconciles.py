"""How many reconciles a second that find nothing to do, and how soon after the change?

Workload: events of 2 kB for 1,000 objects from a server that stamps each as it writes it
(bench/event_server.py), through watch, cache, queue and the workers of a `Controller` to a
reconciler that looks its object up in the cache and decodes it.  First three times as many as
needed, then 1,000 a second, then a flood: as many as the server can write and we can read, which is
more than any rate that we can keep up with.
Limits: ≥ 1,000 reconciles a second, and at that rate p99 ≤ 10 ms from the write to the end of the
reconcile; and ≥ 1,000 a second in the flood too, so that reading does not keep us from working.

Usage: python bench/reconciles.py [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import uvloop
from api_server import before_others, limit, oversleeping, percentile, stopwatch
from event_server import STAMP, serving
from typing_extensions import override

from controllers.resources import CLUSTERS
from controllers.runtime import Controller, Result
from controllers.wiring import EnqueueSelf
from informers.informer_set import InformerSet
from informers.queue import WorkQueue
from informers.store import by_owner
from informers.wire import connect

if TYPE_CHECKING:
    from informers.decode import Object

RATE = 1_000
PLENTY = 3 * RATE
FLOOD = 1_000_000
P99_LIMIT_MS = 10.0
WORKERS = 8  # the operator's default
WARM_UP_S = 1.5


class NoOp:
    """A reconciler with nothing to do, but for noting how old the change was in the end."""

    def __init__(self, informers: InformerSet) -> None:
        self._informers = informers
        self.delays_ms: list[float] = []

    async def reconcile(self, key: str) -> Result:
        obj = self._informers.get(key)
        assert obj is not None
        assert obj["spec"]["paused"]
        stamp = int(obj["metadata"]["labels"][STAMP])
        if stamp:  # else it is from the first list
            self.delays_ms.append((time.monotonic_ns() - stamp) / 1e6)
        return Result()


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen after the warm-up; wall and CPU time are of this process."""

    delays_ms: list[float]
    events: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return len(self.delays_ms) / self.wall_s

    @property
    def p99_ms(self) -> float:
        return percentile(self.delays_ms, 0.99)


class Counted(EnqueueSelf):
    """The handler of the benchmark: it counts the changes that it puts into the queue."""

    events = 0

    @override
    def on_update(self, old: Object, new: Object) -> None:
        self.events += 1
        super().on_update(old, new)


async def run(kubeconfig: str, seconds: float) -> Run:
    async with await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api:
        informers = InformerSet(api, CLUSTERS, indexers={"owner": by_owner}, streaming=False)
        queue, reconciler = WorkQueue[str]("bench", clock=time.monotonic), NoOp(informers)
        handler = Counted(queue)
        source = informers.add_handler(handler)
        controller = Controller(
            "bench", queue, reconciler, workers=WORKERS, sources={"clusters": source}, timeout_s=60
        )
        async with asyncio.TaskGroup() as group:
            informer = group.create_task(informers.run())
            worker = group.create_task(controller.run())
            await asyncio.sleep(WARM_UP_S)
            reconciler.delays_ms.clear()
            (wall, cpu), events = stopwatch(), handler.events
            await asyncio.sleep(seconds)
            wall_end, cpu_end = stopwatch()
            events = handler.events - events
            delays = list(reconciler.delays_ms)
            informer.cancel()
            worker.cancel()
    assert controller.counts.results["error"] == 0
    return Run(delays, events, wall_end - wall, cpu_end - cpu)


def measure(seconds: float) -> bool:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"no-op reconciles, {WORKERS} workers ({before_others()})")
    found = {rate: measure_at(rate, seconds) for rate in (PLENTY, RATE, FLOOD)}
    floor = "reconciles: limit to what was reached"
    p99_ms = found[RATE].p99_ms
    return all(
        [
            limit(floor, RATE / found[PLENTY].rate, 1.0, "x"),
            limit(f"reconciles p99 of the delay at {RATE}/s", p99_ms, P99_LIMIT_MS, "ms"),
            limit(f"{floor} in a flood of events", RATE / found[FLOOD].rate, 1.0, "x"),
        ]
    )


def measure_at(rate: int, seconds: float) -> Run:
    with (
        serving(rate=rate, seconds=seconds + 2 * WARM_UP_S) as kubeconfig,
        oversleeping() as machine,
    ):
        found = uvloop.run(run(kubeconfig, seconds))
    print(
        f"  {rate:>9}/s offered, {found.events / found.wall_s:6.0f}/s read"
        f" {found.rate:6.0f} reconciles/s {found.rate * found.wall_s / found.cpu_s:6.0f}/CPU s"
        f"  p50 {percentile(found.delays_ms, 0.5):.2f}  p99 {found.p99_ms:.2f}"
        f"  max {max(found.delays_ms):.2f} ms from the write to the end"
        f" (only sleeping: p99 {percentile(machine, 0.99):.2f})"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    sys.exit(0 if measure(parser.parse_args().seconds) else 1)
