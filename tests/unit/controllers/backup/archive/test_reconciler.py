"""When an EtcdBackup is looked at again: a pod never tells by itself how far it is, and nothing
tells of members that come.
"""

from __future__ import annotations

import asyncio

import pytest

from controllers.backup.archive.metrics import ArchiveMetrics
from controllers.backup.metrics import BackupMetrics
from controllers.backup.observe import Sources
from controllers.backup.reconciler import BackupReconciler
from controllers.events import EventRecorder
from controllers.resources import BACKUPS, CLUSTERS, DEPLOYMENTS, JOBS, PODS
from informers.expectations import OwnWrites
from tests.unit.controllers.backup.archive.builders import deployment
from tests.unit.controllers.backup.builders import LOCAL, NOW, UID, cluster

pytestmark = pytest.mark.looptime

LOOKED_AT_WITHIN_S = 12.0


class Held:
    """An informer that holds these, whatever index is asked."""

    def __init__(self, *held):
        self.held = held

    def get(self, key):
        return next((one for one in self.held if key.endswith(one["metadata"]["name"])), None)

    def by_index(self, _index, _value):
        return self.held


class NoPages:
    """No pod answers."""

    async def get(self, **_call):
        raise AssertionError("no pod is there to be asked")


@pytest.fixture
def reconciled(server, api):
    """Reconciles an EtcdBackup once; returns the seconds until it is looked at again."""

    async def once(*, clusters=(), deployments=(), **fields):
        spec = {"clusterName": "db", **LOCAL, "schedule": "0 2 * * *", **fields}
        metadata = {"name": "nightly", "uid": UID, "generation": 1}
        created = {"creationTimestamp": "2026-03-01T11:55:30Z", "namespace": "prod"}
        obj = server.put(
            BACKUPS.path("prod", "nightly"), {"metadata": metadata | created, "spec": spec}
        )
        informers = {resource: Held() for resource in (BACKUPS, JOBS, PODS)}
        informers |= {CLUSTERS: Held(*clusters), DEPLOYMENTS: Held(*deployments)}
        informers[BACKUPS].get = lambda _key: obj
        clock = asyncio.get_running_loop().time
        reconciler = BackupReconciler(
            Sources(informers=informers, image="registry/operator:1", pages=NoPages()),
            api,
            own_writes=OwnWrites(clock=clock),
            events=EventRecorder(api),
            metrics=BackupMetrics(),
            archive_metrics=ArchiveMetrics(lambda: NOW),
            now=lambda: NOW,
            remaining_s=lambda: 60.0,
        )
        return (await reconciler.reconcile("prod/nightly")).requeue_after_s

    return once


def living():
    metadata = {"name": "db", "namespace": "prod", "uid": "cluster-uid", "generation": 1}
    metadata |= {"creationTimestamp": "2026-03-01T11:00:00Z"}
    return {"metadata": metadata, "spec": {}, "status": cluster().status.to_json()}


async def test_members_that_come_are_found_soon(reconciled):
    """It awaits a time of tonight; the cluster is made a minute after it."""
    assert await reconciled(continuous={"enabled": True}) <= LOOKED_AT_WITHIN_S


async def test_a_pod_is_asked_again_soon(reconciled):
    asked = {"continuous": {"enabled": True}, "clusters": [living()]}

    assert await reconciled(**asked, deployments=[deployment()]) <= LOOKED_AT_WITHIN_S


async def test_a_schedule_alone_has_nothing_to_look_for(reconciled):
    assert await reconciled() > 60.0
