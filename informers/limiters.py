"""Turns "this key failed again" into "try it in so many seconds".

The work queue asks a limiter on every `add_rate_limited`. Limiters are pure in time: they get `now`
(seconds on any monotonic clock) as an argument and never sleep, schedule or log.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
K_contra = TypeVar("K_contra", bound="Hashable", contravariant=True)

# 5 ms doubled 18 times passes 1000 s; a larger exponent would only overflow the float.
_MAX_EXPONENT = 60


class Limiter(Protocol[K_contra]):
    """How long a failed key has to wait, and how often it has failed."""

    def delay_s(self, key: K_contra, now: float) -> float:
        """Count one failure of `key` and return its wait in seconds, ≥ 0."""
        ...

    def forget(self, key: K_contra) -> None:
        """Drop all that is remembered of `key`: its next failure is its first again."""
        ...

    def failures(self, key: K_contra) -> int:
        """Failures of `key` since the last `forget`."""
        ...


class ItemBackoff(Generic[K]):
    """Each key on its own: min(base·2^n, max) seconds, n = failures before this one.

    The wait is shortened at random by up to `jitter` of itself, so that keys that failed together
    do not come back together; it is never longer than the formula.
    """

    def __init__(
        self,
        *,
        base_s: float = 0.005,
        max_s: float = 1000.0,
        jitter: float = 0.1,
        rng: random.Random | None = None,
    ) -> None:
        self._base_s = base_s
        self._max_s = max_s
        self._jitter = jitter
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, protects nothing
        self._failures: dict[K, int] = {}

    def delay_s(self, key: K, now: float) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait_s = min(self._base_s * 2.0 ** min(failures, _MAX_EXPONENT), self._max_s)
        return wait_s * (1.0 - self._jitter * self._rng.random())

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)


class TokenBucket(Generic[K]):
    """All keys together: `rate_per_s` retries a second after a burst of `burst`.

    A token is reserved at once, also when it lies in the future: the wait is the time until that
    token exists, so retries line up behind each other instead of all waking at the same moment.
    """

    def __init__(self, *, rate_per_s: float = 10.0, burst: int = 100) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_at: float | None = None

    def delay_s(self, key: K, now: float) -> float:
        if self._filled_at is not None:
            gained = max(now - self._filled_at, 0.0) * self._rate_per_s
            self._tokens = min(self._tokens + gained, self._burst)
        self._filled_at = now
        self._tokens -= 1.0
        return max(-self._tokens / self._rate_per_s, 0.0)

    def forget(self, key: K) -> None:
        """A spent token stays spent."""

    def failures(self, key: K) -> int:
        return 0


class SlowestOf(Generic[K]):
    """The longest wait of several limiters; all of them count the failure, the losers too."""

    def __init__(self, *limiters: Limiter[K]) -> None:
        self._limiters = limiters

    def delay_s(self, key: K, now: float) -> float:
        return max([limiter.delay_s(key, now) for limiter in self._limiters])

    def forget(self, key: K) -> None:
        for limiter in self._limiters:
            limiter.forget(key)

    def failures(self, key: K) -> int:
        return max(limiter.failures(key) for limiter in self._limiters)


def default_limiter() -> SlowestOf[K]:
    """client-go's classic default: 5 ms … 1000 s per key, and 10 retries a second overall."""
    return SlowestOf[K](ItemBackoff[K](), TokenBucket[K]())
