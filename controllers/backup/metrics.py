"""What Prometheus can ask about backups: values made from the last reconcile of each EtcdBackup.

By the cluster that was saved, so that an alert on the age of the last backup outlives every single
EtcdBackup. Metric names are an interface: docs/reference/metrics.md lists them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from api.v1alpha1.backup import BackupStatus
from controllers.backup.observed import Observed

_LABELS: Final = ("namespace", "cluster")
_PHASES: Final = ("Pending", "Running", "Completed", "Failed")


@dataclass(frozen=True, slots=True)
class _Sample:
    cluster: tuple[str, str]
    status: BackupStatus


class BackupMetrics(Collector):
    """Values of the backups that are taken once; those of a schedule are its children."""

    def __init__(self) -> None:
        self._samples: dict[str, _Sample] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._wanting: dict[tuple[str, str], int] = {}

    def observe(self, observed: Observed, status: BackupStatus) -> None:
        """Remember this backup's newest values; `status` is what was made of the observation."""
        if observed.spec is None or observed.spec.schedule is not None:
            self.forget(observed.key)
            return
        cluster = (observed.namespace, observed.spec.cluster_name)
        before = self._samples.get(observed.key)
        was = before.status.phase if before else observed.status.phase
        failed = status.phase == "Failed" and was != "Failed"
        self._failures[cluster] = self._failures.get(cluster, 0) + failed
        tried = status.verified is not None and status.verified != observed.status.verified
        not_passed = tried and status.verified is not None and status.verified.result != "Passed"
        self._wanting[cluster] = self._wanting.get(cluster, 0) + not_passed
        self._samples[observed.key] = _Sample(cluster, status)

    def forget(self, key: str) -> None:
        """The backup is gone; its cluster's last backup is then an earlier one."""
        sample = self._samples.pop(key, None)
        if sample is not None and all(s.cluster != sample.cluster for s in self._samples.values()):
            self._failures.pop(sample.cluster, None)
            self._wanting.pop(sample.cluster, None)

    @override
    def collect(self) -> Iterator[Metric]:
        """One family at a time, as Prometheus scrapes them."""
        last = self._last_completed()
        yield _gauge(
            "etcd_operator_backup_last_success_timestamp_seconds",
            "When the newest completed backup of the cluster was completed, in seconds since 1970.",
            last,
            lambda status: status.completion_time.timestamp() if status.completion_time else 0,
        )
        yield _gauge(
            "etcd_operator_backup_last_duration_seconds",
            "How long the newest completed backup took.",
            last,
            _duration_s,
        )
        yield _gauge(
            "etcd_operator_backup_last_size_bytes",
            "Bytes of the newest completed backup, in the store.",
            last,
            lambda status: status.backup_size or 0,
        )
        yield _gauge(
            "etcd_operator_backup_last_verified_timestamp_seconds",
            "When a backup of the cluster was last restored and found to be what was saved, in"
            " seconds since 1970.",
            self._last_verified(),
            lambda status: status.verified.time.timestamp() if status.verified else 0,
        )
        yield _counter(
            "etcd_operator_backup_failures",
            "Backups of the cluster that failed, since this operator started.",
            self._failures,
        )
        yield _counter(
            "etcd_operator_backup_verification_failures",
            "Verifications of the cluster's backups that found them wanting or could not be done,"
            " since this operator started.",
            self._wanting,
        )
        yield self._phases()

    def _last_completed(self) -> dict[tuple[str, str], BackupStatus]:
        last: dict[tuple[str, str], BackupStatus] = {}
        for sample in self._samples.values():
            completed = sample.status.completion_time
            best = last.get(sample.cluster)
            if sample.status.phase != "Completed" or completed is None:
                continue
            if best is None or best.completion_time is None or best.completion_time < completed:
                last[sample.cluster] = sample.status
        return last

    def _last_verified(self) -> dict[tuple[str, str], BackupStatus]:
        last: dict[tuple[str, str], BackupStatus] = {}
        for sample in self._samples.values():
            found = sample.status.verified
            if found is None or found.result != "Passed":
                continue
            best = last.get(sample.cluster)
            if best is None or best.verified is None or best.verified.time < found.time:
                last[sample.cluster] = sample.status
        return last

    def _phases(self) -> Metric:
        family = GaugeMetricFamily(
            "etcd_operator_backups", "EtcdBackups by phase.", labels=(*_LABELS, "phase")
        )
        counts = Counter((one.cluster, one.status.phase) for one in self._samples.values())
        for cluster in self._failures:
            for phase in _PHASES:
                family.add_metric((*cluster, phase), counts[cluster, phase])
        return family


def _gauge(
    name: str,
    text: str,
    last: Mapping[tuple[str, str], BackupStatus],
    value: Callable[[BackupStatus], float],
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=_LABELS)
    for cluster, status in last.items():
        family.add_metric(cluster, value(status))
    return family


def _counter(name: str, text: str, counts: Mapping[tuple[str, str], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=_LABELS)
    for cluster, count in counts.items():
        family.add_metric(cluster, count)
    return family


def _duration_s(status: BackupStatus) -> float:
    if status.start_time is None or status.completion_time is None:
        return 0
    return (status.completion_time - status.start_time).total_seconds()
