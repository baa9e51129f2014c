"""What Prometheus can ask about each cluster: values made from the last reconcile's status.

Counted in plain values and exported by a Collector, so that a deleted cluster leaves no series.
Metric names are an interface: docs/reference/metrics.md lists them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.membership import is_asleep
from controllers.cluster.membership_metrics import MembershipMetrics
from controllers.cluster.observed import Observed

_LABELS: Final = ("namespace", "name")
_ROLES: Final = ("leader", "follower", "learner")


@dataclass(frozen=True, slots=True)
class _Sample:
    desired: int
    status: ClusterStatus
    db_sizes: dict[str, int]
    has_quorum: bool
    seconds_since_quorum: float | None  # None: nobody expects it


@dataclass(slots=True)
class _Memory:
    """What a single observation can't tell."""

    quorum_seen: datetime
    leader: str = ""
    leader_changes: int = 0


class ClusterMetrics(Collector):
    """Per-cluster values, as of the last reconcile of each."""

    def __init__(self) -> None:
        self._samples: dict[str, _Sample] = {}
        self._memories: dict[str, _Memory] = {}
        self._membership = MembershipMetrics()

    def observe(self, observed: Observed, status: ClusterStatus) -> None:
        """Remember this cluster's newest values; `status` is what was made of the observation."""
        before = self._samples.get(observed.key)
        # Our own sample, because a status that could not be written comes a second time.
        self._membership.observe(before.status if before else observed.status, status, observed)
        memory = self._memories.setdefault(observed.key, _Memory(observed.now))
        if observed.etcd.members is not None:
            memory.quorum_seen = observed.now
        if status.leader and status.leader != memory.leader:
            memory.leader_changes += bool(memory.leader)
            memory.leader = status.leader
        self._samples[observed.key] = _Sample(
            desired=observed.spec.size if observed.spec else 0,
            status=status,
            db_sizes={name: s.db_size for name, s in observed.etcd.statuses.items()},
            has_quorum=observed.etcd.members is not None,
            seconds_since_quorum=_since_quorum(observed, memory),
        )

    def forget(self, key: str) -> None:
        """Drop the series of a cluster that is gone."""
        self._samples.pop(key, None)
        self._memories.pop(key, None)

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
        yield self._since_quorum()
        yield self._leader_changes()
        yield from self._membership.collect()
        yield self._conditions()
        yield self._members()
        yield self._db_sizes()
        yield self._certificates()

    def _gauge(self, name: str, text: str, value: Callable[[_Sample], int]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=_LABELS)
        for key, sample in self._samples.items():
            family.add_metric(_split(key), value(sample))
        return family

    def _since_quorum(self) -> Metric:
        family = GaugeMetricFamily(
            "etcd_operator_cluster_seconds_since_quorum",
            "Seconds from the last linearizable read that was answered to the last look; none"
            " before a cluster has formed and while it sleeps.",
            labels=_LABELS,
        )
        for key, sample in self._samples.items():
            if sample.seconds_since_quorum is not None:
                family.add_metric(_split(key), sample.seconds_since_quorum)
        return family

    def _leader_changes(self) -> Metric:
        family = CounterMetricFamily(
            "etcd_operator_cluster_leader_changes",
            "How often another member led than at the look before, since this operator started.",
            labels=_LABELS,
        )
        for key, memory in self._memories.items():
            family.add_metric(_split(key), memory.leader_changes)
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

    def _certificates(self) -> Metric:
        family = GaugeMetricFamily(
            "etcd_operator_certificate_expiration_timestamp_seconds",
            "When a certificate of the cluster expires, in seconds since 1970, by its Secret.",
            labels=(*_LABELS, "secret"),
        )
        for key, sample in self._samples.items():
            for one in sample.status.certificates:
                family.add_metric((*_split(key), one.secret), one.not_after.timestamp())
        return family


def _since_quorum(observed: Observed, memory: _Memory) -> float | None:
    if not observed.status.cluster_id or is_asleep(observed):
        memory.quorum_seen = observed.now  # counts from when it is expected again
        return None
    return (observed.now - memory.quorum_seen).total_seconds()


def _split(key: str) -> tuple[str, str]:
    namespace, _, name = key.partition("/")
    return namespace, name
