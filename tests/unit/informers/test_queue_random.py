"""Random operation of the work queue against a plain model of its rules, on a virtual clock.

TestFuzzPriorityQueue's invariants: never two holders of a key, no lost key, no early key; and the
order: priority, first in first out, one in ten for those passed over. Getters wait, are woken and
are cancelled in between, also in the turn of the loop in which a key arrives for them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from informers.limiters import ItemBackoff
from informers.queue import WorkQueue
from informers.ready import FAIR_EVERY

KEYS = st.sampled_from("abcdef")
PRIORITIES = st.sampled_from([-100, 0, 0, 7])
DELAYS = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 30.0])


@dataclass
class Waiting:
    due: float
    priority: int


class Model:
    """What the queue promises, written for clarity: lists and dicts, every answer by search."""

    def __init__(self) -> None:
        self.ready: list[tuple[str, int]] = []  # in order of arrival at that priority
        self.waiting: dict[str, Waiting] = {}
        self.running: dict[str, int] = {}
        self.again: dict[str, int] = {}
        self.passed_over = 0

    def add(self, key: str, priority: int) -> None:
        if key in self.waiting:
            priority = max(priority, self.waiting.pop(key).priority)
        if key in self.running:
            self.again[key] = max(priority, self.again.get(key, priority))
            return
        known = dict(self.ready).get(key)
        if known is None or known < priority:
            self.ready = [each for each in self.ready if each[0] != key] + [(key, priority)]

    def add_after(self, key: str, delay: float, priority: int | None, now: float) -> None:
        if priority is None:
            priority = self.priority_of(key)
        if delay <= 0 or key in self.again or key in dict(self.ready):
            self.add(key, priority)
            return
        known = self.waiting.get(key)
        if known is not None:
            priority = known.priority = max(known.priority, priority)
        if known is None or now + delay < known.due:
            self.waiting.pop(key, None)  # so that equal times stay in the order of the calls
            self.waiting[key] = Waiting(now + delay, priority)

    def priority_of(self, key: str) -> int:
        waiting = {k: each.priority for k, each in self.waiting.items()}
        return (waiting | dict(self.ready) | self.running).get(key, 0)

    def advance(self, now: float) -> None:
        due = [key for key, each in self.waiting.items() if each.due <= now]
        for key in sorted(due, key=lambda key: self.waiting[key].due):
            self.add(key, self.waiting[key].priority)

    def handed_out(self, key: str) -> None:
        assert key not in self.running
        priority = dict(self.ready)[key]
        assert key == next(k for k, p in self.ready if p == priority), "not first in first out"
        top = max(p for _, p in self.ready)
        if any(p != top for _, p in self.ready):
            self.passed_over += 1
            turn_of_the_low = self.passed_over == FAIR_EVERY
            assert (priority != top) == turn_of_the_low
            self.passed_over %= FAIR_EVERY
        else:
            assert priority == top
        self.ready = [each for each in self.ready if each[0] != key]
        self.running[key] = priority

    def done(self, key: str) -> None:
        del self.running[key]
        if key in self.again:
            self.ready.append((key, self.again.pop(key)))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class QueueMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.loop = looptime.new_event_loop(start=0, noop_cycles=1)
        limiter = ItemBackoff[str](base_s=1.5, max_s=20, jitter=0)
        self.queue = WorkQueue[str]("random", limiter=limiter, clock=self.loop.time)
        self.model = Model()
        self.failures: dict[str, int] = {}
        self.getters: list[asyncio.Task[None]] = []
        self.handed: list[str] = []

    # -------------------------------------------------------------- adds
    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: str, priority: int) -> None:
        self.do(lambda: self.queue.add(key, priority=priority))
        self.model.add(key, priority)

    @rule(key=KEYS, delay=DELAYS, priority=st.none() | PRIORITIES)
    def add_after(self, key: str, delay: float, priority: int | None) -> None:
        self.do(lambda: self.queue.add_after(key, delay, priority=priority))
        self.model.add_after(key, delay, priority, self.loop.time())

    @rule(key=KEYS)
    def add_rate_limited(self, key: str) -> None:
        delay = min(1.5 * 2 ** self.failures.get(key, 0), 20)
        self.failures[key] = self.failures.get(key, 0) + 1
        self.do(lambda: self.queue.add_rate_limited(key))
        self.model.add_after(key, delay, None, self.loop.time())

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.failures.pop(key, None)
        self.queue.forget(key)

    # -------------------------------------------------------------- workers
    @rule()
    def get(self) -> None:
        self.getters.append(self.loop.create_task(self.take()))

    @precondition(lambda self: self.getters)
    @rule(pick=st.integers(min_value=0))
    def cancel_get(self, pick: int) -> None:
        self.getters[pick % len(self.getters)].cancel()

    @precondition(lambda self: self.getters)
    @rule(key=KEYS, pick=st.integers(min_value=0))
    def add_and_cancel_in_one_turn(self, key: str, pick: int) -> None:
        def both() -> None:
            self.queue.add(key)
            self.getters[pick % len(self.getters)].cancel()

        self.do(both)
        self.model.add(key, 0)

    @precondition(lambda self: self.model.running)
    @rule(pick=st.integers(min_value=0))
    def done(self, pick: int) -> None:
        key = sorted(self.model.running)[pick % len(self.model.running)]
        self.do(lambda: self.queue.done(key))
        self.model.done(key)

    # -------------------------------------------------------------- time
    @rule(seconds=st.sampled_from([0.25, 1.0, 3.0, 60.0]))
    def advance(self, seconds: float) -> None:
        """Stop after each moment at which something is due, so that the model can follow."""
        end = self.loop.time() + seconds
        while due := [each.due for each in self.model.waiting.values() if each.due <= end]:
            self.run_until(min(due))
        self.run_until(end)

    def run_until(self, moment: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(moment - self.loop.time()))
        self.model.advance(self.loop.time())
        self.settle()

    # -------------------------------------------------------------- checks
    @invariant()
    def the_queue_agrees_with_the_model(self) -> None:
        self.settle()
        statistics = self.queue.statistics()
        assert len(self.queue) == len(self.model.ready)
        assert statistics.waiting == len(self.model.waiting)
        assert statistics.processing == len(self.model.running)
        assert sum(depth for _, depth in statistics.depth) == len(self.model.ready)
        assert not (self.getters and self.model.ready), "a getter waits beside a ready key"

    def teardown(self) -> None:
        """No key is lost: all that the model still holds is handed out in the end."""
        try:
            self.advance(100)
            for key in sorted(self.model.running):
                self.queue.done(key)
                self.model.done(key)
            self.getters += [self.loop.create_task(self.take()) for _ in self.model.ready]
            self.settle()
            assert not self.model.ready
        finally:
            for getter in self.getters:
                getter.cancel()
            self.loop.run_until_complete(turns(2))
            self.queue.shut_down()
            self.loop.close()

    # -------------------------------------------------------------- the loop
    async def take(self) -> None:
        self.handed.append(await self.queue.get())

    def do(self, action) -> None:
        """Run it inside the loop, and let nothing else run in that turn."""

        async def run() -> None:
            action()

        self.loop.run_until_complete(run())

    def settle(self) -> None:
        self.loop.run_until_complete(turns(4))
        for key in self.handed:
            self.model.handed_out(key)
        self.handed.clear()
        self.getters = [getter for getter in self.getters if not getter.done()]


def test_q21_random_operation_agrees_with_the_model():
    """TestFuzzPriorityQueue."""
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(max_examples=120, stateful_step_count=40, deadline=None),
    )
