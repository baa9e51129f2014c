"""Says which fields of a spec differ from the spec that the running members were made from, and how
a change of each can reach them.

Called by planning; pure. Both specs have their defaults, so leaving a field out and writing its
default are the same, as are "3.5.9" and "v3.5.9", or 1024Mi and 1Gi.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final, TypeVar

from api.errors import FieldError
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.common import Model


class Kind(Enum):
    """How a change of a field reaches the members that run."""

    LIVE = "at once, without touching a member"
    TEMPLATE = "by a roll: the members are restarted one after the other"
    IMAGE = "by an upgrade or a downgrade, behind its gates"
    VOLUME = "by growing the volumes, or by moving the members to new ones"
    TLS = "in phases: both ways work while the members are restarted, one after the other"
    FIXED = "never"


# The first prefix that fits decides; what none fits is fixed.
_KINDS: Final = (
    ("spec.version", Kind.IMAGE),
    ("spec.repository", Kind.IMAGE),
    ("spec.options", Kind.TEMPLATE),
    ("spec.resources", Kind.TEMPLATE),
    ("spec.podTemplate", Kind.TEMPLATE),
    ("spec.placement", Kind.TEMPLATE),
    ("spec.storage.size", Kind.VOLUME),
    ("spec.storage.storageClassName", Kind.VOLUME),
    ("spec.storage.volumeClaimTemplate.spec.resources.requests.storage", Kind.VOLUME),
    ("spec.storage.volumeClaimTemplate.spec.storageClassName", Kind.VOLUME),
    ("spec.storage.deletionPolicy", Kind.LIVE),
    ("spec.storage.removedMemberPolicy", Kind.LIVE),
    ("spec.storage.existingVolumes", Kind.LIVE),
    ("spec.storage.migrationPolicy", Kind.LIVE),
    ("spec.size", Kind.LIVE),
    ("spec.paused", Kind.LIVE),
    ("spec.security.tls.enabled", Kind.TLS),
    ("spec.security.tls.clientTLSEnabled", Kind.TLS),
    ("spec.security.tls.peerTLSEnabled", Kind.TLS),
    ("spec.security.tls.autoTLS", Kind.LIVE),
    ("spec.security.tls.rotationGracePeriod", Kind.LIVE),
    ("spec.service", Kind.LIVE),
    ("spec.security.networkPolicy", Kind.LIVE),
    ("spec.security.auth", Kind.LIVE),
    ("spec.recovery", Kind.LIVE),
    ("spec.maintenanceWindows", Kind.LIVE),
    ("spec.acceptOperatorChanges", Kind.LIVE),
    ("spec.security.tls.subjectAltNames", Kind.LIVE),
    ("spec.security.tls.certificateSecret", Kind.LIVE),
    ("spec.security.tls.caSecret", Kind.LIVE),
    ("spec.security.tls.issuerRef", Kind.LIVE),
    ("spec.security.tls.peerCertificateSecret", Kind.LIVE),
    ("spec.security.tls.clientCertificateSecret", Kind.LIVE),
    ("spec.security.tls.operatorCertificateSecret", Kind.LIVE),
    ("spec.security.tls.certificateDuration", Kind.LIVE),
)

_LONGEST_SHOWN: Final = 80
_ABSENT: Final = object()

ModelT = TypeVar("ModelT", bound=Model)


def changed_fields(applied: ClusterSpec, spec: ClusterSpec) -> tuple[str, ...]:
    """Return the paths of all leaves that differ, in the models' order: ("spec.size",)."""
    return tuple(path for path, _ in _model_changes(applied, spec, "spec"))


def refused_changes(
    applied: ClusterSpec,
    spec: ClusterSpec,
    *kinds: Kind,
    problem: str = "cannot be changed on a running cluster",
) -> tuple[FieldError, ...]:
    """Return the changes of these kinds as errors, each with its way back."""
    return tuple(
        FieldError(path, problem, _way_back(before))
        for path, before in _model_changes(applied, spec, "spec")
        if kind_of(path) in kinds
    )


def kind_of(path: str) -> Kind:
    """Return how a change at this path reaches the members: "spec.options.extra.pre-vote"."""
    fitting = (kind for prefix, kind in _KINDS if f"{path}.".startswith(f"{prefix}."))
    return next(fitting, Kind.FIXED)


def changed_kinds(applied: ClusterSpec, spec: ClusterSpec) -> frozenset[Kind]:
    """Return the kinds of the fields that differ."""
    return frozenset(map(kind_of, changed_fields(applied, spec)))


def taken(applied: ClusterSpec, spec: ClusterSpec, *kinds: Kind) -> ClusterSpec:
    """Return the applied spec with the other one's fields of these kinds."""
    return _taken(applied, spec, "spec", kinds)


def _taken(before: ModelT, after: ModelT, path: str, kinds: tuple[Kind, ...]) -> ModelT:
    values: dict[str, object] = {}
    for name, field in type(before).model_fields.items():
        here, old, new = f"{path}.{field.alias}", getattr(before, name), getattr(after, name)
        below = {kind for prefix, kind in _KINDS if prefix.startswith(f"{here}.")}
        if below and isinstance(old, Model) and isinstance(new, Model):
            values[name] = _taken(old, new, here, kinds)
        else:  # what is fixed is alike in both, or the edit has been refused
            values[name] = new if (below or {kind_of(here)}) & {*kinds} else old
    return before.model_copy(update=values)


def _model_changes(before: Model, after: Model, path: str) -> Iterator[tuple[str, object]]:
    for name, field in type(before).model_fields.items():
        yield from _changes(getattr(before, name), getattr(after, name), f"{path}.{field.alias}")


def _changes(before: object, after: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(before, Model) and isinstance(after, Model):
        yield from _model_changes(before, after, path)
    elif isinstance(before, dict) and isinstance(after, dict):
        yield from _map_changes(before, after, path)
    elif not _same(before, after):
        yield (path, before)


def _map_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str
) -> Iterator[tuple[str, object]]:
    for key in sorted(before.keys() | after.keys()):
        yield from _changes(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{path}.{key}")


def _same(before: object, after: object) -> bool:
    if isinstance(before, list) and isinstance(after, list):
        # As text, because for Python 1, 1.0 and true are equal.
        return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)
    return type(before) is type(after) and before == after


def _way_back(before: object) -> str:
    if before is None or before is _ABSENT:
        return "Leave it out, as it was."
    value = before.to_json() if isinstance(before, Model) else before
    text = json.dumps(value, default=str, sort_keys=True)
    return f"Set it back to {text}." if len(text) <= _LONGEST_SHOWN else "Set it back."
