"""The objects that the operator makes for an EtcdBackup: the Job, and the children of a schedule.

Pure. The Job's pod is as restricted as a member's, has no token for the API server, and gets the
store's credentials by reference: kubelet reads the Secrets, the operator doesn't.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.labels import (
    API_VERSION,
    BACKUP_UID_LABEL,
    CLIENT_TLS_VOLUME,
    INSTANCE_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    NAME_LABEL,
    SCHEDULE_UID_LABEL,
    SCHEDULED_AT_ANNOTATION,
    client_secret_name,
)
from api.v1alpha1.backup import BackupSpec
from api.v1alpha1.cluster_status import BootstrapStatus
from controllers.backup.members import members_to_ask
from controllers.backup.observed import Cluster, Observed
from controllers.backup.order import (
    AZURE_KEY,
    GCS_KEY,
    GIVE_UP,
    MESSAGE_PATH,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
    TLS_PATH,
    USAGE,
    VOLUME_PATH,
    Order,
)

CONTAINER: Final = "snapshot"
_VOLUME: Final = "backup"
_USER_ID: Final = 65532
# For the group, which fsGroup makes the process's own.
_SECRET_MODE: Final = 0o440
# The Job waits 10, 20, 40 seconds before it tries again.
_RETRIES: Final = 3
# The largest database that etcd recommends (8 GiB) at half a megabyte a second.
_DEADLINE: Final = timedelta(hours=6)
# The result is in the EtcdBackup by then; until it is, pod and log can be looked at.
_KEPT: Final = timedelta(days=1)
_LONGEST_NAME: Final = 63
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
    }
)


def job_name(observed: Observed) -> str:
    """The name of the Job: of this very object, and of this state of its spec."""
    end = f"-{observed.uid[:_UID_LENGTH]}-{observed.generation}"
    start = observed.name.replace(".", "-")[: _LONGEST_NAME - len(end)].rstrip("-")
    return start + end


def folder_name(observed: Observed) -> str:
    """The backup's name in the store: another EtcdBackup of the same name is another backup."""
    end = f"-{observed.uid[:_UID_LENGTH]}"
    return observed.name[: 253 - len(end)].rstrip("-.") + end


def child_name(observed: Observed, scheduled: datetime) -> str:
    """The name of the EtcdBackup for that time: the same one, however often it is asked for."""
    end = f"-{scheduled.astimezone(UTC):%Y%m%d%H%M}"
    return observed.name[: 253 - len(end)].rstrip("-.") + end


def snapshot_job(
    observed: Observed, spec: BackupSpec, cluster: Cluster, bootstrap: BootstrapStatus
) -> dict[str, Any]:
    """The Job that takes the backup."""
    labels = {
        NAME_LABEL: "etcd-backup",
        INSTANCE_LABEL: spec.cluster_name,
        MANAGED_BY_LABEL: MANAGED_BY,
        BACKUP_UID_LABEL: observed.uid,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(observed),
            "namespace": observed.namespace,
            "labels": labels,
            "ownerReferences": [_owner(observed)],
        },
        "spec": {
            "backoffLimit": _RETRIES,
            "activeDeadlineSeconds": int(_DEADLINE.total_seconds()),
            "ttlSecondsAfterFinished": int(_KEPT.total_seconds()),
            # From Kubernetes 1.26 on; before, what can't succeed is tried again in vain.
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": [USAGE, GIVE_UP],
                        },
                    },
                    # A drained node is nobody's failure.
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                ]
            },
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(observed, spec, cluster, bootstrap),
            },
        },
    }


def child(observed: Observed, spec: BackupSpec, scheduled: datetime) -> dict[str, Any]:
    """The EtcdBackup for one time of the schedule."""
    own = {key: value for key, value in spec.to_json().items() if key not in _OF_SCHEDULE}
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
            "ownerReferences": [_owner(observed)],
        },
        "spec": own,
    }


def _owner(observed: Observed) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "EtcdBackup",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
    }


def _pod(
    observed: Observed, spec: BackupSpec, cluster: Cluster, bootstrap: BootstrapStatus
) -> dict[str, Any]:
    has_tls = bootstrap.scheme == "https"
    order = Order(
        namespace=observed.namespace,
        cluster=spec.cluster_name,
        cluster_uid=cluster.uid,
        cluster_id=cluster.status.cluster_id,
        epoch=bootstrap.epoch,
        backup=folder_name(observed),
        members=members_to_ask(cluster.status),
        tls=has_tls,
        compression=spec.compression,
        s3=spec.s3,
        gcs=spec.gcs,
        azure=spec.azure,
        local=spec.local,
    )
    volumes, mounts = _volumes(spec, has_tls=has_tls)
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"serviceAccountName": spec.service_account_name} if spec.service_account_name else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "runAsGroup": _USER_ID,
            "fsGroup": _USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        "containers": [
            {
                "name": CONTAINER,
                "image": observed.image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["agent", "snapshot", "--order", order.model_dump_json(by_alias=True)],
                "env": _credentials(spec),
                "volumeMounts": mounts,
                "terminationMessagePath": MESSAGE_PATH,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"memory": "256Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def _volumes(
    spec: BackupSpec, *, has_tls: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pod's volumes, and where they are mounted."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    if has_tls:
        secret = client_secret_name(spec.cluster_name)
        volumes.append(
            {
                "name": CLIENT_TLS_VOLUME,
                "secret": {"secretName": secret, "defaultMode": _SECRET_MODE},
            }
        )
        mounts.append({"name": CLIENT_TLS_VOLUME, "mountPath": TLS_PATH, "readOnly": True})
    if spec.local is not None:
        claim = {"claimName": spec.local.claim_name}
        volumes.append({"name": _VOLUME, "persistentVolumeClaim": claim})
        mounts.append({"name": _VOLUME, "mountPath": VOLUME_PATH})
    return volumes, mounts


def _credentials(spec: BackupSpec) -> list[dict[str, Any]]:
    """The pod's environment: each credential by the names of its Secret and its key."""
    found: list[tuple[str, str | None, str]] = []
    if spec.s3 is not None:
        found = [
            (S3_ACCESS_KEY, spec.s3.access_key_secret, spec.s3.access_key_secret_key),
            (S3_SECRET_KEY, spec.s3.secret_key_secret, spec.s3.secret_key_secret_key),
        ]
    if spec.gcs is not None:
        found = [(GCS_KEY, spec.gcs.service_account_secret, spec.gcs.service_account_secret_key)]
    if spec.azure is not None:
        found = [(AZURE_KEY, spec.azure.account_key_secret, spec.azure.account_key_secret_key)]
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, secret, key in found
        if secret is not None
    ]
