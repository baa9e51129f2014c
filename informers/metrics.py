"""Turns statistics of queues and electors into Prometheus families, at the moment of a scrape.

The hot paths count in plain ints and know nothing of Prometheus; whoever serves `/metrics`
registers these collectors. Names and labels are controller-runtime's, so its dashboards and alerts
fit: `controller` repeats `name`. Collecting must not wait, and must not change what it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from informers.histogram import HistogramSnapshot
    from informers.lease import ElectionStatistics
    from informers.queue import QueueStatistics

# Priorities come from code and so are few; a bug that makes them up must not fill the database.
MAX_PRIORITIES = 25
OVERFLOW_PRIORITY = "exceeded_cardinality_limit"

_LABELS = ("name", "controller")


class HasQueueStatistics(Protocol):
    def statistics(self) -> QueueStatistics: ...


class HasElectionStatistics(Protocol):
    def statistics(self) -> ElectionStatistics: ...


def add_histogram(
    family: HistogramMetricFamily, labels: Sequence[str], snapshot: HistogramSnapshot
) -> None:
    """Add one labelled histogram to a family."""
    bounds = [*(repr(bound) for bound in snapshot.bounds), "+Inf"]
    buckets = list(zip(bounds, map(float, snapshot.cumulative), strict=True))
    family.add_metric(labels, buckets=buckets, sum_value=snapshot.total)


class QueueCollector(Collector):
    """`workqueue_*` of all given queues; a queue's series exist with 0 from the start."""

    def __init__(self, queues: Iterable[HasQueueStatistics]) -> None:
        self._queues = tuple(queues)

    def describe(self) -> Iterable[Metric]:
        """Nothing to check at registration: the names are only used here."""
        return ()

    @override
    def collect(self) -> Iterator[Metric]:
        seen = [queue.statistics() for queue in self._queues]
        yield _depth(seen)
        yield from _counters(seen)
        yield from _histograms(seen)
        yield from _gauges(seen)


def _depth(seen: Sequence[QueueStatistics]) -> Metric:
    family = GaugeMetricFamily(
        "workqueue_depth",
        "Keys that are ready and wait for a worker.",
        labels=(*_LABELS, "priority"),
    )
    for queue in seen:
        by_priority = [(str(priority), keys) for priority, keys in queue.depth[:MAX_PRIORITIES]]
        if len(queue.depth) > MAX_PRIORITIES:
            rest = sum(keys for _, keys in queue.depth[MAX_PRIORITIES:])
            by_priority.append((OVERFLOW_PRIORITY, rest))
        for priority, keys in by_priority or [("0", 0)]:
            family.add_metric((queue.name, queue.name, priority), keys)
    return family


def _counters(seen: Sequence[QueueStatistics]) -> Iterator[Metric]:
    adds = CounterMetricFamily(
        "workqueue_adds", "Keys accepted, not counting those queued already.", labels=_LABELS
    )
    retries = CounterMetricFamily("workqueue_retries", "Adds with a delay.", labels=_LABELS)
    for queue in seen:
        adds.add_metric((queue.name, queue.name), queue.adds)
        retries.add_metric((queue.name, queue.name), queue.retries)
    yield adds
    yield retries


def _histograms(seen: Sequence[QueueStatistics]) -> Iterator[Metric]:
    waited = HistogramMetricFamily(
        "workqueue_queue_duration_seconds",
        "How long keys were ready before a worker took them.",
        labels=_LABELS,
    )
    worked = HistogramMetricFamily(
        "workqueue_work_duration_seconds", "How long workers kept keys.", labels=_LABELS
    )
    for queue in seen:
        add_histogram(waited, (queue.name, queue.name), queue.queue_duration)
        add_histogram(worked, (queue.name, queue.name), queue.work_duration)
    yield waited
    yield worked


def _gauges(seen: Sequence[QueueStatistics]) -> Iterator[Metric]:
    unfinished = GaugeMetricFamily(
        "workqueue_unfinished_work_seconds",
        "Ages of all keys now with workers, summed; growing for long means stuck workers.",
        labels=_LABELS,
    )
    longest = GaugeMetricFamily(
        "workqueue_longest_running_processor_seconds",
        "Age of the oldest key now with a worker.",
        labels=_LABELS,
    )
    for queue in seen:
        unfinished.add_metric((queue.name, queue.name), queue.unfinished_work_s)
        longest.add_metric((queue.name, queue.name), queue.longest_running_s)
    yield unfinished
    yield longest


class ElectionCollector(Collector):
    """`leader_election_*` of one elector, labelled with its Lease's name."""

    def __init__(self, elector: HasElectionStatistics) -> None:
        self._elector = elector

    def describe(self) -> Iterable[Metric]:
        """Nothing to check at registration: the names are only used here."""
        return ()

    @override
    def collect(self) -> Iterator[Metric]:
        seen = self._elector.statistics()
        status = GaugeMetricFamily(
            "leader_election_master_status", "1 while this process leads.", labels=("name",)
        )
        status.add_metric((seen.name,), int(seen.is_leader))
        yield status
        slow = CounterMetricFamily(
            "leader_election_slowpath",
            "Renewals that had to read the Lease first.",
            labels=("name",),
        )
        slow.add_metric((seen.name,), seen.slow_paths)
        yield slow
