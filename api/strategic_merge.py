"""Merges a user's pod template over the operator's, as Kubernetes merges strategically.

Called by rendering (over the rendered template) and by validation (over nothing, to find what
cannot be merged). Pure: neither argument is changed. Rules: maps merge, null deletes, lists
replace, except the lists that have a merge key in Kubernetes' OpenAPI (api/merge_keys.py): there
items with the same key merge, and others are added at the end. Directives ($patch and the like)
are refused: they could take away what the operator needs, in ways that are hard to see.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.errors import FieldError, MergeError
from api.merge_keys import MERGED_LISTS, NESTED

Json = dict[str, Any]

_ROOT: Final = "PodTemplateSpec"

# No pod is nested deeper than about ten; far below what would exhaust the stack.
MAX_DEPTH: Final = 32


def merge_pod_template(
    base: Mapping[str, Any], patch: Mapping[str, Any], *, path: str = "spec.podTemplate"
) -> Json:
    """Return `base` (metadata and pod spec) with `patch` merged over it, as new plain data.

    Merging again changes nothing. Raises MergeError when the patch contains a directive, an item
    of a merged list without its key, another kind of value than is already there, or is nested too
    deeply; the error names the field below `path`.
    """
    return _merge_maps(base, patch, _ROOT, path, depth=0)


def _merge_maps(
    base: Mapping[str, Any], patch: Mapping[str, Any], kind: str, path: str, *, depth: int
) -> Json:
    if depth > MAX_DEPTH:
        raise _refusal(path, f"is nested more than {MAX_DEPTH} levels deep")
    merged = dict(base)
    for key, value in patch.items():
        field = f"{path}.{key}"
        if key.startswith("$"):
            raise _refusal(field, "is a directive of strategic merge, which is not supported")
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_field(merged.get(key), value, (kind, key), field, depth=depth + 1)
    return merged


def _merge_field(
    base: object, value: object, place: tuple[str, str], path: str, *, depth: int
) -> object:
    kind, key = place
    rule = MERGED_LISTS.get(kind, {}).get(key)
    nested = NESTED.get(kind, {}).get(key, "")
    if rule is not None:
        return _merge_list(_as_list(base, path), _as_list(value, path), rule, path, depth=depth)
    if isinstance(value, dict) or nested:
        return _merge_maps(_as_map(base, path), _as_map(value, path), nested, path, depth=depth)
    if isinstance(value, list):
        _as_list(base, path)
        return _copy(value, path, depth=depth)
    if isinstance(base, dict | list):
        raise _refusal(path, f"must be {'an object' if isinstance(base, dict) else 'a list'}")
    return value


def _merge_list(
    base: Sequence[object], patch: Sequence[object], rule: tuple[str, str], path: str, *, depth: int
) -> list[Any]:
    key, kind = rule
    if not key:
        return _merge_values(base, patch, path)
    merged: list[Any] = list(base)
    places = _places(base, key, path)
    for index, item in enumerate(patch):
        item_path = f"{path}[{index}]"
        addition = _as_map(item, item_path)
        known = places.get(_identity(addition, key, item_path))
        if known:
            place = known.pop(0)
            merged[place] = _merge_maps(merged[place], addition, kind, item_path, depth=depth)
        else:
            merged.append(_merge_maps({}, addition, kind, item_path, depth=depth))
    return merged


def _merge_values(base: Sequence[object], patch: Sequence[object], path: str) -> list[object]:
    merged = list(base)
    for index, value in enumerate(patch):
        if isinstance(value, dict | list):
            item_path = f"{path}[{index}]"
            raise _refusal(item_path, "must be a plain value")
        if value not in merged:
            merged.append(value)
    return merged


def _places(items: Sequence[object], key: str, path: str) -> dict[str | int, list[int]]:
    """Return where each key stands, in order: of two ports 53, the second one merges with the
    second.

    Kubernetes merges every item with the first that has its key, so that a list with the same port
    for TCP and UDP changes when it is merged twice.
    """
    places: dict[str | int, list[int]] = {}
    for index, item in enumerate(items):
        item_path = f"{path}[{index}]"
        places.setdefault(_identity(_as_map(item, item_path), key, item_path), []).append(index)
    return places


def _identity(item: Mapping[str, object], key: str, path: str) -> str | int:
    value = item.get(key)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    field = f"{path}.{key}"
    raise _refusal(field, "is required: by it the item is merged")


def _copy(value: object, path: str, *, depth: int) -> object:
    if isinstance(value, dict):
        return _merge_maps({}, value, "", path, depth=depth)
    if isinstance(value, list):
        if depth > MAX_DEPTH:
            raise _refusal(path, f"is nested more than {MAX_DEPTH} levels deep")
        return [
            _copy(item, f"{path}[{index}]", depth=depth + 1) for index, item in enumerate(value)
        ]
    return value


def _as_map(value: object, path: str) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _refusal(path, "must be an object")
    return value


def _as_list(value: object, path: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _refusal(path, "must be a list")
    return value


def _refusal(path: str, message: str) -> MergeError:
    return MergeError(FieldError(path, message))
