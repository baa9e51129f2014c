"""What must hold of an EtcdBackup beyond the form of its fields, and what can't be done yet.

Called by validation and by the reconciler's plan; pure.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from api.duration import parse_duration
from api.errors import FieldError
from api.v1alpha1.backup import BackupSpec
from api.v1alpha1.backup_stores import S3
from api.v1alpha1.restore_source import StoreSource

_SHORTEST_NS: Final = 10**9
_LONGEST_NS: Final = 600 * 10**9
_FIELDS: Final = {"S3": "s3", "GCS": "gcs", "Azure": "azure", "Local": "local"}


def backup_errors(spec: BackupSpec) -> Iterator[FieldError]:
    """Yield what is wrong with the spec as a whole."""
    yield from store_errors(spec, "spec")
    if spec.encryption is not None and not spec.encryption.key_secret:
        yield FieldError("spec.encryption.keySecret", "must name the Secret with the key")
    if spec.schedule is None and spec.verify is not None and spec.verify.schedule is not None:
        yield FieldError(
            "spec.verify.schedule",
            "says when the newest backup of a schedule is verified, and there is no spec.schedule",
            "Leave it out: then the backup is verified once, when it is completed.",
        )
    if spec.schedule is None and spec.retention_policy.to_json():
        yield FieldError(
            "spec.retentionPolicy",
            "says which backups of a schedule are kept, and there is no spec.schedule",
            "Leave one out, or add the other.",
        )
    yield from _continuous_errors(spec)


def _continuous_errors(spec: BackupSpec) -> Iterator[FieldError]:
    if spec.continuous is None or not spec.continuous.enabled:
        return
    if spec.schedule is None:
        yield FieldError(
            "spec.continuous.enabled",
            "keeps the changes between the backups of a schedule, and there is no spec.schedule",
            "Add one, such as 0 */6 * * *.",
        )
    if not _SHORTEST_NS <= parse_duration(spec.continuous.flush_interval) <= _LONGEST_NS:
        yield FieldError("spec.continuous.flushInterval", "must be from 1s to 10m")


def store_errors(spec: BackupSpec | StoreSource, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the store that stands at `path`."""
    for kind, field in _FIELDS.items():
        given = getattr(spec, field) is not None
        # Local without a volume is a form of the operator that this one replaces: see below.
        if spec.storage_type == kind != "Local" and not given:
            yield FieldError(f"{path}.{field}", f"is required when storageType is {kind}")
        if spec.storage_type != kind and given:
            yield FieldError(
                f"{path}.{field}",
                f"says where the backup is, but storageType is {spec.storage_type}",
                f"Leave it out, or set storageType to {kind}.",
            )
    if spec.s3 is not None:
        yield from _s3_errors(spec.s3, f"{path}.s3")
    if spec.gcs is not None and not spec.gcs.bucket:
        yield FieldError(f"{path}.gcs.bucket", "must name a bucket")
    if spec.azure is not None and not (spec.azure.account and spec.azure.container):
        yield FieldError(f"{path}.azure", "must name an account and a container")
    if spec.local is not None and not spec.local.claim_name:
        yield FieldError(f"{path}.local.claimName", "must name a PersistentVolumeClaim")


def _s3_errors(s3: S3, path: str) -> Iterator[FieldError]:
    if not s3.bucket:
        yield FieldError(f"{path}.bucket", "must name a bucket")
    if (s3.access_key_secret is None) != (s3.secret_key_secret is None):
        missing = "secretKeySecret" if s3.access_key_secret else "accessKeySecret"
        yield FieldError(
            f"{path}.{missing}", "is required, because the other one of the two is given"
        )
    if _is_address(s3.endpoint) and not s3.path_style:
        yield FieldError(
            f"{path}.pathStyle",
            f"must be true, because {path}.endpoint is an address, which takes no bucket's name"
            " before it",
        )


def backup_not_supported_yet(spec: BackupSpec, namespace: str) -> tuple[FieldError, ...]:
    """Return the fields of a valid spec that ask for what this version cannot do.

    `namespace`: the backup's own.
    """
    errors: list[FieldError] = []
    if spec.cluster_namespace not in {None, namespace}:
        errors.append(
            FieldError(
                "spec.clusterNamespace",
                "names another namespace, which this version of the operator does not save from",
                f"Make the EtcdBackup in namespace {spec.cluster_namespace}.",
            )
        )
    if spec.storage_type == "Local" and spec.local is None:
        errors.append(
            FieldError(
                "spec.local",
                "is missing, and a backup inside the operator's pod would be lost with it",
                "Name a PersistentVolumeClaim in spec.local.claimName.",
            )
        )
    return tuple(errors)


def _is_address(url: str) -> bool:
    """Say whether a URL leads to an IP instead of a name."""
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True
