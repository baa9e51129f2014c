"""How many reconciles a second that find nothing to do, and how soon after the change?

Workload: events of 2 kB for 1,000 objects from a server that stamps each as it writes it
(bench/event_server.py), through watch, cache, queue and the workers of a `Controller` to a
reconciler that looks its object up in the cache and decodes it.  First three times as many as
needed, then 1,000 a second.
Limits: ≥ 1,000 reconciles a second, and at that rate p99 ≤ 10 ms from the write to the end of the
reconcile.

Usage: python bench/reconciles.py [--seconds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time

import structlog
import uvloop
from api_server import before_others, limit, oversleeping, percentile, stopwatch
from event_server import STAMP, serving

from controllers.resources import CLUSTERS
from controllers.runtime import Controller, Result
from controllers.wiring import EnqueueSelf
from informers.informer_set import InformerSet
from informers.queue import WorkQueue
from informers.store import by_owner
from informers.wire import connect

RATE = 1_000
FLOOD = 3 * RATE
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


async def run(kubeconfig: str, seconds: float) -> tuple[list[float], float, float]:
    """The delays in ms after the warm-up, and the wall and CPU seconds of this process."""
    async with await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api:
        informers = InformerSet(api, CLUSTERS, indexers={"owner": by_owner}, streaming=False)
        queue, reconciler = WorkQueue[str]("bench", clock=time.monotonic), NoOp(informers)
        source = informers.add_handler(EnqueueSelf(queue))
        controller = Controller(
            "bench", queue, reconciler, workers=WORKERS, sources={"clusters": source}, timeout_s=60
        )
        async with asyncio.TaskGroup() as group:
            informer = group.create_task(informers.run())
            worker = group.create_task(controller.run())
            await asyncio.sleep(WARM_UP_S)
            reconciler.delays_ms.clear()
            wall, cpu = stopwatch()
            await asyncio.sleep(seconds)
            wall_end, cpu_end = stopwatch()
            delays = list(reconciler.delays_ms)
            informer.cancel()
            worker.cancel()
    assert controller.counts.results["error"] == 0
    return delays, wall_end - wall, cpu_end - cpu


def measure(seconds: float) -> bool:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"no-op reconciles, {WORKERS} workers ({before_others()})")
    found = {}
    for name, rate in ((f"{FLOOD}/s offered", FLOOD), (f"{RATE}/s offered", RATE)):
        with (
            serving(rate=rate, seconds=seconds + 2 * WARM_UP_S) as kubeconfig,
            oversleeping() as machine,
        ):
            delays, wall_s, cpu_s = uvloop.run(run(kubeconfig, seconds))
        found[rate] = (delays, len(delays) / wall_s)
        print(
            f"  {name:<16}{len(delays) / wall_s:8.0f}/s {len(delays) / cpu_s:8.0f}/CPU s"
            f"  p50 {percentile(delays, 0.5):.2f}  p99 {percentile(delays, 0.99):.2f}"
            f"  max {max(delays):.2f} ms from the write to the end"
            f" (only sleeping: p99 {percentile(machine, 0.99):.2f})"
        )
    p99 = percentile(found[RATE][0], 0.99)
    return all(
        [
            limit("reconciles: limit to what was reached", RATE / found[FLOOD][1], 1.0, "x"),
            limit(f"reconciles p99 of the delay at {RATE}/s", p99, P99_LIMIT_MS, "ms"),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    sys.exit(0 if measure(parser.parse_args().seconds) else 1)
