"""Turns sleeps that took too long into a metric: how late the event loop runs what is due.

A late loop renews no lease and answers no probe; 50 ms is where to start asking why. It sleeps a
tenth of a second at a time, which costs a few hundredths of a percent of a core: a block shorter
than that is seen by sampling, a longer one always.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from informers.histogram import Histogram
from informers.metrics import add_histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

INTERVAL_S = 0.1
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The maximum is over the present and the last window of this length, so no scrape interval up to it
# misses a peak, and several scrapers see the same.
WINDOW_S = 60.0


class LoopLag(Collector):
    """Measures while `run` runs. clock: seconds, monotonic, not the loop's own on uvloop, which
    stands still while the loop is blocked.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._now = clock
        self._lags = Histogram(LAG_BUCKETS_S)
        self._window_ends = clock() + WINDOW_S
        self._max_s = self._last_max_s = 0.0

    @property
    def max_s(self) -> float:
        """The longest lag of the last one to two minutes, in seconds."""
        return max(self._max_s, self._last_max_s)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._now() + INTERVAL_S
            await asyncio.sleep(INTERVAL_S)
            self._observe(max(self._now() - due, 0.0))

    def _observe(self, lag_s: float) -> None:
        if self._now() >= self._window_ends:
            self._window_ends = self._now() + WINDOW_S
            self._last_max_s, self._max_s = self._max_s, 0.0
        self._max_s = max(self._max_s, lag_s)
        self._lags.observe(lag_s)

    def describe(self) -> Iterable[Metric]:
        """Nothing to check at registration: the names are only used here."""
        return ()

    @override
    def collect(self) -> Iterator[Metric]:
        lags = HistogramMetricFamily(
            "event_loop_lag_seconds", "How late the event loop ran what was due.", labels=()
        )
        add_histogram(lags, (), self._lags.snapshot())
        yield lags
        yield GaugeMetricFamily(
            "event_loop_lag_max_seconds",
            "The longest lag of the last one to two minutes.",
            value=self.max_s,
        )
