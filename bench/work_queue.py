"""How many keys a second pass through the work queue: add, get, forget, done.

Ten workers on uvloop, each giving the loop one turn per key in place of a reconcile, through the
public calls, with metrics, two priorities and the rate limiter on (a key in a hundred fails once).
The limit is 200,000 keys a second. Run: `python -m bench.work_queue` (not `queue.py`: a script of
that name would hide the standard library's module).
"""

from __future__ import annotations

import asyncio
import time
from statistics import median

import uvloop

from informers.limiters import ItemBackoff, SlowestOf, TokenBucket
from informers.queue import QueueShutDown, WorkQueue

LIMIT_PER_S = 200_000
KEYS = 200_000
WORKERS = 10
BURST = 100
ROUNDS = 5
FAIL_EVERY = 100
RUNS = KEYS + KEYS // FAIL_EVERY


async def produce(queue: WorkQueue[int]) -> None:
    for start in range(0, KEYS, BURST):
        for key in range(start, start + BURST):
            queue.add(key, priority=0 if key % 2 else -100)
        for _ in range(BURST // WORKERS):
            await asyncio.sleep(0)


async def work(queue: WorkQueue[int]) -> None:
    try:
        while True:
            key = await queue.get()
            await asyncio.sleep(0)
            if key % FAIL_EVERY == 0 and queue.num_requeues(key) == 0:
                queue.add_rate_limited(key)
            else:
                queue.forget(key)
            queue.done(key)
    except QueueShutDown:
        return


def runs_of(queue: WorkQueue[int]) -> int:
    return queue.statistics().work_duration.count


async def one_round() -> tuple[float, float]:
    """Keys per second of wall time and of CPU time; the second does not see the neighbours."""
    limiter = SlowestOf[int](ItemBackoff[int](), TokenBucket[int](rate_per_s=1e6, burst=KEYS))
    queue = WorkQueue[int]("bench", limiter=limiter, clock=time.monotonic)
    wall, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work(queue))
        await produce(queue)
        while runs_of(queue) < RUNS:
            await asyncio.sleep(0.001)
        await queue.shut_down_with_drain()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return RUNS / wall, RUNS / cpu


def main() -> None:
    rounds = [uvloop.run(one_round()) for _ in range(ROUNDS)]
    print("work queue, 10 workers, uvloop      keys/s   limit/s   ratio")
    for clock, rates in zip(("wall", "cpu"), zip(*rounds, strict=True), strict=True):
        for name, rate in [("median", median(rates)), ("worst", min(rates)), ("best", max(rates))]:
            row = f"{name} of {ROUNDS}, {clock} time"
            print(f"{row:32} {rate:9,.0f} {LIMIT_PER_S:9,} {rate / LIMIT_PER_S:7.2f}")


if __name__ == "__main__":
    main()
