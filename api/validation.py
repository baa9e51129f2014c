"""Turns the JSON of our objects into typed values, or into the list of what is wrong with them.

Called by the reconcilers on what informers hold and by the admission server on what users send:
what one refuses, the other refuses too, and so do schema and CEL as far as they can. Pure and
total: any JSON gives a value or errors, never an exception.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from pydantic import ValidationError

from api.backup_rules import backup_errors
from api.cluster_rules import spec_errors
from api.errors import FieldError
from api.labels import CLUSTER_NAME_PATTERN, MAX_CLUSTER_NAME_LENGTH, RESERVED_SUFFIXES
from api.model_errors import field_errors
from api.objects import (
    Invalid,
    ParsedBackup,
    ParsedCluster,
    ParsedRestore,
    StatusT,
    read_deletion_policy,
    read_identity,
    read_status,
)
from api.tls_decision import with_tls_decided
from api.v1alpha1.backup import BackupStatus, EtcdBackup
from api.v1alpha1.cluster import ClusterSpec, EtcdCluster
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.common import Model, matching
from api.v1alpha1.restore import EtcdRestore, RestoreStatus

# A condition's message is for people, and its length has a limit.
MAX_ERRORS: Final = 20

# What a field of spec.security.tls asks for that can't be had yet.
_WITHOUT_AUTO_TLS: Final = "asks for certificates that the operator does not make"
_WITHOUT_TLS: Final = "asks for certificates without TLS"
_HALF: Final = "asks for TLS with clients or among the members alone"
_OWN_SECRETS: Final = "asks for certificates from a Secret of yours"

ModelT = TypeVar("ModelT", bound=Model)

_check_name = matching(
    CLUSTER_NAME_PATTERN,
    "must be lower-case letters, digits and '-', begin with a letter and not end with '-'",
)


def parse_cluster(obj: object) -> ParsedCluster | Invalid[ClusterStatus]:
    """Return the cluster with all defaults, or what is wrong with it."""
    cluster, errors = _read(EtcdCluster, obj)
    errors += tuple(_name_errors(read_identity(obj).name))
    if cluster is not None:
        errors += tuple(spec_errors(cluster.spec, "spec"))
    if cluster is None or errors:
        return _invalid(obj, ClusterStatus, errors)
    return ParsedCluster(
        identity=read_identity(obj),
        spec=with_tls_decided(cluster.spec, cluster.status),
        status=cluster.status,
    )


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
    if restore is not None and restore.spec.cluster_template is not None:
        errors += tuple(spec_errors(restore.spec.cluster_template, "spec.clusterTemplate"))
    if restore is None or errors:
        return _invalid(obj, RestoreStatus, errors)
    return ParsedRestore(identity=read_identity(obj), spec=restore.spec, status=restore.status)


def validate_cluster(obj: object) -> tuple[FieldError, ...]:
    """Return everything that is wrong with an EtcdCluster; empty when it is valid."""
    match parse_cluster(obj):
        case Invalid(errors=errors):
            return errors
        case ParsedCluster():
            return ()


def not_supported_yet(spec: ClusterSpec) -> tuple[FieldError, ...]:
    """Return the fields of a valid spec that ask for what this version cannot do.

    Of TLS it can do all, by certificates of its own, or none.
    """
    tls = spec.security.tls
    asked = {
        "autoTLS": (tls.auto_tls, _WITHOUT_AUTO_TLS if tls.enabled else _WITHOUT_TLS),
        "clientTLSEnabled": (tls.client_tls_enabled, _HALF),
        "peerTLSEnabled": (tls.peer_tls_enabled, _HALF),
        "certificateSecret": (tls.certificate_secret, _OWN_SECRETS),
        "caSecret": (tls.ca_secret, _OWN_SECRETS),
    }
    return tuple(
        FieldError(
            f"spec.security.tls.{name}",
            f"{problem}, which this version of the operator does not support yet",
            "Leave it out.",
        )
        for name, (value, problem) in asked.items()
        if value is not None
    )


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


def _name_errors(name: str) -> Iterator[FieldError]:
    field = "metadata.name"
    try:
        _check_name(name)
    except ValueError as error:
        yield FieldError(field, str(error))
    if len(name) > MAX_CLUSTER_NAME_LENGTH:
        yield FieldError(field, f"must have at most {MAX_CLUSTER_NAME_LENGTH} characters")
    if name.endswith(RESERVED_SUFFIXES):
        endings = ", ".join(RESERVED_SUFFIXES)
        yield FieldError(
            field,
            f"must not end in {endings}: objects of another cluster could have these names",
        )
