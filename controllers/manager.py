"""Turns the parts of the operator into one process: starts them in order, stops them in order.

The command line builds the parts and awaits `Manager.run`. It knows nothing of etcd, and makes no
decision but when what runs.

Start: servers; caches; wait until they have synced; tasks that need no leadership; wait until the
controllers' handlers have seen what was there; election; controllers.
Stop: tasks; controllers (reconciles that run may end within the grace period); caches; servers; and
last the Lease is released, when nothing of ours is left that could write.

1. A part that fails stops all, and `run` raises its error; several errors come as a group.
2. Nothing of the start happens after the stop has begun: a standby that is stopped never leads.
3. A lost Lease cancels the controllers at once, without grace; `run` raises LeadershipLost.
4. What does not stop in time is ended with the process, by a thread (`Watchdog`).
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import structlog

from controllers.sync import wait_all_synced
from controllers.task_set import TaskSet
from informers.lease import Unelected
from informers.watchdog import Watchdog, exit_process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from controllers.runtime import Controller

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Of the time to stop, what is left for cancelling what has not stopped and for the interpreter.
_RESERVE_S = 0.5


class Cache(Protocol):
    """An informer."""

    async def run(self) -> None: ...

    async def wait_synced(self) -> None: ...


class Server(Protocol):
    """Something that listens."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Elector(Protocol):
    """`LeaderElector`, or `Unelected`."""

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None: ...


class Manager:
    """Runs once. Names of caches and tasks appear in errors.

    grace_s: what running reconciles get when we stop; 0: none. stop_within_s: from the beginning of
    the stop to the end of the process, at the latest; longer than grace_s. die: see Watchdog.
    """

    def __init__(
        self,
        *,
        caches: Mapping[str, Cache],
        controllers: Sequence[Controller],
        elector: Elector | None = None,
        servers: Sequence[Server] = (),
        tasks: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
        grace_s: float = 7.0,
        stop_within_s: float = 10.0,
        die: Callable[[str], None] = exit_process,
    ) -> None:
        self._caches = dict(caches)
        self._controllers = tuple(controllers)
        self._elector = elector or Unelected()
        self._servers = tuple(servers)
        self._tasks = dict(tasks or {})
        self._grace_s = grace_s
        self._stop_within_s = stop_within_s
        self._die = die
        self._errors: list[Exception] = []
        self._ended = asyncio.Event()  # a reason to stop has come
        self._idle = asyncio.Event()  # all is stopped but the election
        self._is_leading = False
        self._starting = TaskSet(self._failed)
        self._running_caches = TaskSet(self._failed)
        self._running_tasks = TaskSet(self._failed)
        self._running_controllers = TaskSet(self._failed)
        self._election = TaskSet(self._failed)

    @property
    def is_stopping(self) -> bool:
        return self._ended.is_set()

    def stop(self) -> None:
        """Begin to stop: `run` returns when everything has stopped. Safe to repeat."""
        self._ended.set()

    async def run(self) -> None:
        """Start, run until `stop` or the first failure, stop.

        Raises that failure, or an ExceptionGroup if there were more. Cancelled, it stops in order;
        cancelled again meanwhile, it cancels all at once.
        """
        try:
            self._starting.start("start", self._start())
            await self._ended.wait()
        finally:
            self._ended.set()
            with self._bounded():
                await self._stop()
        self._raise_errors()

    # ------------------------------------------------------------------ start
    async def _start(self) -> None:
        for server in self._servers:
            await server.start()
        for name, cache in self._caches.items():
            self._running_caches.start(name, self._unending(name, cache.run))
        await wait_all_synced("caches", self._caches)
        for name, task in self._tasks.items():
            self._running_tasks.start(name, _awaited(task))
        for controller in self._controllers:
            await controller.wait_synced()
        self._election.start("election", self._elector.run(self._lead))

    async def _lead(self) -> None:
        """What the elector runs while we lead; it ends when nothing is left that could write."""
        self._is_leading = True
        for controller in () if self.is_stopping else self._controllers:
            work = self._unending(controller.name, controller.run)
            self._running_controllers.start(controller.name, work)
        try:
            await self._idle.wait()
        except asyncio.CancelledError:
            # The Lease is lost, or our time to stop is over: either way there is no grace left.
            await self._running_controllers.stop(grace_s=0)
            raise

    async def _unending(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        await run()
        if not self.is_stopping:
            msg = f"{name} ended by itself"
            raise RuntimeError(msg)

    # ------------------------------------------------------------------ stop
    @contextmanager
    def _bounded(self) -> Iterator[None]:
        reason = f"not stopped within {self._stop_within_s:g} s"
        deadline = time.monotonic() + self._stop_within_s
        with Watchdog(reason, deadline=deadline, clock=time.monotonic, die=self._die):
            yield

    async def _stop(self) -> None:
        log.info("stopping")
        try:
            await self._stop_in_order()
        except asyncio.CancelledError:
            await self._cancel_all()
            raise
        log.info("stopped")

    async def _stop_in_order(self) -> None:
        loop = asyncio.get_running_loop()
        release_by = loop.time() + self._stop_within_s - _RESERVE_S
        await self._starting.stop(grace_s=0)
        if not self._is_leading:
            await self._election.stop(grace_s=0)
        await self._running_tasks.stop(grace_s=0)
        for controller in self._controllers:
            controller.stop()
        await self._running_controllers.stop(grace_s=self._grace_s)
        await self._running_caches.stop(grace_s=0)
        await self._stop_servers()
        self._idle.set()
        await self._election.stop(grace_s=release_by - loop.time())

    async def _stop_servers(self) -> None:
        for server in reversed(self._servers):
            try:
                await server.stop()
            except Exception as error:  # noqa: BLE001 - the others, and the Lease, come all the same
                self._errors.append(error)

    async def _cancel_all(self) -> None:
        everything = (
            self._starting,
            self._running_tasks,
            self._running_controllers,
            self._running_caches,
            self._election,
        )
        for tasks in everything:
            await tasks.stop(grace_s=0)
        await self._stop_servers()

    def _failed(self, error: Exception) -> None:
        log.error("a part failed, stopping", error=str(error), error_type=type(error).__name__)
        self._errors.append(error)
        self._ended.set()

    def _raise_errors(self) -> None:
        match self._errors:
            case []:
                return
            case [error]:
                raise error
            case errors:
                raise ExceptionGroup("several parts of the operator failed", errors)


async def _awaited(task: Callable[[], Awaitable[None]]) -> None:
    await task()


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM or SIGINT; a second one of either kind ends the process at once.

    Use it in the main thread, inside the running loop.
    """
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            # The kernel's own handling, so that it works even if our loop does not.
            signal.signal(each, signal.SIG_DFL)
        log.info("signal received, stopping", signal=number.name)
        stop()

    for each in _SIGNALS:
        loop.add_signal_handler(each, first, each)
    try:
        yield
    finally:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
