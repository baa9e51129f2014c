"""Decides whether a live object differs from the desired one.

Pure.  Called by the planner for each object the cluster owns.  The comparison is one-sided, as
server-side apply is: every field we want must be there with our value, fields that others or the
server's defaulting added are none of our business.  A field that we wanted once and no longer want
is caught by the hash of the desired object, carried in an annotation.

The promise (a property test holds it): once the desired object has been applied, `differs` is
False, however the server spells quantities or orders keyed lists; so applying twice writes once.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.labels import APPLIED_HASH_ANNOTATION
from api.quantity import same_quantity

# The keys by which Kubernetes merges the lists that we render (x-kubernetes-list-map-keys).
_MERGE_KEYS = ("name", "mountPath", "containerPort", "port", "uid", "topologyKey")
# Kinds in which what is absent has a meaning: an address more is open, a port less is closed.  We
# write their specs out with all defaults, and hold the live ones to exactly that.
_EXACT = frozenset({"NetworkPolicy"})
# Below these keys a string is a quantity: the server writes 1024Mi back as 1Gi.
_QUANTITY_PARENTS = frozenset({"requests", "limits", "capacity", "overhead", "sizeLimit"})


_REMEMBERED: Final = 8192
# By kind and uid of the live object: its resourceVersion, what was desired, whether they differ.
_verdicts: dict[tuple[str, str], tuple[str, Mapping[str, Any], bool]] = {}


def hash_of(desired: Mapping[str, Any]) -> str:
    """Ten hex digits that change with any change of the desired object."""
    text = json.dumps(desired, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def stamped(desired: Mapping[str, Any]) -> dict[str, Any]:
    """The desired object with its own hash in an annotation, as it is sent to the server."""
    metadata = desired["metadata"]
    assert isinstance(metadata, Mapping)
    annotations = metadata.get("annotations") or {}
    assert isinstance(annotations, Mapping)
    stamp = {APPLIED_HASH_ANNOTATION: hash_of(desired)}
    return {**desired, "metadata": {**metadata, "annotations": {**annotations, **stamp}}}


def differs(desired: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether applying `desired` (unstamped) over `live` would change anything of ours.

    The last verdict is remembered by the very object that is desired and the resourceVersion of the
    live one: in a cluster at rest neither changes for hours.
    """
    metadata = live["metadata"]
    version, key = metadata.get("resourceVersion"), (live["kind"], metadata.get("uid"))
    known = _verdicts.get(key)
    if version and known is not None and known[0] == version and known[1] is desired:
        return known[2]
    verdict = not holds(stamped(desired), live) or (
        desired["kind"] in _EXACT and desired["spec"] != live["spec"]
    )
    if version:
        _verdicts.pop(key, None)
        _verdicts[key] = (version, desired, verdict)
        if len(_verdicts) > _REMEMBERED:
            del _verdicts[next(iter(_verdicts))]
    return verdict


def holds(want: object, have: object, *, parent: str = "") -> bool:
    """Whether every field of `want` is in `have` with the same value; what `have` adds is fine.

    `parent` is the key above, by which quantities are known.
    """
    if isinstance(want, dict):
        other = have if isinstance(have, dict) else {}
        return (isinstance(have, dict) or not want) and all(
            holds(value, other.get(key), parent=_parent(key, parent)) for key, value in want.items()
        )
    if isinstance(want, (list, tuple)):
        return _list_holds(want, have if isinstance(have, list) else [], parent=parent)
    if want is None or want == "":
        return have is None or have == ""
    return want == have or (parent in _QUANTITY_PARENTS and same_quantity(str(want), str(have)))


def _parent(key: str, parent: str) -> str:
    """The quantity parent in force below `key`: it reaches down to the resource's name."""
    if key in _QUANTITY_PARENTS:
        return key
    return parent if parent in _QUANTITY_PARENTS else key


def _list_holds(want: Sequence[Any], have: Sequence[Any], *, parent: str) -> bool:
    key = _merge_key(want, have)
    if key is None:
        return len(want) == len(have) and all(
            holds(a, b, parent=parent) for a, b in zip(want, have, strict=True)
        )
    by_key = {item[key]: item for item in have if isinstance(item, dict)}
    return all(
        isinstance(item, dict) and holds(item, by_key.get(item[key]), parent=parent)
        for item in want
    )


def _merge_key(want: Sequence[Any], have: Sequence[Any]) -> str | None:
    """The key that identifies the items of both lists, or None for a list that is one value."""
    if not want:
        return None
    items = [*want, *have]
    for key in _MERGE_KEYS:
        if all(isinstance(item, dict) and key in item for item in items):
            values = [item[key] for item in want if isinstance(item, dict)]
            if len(set(map(str, values))) == len(values):
                return key
    return None
