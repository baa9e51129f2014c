"""Turns a storm of adds into one run per key: the work queue between handlers and workers.

Event handlers call `add`, workers call `get`, reconcile and `done`, and what is to come again goes
in through `add_after` or `add_rate_limited`. It must never hand one key to two workers, lose a key
or hand one out before its time, whatever is cancelled in between. One event loop, no threads.

The rules (semantics of client-go's workqueue, with controller-runtime's priorities):

1. A key is queued once: adds of a queued key only raise its priority.
2. A key that is added while a worker has it runs once more after `done`, at the tail of its
   priority, never beside itself.
3. Ready beats waiting: a key is either queued or delayed; of two delays the earlier one holds.
4. The order of queued keys is `ReadyKeys`': priority, then first in first out, and nothing starves.
5. A requeue without a priority keeps the one the key was handed out with.
6. `shut_down` takes no further adds and drops delayed ones; what is queued is still handed out (or
   dropped, if asked), then `get` raises. `shut_down_with_drain` also waits until all that is done,
   including keys that were added again while a worker had them.
7. `get` takes a key only in the step in which it returns it, so a cancelled `get` has none to lose.
   (Bound it with `asyncio.timeout`; `asyncio.wait_for` runs it in a task of its own, whose result
   is lost when the caller is cancelled at the wrong moment.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from informers.delays import Delays
from informers.histogram import Histogram, HistogramSnapshot
from informers.limiters import default_limiter
from informers.ready import ReadyKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from informers.limiters import Limiter

K = TypeVar("K", bound="Hashable")

# uvloop's timers have millisecond steps and may fire half of one early; asking again for less than
# one would spin until the clock has moved on.
_SHORTEST_TIMER_S = 0.001


class QueueShutDown(Exception):  # noqa: N818 - not an error: the end of the work
    """The queue is shut down and has nothing more to hand out."""


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A queue at one moment; times in seconds.

    depth: (priority, keys ready), highest first. adds: keys accepted, without those that were
    queued already. retries: adds with a delay. queue_duration: from the first add (or from the end
    of the delay) to `get`. work_duration: from `get` to `done`. unfinished_work_s: ages of all
    running keys, summed; longest_running_s: the oldest of them.
    """

    name: str
    depth: tuple[tuple[int, int], ...]
    waiting: int
    processing: int
    adds: int
    retries: int
    queue_duration: HistogramSnapshot
    work_duration: HistogramSnapshot
    unfinished_work_s: float
    longest_running_s: float


class WorkQueue(Generic[K]):
    """A deduplicating, delaying, rate-limiting priority queue of keys.

    name: the label of its metrics. limiter: delays of `add_rate_limited`, default client-go's.
    clock: seconds, monotonic, the same scale as the loop's; default the running loop's own `time`
    (then construct the queue inside a coroutine). On uvloop that one stands still within a turn of
    the loop, so pass `time.monotonic` for true durations.
    """

    def __init__(
        self,
        name: str,
        *,
        limiter: Limiter[K] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.name = name
        self._limiter: Limiter[K] = default_limiter() if limiter is None else limiter
        self._now = asyncio.get_running_loop().time if clock is None else clock
        self._ready = ReadyKeys[K]()
        self._delays = Delays[K]()
        self._delayed = self._delays.entries
        # (priority, time) of each key in a worker's hands, and of those of them added since then.
        # Plain tuples in two dicts, and the checks before the calls below: this path has to run
        # 200,000 times a second, and a small object or a call per key costs a twentieth of that.
        self._running: dict[K, tuple[int, float]] = {}
        self._again: dict[K, tuple[int, float]] = {}
        self._backing_off: set[K] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._shut_down = False
        self._drained = asyncio.Event()
        self._adds = 0
        self._retries = 0
        self._queue_duration = Histogram()
        self._work_duration = Histogram()

    def __len__(self) -> int:
        """Keys that are ready: neither in a worker's hands nor waiting for their time."""
        return len(self._ready)

    def add(self, key: K, *, priority: int = 0) -> None:
        """Let the key run as soon as a worker is free; ignored after shutdown."""
        if self._shut_down:
            return
        if key in self._delayed:
            priority = max(priority, self._delays.take(key))
        if key in self._running:
            self._mark_again(key, priority, self._now())
        elif self._ready.push(key, priority, self._now()):
            self._adds += 1
            if self._getters:
                self._wake_getter()

    def add_after(self, key: K, delay_s: float, *, priority: int | None = None) -> None:
        """Let the key run in `delay_s` seconds; at once if that is ≤ 0 or if it is queued anyway.

        priority: None keeps the one the key has (in a worker's hands, queued or delayed), else 0.
        """
        if self._shut_down:
            return
        if priority is None:
            priority = self._priority_of(key)
        if delay_s > 0:
            self._retries += 1
        if delay_s <= 0 or key in self._again or key in self._ready:
            self.add(key, priority=priority)
        else:
            self._delays.put(key, priority, self._now() + delay_s)
            self._arm_timer()

    def add_rate_limited(self, key: K, *, priority: int | None = None) -> None:
        """Count a failure of the key and let it run when the limiter says so."""
        if not self._shut_down:
            self._backing_off.add(key)
            self.add_after(key, self._limiter.delay_s(key, self._now()), priority=priority)

    def forget(self, key: K) -> None:
        """Reset the key's backoff. Whether it is queued or delayed does not change."""
        if key in self._backing_off:
            self._backing_off.discard(key)
            self._limiter.forget(key)

    def num_requeues(self, key: K) -> int:
        """Failures of the key since the last `forget`."""
        return self._limiter.failures(key)

    async def get(self) -> K:
        """Wait for a key and take it; call `done` with it afterwards.

        Raises QueueShutDown when the queue is shut down and empty. Cancelled, it has taken nothing.
        """
        while (taken := self._ready.pop()) is None:
            if self._shut_down:
                raise QueueShutDown(self.name)
            await self._wait_for_key()
        key, priority, added_at = taken
        now = self._now()
        self._queue_duration.observe(now - added_at)
        self._running[key] = priority, now
        return key

    def done(self, key: K) -> None:
        """Give the key back. Raises KeyError for a key that was not handed out."""
        started_at = self._running.pop(key)[1]
        self._work_duration.observe(self._now() - started_at)
        if key in self._again:
            self._ready.push(key, *self._again.pop(key))
            self._wake_getter()
        elif self._shut_down:
            self._check_drained()

    def shut_down(self, *, discard: bool = False) -> None:
        """Take no more adds and drop delayed ones; with `discard` drop queued ones too.

        Workers get what is left, then QueueShutDown. Ends the wait of `shut_down_with_drain`.
        """
        self._close()
        if discard:
            self._ready.clear()
            self._again.clear()
        self._drained.set()

    async def shut_down_with_drain(self) -> None:
        """Take no more adds, and wait until everything queued has been handed out and done.

        Cancelled, or ended by a later `shut_down`, the queue stays shut down.
        """
        self._close()
        self._check_drained()
        await self._drained.wait()

    def statistics(self) -> QueueStatistics:
        now = self._now()
        ages = [now - started_at for _, started_at in self._running.values()]
        return QueueStatistics(
            name=self.name,
            depth=self._ready.depth(),
            waiting=len(self._delays),
            processing=len(self._running),
            adds=self._adds,
            retries=self._retries,
            queue_duration=self._queue_duration.snapshot(),
            work_duration=self._work_duration.snapshot(),
            unfinished_work_s=sum(ages),
            longest_running_s=max(ages, default=0.0),
        )

    def _mark_again(self, key: K, priority: int, added_at: float) -> None:
        """Remember that a key in a worker's hands has to run once more."""
        if key not in self._again:
            self._again[key] = priority, added_at
            self._adds += 1
        else:
            known, first_added_at = self._again[key]
            self._again[key] = max(known, priority), first_added_at

    def _priority_of(self, key: K) -> int:
        if key in self._running:
            return self._running[key][0]
        ready = self._ready.priority(key)
        if ready is not None:
            return ready
        return self._delays.priority(key) or 0

    async def _wait_for_key(self) -> None:
        getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if not getter.cancelled():
                # Woken and cancelled in the same turn: the key it was woken for needs another.
                self._wake_getter()
            elif getter in self._getters:
                self._getters.remove(getter)
            raise

    def _wake_getter(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm_timer(self) -> None:
        next_at = self._delays.next_at()
        if next_at is None:
            return
        if self._timer is not None:
            if self._timer_at <= next_at:
                return
            self._timer.cancel()
        self._timer_at = next_at
        wait_s = max(next_at - self._now(), _SHORTEST_TIMER_S)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._queue_due)

    def _queue_due(self) -> None:
        self._timer = None
        for key, priority in self._delays.pop_due(self._now()):
            self.add(key, priority=priority)
        self._arm_timer()

    def _close(self) -> None:
        self._shut_down = True
        self._delays.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._getters:
            self._wake_getter()

    def _check_drained(self) -> None:
        if not self._ready and not self._running:
            self._drained.set()
