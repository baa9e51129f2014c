"""Turns a model into a structural OpenAPI v3 schema, as a CustomResourceDefinition wants it.

Called by api/crd.py and by the generated reference. The way goes through pydantic's JSON schema,
which knows all types; what is left to do is what Kubernetes adds: no references, no "or null",
defaults only where they shall be persisted, and messages of CEL rules that begin with the field's
path.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

from api.v1alpha1.common import Model

Schema = dict[str, Any]

CEL_KEY: Final = "x-kubernetes-validations"
_REFERENCE: Final = "#/$defs/"

# What is copied as it is, in the order in which it is written.
_COPIED: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)


def structural_schema(model: type[Model], path: str, *, with_defaults: bool) -> Schema:
    """Return the schema of a model that stands at `path` in its object ("spec").

    Without defaults for a status: the server would write them into every object.
    """
    document = model.model_json_schema(by_alias=True)
    return _convert(document, path, _Context(document.get("$defs", {}), with_defaults))


class _Context:
    """What stays the same on the way down: the shared definitions, and whether defaults are
    kept.
    """

    __slots__ = ("definitions", "with_defaults")

    def __init__(self, definitions: Mapping[str, Schema], with_defaults: bool) -> None:
        self.definitions = definitions
        self.with_defaults = with_defaults


def _convert(node: Schema, path: str, context: _Context) -> Schema:
    node = _resolve(node, context)
    # Copies, because YAML writes a list that stands in two places as an anchor and its alias.
    schema: Schema = {key: copy.deepcopy(node[key]) for key in _COPIED if key in node}
    if not _persists_default(node, context):
        schema.pop("default", None)
    if CEL_KEY in node:
        schema[CEL_KEY] = [_rule(rule, path) for rule in node[CEL_KEY]]
    if "properties" in node:
        schema["properties"] = {
            name: _convert(child, f"{path}.{name}", context)
            for name, child in node["properties"].items()
        }
    if "items" in node:
        schema["items"] = _convert(node["items"], path, context)
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        schema["additionalProperties"] = _convert(values, path, context)
    return schema


def _resolve(node: Schema, context: _Context) -> Schema:
    """Put what a reference or an "or null" stands for in its place; what stands beside it wins."""
    while "$ref" in node or "anyOf" in node:
        beside = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
        if "$ref" in node:
            target = context.definitions[node["$ref"].removeprefix(_REFERENCE)]
        else:
            (target,) = (one for one in node["anyOf"] if one != {"type": "null"})
        node = {**target, **beside}
    return node


def _persists_default(node: Schema, context: _Context) -> bool:
    """Leave out what says nothing: null, and the empty map, list or text of an optional field.

    The empty object of a part with properties stays: through it the part's own defaults are
    persisted.
    """
    default = node.get("default")
    if not context.with_defaults or default is None:
        return False
    return default not in ("", {}, []) or "properties" in node


def _rule(rule: Mapping[str, str], path: str) -> Schema:
    field = f"{path}.{rule['field']}" if rule["field"] else path
    return {"rule": rule["rule"], "message": f"{field} {rule['message']}"}


def without_cel(schema: Schema) -> Schema:
    """Return the schema without its CEL rules, for servers that don't know them."""
    return {
        key: without_cel(value) if isinstance(value, dict) else value
        for key, value in schema.items()
        if key != CEL_KEY
    }
