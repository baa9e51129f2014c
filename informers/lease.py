"""Turns a Lease object in the API server into "this process leads", for one of several processes.

The manager runs the elector with the work to do while leading. Two promises: work never goes on
past the renew deadline after the last renewal that was answered, whatever hangs, breaks or blocks;
and the Lease is given back only after the work has stopped.

The rules (client-go's leaderelection, without its gaps):

1. No two clocks are ever compared. A foreign Lease has expired when *we* have not seen its record
   change for its own duration, on our monotonic clock; so a first look always waits a whole one.
2. Our own validity counts from the moment before the write was sent, not from its answer.
3. Every request has a deadline of half the renew deadline, so a hung one leaves time for another.
4. A renewal is a PUT on the version we know; if that fails, GET, then PUT.
5. Whoever finds another holder in the Lease stops leading at once. Whoever could not renew for
   `renew_deadline_s` does too. There is no way back into leading: the process is to end.
6. A blocked loop can't stop itself, so while we lead a thread ends the process a fifth of the way
   from the renew deadline to the end of the Lease. The same if cancelled work does not end.
7. This is not fencing: see the architecture. Bound every mutating call by `remaining_s`.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from informers import lease_object
from informers.errors import AlreadyExistsError, ConflictError, KubeError, NotFoundError
from informers.lease_client import LeaseClient
from informers.watchdog import Watchdog, exit_process

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from informers.lease_client import LeaseApi

log = structlog.get_logger(__name__)

# Boot time, where there is one, goes on while the machine is suspended; monotonic time does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_RELEASE_TRIES = 5


class LeadershipLost(Exception):  # noqa: N818 - an event; the name every operator's log uses
    """The Lease could not be renewed in time, or someone else holds it. The process should end."""


class Leadership(Protocol):
    """What those who act need to know of an election."""

    @property
    def is_leader(self) -> bool: ...

    @property
    def remaining_s(self) -> float:
        """For how many seconds we may still act; deadlines of mutating calls end before that."""
        ...


@dataclass(frozen=True, slots=True)
class ElectionStatistics:
    """slow_paths: renewals that had to read the Lease first."""

    name: str
    is_leader: bool
    slow_paths: int
    remaining_s: float


def make_identity() -> str:
    """A name for this process that no other has, not even the next one in the same pod."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Unelected:
    """No election (`--leader-elect=false`): leads from the start, and without end."""

    is_leader = True
    remaining_s = math.inf

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        await lead()


class LeaderElector:
    """Takes part in the election for one Lease, once.

    identity: unique per process (`make_identity`). Durations in seconds; lease_duration_s >
    renew_deadline_s > 1.2·retry_period_s > 0, else ValueError. clock: seconds, monotonic.
    wall_clock: only written into the Lease, for people to read. die: see Watchdog.
    """

    def __init__(
        self,
        api: LeaseApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        lease_duration_s: float = 15.0,
        renew_deadline_s: float = 10.0,
        retry_period_s: float = 2.0,
        clock: Callable[[], float] = lambda: time.clock_gettime(_CLOCK),
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),  # noqa: TID251 - for people
        rng: random.Random | None = None,
        die: Callable[[str], None] = exit_process,
    ) -> None:
        _validate(identity, lease_duration_s, renew_deadline_s, retry_period_s)
        timeout_s = max(1.0, renew_deadline_s / 2)
        self._client = LeaseClient(api, namespace=namespace, name=name, timeout_s=timeout_s)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lease_duration_s = lease_duration_s
        self._renew_deadline_s = renew_deadline_s
        self._retry_period_s = retry_period_s
        self._now = clock
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, protects nothing
        self._die = die
        self._is_leader = False
        self._may_hold = False  # a claim was sent, and nothing since says that it failed
        self._renewed_at = -math.inf  # when the last answered claim was sent
        self._lease: dict[str, Any] | None = None  # as last seen
        self._changed_at = 0.0  # when we saw its record change
        self._watchdog: Watchdog | None = None
        self._slow_paths = 0

    @property
    def is_leader(self) -> bool:
        return self._is_leader

    @property
    def remaining_s(self) -> float:
        """Seconds for which we may still act without another renewal; 0 when not leading."""
        if not self._is_leader:
            return 0.0
        return max(self._renewed_at + self._renew_deadline_s - self._now(), 0.0)

    def statistics(self) -> ElectionStatistics:
        return ElectionStatistics(self._name, self._is_leader, self._slow_paths, self.remaining_s)

    def check(self) -> None:
        """Raise LeadershipLost if we lead on a Lease that has run out; a standby is healthy."""
        if self._is_leader and self._now() > self._renewed_at + self._lease_duration_s:
            raise LeadershipLost("leading on an expired lease")

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, then run `lead`, renewing meanwhile; release when it has ended.

        Raises LeadershipLost after `lead` was cancelled for that reason, and what `lead` raises.
        Cancelled while waiting, it ends without leading. Cancelled while leading, it cancels
        `lead`, renews until `lead` has ended, then releases.
        """
        try:
            await self._acquire()
            await self._lead(lead)
        finally:
            self._is_leader = False
            if self._may_hold:
                await self._release()

    # ------------------------------------------------------------------ phases
    async def _acquire(self) -> None:
        while True:
            if await self._attempt():
                break
            await asyncio.sleep(self._retry_period_s * self._rng.uniform(1.0, 2.2))
        self._is_leader = True
        log.info("leading", lease=self._name, identity=self._identity)

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Run `lead` in this task and the renewals beside it.

        So cancelling us cancels `lead` alone, and the renewals go on until it has ended.
        """
        with self._watched():
            try:
                async with asyncio.TaskGroup() as group:
                    renewing = group.create_task(self._keep_renewing())
                    await lead()
                    renewing.cancel()
            except BaseExceptionGroup as errors:
                error, cause = _plain(errors)
                raise error from cause

    @contextmanager
    def _watched(self) -> Iterator[None]:
        reason = f"lease {self._name} not renewed in time, the event loop is blocked or work hangs"
        deadline = self._renewed_at + self._watchdog_s
        with Watchdog(reason, deadline=deadline, clock=self._now, die=self._die) as self._watchdog:
            try:
                yield
            finally:
                self._is_leader = False
        self._watchdog = None

    @property
    def _watchdog_s(self) -> float:
        spare_s = self._lease_duration_s - self._renew_deadline_s
        return self._renew_deadline_s + spare_s / 5

    async def _keep_renewing(self) -> None:
        """Renew until cancelled; raises LeadershipLost when that failed for too long."""
        try:
            while (remaining_s := self.remaining_s) > 0:
                async with asyncio.timeout(remaining_s):
                    await self._next_renewal()
        except TimeoutError:
            pass
        msg = f"lease {self._name} not renewed for {self._renew_deadline_s:g} s"
        raise self._lost(msg)

    async def _next_renewal(self) -> None:
        """Wait for its time, and try until it succeeds."""
        while True:
            await asyncio.sleep(self._retry_period_s * self._rng.uniform(0.9, 1.0))
            if await self._attempt():
                return

    async def _release(self) -> None:
        """Give the Lease back if it is still ours; failing that, others wait until it expires."""
        try:
            async with asyncio.timeout(self._renew_deadline_s):
                for _ in range(_RELEASE_TRIES):
                    if await self._try_release():
                        return
        except (KubeError, TimeoutError) as error:
            log.warning("lease not released", lease=self._name, error=str(error))

    async def _try_release(self) -> bool:
        try:
            lease = await self._client.get()
            if lease_object.holder_of(lease) == self._identity:
                await self._client.replace(lease_object.released(lease, now=self._wall_clock()))
                log.info("lease released", lease=self._name)
        except ConflictError:
            return False
        except NotFoundError:
            pass
        self._may_hold = False
        return True

    # ------------------------------------------------------------------ one attempt
    async def _attempt(self) -> bool:
        """Claim or renew once; False if someone else holds it or the API server failed us."""
        try:
            return await self._try()
        except KubeError as error:
            log.warning("lease attempt failed", lease=self._name, error=str(error))
            return False

    async def _try(self) -> bool:
        if self._is_leader and self._lease is not None:
            try:
                await self._claim(self._lease)
            except KubeError as error:
                self._slow_paths += 1
                log.info("lease renewal failed, reading it", lease=self._name, error=str(error))
            else:
                return True
        try:
            lease = await self._client.get()
        except NotFoundError:
            await self._create()
            return True
        self._observe(lease)
        if self._is_held_by_another(lease):
            return False
        await self._claim(lease)
        return True

    def _is_held_by_another(self, lease: dict[str, Any]) -> bool:
        holder = lease_object.holder_of(lease)
        if holder == self._identity:
            return False
        self._may_hold = False
        if self._is_leader and holder:
            msg = f"lease {self._name} is held by {holder}"
            raise self._lost(msg)
        valid_s = lease_object.duration_of(lease, default_s=self._lease_duration_s)
        return bool(holder) and self._now() < self._changed_at + valid_s

    def _observe(self, lease: dict[str, Any]) -> None:
        if self._lease is None or not lease_object.is_same_record(lease, self._lease):
            self._changed_at = self._now()
        self._lease = lease

    def _lost(self, reason: str) -> LeadershipLost:
        self._is_leader = self._may_hold = False
        return LeadershipLost(reason)

    # ------------------------------------------------------------------ requests
    async def _claim(self, lease: dict[str, Any]) -> None:
        wanted = lease_object.claimed(
            lease,
            identity=self._identity,
            duration_s=self._lease_duration_s,
            now=self._wall_clock(),
        )
        await self._sent(self._client.replace(wanted))

    async def _create(self) -> None:
        wanted = lease_object.new(
            namespace=self._namespace,
            name=self._name,
            identity=self._identity,
            duration_s=self._lease_duration_s,
            now=self._wall_clock(),
        )
        await self._sent(self._client.create(wanted))

    async def _sent(self, call: Coroutine[Any, Any, dict[str, Any]]) -> None:
        """Make the call that claims the Lease, and count our validity from before it."""
        sent_at, before = self._now(), self._may_hold
        self._may_hold = True
        try:
            self._observe(await call)
        except (ConflictError, AlreadyExistsError):
            self._may_hold = before
            raise
        self._renewed_at = sent_at
        if self._watchdog is not None:
            self._watchdog.deadline = sent_at + self._watchdog_s


def _validate(identity: str, lease_s: float, renew_s: float, retry_s: float) -> None:
    if not identity:
        raise ValueError("the identity must not be empty")
    if not lease_s > renew_s > 1.2 * retry_s > 0:
        msg = (
            "need lease duration > renew deadline > 1.2 retry period > 0, "
            f"not {lease_s:g} > {renew_s:g} > 1.2 * {retry_s:g}"
        )
        raise ValueError(msg)


def _plain(
    errors: BaseExceptionGroup[BaseException],
) -> tuple[BaseException, BaseException | None]:
    """The loss of the Lease, with what came of it as its cause; else the only error, or all."""
    lost, others = errors.split(LeadershipLost)
    if lost is not None:
        return lost.exceptions[0], others
    error = errors.exceptions[0] if len(errors.exceptions) == 1 else errors
    return error, error.__cause__
