"""EtcdRestores as they are observed, in any state."""

from __future__ import annotations

from datetime import UTC, datetime

from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore import RestoreSpec, RestoreStatus
from controllers.agent_jobs import Attempt, Job
from controllers.backup.outcome import Done
from controllers.restore.observed import Observed, Target
from controllers.restore.order import Examined
from controllers.restore.render import attempt_of, examine_job_name
from controllers.restore.status import next_status
from controllers.restore.steps import Action
from controllers.restore.target import request_of
from controllers.restore_source import resolve

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
UID = "0123abcd-0000-0000-0000-000000000000"
STORE = {
    "storageType": "Local",
    "local": {"claimName": "backups", "path": "etcd"},
    "path": "abc-1/once-0123abcd",
}
TEMPLATE = {"size": 3, "version": "v3.6.16", "storage": {"size": "2Gi"}}
RECORDED = {
    **TEMPLATE,
    "paused": True,
    "bootstrap": {"restoreFrom": {"backupName": "older"}},
    "storage": {"size": "2Gi", "existingVolumes": "Discard"},
}
EXAMINED = Examined(
    folder="abc-1/once-0123abcd",
    source_cluster_id="abc",
    source_epoch=1,
    source_namespace="prod",
    source_name="db",
    etcd_version="3.5.21",
    started_at=NOW,
    completed_at=NOW,
    revision=7,
    compact_revision=2,
    keys=3,
    database_size=90,
    backup_size=100,
    needed_size=300,
    notes=("Authentication is on.",),
)


def spec(**fields):
    settings = {"clusterName": "restored", "store": STORE, "clusterTemplate": TEMPLATE}
    return RestoreSpec.model_validate(settings | fields)


def in_place(**fields):
    return spec(clusterTemplate=None, clusterName="db", restoreType="Replace", **fields)


def backup(phase="Completed", annotations=None, namespace="prod", **status):
    return {
        "metadata": {
            "name": "once",
            "namespace": namespace,
            "uid": "backup-uid",
            "annotations": annotations or {},
        },
        "spec": {"clusterName": "db", "storageType": "Local", "local": {"claimName": "backups"}},
        "status": {"phase": phase, "storagePath": "pvc://backups/abc-1/once-0123abcd", **status},
    }


def observed(**fields):
    asked = fields.get("spec", spec())
    settings = {
        "now": NOW,
        "namespace": "prod",
        "name": "again",
        "uid": UID,
        "generation": 1,
        "is_deleting": False,
        "spec": asked,
        "errors": (),
        "status": RestoreStatus(),
        "image": "registry/operator:1",
        "source": None if asked is None else resolve(asked.source, "prod", None),
    }
    return Observed(**settings | fields)


def begun(asked=None, **fields):
    """An attempt that was begun, in that phase."""
    asked = asked or spec()
    status = {"attempt": attempt_of(asked), "start_time": NOW, "phase": "Pending"}
    changes = {key: fields.pop(key) for key in list(fields) if key in RestoreStatus.model_fields}
    return observed(spec=asked, status=RestoreStatus(**status | changes), **fields)


def job(seen, **fields):
    return Job(**{"name": examine_job_name(seen, seen.spec), "uid": "job-uid"} | fields)


def attempt(**fields):
    return Attempt(**{"created": NOW, "job_uid": "job-uid", "ended": False} | fields)


def conditions(**statuses):
    return [
        {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": f"{kind} is {value}",
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }
        for kind, (value, reason) in statuses.items()
    ]


READY = conditions(Ready=("True", "ClusterReady"), QuorumAvailable=("True", "QuorumPresent"))


def target(**fields):
    settings = {
        "uid": "cluster-uid",
        "resource_version": "5",
        "is_deleting": False,
        "maker": "",
        "attempt": "",
        "generation": 1,
        "spec": ClusterSpec.model_validate(TEMPLATE),
        "status": ClusterStatus(),
    }
    return Target(**settings | fields)


def asked_of(seen, answer=None, **fields):
    """The cluster with this restore's request on it, and what it answered."""
    annotations = request_of(seen, seen.spec)
    mine = {"restore": "again", "uid": UID, "attempt": attempt_of(seen.spec)}
    status = {"restore": mine | answer} if answer else {}
    status |= fields.pop("status", {})
    request, old_data = annotations.values()
    return target(
        request=request,
        old_data=old_data,
        status=ClusterStatus.model_validate(status),
        **fields,
    )


def after(seen, step, outcome=None):
    """The same restore with the status that the step gives it."""
    return next_status(seen, step, outcome or (Done() if isinstance(step, Action) else None))
