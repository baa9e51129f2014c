"""Says which fields of a spec differ from the spec that the running members were made from.

Called by planning; pure. Both specs have their defaults, so leaving a field out and writing its
default are the same, as are "3.5.9" and "v3.5.9", or 1024Mi and 1Gi.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.errors import FieldError
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.common import Model

# What takes effect on a running cluster without touching a member.
LIVE_FIELDS: Final = frozenset(
    {
        "spec.acceptOperatorChanges",
        "spec.maintenanceWindows",
        "spec.paused",
        "spec.size",
        "spec.storage.deletionPolicy",
        "spec.storage.removedMemberPolicy",
        "spec.storage.existingVolumes",
        "spec.storage.migrationPolicy",
        "spec.recovery.nodeLossSeconds",
        "spec.recovery.joinDeadlineSeconds",
    }
)

_LONGEST_SHOWN: Final = 80
_ABSENT: Final = object()


def changed_fields(applied: ClusterSpec, spec: ClusterSpec) -> tuple[str, ...]:
    """Return the paths of all leaves that differ, in the models' order: ("spec.size",)."""
    return tuple(path for path, _ in _model_changes(applied, spec, "spec"))


def unsupported_changes(applied: ClusterSpec, spec: ClusterSpec) -> tuple[FieldError, ...]:
    """Return the changes that this version cannot bring to a running cluster yet."""
    return tuple(
        FieldError(path, "cannot be changed on a running cluster yet", _way_back(before))
        for path, before in _model_changes(applied, spec, "spec")
        if path not in LIVE_FIELDS
    )


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
