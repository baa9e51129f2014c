"""What Prometheus can ask about each cluster: gauges made from the last reconcile's status.

Counted in plain values and exported by a Collector, so that a deleted cluster leaves no series.
Metric names are an interface: docs/reference/metrics.md lists them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.observed import Observed

_LABELS: Final = ("namespace", "name")
_ROLES: Final = ("leader", "follower", "learner")


@dataclass(frozen=True, slots=True)
class _Sample:
    desired: int
    status: ClusterStatus
    db_sizes: dict[str, int]
    has_quorum: bool


class ClusterMetrics(Collector):
    """Per-cluster gauges, as of the last reconcile of each."""

    def __init__(self) -> None:
        self._samples: dict[str, _Sample] = {}

    def observe(self, observed: Observed, status: ClusterStatus) -> None:
        """Remember this cluster's newest values."""
        self._samples[observed.key] = _Sample(
            desired=observed.spec.size if observed.spec else 0,
            status=status,
            db_sizes={name: s.db_size for name, s in observed.etcd.statuses.items()},
            has_quorum=observed.etcd.members is not None,
        )

    def forget(self, key: str) -> None:
        """Drop the series of a cluster that is gone."""
        self._samples.pop(key, None)

    @override
    def collect(self) -> Iterator[Metric]:
        """One family at a time, as Prometheus scrapes them."""
        yield self._gauge(
            "etcd_operator_cluster_size", "Members that the spec asks for.", lambda s: s.desired
        )
        yield self._gauge(
            "etcd_operator_cluster_ready_members",
            "Members that are healthy voters.",
            lambda s: s.status.ready_replicas,
        )
        yield self._gauge(
            "etcd_operator_cluster_has_quorum",
            "1 when a linearizable read was answered at the last look.",
            lambda s: int(s.has_quorum),
        )
        yield self._conditions()
        yield self._members()
        yield self._db_sizes()

    def _gauge(self, name: str, text: str, value: Callable[[_Sample], int]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=_LABELS)
        for key, sample in self._samples.items():
            family.add_metric(_split(key), value(sample))
        return family

    def _conditions(self) -> Metric:
        family = GaugeMetricFamily(
            "etcd_operator_cluster_condition",
            "1 when the condition is True, 0 when False, -1 when Unknown.",
            labels=(*_LABELS, "type", "reason"),
        )
        for key, sample in self._samples.items():
            for condition in sample.status.conditions:
                value = {"True": 1, "False": 0}.get(condition.status, -1)
                family.add_metric((*_split(key), condition.type, condition.reason), value)
        return family

    def _members(self) -> Metric:
        family = GaugeMetricFamily(
            "etcd_operator_cluster_members", "Members by role.", labels=(*_LABELS, "role")
        )
        for key, sample in self._samples.items():
            for role in _ROLES:
                count = sum(member.role == role for member in sample.status.members)
                family.add_metric((*_split(key), role), count)
        return family

    def _db_sizes(self) -> Metric:
        family = GaugeMetricFamily(
            "etcd_operator_member_db_size_bytes",
            "Size of a member's database at the last look.",
            labels=(*_LABELS, "member"),
        )
        for key, sample in self._samples.items():
            for member, size in sample.db_sizes.items():
                family.add_metric((*_split(key), member), size)
        return family


def _split(key: str) -> tuple[str, str]:
    namespace, _, name = key.partition("/")
    return namespace, name
