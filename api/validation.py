"""Turns the JSON of our objects into typed values, or into the list of what is wrong with them.

Called by the reconcilers on what informers hold and by the admission server on what users send:
what one refuses, the other refuses too, and so do schema and CEL as far as they can. Pure and
total: any JSON gives a value or errors, never an exception.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

from pydantic import ValidationError

from api.backup_rules import backup_errors
from api.bootstrap_decision import with_bootstrap_decided
from api.cluster_rules import spec_errors
from api.errors import FieldError
from api.etcdrestore_rules import restore_errors
from api.labels import CONFIRM_SKIP_HASH_CHECK_ANNOTATION
from api.model_errors import field_errors
from api.names import cluster_name_errors
from api.objects import (
    Invalid,
    ParsedBackup,
    ParsedCluster,
    ParsedRestore,
    StatusT,
    read_annotation,
    read_deletion_policy,
    read_identity,
    read_status,
)
from api.tls_decision import with_tls_decided
from api.tls_rules import undecided_errors
from api.v1alpha1.backup import BackupStatus, EtcdBackup
from api.v1alpha1.cluster import EtcdCluster
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.common import Model
from api.v1alpha1.restore import EtcdRestore, RestoreStatus

# A condition's message is for people, and its length has a limit.
MAX_ERRORS: Final = 20


ModelT = TypeVar("ModelT", bound=Model)


def parse_cluster(obj: object) -> ParsedCluster | Invalid[ClusterStatus]:
    """Return the cluster with all defaults, or what is wrong with it."""
    cluster, errors = _read(EtcdCluster, obj)
    errors += tuple(cluster_name_errors(read_identity(obj).name, "metadata.name"))
    if cluster is None:
        return _invalid(obj, ClusterStatus, errors)
    said = cluster.spec.security.tls
    spec = with_bootstrap_decided(with_tls_decided(cluster.spec, cluster.status), cluster.status)
    errors += tuple(spec_errors(spec, "spec"))
    errors += tuple(undecided_errors(said, spec.security.tls, "spec.security.tls"))
    if errors:
        return _invalid(obj, ClusterStatus, errors)
    return ParsedCluster(identity=read_identity(obj), spec=spec, status=cluster.status)


def parse_backup(obj: object) -> ParsedBackup | Invalid[BackupStatus]:
    """Return the backup with all defaults, or what is wrong with it."""
    backup, errors = _read(EtcdBackup, obj)
    if backup is not None:
        errors += tuple(backup_errors(backup.spec))
    if backup is None or errors:
        return _invalid(obj, BackupStatus, errors)
    return ParsedBackup(identity=read_identity(obj), spec=backup.spec, status=backup.status)


def parse_restore(obj: object) -> ParsedRestore | Invalid[RestoreStatus]:
    """Return the restore with all defaults, or what is wrong with it or its cluster template."""
    restore, errors = _read(EtcdRestore, obj)
    if restore is not None:
        errors += tuple(restore_errors(restore.spec))
    if restore is None or errors:
        return _invalid(obj, RestoreStatus, errors)
    return ParsedRestore(
        identity=read_identity(obj),
        spec=restore.spec,
        status=restore.status,
        confirmed=read_annotation(obj, CONFIRM_SKIP_HASH_CHECK_ANNOTATION).strip(),
    )


def validate_cluster(obj: object) -> tuple[FieldError, ...]:
    """Return everything that is wrong with an EtcdCluster; empty when it is valid."""
    match parse_cluster(obj):
        case Invalid(errors=errors):
            return errors
        case ParsedCluster():
            return ()


def _read(model: type[ModelT], obj: object) -> tuple[ModelT | None, tuple[FieldError, ...]]:
    try:
        return model.model_validate(obj), ()
    except ValidationError as error:
        return None, field_errors(error)


def _invalid(obj: object, status: type[StatusT], errors: Iterable[FieldError]) -> Invalid[StatusT]:
    own_status, _ = _read(status, read_status(obj))
    return Invalid(
        identity=read_identity(obj),
        status=status() if own_status is None else own_status,
        errors=tuple(errors)[:MAX_ERRORS],
        deletion_policy=read_deletion_policy(obj),
    )
