"""Counts changes of membership that are complete, and how long they took.  Used by `metrics`.

What changed is read from two successive statuses of a cluster.  Over all clusters in one, so that
no series comes and goes with a cluster.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from api.v1alpha1.cluster_status import ClusterStatus, JoiningMember
from controllers.cluster.membership import replaces, voters_of
from controllers.cluster.observed import Observed
from informers.histogram import Histogram
from informers.metrics import add_histogram

# From an empty member that starts at once, to one whose deadline (a day at most) ends.
_BUCKETS_S: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_JOINS: Final = ("scale-out", "replace")
_SCALE_IN: Final = "scale-in"
_DONE: Final = "succeeded"
_OUTCOMES: Final = (_DONE, "withdrawn", "canceled")


@dataclass(frozen=True, slots=True)
class _Ended:
    kind: str
    outcome: str
    duration_s: float | None


class MembershipMetrics:
    """Every series exists with 0 from the start: a rate needs a point to start from."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[str, str]]()
        self._durations = {kind: Histogram(_BUCKETS_S) for kind in _JOINS}

    def observe(self, old: ClusterStatus, new: ClusterStatus, observed: Observed) -> None:
        """Count what ended between these two statuses."""
        ended = _ended(old, new, observed)
        if ended is None:
            return
        self._counts[ended.kind, ended.outcome] += 1
        if ended.duration_s is not None:
            self._durations[ended.kind].observe(ended.duration_s)

    def collect(self) -> Iterator[Metric]:
        """Two families."""
        operations = CounterMetricFamily(
            "etcd_operator_membership_operations",
            "Changes of membership that ended: members added, replaced, taken away.",
            labels=("kind", "outcome"),
        )
        pairs = [(kind, outcome) for kind in _JOINS for outcome in _OUTCOMES]
        for kind, outcome in (*pairs, (_SCALE_IN, _DONE)):
            operations.add_metric((kind, outcome), self._counts[kind, outcome])
        yield operations
        durations = HistogramMetricFamily(
            "etcd_operator_membership_duration_seconds",
            "From the decision that a member joins or is replaced until it votes.",
            labels=("kind",),
        )
        for kind, histogram in self._durations.items():
            add_histogram(durations, (kind,), histogram.snapshot())
        yield durations


def _ended(old: ClusterStatus, new: ClusterStatus, observed: Observed) -> _Ended | None:
    if old.joining is not None:
        goes_on = new.joining is not None and new.joining.name == old.joining.name
        return None if goes_on else _join(old.joining, old, new, observed)
    if old.cluster_id and len(voters_of(new)) < len(voters_of(old)):
        return _Ended(_SCALE_IN, _DONE, None)
    return None


def _join(
    joined: JoiningMember, old: ClusterStatus, new: ClusterStatus, observed: Observed
) -> _Ended:
    kind = "replace" if replaces(joined) else "scale-out"
    if new.withdrawn is not None and new.withdrawn != old.withdrawn:
        return _Ended(kind, "withdrawn", None)
    wanted = observed.applied.size if observed.applied else 0
    if not joined.id or joined.ordinal >= wanted or joined.ordinal not in voters_of(new):
        return _Ended(kind, "canceled", None)
    return _Ended(kind, _DONE, (observed.now - joined.since).total_seconds())
