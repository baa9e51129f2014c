"""Turns what the worker loops count into Prometheus families, at the moment of a scrape.

Counts are plain ints on the hot path. Names are controller-runtime's, so that its dashboards and
alerts fit; every series exists with 0 before the first run, as a rate needs a point to start from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from informers.histogram import Histogram
from informers.metrics import add_histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

RESULTS = ("success", "error", "requeue", "requeue_after")

# A reconcile is a few API calls: interesting from milliseconds to the per-reconcile timeout.
RECONCILE_BUCKETS_S = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0, 15.0, 30.0, 60.0),
)


def new_registry() -> CollectorRegistry:
    """A registry with the process's own metrics (memory, CPU, files, GC), for `/metrics`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@dataclass(slots=True)
class ReconcileCounts:
    """What one controller counts; written by its worker loop only.

    panics: errors that are bugs of ours. timeouts: runs ended by our own time limit. terminal:
    errors that are not retried.
    """

    controller: str
    workers: int
    results: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    panics: int = 0
    timeouts: int = 0
    terminal: int = 0
    active: int = 0
    duration: Histogram = field(default_factory=lambda: Histogram(RECONCILE_BUCKETS_S))


class ReconcileCollector(Collector):
    """`controller_runtime_*` of all given controllers."""

    def __init__(self, counts: Iterable[ReconcileCounts]) -> None:
        self._counts = tuple(counts)

    def describe(self) -> Iterable[Metric]:
        """Nothing to check at registration: the names are only used here."""
        return ()

    @override
    def collect(self) -> Iterator[Metric]:
        yield self._totals()
        yield self._durations()
        yield self._counter(
            "reconcile_errors", "Reconciles that failed.", lambda each: each.results["error"]
        )
        yield self._counter(
            "reconcile_panics", "Reconciles that failed by a bug.", lambda each: each.panics
        )
        yield self._counter(
            "reconcile_timeouts",
            "Reconciles ended by their time limit.",
            lambda each: each.timeouts,
        )
        yield self._counter(
            "terminal_reconcile_errors",
            "Reconciles that failed for good and are not retried.",
            lambda each: each.terminal,
        )
        yield self._gauge(
            "max_concurrent_reconciles", "Number of workers.", lambda each: each.workers
        )
        yield self._gauge("active_workers", "Workers now reconciling.", lambda each: each.active)

    def _totals(self) -> Metric:
        family = CounterMetricFamily(
            "controller_runtime_reconcile", "Reconciles.", labels=("controller", "result")
        )
        for each in self._counts:
            for result, count in each.results.items():
                family.add_metric((each.controller, result), count)
        return family

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "controller_runtime_reconcile_time_seconds",
            "How long reconciles took.",
            labels=("controller",),
        )
        for each in self._counts:
            add_histogram(family, (each.controller,), each.duration.snapshot())
        return family

    def _counter(self, name: str, text: str, value: Callable[[ReconcileCounts], int]) -> Metric:
        family = CounterMetricFamily(f"controller_runtime_{name}", text, labels=("controller",))
        for each in self._counts:
            family.add_metric((each.controller,), value(each))
        return family

    def _gauge(self, name: str, text: str, value: Callable[[ReconcileCounts], int]) -> Metric:
        family = GaugeMetricFamily(f"controller_runtime_{name}", text, labels=("controller",))
        for each in self._counts:
            family.add_metric((each.controller,), value(each))
        return family
