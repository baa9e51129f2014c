"""What Prometheus can ask about restores: values made from the last reconcile of each EtcdRestore.

By the cluster that is restored. Metric names are an interface: docs/reference/metrics.md lists
them.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from api.v1alpha1.restore import RestoreStatus
from controllers.restore.observed import Observed

_LABELS: Final = ("namespace", "cluster")
_PHASES: Final = ("Pending", "Examining", "Running", "Completed", "PutBack", "Failed")


class RestoreMetrics(Collector):
    """Restores by phase, and how many failed."""

    def __init__(self) -> None:
        self._phases: dict[str, tuple[tuple[str, str], str]] = {}
        self._failures: dict[tuple[str, str], int] = {}

    def observe(self, observed: Observed, status: RestoreStatus) -> None:
        """Remember this restore's newest phase; `status` is what was made of the observation."""
        if observed.spec is None:
            self.forget(observed.key)
            return
        cluster = (observed.namespace, observed.spec.cluster_name)
        was = self._phases.get(observed.key, (cluster, observed.status.phase))[1]
        failed = status.phase == "Failed" and was != "Failed"
        self._failures[cluster] = self._failures.get(cluster, 0) + failed
        self._phases[observed.key] = (cluster, status.phase)

    def forget(self, key: str) -> None:
        """The restore is gone."""
        gone = self._phases.pop(key, None)
        if gone is not None and all(cluster != gone[0] for cluster, _ in self._phases.values()):
            self._failures.pop(gone[0], None)

    @override
    def collect(self) -> Iterator[Metric]:
        """One family at a time, as Prometheus scrapes them."""
        failures = CounterMetricFamily(
            "etcd_operator_restore_failures",
            "Restores of the cluster that failed, since this operator started.",
            labels=_LABELS,
        )
        phases = GaugeMetricFamily(
            "etcd_operator_restores", "EtcdRestores by phase.", labels=(*_LABELS, "phase")
        )
        counts = Counter(self._phases.values())
        for cluster, count in self._failures.items():
            failures.add_metric(cluster, count)
            for phase in _PHASES:
                phases.add_metric((*cluster, phase), counts[cluster, phase])
        yield failures
        yield phases
