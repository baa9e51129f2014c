"""The pod of a Job that works on a backup: as restricted as a member's, and with no token for the
API server. The store's credentials come by reference: kubelet reads the Secrets, the operator
doesn't. Pure.
"""

from typing import Any, Final

from api.labels import CLIENT_TLS_VOLUME
from api.v1alpha1.backup import BackupSpec
from api.v1alpha1.restore_source import StoreSource
from controllers.backup.order import (
    AZURE_KEY,
    ENCRYPTION_KEY,
    ENCRYPTION_KEY_ENTRY,
    GCS_KEY,
    MESSAGE_PATH,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
    TLS_PATH,
    VOLUME_PATH,
)
from controllers.pod_security import container_security_context, pod_security_context

CONTAINER: Final = "agent"
MEMORY: Final = "256Mi"
# Of an agent that reads changes: one revision may delete a million keys, and is one transaction,
# which takes 1.4 GiB to write once more.
MEMORY_FOR_CHANGES: Final = "2Gi"
_VOLUME: Final = "backup"
# For the group, which fsGroup makes the process's own.
_SECRET_MODE: Final = 0o440


def agent_pod(
    spec: BackupSpec | StoreSource,
    image: str,
    args: list[str],
    *,
    tls_secret: str | None = None,
    memory: str = MEMORY,
) -> dict[str, Any]:
    """The pod's spec. tls_secret: the Secret with the certificate that it calls etcd with. memory:
    its limit.
    """
    volumes, mounts = _volumes(spec, tls_secret)
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **({"serviceAccountName": spec.service_account_name} if spec.service_account_name else {}),
        "securityContext": pod_security_context(),
        "volumes": volumes,
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["agent", *args],
                "env": _credentials(spec),
                "volumeMounts": mounts,
                "terminationMessagePath": MESSAGE_PATH,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"memory": memory},
                },
                "securityContext": container_security_context(),
            }
        ],
    }


def _volumes(
    spec: BackupSpec | StoreSource, tls_secret: str | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pod's volumes, and where they are mounted."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    if tls_secret is not None:
        volumes.append(
            {
                "name": CLIENT_TLS_VOLUME,
                "secret": {"secretName": tls_secret, "defaultMode": _SECRET_MODE},
            }
        )
        mounts.append({"name": CLIENT_TLS_VOLUME, "mountPath": TLS_PATH, "readOnly": True})
    if spec.local is not None:
        claim = {"claimName": spec.local.claim_name}
        volumes.append({"name": _VOLUME, "persistentVolumeClaim": claim})
        mounts.append({"name": _VOLUME, "mountPath": VOLUME_PATH})
    return volumes, mounts


def _credentials(spec: BackupSpec | StoreSource) -> list[dict[str, Any]]:
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
    if spec.encryption is not None:
        found.append((ENCRYPTION_KEY, spec.encryption.key_secret, ENCRYPTION_KEY_ENTRY))
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, secret, key in found
        if secret is not None
    ]
