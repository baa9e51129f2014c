"""Repeats a read that failed for a reason that passes, a few times and within a deadline.

For idempotent reads only (MemberList, Status, Range, alarms, HashKV). A change is repeated by the
next reconcile, after it has read what became of the first.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from etcd.errors import EtcdError, RetryableError, TransportCause, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Read(Protocol[T_co]):
    """A read that takes its deadline: `client.cluster.member_list` and its like."""

    def __call__(self, *, timeout_s: float) -> Awaitable[T_co]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """attempts: in all. Pauses: base_s doubling up to cap_s, each drawn from [half, whole]."""

    attempts: int = 3
    base_s: float = 0.1
    cap_s: float = 1.0

    def pause_s(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures. chance: in [0, 1). Pure."""
        whole = min(self.cap_s, self.base_s * 2.0 ** (failures - 1))
        return whole * (0.5 + chance / 2)


DEFAULT_POLICY = RetryPolicy()


async def retry_read(read: Read[T], *, timeout_s: float, policy: RetryPolicy = DEFAULT_POLICY) -> T:
    """Calls `read(timeout_s=...)` until it answers; `timeout_s` seconds for all of it.

    Raises the last EtcdError: at once when it isn't worth a repetition, else when attempts or time
    are used up. Cancelled: as `read`.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + timeout_s
    attempt = 0
    while True:
        attempt += 1
        try:
            return await read(timeout_s=end - clock())
        except EtcdError as failure:
            pause = policy.pause_s(attempt, random.random())  # noqa: S311 - jitter, not a secret
            spent = attempt >= policy.attempts or clock() + pause >= end
            if spent or not worth_repeating(failure):
                raise
        await asyncio.sleep(pause)


def worth_repeating(failure: EtcdError) -> bool:
    """May the same read succeed a little later? A failed handshake or our own deadline: no."""
    match failure:
        case RetryableError():
            return True
        case UnavailableError():
            return failure.cause not in {TransportCause.TLS, TransportCause.DEADLINE}
        case _:
            return False
