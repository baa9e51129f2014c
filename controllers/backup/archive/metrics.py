"""What Prometheus can ask about the changes: how much would be lost now.

By EtcdBackup, from the last reconcile of each; the seconds go on by the clock, so that silence
shows too. Metric names are an interface: docs/reference/metrics.md lists them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from api.conditions import ConditionType, find_condition
from api.v1alpha1.backup import BackupStatus
from controllers.backup.archive.plan import sleeps, wanted
from controllers.backup.archive.status import report_of
from controllers.backup.observed import Observed

_LABELS: Final = ("namespace", "cluster", "backup")


@dataclass(frozen=True, slots=True)
class _Sample:
    labels: tuple[str, str, str]
    archived: datetime
    revisions: int
    ready: bool


class ArchiveMetrics(Collector):
    """Values of every EtcdBackup with continuous.enabled whose cluster has members."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._samples: dict[str, _Sample] = {}

    def observe(self, observed: Observed, status: BackupStatus) -> None:
        """Remember how far it is; `status` is what was made of the observation."""
        spec = observed.spec
        if spec is None or wanted(spec) is None or sleeps(observed):
            self.forget(observed.key)
            return
        report, recorded = report_of(observed), status.archive
        told = report.time if report is not None else recorded and recorded.time
        ready = find_condition(status.conditions, ConditionType.ARCHIVER_READY)
        behind = 0
        if report is not None and report.revision is not None:
            behind = max(0, (report.cluster_revision or 0) - report.revision)
        self._samples[observed.key] = _Sample(
            labels=(observed.namespace, spec.cluster_name, observed.name),
            archived=told or observed.created,
            revisions=behind,
            ready=ready is not None and ready.status == "True",
        )

    def forget(self, key: str) -> None:
        """The EtcdBackup is gone, or asks for no changes."""
        self._samples.pop(key, None)

    @override
    def collect(self) -> Iterator[Metric]:
        """One family at a time, as Prometheus scrapes them."""
        now = self._now()
        yield self._gauge(
            "etcd_operator_backup_unarchived_seconds",
            "For how long changes are not in the store: what would be lost with the cluster now.",
            lambda one: max(0.0, (now - one.archived).total_seconds()),
        )
        yield self._gauge(
            "etcd_operator_backup_unarchived_revisions",
            "How many revisions the archiver has seen that are not in the store yet.",
            lambda one: one.revisions,
        )
        yield self._gauge(
            "etcd_operator_backup_archiver_ready",
            "Whether changes are kept as they come: the condition ArchiverReady.",
            lambda one: float(one.ready),
        )

    def _gauge(self, name: str, text: str, value: Callable[[_Sample], float]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=_LABELS)
        for sample in self._samples.values():
            family.add_metric(sample.labels, value(sample))
        return family
