"""The objects that the operator makes for an EtcdBackup: Jobs, and the children of a schedule.

Pure. Names come from the object, its generation and its time: whenever they are asked for, they are
the same.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from api.labels import (
    API_VERSION,
    BACKUP_UID_LABEL,
    SCHEDULE_UID_LABEL,
    SCHEDULED_AT_ANNOTATION,
    STORAGE_PATH_ANNOTATION,
    backup_labels,
    client_secret_name,
    operator_secret_name,
)
from api.tls_decision import tls_of
from api.v1alpha1.backup import BackupSpec
from api.v1alpha1.cluster import DEFAULT_REPOSITORY
from api.v1alpha1.cluster_status import BootstrapStatus
from controllers.backup.members import members_to_ask
from controllers.backup.observed import Cluster, Observed
from controllers.backup.order import Order, Removal
from controllers.backup.place import folder_of, storage_path_of, store_of
from controllers.backup.pod import agent_pod
from controllers.backup.verification_pod import PEER_URL, failure_rules, verification_pod
from controllers.job_render import agent_job, agent_job_name
from controllers.restore.order import RestoreOrder

_UID_LENGTH: Final = 8
# Fields of the spec that belong to the schedule and not to one of its backups.
_OF_SCHEDULE: Final = frozenset(
    {
        "schedule",
        "timeZone",
        "suspend",
        "startingDeadlineSeconds",
        "concurrencyPolicy",
        "retentionPolicy",
        "continuous",
    }
)


def job_name(observed: Observed) -> str:
    """The name of the Job: of this very object, and of this state of its spec."""
    return agent_job_name(observed.name, observed.uid, str(observed.generation))


def folder_name(observed: Observed) -> str:
    """The backup's name in the store: another EtcdBackup of the same name is another backup."""
    end = f"-{observed.uid[:_UID_LENGTH]}"
    return observed.name[: 253 - len(end)].rstrip("-.") + end


def child_name(observed: Observed, scheduled: datetime) -> str:
    """The name of the EtcdBackup for that time: the same one, however often it is asked for."""
    end = f"-{scheduled.astimezone(UTC):%Y%m%d%H%M}"
    return observed.name[: 253 - len(end)].rstrip("-.") + end


def expiry_job_name(observed: Observed) -> str:
    """The name of the Job that deletes the backup's data."""
    return agent_job_name(observed.name, observed.uid, "expiry")


def snapshot_job(
    observed: Observed, spec: BackupSpec, cluster: Cluster, bootstrap: BootstrapStatus
) -> dict[str, Any]:
    """The Job that takes the backup."""
    order = Order(
        namespace=observed.namespace,
        cluster=spec.cluster_name,
        cluster_uid=cluster.uid,
        cluster_id=cluster.status.cluster_id,
        epoch=bootstrap.epoch,
        backup=folder_name(observed),
        members=members_to_ask(cluster.status),
        tls=tls_of(bootstrap, cluster.status.tls).client,
        compression=spec.compression,
        encrypted=spec.encryption is not None,
        **dict(store_of(spec)),
    )
    args = ["snapshot", "--order", order.model_dump_json(by_alias=True)]
    secret = caller_secret(spec, cluster) if order.tls else None
    pod = agent_pod(spec, observed.image, args, tls_secret=secret)
    job = _job(observed, spec, job_name(observed), pod)
    job["metadata"]["annotations"] = {STORAGE_PATH_ANNOTATION: storage_path_of(order)}
    return job


def expiry_job(observed: Observed, spec: BackupSpec) -> dict[str, Any]:
    """The Job that deletes what the backup has in the store."""
    removal = Removal(folder=folder_of(observed.status.storage_path), **dict(store_of(spec)))
    args = ["delete", "--order", removal.model_dump_json(by_alias=True)]
    # Who deletes reads nothing, and the key may be gone by now.
    pod = agent_pod(spec.model_copy(update={"encryption": None}), observed.image, args)
    return _job(observed, spec, expiry_job_name(observed), pod)


def verification_job_name(observed: Observed, request: str) -> str:
    """The name of the Job that tries out the backup, as it was asked for by that text."""
    mark = hashlib.sha256(request.encode()).hexdigest()[:_UID_LENGTH]
    return agent_job_name(observed.name, observed.uid, f"verify-{mark}")


def verification_job(observed: Observed, spec: BackupSpec, request: str) -> dict[str, Any]:
    """The Job that tries out the backup, with etcd as the saved member ran it."""
    status, name = observed.status, verification_job_name(observed, request)
    order = RestoreOrder(
        token=name,
        folder=folder_of(status.storage_path),
        member="verification",
        peer_url=PEER_URL,
        etcd_version=status.etcd_version,
        encrypted=bool(status.encryption_key_id),
        **dict(store_of(spec)),
    )
    etcd = f"{_repository(observed)}:v{status.etcd_version}"
    pod = verification_pod(spec, observed.image, etcd, order, status.database_size or 0)
    return _job(observed, spec, name, pod, failures=failure_rules())


def _repository(observed: Observed) -> str:
    """Of the cluster as it is, or else as it was when it was saved."""
    now = observed.cluster and observed.cluster.status.applied_spec
    return str((now or observed.status.cluster_spec or {}).get("repository") or DEFAULT_REPOSITORY)


def caller_secret(spec: BackupSpec, cluster: Cluster) -> str:
    """The Secret to call etcd with.

    Where etcd asks who is calling, only root may take a snapshot (etcd
    server/etcdserver/api/v3rpc/maintenance.go, authMaintenanceServer), and watch all keys.
    """
    named = operator_secret_name if cluster.status.auth is not None else client_secret_name
    return named(spec.cluster_name)


def _job(
    observed: Observed,
    spec: BackupSpec,
    name: str,
    pod: dict[str, Any],
    *,
    failures: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    return agent_job(
        name,
        observed.namespace,
        labels={**backup_labels(spec.cluster_name), BACKUP_UID_LABEL: observed.uid},
        owner=owner_of(observed),
        pod=pod,
        failures=failures,
    )


def child(observed: Observed, spec: BackupSpec, scheduled: datetime) -> dict[str, Any]:
    """The EtcdBackup for one time of the schedule."""
    return {
        "apiVersion": API_VERSION,
        "kind": "EtcdBackup",
        "metadata": {
            "name": child_name(observed, scheduled),
            "namespace": observed.namespace,
            "labels": {SCHEDULE_UID_LABEL: observed.uid},
            "annotations": {
                SCHEDULED_AT_ANNOTATION: f"{scheduled.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            },
            "ownerReferences": [owner_of(observed)],
        },
        "spec": once(spec),
    }


def once(spec: BackupSpec) -> dict[str, Any]:
    """The spec of one backup like those of the schedule."""
    own = {key: value for key, value in spec.to_json().items() if key not in _OF_SCHEDULE}
    if spec.verify is not None and spec.verify.schedule is not None:
        del own["verify"]  # the schedule picks which backup is tried out, and when
    return own


def owner_of(observed: Observed) -> dict[str, Any]:
    """The reference to it as the controller: what it makes goes with it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "EtcdBackup",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
    }
