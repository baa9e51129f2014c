"""Failures in a row into growing, jittered delays. Pure but for the random source given to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


@dataclass(slots=True)
class Backoff:
    """Delays that double from `base_s` to `cap_s`, each stretched at random by up to itself.

    By default they lie in [0.8, 1.6), [1.6, 3.2), ... [30, 60) seconds: client-go's figures. After
    `reset_after_s` without a failure, counted from the end of the last delay, the first delay is
    the short one again; so attempts never come oftener, in the long run, than one in the shorter of
    `reset_after_s` and 1.5 times `cap_s`.
    """

    random: random.Random
    base_s: float = 0.8
    cap_s: float = 30.0
    reset_after_s: float = 120.0
    _next_s: float = 0.0
    _failed_at: float = 0.0

    def delay_s(self, now: float) -> float:
        """How long to wait after a failure at `now` (seconds, monotonic)."""
        if self._next_s == 0.0 or now - self._failed_at > self.reset_after_s:
            self._next_s = self.base_s
        delay_s = self._next_s * (1.0 + self.random.random())
        self._next_s = min(self._next_s * 2, self.cap_s)
        self._failed_at = now + delay_s
        return delay_s
