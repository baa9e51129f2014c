"""Checks a well-formed EtcdCluster spec for what schema and CEL cannot say, or say only on newer
servers.

Called by validation, for EtcdClusters and for the template in an EtcdRestore; pure. The tables of
versions are in api/version.py; which options an etcd version knows is for the room that knows
etcd.
"""

import re
from collections.abc import Iterator
from typing import Final

from api.auth_rules import auth_errors
from api.errors import FieldError
from api.names import annotation_errors, is_qualified_name, label_errors
from api.pod_template import pod_template_errors
from api.restore_rules import restore_source_errors
from api.tls_rules import tls_errors
from api.v1alpha1.cluster import ClusterSpec, ResourceRequirements
from api.v1alpha1.options import (
    DEFAULT_ELECTION_MS,
    DEFAULT_HEARTBEAT_MS,
    ELECTION_MESSAGE,
    REVISION_RETENTION_MESSAGE,
    EtcdOptions,
)
from api.version import SUPPORTED_MINORS, EtcdVersion, denial_of
from api.volume_claims import storage_errors

_OPTION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_OPTION_NAME: Final = 128
# Options that have a field of their own, which is checked and documented.
_TYPED_OPTIONS: Final = {
    "quota-backend-bytes": "quotaBackendBytes",
    "auto-compaction-mode": "autoCompaction.mode",
    "auto-compaction-retention": "autoCompaction.retention",
    "snapshot-count": "snapshotCount",
    "heartbeat-interval": "heartbeatInterval",
    "election-timeout": "electionTimeout",
}


def spec_errors(spec: ClusterSpec, path: str) -> Iterator[FieldError]:
    """Yield everything that is wrong with a spec that stands at `path`."""
    yield from _version_errors(spec.etcd_version, f"{path}.version")
    yield from storage_errors(spec.storage, f"{path}.storage")
    if spec.bootstrap.restore_from is not None:
        source = spec.bootstrap.restore_from
        yield from restore_source_errors(source, f"{path}.bootstrap.restoreFrom")
    yield from auth_errors(spec.security, f"{path}.security")
    yield from _resource_errors(spec.resources, f"{path}.resources")
    yield from _option_errors(spec.options, f"{path}.options")
    yield from tls_errors(spec.security.tls, f"{path}.security.tls")
    template = spec.pod_template
    yield from label_errors(template.metadata.labels, f"{path}.podTemplate.metadata.labels")
    yield from annotation_errors(
        template.metadata.annotations, f"{path}.podTemplate.metadata.annotations"
    )
    yield from pod_template_errors({"spec": template.spec}, f"{path}.podTemplate")
    yield from label_errors(spec.service.labels, f"{path}.service.labels")
    yield from annotation_errors(spec.service.annotations, f"{path}.service.annotations")


def _version_errors(version: EtcdVersion, path: str) -> Iterator[FieldError]:
    supported = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED_MINORS)
    if version.minor_version not in SUPPORTED_MINORS:
        yield FieldError(path, f"is {version}, and this operator runs etcd {supported}")
    elif (reason := denial_of(version)) is not None:
        yield FieldError(path, f"is {version}, and {reason}", "Use a newer patch.")


def _resource_errors(resources: ResourceRequirements, path: str) -> Iterator[FieldError]:
    for part, amounts in (("requests", resources.requests), ("limits", resources.limits)):
        for name in amounts:
            if not is_qualified_name(name):
                yield FieldError(f"{path}.{part}.{name}", "must be named as cpu or memory are")
    for name, request in resources.requests.items():
        limit = resources.limits.get(name)
        if limit is not None and request > limit:
            yield FieldError(f"{path}.requests.{name}", f"must be at most the limit, {limit}")


def _option_errors(options: EtcdOptions, path: str) -> Iterator[FieldError]:
    heartbeat = options.heartbeat_interval or DEFAULT_HEARTBEAT_MS
    election = options.election_timeout or DEFAULT_ELECTION_MS
    if election < 5 * heartbeat:
        yield FieldError(f"{path}.electionTimeout", ELECTION_MESSAGE)
    quota = options.quota_backend_bytes
    if quota is not None and not quota.is_whole:
        yield FieldError(f"{path}.quotaBackendBytes", "must be a whole number of bytes")
    compaction = options.auto_compaction
    if compaction is not None and compaction.mode == "revision":
        retention = compaction.retention
        if retention is not None and not retention.isdigit():
            yield FieldError(f"{path}.autoCompaction.retention", REVISION_RETENTION_MESSAGE)
    for name in options.extra:
        yield from _extra_errors(name, f"{path}.extra.{name}", path)


def _extra_errors(name: str, field: str, path: str) -> Iterator[FieldError]:
    if len(name) > _MAX_OPTION_NAME or _OPTION.fullmatch(name) is None:
        yield FieldError(field, "must be named as etcd's flags are, without dashes in front")
    elif name in _TYPED_OPTIONS:
        yield FieldError(
            field, "has a field of its own", f"Set {path}.{_TYPED_OPTIONS[name]} instead."
        )
