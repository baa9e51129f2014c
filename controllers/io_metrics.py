"""Counts what the operator asks of the API server and of etcd, what it is asked itself, and how its
caches fare.

Observers count in plain ints as calls end; collectors make Prometheus families of them at a scrape.
Reflector names follow client-go's; `rest_client_requests_total` is controller-runtime's.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from informers.histogram import Histogram
from informers.metrics import add_histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from etcd.pool import ChannelPool
    from informers.informer import InformerStatistics
    from informers.informer_set import InformerSet

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestMetrics(Collector):
    """Requests to the API server: an observer of the wire."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._durations: dict[str, Histogram] = {}

    def on_request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Count one finished request. `code`: the HTTP status, or what kept it from having one."""
        self._counts[verb, resource, code] += 1
        # A watch lasts for minutes by intent and would hide every other duration.
        if verb != "watch":
            self._durations.setdefault(verb, Histogram(_SECONDS)).observe(seconds)

    @override
    def collect(self) -> Iterator[Metric]:
        """The two families."""
        yield _counts(
            "rest_client_requests",
            "Requests to the API server.",
            ("verb", "resource", "code"),
            self._counts,
        )
        yield _durations(
            "rest_client_request_duration_seconds",
            "How long requests to the API server took, watches left out.",
            "verb",
            self._durations,
        )


class EtcdCallMetrics(Collector):
    """Calls to members: an observer of the channels."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._durations: dict[str, Histogram] = {}

    def on_call(self, rpc: str, code: str, seconds: float) -> None:
        """Count one finished call. `code`: gRPC's name of it."""
        self._counts[rpc, code] += 1
        self._durations.setdefault(rpc, Histogram(_SECONDS)).observe(seconds)

    @override
    def collect(self) -> Iterator[Metric]:
        """The two families."""
        yield _counts(
            "etcd_operator_etcd_calls", "Calls to etcd members.", ("rpc", "code"), self._counts
        )
        yield _durations(
            "etcd_operator_etcd_call_duration_seconds",
            "How long calls to etcd members took.",
            "rpc",
            self._durations,
        )


class ReviewMetrics(Collector):
    """Requests for admission: an observer of the admission server."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._durations: dict[str, Histogram] = {}

    def on_review(self, kind: str, operation: str, outcome: str, seconds: float) -> None:
        """Count one request. `outcome`: allowed, refused, unreadable, or failed."""
        self._counts[kind, operation, outcome] += 1
        self._durations.setdefault(kind, Histogram(_SECONDS)).observe(seconds)

    @override
    def collect(self) -> Iterator[Metric]:
        """The two families."""
        yield _counts(
            "etcd_operator_admission_requests",
            "Requests for admission.",
            ("kind", "operation", "outcome"),
            self._counts,
        )
        yield _durations(
            "etcd_operator_admission_duration_seconds",
            "How long requests for admission took.",
            "kind",
            self._durations,
        )


class ChannelCollector(Collector):
    """Open connections to members."""

    def __init__(self, pool: ChannelPool) -> None:
        self._pool = pool

    @override
    def collect(self) -> Iterator[Metric]:
        """One gauge."""
        family = GaugeMetricFamily("etcd_operator_etcd_channels", "Open channels to etcd members.")
        family.add_metric((), self._pool.statistics().channels)
        yield family


class CacheCollector(Collector):
    """The informers' caches and the watches that feed them."""

    def __init__(self, informers: Iterable[InformerSet]) -> None:
        self._informers = tuple(informers)

    @override
    def collect(self) -> Iterator[Metric]:
        """One family at a time."""
        seen = [each for informers in self._informers for each in informers.statistics()]
        yield _gauge("etcd_operator_cache_objects", "Objects held.", seen, lambda s: s.objects)
        yield _gauge(
            "etcd_operator_cache_synced",
            "1 once the first list is in.",
            seen,
            lambda s: s.has_synced,
        )
        yield _gauge(
            "etcd_operator_cache_failing",
            "1 while the newest list or watch failed.",
            seen,
            lambda s: s.failing_since_s is not None,
        )
        yield _counter("reflector_lists", "Lists.", seen, lambda s: s.reflector.lists)
        yield _counter("reflector_watches", "Watches.", seen, lambda s: s.reflector.watches)
        yield _counter(
            "reflector_short_watches",
            "Watches that ended at once.",
            seen,
            lambda s: s.reflector.short_watches,
        )


_Labels = TypeVar("_Labels", bound=tuple[str, ...])
_Seen = list["InformerStatistics"]


def _gauge(
    name: str, text: str, seen: _Seen, value: Callable[[InformerStatistics], float]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("resource", "namespace"))
    for each in seen:
        family.add_metric((each.resource, each.namespace), float(value(each)))
    return family


def _counter(
    name: str, text: str, seen: _Seen, value: Callable[[InformerStatistics], int]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=("resource", "namespace"))
    for each in seen:
        family.add_metric((each.resource, each.namespace), value(each))
    return family


def _counts(name: str, text: str, labels: tuple[str, ...], counts: Mapping[_Labels, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _durations(name: str, text: str, label: str, durations: dict[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=(label,))
    for value, histogram in durations.items():
        add_histogram(family, (value,), histogram.snapshot())
    return family
