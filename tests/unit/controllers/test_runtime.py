"""The worker loop, on virtual time with a real queue.

Docstrings quote the controller-runtime tests whose behaviour is kept.
"""

from __future__ import annotations

import asyncio

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from controllers.metrics import RESULTS, ReconcileCollector
from controllers.runtime import (
    Controller,
    Reconciler,
    Result,
    TerminalError,
    settle,
)
from informers.errors import ConflictError, TransportError
from informers.limiters import ItemBackoff
from informers.queue import WorkQueue

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


def new_queue() -> WorkQueue[str]:
    return WorkQueue[str]("test", limiter=ItemBackoff(base_s=1, max_s=64, jitter=0))


class Script(Reconciler):
    """Plays outcomes in order, then succeeds; an outcome that can be called is awaited."""

    def __init__(self, *outcomes) -> None:
        self.outcomes = list(outcomes)
        self.runs: list[tuple[float, str]] = []
        self.contexts: list[dict] = []
        self.running: list[str] = []

    async def reconcile(self, key: str) -> Result:
        assert key not in self.running, "two workers on one key"
        self.running.append(key)
        try:
            self.runs.append((now(), key))
            self.contexts.append(get_contextvars())
            outcome = self.outcomes.pop(0) if self.outcomes else Result()
            if callable(outcome):
                outcome = await outcome()
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        finally:
            self.running.remove(key)

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.runs]


async def run_for(seconds: float, reconciler: Reconciler, *keys: str, **options) -> Controller:
    """Queue the keys, run a controller so long on virtual time, then cancel it."""
    queue = options.pop("queue", None) or new_queue()
    controller = Controller("test", queue, reconciler, **options)
    for key in keys:
        queue.add(key)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(controller.run())
        await asyncio.sleep(seconds)
        task.cancel()
    return controller


def after(seconds: float, outcome=None):
    async def take_time():
        await asyncio.sleep(seconds)
        return outcome or Result()

    return take_time


# ------------------------------------------------------------------ policy
async def test_c1_error_is_retried_with_growing_backoff():
    """Should requeue a Request if there is an error and continue processing items."""
    script = Script(*[TransportError("down")] * 4)
    await run_for(100, script, "a")

    assert script.times == [0, 1, 3, 7, 15]


async def test_q13_backoff_is_not_reset_until_theres_a_non_error_result():
    """Should not reset backoff until there's a non-error result."""
    script = Script(
        TransportError("down"),
        TransportError("down"),
        Result(requeue_after_s=0),
        Result(requeue_after_s=10),
        TransportError("down"),
    )
    await run_for(100, script, "a")

    assert script.times == [0, 1, 3, 7, 17, 18]


async def test_c1_requeue_after_comes_back_then():
    """Should requeue a Request after a duration (but not rate-limited)."""
    script = Script(*[Result(requeue_after_s=10)] * 3)
    controller = await run_for(100, script, "a")

    assert script.times == [0, 10, 20, 30]
    assert controller.counts.results == {
        "success": 1,
        "error": 0,
        "requeue": 0,
        "requeue_after": 3,
    }


async def test_c2_terminal_error_is_not_retried():
    """Should not requeue a Request if there is a terminal error."""
    script = Script(TerminalError("spec is wrong"))
    controller = await run_for(1000, script, "a")

    assert script.times == [0]
    assert (controller.counts.terminal, controller.counts.results["error"]) == (1, 1)


async def test_c2_terminal_error_shows_its_cause():
    """Should allow unwrapping inner error from terminal error."""

    async def fail():
        raise TerminalError("spec is wrong") from ValueError("size: -1")

    with capture_logs() as logs:
        await run_for(1, Script(fail), "a")
    errors = [entry for entry in logs if entry["log_level"] == "error"]

    assert [entry["cause"] for entry in errors] == ["ValueError('size: -1')"]


@pytest.mark.parametrize(
    ("outcome", "result", "waiting", "failures"),
    [
        (Result(), "success", 0, 0),
        (Result(requeue_after_s=5), "requeue_after", 1, 0),
        (Result(requeue_after_s=0), "requeue", 1, 2),
        (Result(requeue_after_s=-1), "requeue", 1, 2),
        (TerminalError(), "error", 0, 1),
        (OSError(), "error", 1, 2),
    ],
    ids=["ok", "after", "zero", "negative", "terminal", "error"],
)
async def test_c1_settle_maps_outcomes_to_the_queue(outcome, result, waiting, failures):
    queue = new_queue()
    queue.add_rate_limited("a")
    await asyncio.sleep(5)
    await queue.get()

    assert settle(queue, "a", outcome) == result
    assert queue.statistics().waiting == waiting
    assert queue.num_requeues("a") == failures


async def test_q18_priority_is_kept_on_requeue_unless_the_result_sets_one():
    """Should use the priority from Result when the reconciler requests a requeue."""
    queue, script = (
        new_queue(),
        Script(Result(requeue_after_s=5), Result(requeue_after_s=5, priority=7)),
    )
    queue.add("a", priority=-100)
    seen = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Controller("test", queue, script).run())
        for at in (1, 5.5, 6):
            await asyncio.sleep(at - now())
            seen.append(queue._delays.priority("a"))
        task.cancel()

    assert seen == [-100, 7, 7]


# ------------------------------------------------------------------ workers
async def test_c1_there_is_one_worker_by_default():
    script = Script(after(10), after(10))
    await run_for(15, script, "a", "b")

    assert script.runs == [(0, "a"), (10, "b")]


async def test_c1_workers_run_different_keys_at_once_and_no_key_twice():
    script = Script(*[after(10)] * 20)
    queue = new_queue()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Controller("test", queue, script, workers=3).run())
        for _ in range(5):
            for key in "abcde":
                queue.add(key)
            await asyncio.sleep(1)
        assert sorted(script.running) == ["a", "b", "c"]
        await asyncio.sleep(100)
        task.cancel()

    assert sorted(key for _, key in script.runs) == sorted("abcdeabc")


async def test_reconciles_without_an_await_let_others_run():
    queue, ticks = new_queue(), []
    for number in range(1000):
        queue.add(f"key-{number}")

    async def tick() -> None:
        while len(queue):
            ticks.append(len(queue))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(Controller("test", queue, Script()).run())
        await tick()
        task.cancel()

    assert len(ticks) > 900


async def test_c5_no_reconcile_before_all_handlers_have_seen_the_initial_objects():
    """Should not call Reconcile until all event handlers have processed initial objects."""

    class Slow:
        def __init__(self, synced_at: float) -> None:
            self.synced_at = synced_at

        async def wait_synced(self) -> None:
            await asyncio.sleep(self.synced_at)

    script = Script()
    await run_for(20, script, "a", sources={"informer": Slow(3), "handler": Slow(9)})

    assert script.times == [9]


class Never:
    async def wait_synced(self) -> None:
        await asyncio.get_running_loop().create_future()


class Ready:
    async def wait_synced(self) -> None:
        return


async def test_c5_late_source_is_named_every_half_minute():
    with capture_logs() as logs:
        await run_for(65, Script(), sources={"pods": Never(), "a": Ready()})

    late = [each for each in logs if each["event"] == "not read yet"]
    assert [(each["late"], each["waited_s"]) for each in late] == [(["pods"], 30), (["pods"], 60)]


async def test_c5_cancelled_while_waiting_for_sources_is_no_error():
    """Should not error when ... Start context is cancelled during Sources WaitForSync."""
    script = Script()
    await run_for(5, script, "a", sources={"pods": Never()})

    assert script.runs == []


async def test_c5_second_start_is_an_error():
    controller = await run_for(1, Script())

    with pytest.raises(RuntimeError, match="started already"):
        await controller.run()


# ------------------------------------------------------------------ failures
@pytest.mark.parametrize(
    "bug",
    [KeyError("metadata"), ExceptionGroup("tasks", [OSError(), KeyError("metadata")])],
    ids=["alone", "in a group of tasks"],
)
async def test_c3_bug_is_counted_as_a_panic_and_retried(bug):
    """Should recover panic if RecoverPanic is true by default."""
    script = Script(bug, TransportError("down"))
    controller = await run_for(100, script, "a")

    assert script.times == [0, 1, 3]
    assert controller.counts.panics == 1
    assert controller.counts.results["error"] == 2


async def test_c13_conflict_is_retried_without_noise():
    with capture_logs() as logs:
        script = Script(ConflictError(409, "Conflict", "modified", {}, None))
        await run_for(10, script, "a")

    assert script.times == [0, 1]
    assert {entry["log_level"] for entry in logs} == {"info"}


async def test_c4_reconcile_is_ended_by_its_time_limit():
    """Should time out if ReconciliationTimeout is set."""
    script = Script(after(1000))
    controller = await run_for(100, script, "a", timeout_s=30)

    assert script.times == [0, 31]
    assert controller.counts.timeouts == 1


async def test_c4_timeout_of_the_reconciles_own_is_not_ours():
    """Should not increment when parent context is cancelled."""
    script = Script(TimeoutError(), after(1000))
    controller = await run_for(20, script, "a", timeout_s=30)

    assert controller.counts.timeouts == 0
    assert controller.counts.results["error"] == 1


async def test_c3_cancellation_is_no_error_and_gives_the_key_back():
    queue = new_queue()
    controller = await run_for(5, Script(after(1000)), "a", queue=queue)

    assert set(controller.counts.results.values()) == {0}
    assert queue.statistics().processing == 0


async def test_c3_cancellation_that_nobody_asked_for_is_an_error():
    """A task that the reconcile awaits was cancelled; the only worker must go on."""

    async def await_a_cancelled_future():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    script = Script(await_a_cancelled_future)
    controller = await run_for(100, script, "a", timeout_s=30)

    assert script.times == [0, 1]
    assert (controller.counts.panics, controller.counts.results["error"]) == (1, 1)


@pytest.mark.parametrize("outcome", [Result(), OSError("broke off")], ids=["result", "error"])
async def test_c3_worker_ends_though_its_reconcile_swallowed_the_cancellation(outcome):
    """As a leader who has lost the Lease, it must not start on the next key."""

    async def stubborn():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return outcome

    script = Script(stubborn)
    await run_for(5, script, "a", "b")

    assert script.runs == [(0, "a")]


async def test_c7_reconcile_of_many_changes_sees_the_newest_state():
    """It gets a key and no event: what it acts on is what it reads."""
    queue, state, seen = new_queue(), [0], []

    class Reader(Reconciler):
        async def reconcile(self, key: str) -> Result:
            seen.append((key, state[0]))
            return Result()

    async with asyncio.TaskGroup() as group:
        for state[0] in range(1, 6):
            queue.add("ns/a")
        task = group.create_task(Controller("test", queue, Reader()).run())
        await asyncio.sleep(1)
        task.cancel()

    assert seen == [("ns/a", 5)]


# ------------------------------------------------------------------ stopping
async def test_stop_lets_running_reconciles_end_and_starts_no_other():
    queue, script = new_queue(), Script(after(10), after(10))
    controller = Controller("test", queue, script)
    for key in "abc":
        queue.add(key)
    async with asyncio.TaskGroup() as group:
        group.create_task(controller.run())
        await asyncio.sleep(5)
        controller.stop()

    assert now() == 10
    assert script.runs == [(0, "a")]
    assert controller.counts.results["success"] == 1


# ------------------------------------------------------------------ what is told
async def test_log_context_names_controller_key_and_run():
    script = Script(TransportError("down"))
    await run_for(10, script, "ns/a")
    first, second = script.contexts

    assert (first["controller"], first["key"]) == ("test", "ns/a")
    assert first["reconcile_id"] != second["reconcile_id"]
    assert structlog.contextvars.get_contextvars() == {}


async def test_m6_series_exist_with_zero_before_the_first_run():
    registry = CollectorRegistry()
    registry.register(
        ReconcileCollector([Controller("c", new_queue(), Script(), workers=4).counts])
    )
    values = {
        metric: registry.get_sample_value(f"controller_runtime_{metric}", {"controller": "c"})
        for metric in (
            "reconcile_errors_total",
            "reconcile_panics_total",
            "reconcile_timeouts_total",
            "reconcile_time_seconds_count",
            "terminal_reconcile_errors_total",
            "active_workers",
            "max_concurrent_reconciles",
        )
    }
    totals = [
        registry.get_sample_value(
            "controller_runtime_reconcile_total", {"controller": "c", "result": result}
        )
        for result in RESULTS
    ]

    assert values.pop("max_concurrent_reconciles") == 4
    assert set(values.values()) == {0}
    assert totals == [0, 0, 0, 0]


async def test_m6_metrics_follow_the_runs():
    """Should get updated on reconcile errors."""
    script, registry = Script(TransportError("down"), after(3)), CollectorRegistry()
    queue = new_queue()
    controller = Controller("c", queue, script)
    registry.register(ReconcileCollector([controller.counts]))
    queue.add("a")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(controller.run())
        await asyncio.sleep(2)
        active = registry.get_sample_value("controller_runtime_active_workers", {"controller": "c"})
        await asyncio.sleep(10)
        task.cancel()
    seconds = registry.get_sample_value(
        "controller_runtime_reconcile_time_seconds_sum", {"controller": "c"}
    )

    assert active == 1
    assert seconds == 3
    assert (
        registry.get_sample_value("controller_runtime_reconcile_errors_total", {"controller": "c"})
        == 1
    )
