"""Builds the operator from its parts: who reads what, who wakes whom, who is measured.

Called once by `cli.run`, on the running loop.  Nothing is started here.
"""

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from api.labels import (
    BACKUP_UID_LABEL,
    CLUSTER_UID_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    RESTORE_UID_LABEL,
    SCHEDULE_UID_LABEL,
)
from cli.admission import Admission, assemble_admission
from cli.environment import discover_cluster_domain
from cli.etcd_dialer import make_dialer, make_pages, runs_inside
from cli.settings import Settings
from controllers.backup.archive.metrics import ArchiveMetrics
from controllers.backup.metrics import BackupMetrics
from controllers.backup.observe import BY_BACKUP_UID, BY_SCHEDULE_UID
from controllers.backup.observe import Sources as BackupSources
from controllers.backup.reconciler import BackupReconciler
from controllers.bind import parse_bind
from controllers.cluster.known_backups import BY_CLUSTER_NAME, by_cluster_name
from controllers.cluster.metrics import ClusterMetrics
from controllers.cluster.observe import BY_CLUSTER_UID, Sources
from controllers.cluster.read_auth import AuthReader
from controllers.cluster.read_certificates import CertificateReader
from controllers.cluster.reconciler import ClusterReconciler
from controllers.cluster_scope import ClusterScope
from controllers.events import EventRecorder
from controllers.http import HttpServer
from controllers.io_metrics import (
    CacheCollector,
    ChannelCollector,
    EtcdCallMetrics,
    RequestMetrics,
)
from controllers.loop_lag import LoopLag
from controllers.manager import Manager
from controllers.metrics import ReconcileCollector, new_registry
from controllers.metrics_auth import MetricsAuth
from controllers.resources import (
    BACKUPS,
    CLAIMS,
    CLUSTERS,
    DEPLOYMENTS,
    JOBS,
    OWNED,
    PODS,
    RESTORES,
)
from controllers.restore.metrics import RestoreMetrics
from controllers.restore.observe import (
    BY_BACKUP,
    BY_CLUSTER,
    BY_RESTORE_UID,
    by_backup,
    by_cluster,
)
from controllers.restore.observe import Sources as RestoreSources
from controllers.restore.reconciler import RestoreReconciler
from controllers.runtime import Controller
from controllers.serving_certificate import ServingCertificate
from controllers.wiring import BY_UID, EnqueueIndexed, EnqueueOwner, EnqueueSelf, by_uid, naming
from etcd.pool import ChannelPool
from informers.expectations import OwnWrites
from informers.informer_set import InformerSet
from informers.lease import LeaderElector, Unelected, make_identity
from informers.metrics import ElectionCollector, QueueCollector
from informers.queue import WorkQueue
from informers.resource import Resource
from informers.store import Indexer, by_label
from informers.wire import KubeApi

LEASE_NAME: Final = "etcd-operator"
# A reconcile is a handful of calls with deadlines of their own; this ends one that is stuck anyway.
_RECONCILE_TIMEOUT_S: Final = 60.0

Informers = Mapping[Resource, InformerSet]
Queues = Mapping[str, WorkQueue[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What `cli.run` runs, and what it has to close afterwards."""

    manager: Manager
    channels: ChannelPool


def assemble(settings: Settings, api: KubeApi, requests: RequestMetrics) -> Operator:
    """All parts, connected. Raises ValueError for a bind that is none, ConfigurationError without
    a certificate that was asked for.
    """
    etcd_calls, lag = EtcdCallMetrics(), LoopLag()
    cluster_metrics = ClusterMetrics()
    backup_metrics, restore_metrics = BackupMetrics(), RestoreMetrics()
    archive_metrics = ArchiveMetrics(_now)
    channels = ChannelPool(make_dialer(settings, api), observer=etcd_calls)
    informers = _informers(settings, api)
    elector = _elector(settings, api)
    shared = _Shared(api=api, elector=elector, channels=channels)
    queues = {
        resource.plural: WorkQueue[str](resource.kind.lower(), clock=time.monotonic)
        for resource in (CLUSTERS, BACKUPS, RESTORES)
    }
    controllers = (
        _cluster_controller(settings, shared, queues, informers, cluster_metrics),
        _backup_controller(
            settings, shared, queues, informers, backup_metrics, archive_metrics=archive_metrics
        ),
        _restore_controller(settings, shared, queues, informers, restore_metrics),
    )
    admission = assemble_admission(settings, api, informers[CLAIMS], _now)
    registry = new_registry()
    for collector in (
        QueueCollector(queues.values()),
        ReconcileCollector(controller.counts for controller in controllers),
        CacheCollector(informers.values()),
        ChannelCollector(channels),
        requests,
        etcd_calls,
        cluster_metrics,
        backup_metrics,
        archive_metrics,
        restore_metrics,
        lag,
        *([ElectionCollector(elector)] if isinstance(elector, LeaderElector) else []),
        *([admission.metrics] if admission else []),
    ):
        registry.register(collector)
    manager = Manager(
        caches={resource.plural: cache for resource, cache in informers.items()},
        controllers=controllers,
        elector=elector,
        servers=(
            _server(settings, registry, informers, elector, api=api, admission=admission),
            *([admission.server] if admission else []),
        ),
        tasks={
            "event loop lag": lag.run,
            **({"webhook certificate": admission.keeper.run} if admission else {}),
        },
    )
    return Operator(manager=manager, channels=channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What every reconciler needs."""

    api: KubeApi
    elector: LeaderElector | Unelected
    channels: ChannelPool

    def remaining_s(self) -> float:
        """Seconds for which writes are still covered by our Lease."""
        return self.elector.remaining_s


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one clock on the wall; reconcilers pass it on


def _informers(settings: Settings, api: KubeApi) -> Informers:
    """One for each resource. Of what is not our own kind, only objects with our label."""
    of_backups = {BY_SCHEDULE_UID: by_label(SCHEDULE_UID_LABEL), BY_CLUSTER_NAME: by_cluster_name}
    of_restores: dict[str, Indexer] = {BY_CLUSTER: by_cluster, BY_BACKUP: by_backup}
    indexes: dict[Resource, dict[str, Indexer]] = {
        CLUSTERS: {},
        BACKUPS: of_backups,
        RESTORES: of_restores,
    }
    ours = {
        resource: InformerSet(
            api, resource, namespaces=settings.namespace, indexers={BY_UID: by_uid, **more}
        )
        for resource, more in indexes.items()
    }
    made = {
        resource: InformerSet(
            api,
            resource,
            namespaces=settings.namespace,
            label_selector=f"{MANAGED_BY_LABEL}={MANAGED_BY}",
            indexers={
                BY_CLUSTER_UID: by_label(CLUSTER_UID_LABEL),
                BY_BACKUP_UID: by_label(BACKUP_UID_LABEL),
                BY_RESTORE_UID: by_label(RESTORE_UID_LABEL),
            },
        )
        for resource in (*OWNED, PODS, CLAIMS, JOBS, DEPLOYMENTS)
    }
    return {**ours, **made}


def _elector(settings: Settings, api: KubeApi) -> LeaderElector | Unelected:
    if not settings.leader_elect:
        return Unelected()
    return LeaderElector(
        api,
        namespace=settings.leader_elect_namespace or api.namespace,
        name=LEASE_NAME,
        identity=make_identity(),
    )


def _cluster_controller(
    settings: Settings,
    shared: _Shared,
    queues: Queues,
    informers: Informers,
    metrics: ClusterMetrics,
) -> Controller:
    queue = queues[CLUSTERS.plural]
    sources = Sources(
        api=shared.api,
        outside=ClusterScope(shared.api),
        informers=informers,
        channels=shared.channels,
        certificates=CertificateReader(shared.api),
        auth=AuthReader(shared.api),
        cluster_domain=settings.cluster_domain or discover_cluster_domain(),
        operator_namespace=shared.api.namespace if runs_inside(settings, os.environ) else "",
        image=settings.image,
    )
    reconciler = ClusterReconciler(
        sources,
        own_writes=OwnWrites(clock=time.monotonic),
        events=EventRecorder(shared.api),
        metrics=metrics,
        now=_now,
        remaining_s=shared.remaining_s,
    )
    handlers = {
        CLUSTERS.plural: informers[CLUSTERS].add_handler(EnqueueSelf(queue)),
        BACKUPS.plural: informers[BACKUPS].add_handler(EnqueueIndexed(queue, by_cluster_name)),
    }
    for resource in (*OWNED, PODS, CLAIMS):
        handler = EnqueueOwner(queue, informers[CLUSTERS], label=CLUSTER_UID_LABEL)
        handlers[resource.plural] = informers[resource].add_handler(handler)
    return Controller(
        CLUSTERS.kind.lower(),
        queue,
        reconciler,
        workers=settings.workers,
        sources=handlers,
        timeout_s=_RECONCILE_TIMEOUT_S,
    )


def _backup_controller(
    settings: Settings,
    shared: _Shared,
    queues: Queues,
    informers: Informers,
    metrics: BackupMetrics,
    *,
    archive_metrics: ArchiveMetrics,
) -> Controller:
    queue, backups = queues[BACKUPS.plural], informers[BACKUPS]
    reconciler = BackupReconciler(
        BackupSources(
            informers=informers, image=settings.image, pages=make_pages(settings, shared.api)
        ),
        shared.api,
        own_writes=OwnWrites(clock=time.monotonic),
        events=EventRecorder(shared.api),
        metrics=metrics,
        archive_metrics=archive_metrics,
        now=_now,
        remaining_s=shared.remaining_s,
    )
    handlers = {
        BACKUPS.plural: backups.add_handler(EnqueueSelf(queue)),
        "children": backups.add_handler(EnqueueOwner(queue, backups, label=SCHEDULE_UID_LABEL)),
    }
    for resource in (JOBS, PODS, DEPLOYMENTS):
        handler = EnqueueOwner(queue, backups, label=BACKUP_UID_LABEL)
        handlers[resource.plural] = informers[resource].add_handler(handler)
    return Controller(
        BACKUPS.kind.lower(),
        queue,
        reconciler,
        sources=handlers,
        timeout_s=_RECONCILE_TIMEOUT_S,
    )


def _restore_controller(
    settings: Settings,
    shared: _Shared,
    queues: Queues,
    informers: Informers,
    metrics: RestoreMetrics,
) -> Controller:
    queue, restores = queues[RESTORES.plural], informers[RESTORES]
    reconciler = RestoreReconciler(
        RestoreSources(informers=informers, image=settings.image),
        shared.api,
        own_writes=OwnWrites(clock=time.monotonic),
        events=EventRecorder(shared.api),
        metrics=metrics,
        now=_now,
        remaining_s=shared.remaining_s,
    )
    handlers = {RESTORES.plural: restores.add_handler(EnqueueSelf(queue))}
    for resource, index in ((CLUSTERS, BY_CLUSTER), (BACKUPS, BY_BACKUP)):
        handler = EnqueueIndexed(queue, naming(restores, index))
        handlers[resource.plural] = informers[resource].add_handler(handler)
    for resource in (JOBS, PODS):
        owned = EnqueueOwner(queue, restores, label=RESTORE_UID_LABEL)
        handlers[resource.plural] = informers[resource].add_handler(owned)
    return Controller(
        RESTORES.kind.lower(),
        queue,
        reconciler,
        sources=handlers,
        timeout_s=_RECONCILE_TIMEOUT_S,
    )


def _server(
    settings: Settings,
    registry: CollectorRegistry,
    informers: Informers,
    elector: LeaderElector | Unelected,
    *,
    api: KubeApi,
    admission: Admission | None,
) -> HttpServer:
    """Ready once all caches are in and a webhook could answer; alive while a leader's Lease is
    valid.
    """
    certificate = {"webhook-certificate": admission.keeper.check} if admission else {}
    folder = settings.metrics_cert_dir
    return HttpServer(
        health=parse_bind(settings.health_bind),
        metrics=parse_bind(settings.metrics_bind),
        registry=registry,
        live={"leader-election": elector.check} if isinstance(elector, LeaderElector) else {},
        ready={
            f"cache-{resource.plural}": functools.partial(_check_synced, cache)
            for resource, cache in informers.items()
        }
        | certificate,
        tls=ServingCertificate(Path(folder)).context if folder else None,
        auth=MetricsAuth(api) if settings.metrics_auth else None,
    )


def _check_synced(cache: InformerSet) -> None:
    if not cache.has_synced:
        raise NotSyncedError(str(cache.last_error or "the first list is not in yet"))


class NotSyncedError(Exception):
    """A cache has not been filled yet."""
