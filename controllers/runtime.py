"""Turns keys from a work queue into reconciles, and their outcomes into what is queued next.

The manager runs one `Controller` per kind; reconcilers know nothing of queues, workers or retries.
The loop must never run one key twice at once (the queue sees to that), let a reconcile's failure
end a worker, or keep a key that was cancelled half-way from being given back.

Policy (`settle`), the same as controller-runtime's:

| outcome                                | queue                                   | counted as    |
|----------------------------------------|-----------------------------------------|---------------|
| Result()                               | forget                                  | success       |
| Result(requeue_after_s > 0)            | forget, add after that time             | requeue_after |
| Result(requeue_after_s <= 0)           | add with backoff                        | requeue       |
| TerminalError                          | nothing: only a change brings it back   | error         |
| any other exception, our time limit    | add with backoff                        | error         |
| a CancelledError that nobody asked for | add with backoff                        | error         |
| cancellation                           | nothing: we are stopping                | nothing       |
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import structlog
from structlog.contextvars import bound_contextvars

from controllers.metrics import ReconcileCounts
from controllers.sync import wait_all_synced
from informers.errors import ConflictError
from informers.queue import QueueShutDown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controllers.sync import Source
    from informers.queue import WorkQueue

log = structlog.get_logger(__name__)

# Exceptions that tell of a bug of ours rather than of the world; ValueError is not among them, as
# parsers of foreign input raise it.
BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile that did not fail asks for.

    requeue_after_s: run again after so many seconds; None: only when something changes; 0 or less:
    as soon as the backoff allows. priority: of that run; None keeps the key's own.
    """

    requeue_after_s: float | None = None
    priority: int | None = None


class TerminalError(Exception):
    """Trying again can't help before something changes. Raise it `from` the cause to keep that."""


class Reconciler(Protocol):
    """Brings one object closer to what it should be."""

    async def reconcile(self, key: str) -> Result:
        """Look at the present state of `key` ("namespace/name") and do what is to be done now.

        Level-triggered and safe to repeat: it gets no event, and may be cancelled at any await.
        """
        ...


Outcome = Result | Exception


def settle(queue: WorkQueue[str], key: str, outcome: Outcome) -> str:
    """Queue what the outcome of a reconcile asks for; the result it is counted as.

    The key's backoff is reset by a result that is no error, and by nothing else.
    """
    match outcome:
        case TerminalError():
            return "error"
        case Exception():
            queue.add_rate_limited(key)
            return "error"
        case Result(requeue_after_s=after_s, priority=priority):
            if after_s is not None and after_s <= 0:
                queue.add_rate_limited(key, priority=priority)
                return "requeue"
            queue.forget(key)
            if after_s is None:
                return "success"
            queue.add_after(key, after_s, priority=priority)
            return "requeue_after"


class Controller:
    """One queue, one reconciler, N workers.

    workers: how many keys are reconciled at once, ≥ 1. sources: by the name that the log should
    show; no reconcile starts before all of them have synced. timeout_s: for each reconcile; None:
    no limit. clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue[str],
        reconciler: Reconciler,
        *,
        workers: int = 1,
        sources: Mapping[str, Source] = MappingProxyType({}),
        timeout_s: float | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.name = name
        self.counts = ReconcileCounts(name, workers)
        self._queue = queue
        self._reconciler = reconciler
        self._sources = dict(sources)
        self._timeout_s = timeout_s
        self._clock = clock
        self._started = False

    async def run(self) -> None:
        """Reconcile until `stop`, then finish what is running; cancelled, cancel that too.

        Raises RuntimeError when it is called a second time.
        """
        if self._started:
            msg = f"controller {self.name} was started already"
            raise RuntimeError(msg)
        self._started = True
        await self.wait_synced()
        log.info("controller started", controller=self.name, workers=self.counts.workers)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.counts.workers):
                group.create_task(self._work())

    def stop(self) -> None:
        """Take no more keys: `run` returns once the reconciles now running have ended."""
        self._queue.shut_down(discard=True)

    async def wait_synced(self) -> None:
        """Wait for every source."""
        await wait_all_synced(self.name, self._sources)

    async def _work(self) -> None:
        """One worker: one key at a time, until the queue is shut down."""
        while not _is_cancelled():
            try:
                key = await self._queue.get()
            except QueueShutDown:
                return
            try:
                await self._process(key)
            finally:
                self._queue.done(key)
            # A reconcile that awaited nothing must not keep health checks from being answered.
            await asyncio.sleep(0)

    async def _process(self, key: str) -> None:
        now = self._clock or asyncio.get_running_loop().time
        self.counts.active += 1
        started_at = now()
        try:
            with bound_contextvars(controller=self.name, key=key, reconcile_id=str(uuid.uuid4())):
                outcome = await self._outcome(key)
                self.counts.results[settle(self._queue, key, outcome)] += 1
                if isinstance(outcome, Exception):
                    self._report(outcome, self._queue.num_requeues(key))
        finally:
            self.counts.active -= 1
            self.counts.duration.observe(now() - started_at)

    async def _outcome(self, key: str) -> Outcome:
        """Whatever the reconcile came to; cancellation alone passes through."""
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await self._reconciler.reconcile(key)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            bug = RuntimeError("ended as cancelled, and nobody had asked for it")
            bug.__cause__ = error
            return bug
        except Exception as error:  # noqa: BLE001 - the worker outlives any failure of one key
            if limit.expired():
                self.counts.timeouts += 1
            return error

    def _report(self, error: Exception, failures: int) -> None:
        if isinstance(error, TerminalError):
            self.counts.terminal += 1
            cause = error.__cause__
            log.error("reconcile failed for good", error=str(error), cause=repr(cause))
        elif isinstance(error, ConflictError):
            log.info("object changed meanwhile, trying again", error=str(error))
        elif _is_bug(error):
            self.counts.panics += 1
            log.error("reconcile failed by a bug", failures=failures, exc_info=error)
        else:
            log.warning(
                "reconcile failed",
                error=str(error) or type(error).__name__,
                error_type=type(error).__name__,
                failures=failures,
            )


def _is_bug(error: Exception) -> bool:
    """Also one among the errors of a group of tasks."""
    if isinstance(error, ExceptionGroup):
        return error.subgroup(BUGS) is not None
    return isinstance(error, BUGS)


def _is_cancelled() -> bool:
    """Whether this task was asked to end; a reconcile may have swallowed the CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
