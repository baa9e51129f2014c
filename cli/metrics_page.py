"""Turns the collectors into docs/reference/metrics.md.  Called by hack/generate.py."""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import Metric

from controllers.backup.archive.metrics import ArchiveMetrics
from controllers.backup.metrics import BackupMetrics
from controllers.cluster.metrics import ClusterMetrics
from controllers.io_metrics import (
    CacheCollector,
    ChannelCollector,
    EtcdCallMetrics,
    RequestMetrics,
    ReviewMetrics,
)
from controllers.loop_lag import LoopLag
from controllers.metrics import ReconcileCollector
from controllers.restore.metrics import RestoreMetrics
from etcd.dialer import DirectDialer
from etcd.pool import ChannelPool
from informers.lease import ElectionStatistics
from informers.metrics import ElectionCollector, QueueCollector

HEAD = """# Metrics

Served at `/metrics` on `--metrics-bind`.
Generated from the collectors by `make generate`; do not edit.
Names of queues and reconciles are controller-runtime's, those of caches client-go's:
existing dashboards fit.
The process's own metrics (`process_*`, `python_*`) come on top.

| metric | type | labels | meaning |
|---|---|---|---|
"""


class _Election:
    def statistics(self) -> ElectionStatistics:
        return ElectionStatistics("", is_leader=False, slow_paths=0, remaining_s=0.0)


def render_page() -> str:
    """The page: one row per family."""
    return HEAD + "".join(sorted(_row(family) for family in _families()))


def _families() -> Iterator[Metric]:
    collectors = (
        BackupMetrics(),
        ArchiveMetrics(lambda: datetime.now(UTC)),  # noqa: TID251 - no sample asks for it
        RestoreMetrics(),
        ClusterMetrics(),
        QueueCollector(()),
        ReconcileCollector(()),
        CacheCollector(()),
        ChannelCollector(ChannelPool(DirectDialer())),
        RequestMetrics(),
        EtcdCallMetrics(),
        ReviewMetrics(),
        LoopLag(),
        ElectionCollector(_Election()),
    )
    for collector in collectors:
        yield from collector.collect()


def _row(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(getattr(family, "_labelnames", ()) or ())
    return f"| `{name}` | {family.type} | {labels} | {family.documentation} |\n"
