"""EtcdBackups as they are observed, in any state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api.v1alpha1.backup import BackupSpec, BackupStatus
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.agent_jobs import Attempt, Job
from controllers.backup.observed import Child, Cluster, Observed
from controllers.backup.order import Saved
from controllers.backup.status import next_status

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
UID = "0123abcd-0000-0000-0000-000000000000"
LOCAL = {"storageType": "Local", "local": {"claimName": "backups", "path": "etcd"}}
S3 = {
    "storageType": "S3",
    "s3": {"bucket": "b", "accessKeySecret": "keys", "secretKeySecret": "keys"},
}
SAVED = Saved(
    started_at=NOW,
    completed_at=NOW + timedelta(seconds=5),
    storage_path="pvc://backups/etcd/abc-1/once-0123abcd",
    backup_size=100,
    database_size=90,
    sha256="ab" * 32,
    member="db-1",
    etcd_version="3.6.16",
    etcd_revision=7,
    keys=3,
)


def spec(**fields):
    return BackupSpec.model_validate({"clusterName": "db", **LOCAL, **fields})


def member(name, **fields):
    return {
        "name": name,
        "id": f"a{name[-1]}",
        "clientURL": f"https://{name}.db-peer.prod.svc.cluster.local:2379",
        "ready": True,
        "role": "follower",
        **fields,
    }


MEMBERS = (member("db-0", role="leader"), member("db-1"), member("db-2"))


def cluster(members=MEMBERS, *, scheme="https", **fields):
    bootstrap = {"token": "t", "epoch": 1, "size": 3, "scheme": scheme}
    status = {"clusterID": "abc", "members": members, "bootstrap": bootstrap, **fields}
    return Cluster(uid="cluster-uid", status=ClusterStatus.model_validate(status))


def observed(**fields):
    settings = {
        "now": NOW,
        "namespace": "prod",
        "name": "once",
        "uid": UID,
        "generation": 1,
        "created": NOW - timedelta(minutes=5),
        "is_deleting": False,
        "spec": spec(),
        "errors": (),
        "status": BackupStatus(),
        "image": "registry/operator:1",
        "cluster": cluster(),
    }
    return Observed(**settings | fields)


def job(**fields):
    return Job(**{"name": "once-0123abcd-1", "uid": "job-uid"} | fields)


def attempt(**fields):
    return Attempt(**{"created": NOW, "job_uid": "job-uid", "ended": False} | fields)


def child(scheduled, phase="Completed", **fields):
    settings = {
        "name": f"nightly-{scheduled:%Y%m%d%H%M}",
        "uid": f"uid-{scheduled:%Y%m%d%H%M}",
        "scheduled": scheduled,
        "phase": phase,
        "completed": scheduled + timedelta(minutes=1) if phase == "Completed" else None,
        "message": "words",
        "terminating": False,
    }
    return Child(**settings | fields)


def after(seen, step, outcome=None):
    """The same backup with the status that the step gives it."""
    return next_status(seen, step, outcome)
