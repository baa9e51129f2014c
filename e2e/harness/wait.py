"""Waiting for a condition, with a limit: the only ways in which these tests wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 0.8


class UnavailableError(Exception):
    """What was asked does not answer now. `until` asks again."""


class TimedOutError(AssertionError):
    """A condition did not come true within its limit."""


async def until(what: str, probe: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """The first answer of `probe` that is true. `what` completes "waited for ..."."""
    end = time.monotonic() + within_s
    pause_s = FIRST_PAUSE_S
    while True:
        seen: object
        try:
            answer = await probe()
        except UnavailableError as unavailable:
            seen = unavailable
        else:
            if answer:
                return answer
            seen = answer
        if time.monotonic() > end:
            raise TimedOutError(f"waited {within_s:.0f} s for {what}; last seen: {seen!r}")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


async def never(
    what: str, probe: Callable[[], Awaitable[object]], *, for_s: float, every_s: float = 0.3
) -> None:
    """Looks again and again for `for_s` seconds; fails at the first true answer of `probe`."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        try:
            seen = await probe()
        except UnavailableError:
            seen = None
        assert not seen, f"{what}: {seen!r}"
        await asyncio.sleep(every_s)
