"""The CRDs are structural, documented, bounded where CEL walks, and fresh.

That a real API server takes them, and refuses what it should, is in tests/integration/test_crds.py.
"""

import importlib.util
from pathlib import Path

import pytest
import yaml

from api.crd import KINDS, crd, object_schema, render_crds
from api.schema import CEL_KEY

ROOT = Path(__file__).resolve().parents[3]
FORBIDDEN_KEYS = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "title", "const"}


def nodes(schema, path=""):
    """Every schema node with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}" if path else name)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


ALL_NODES = [
    pytest.param(path, node, id=f"{kind.name}.{path}")
    for kind in KINDS
    for path, node in nodes(object_schema(kind))
]
BOUNDS = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}


def is_bounded(node):
    if "x-kubernetes-int-or-string" in node:
        return "maxLength" in node
    return "enum" in node or "properties" in node or BOUNDS.get(node["type"], "type") in node


@pytest.mark.parametrize(("path", "node"), ALL_NODES)
def test_every_node_is_structural(path, node):
    assert not FORBIDDEN_KEYS & node.keys()
    assert "type" in node or node.get("x-kubernetes-int-or-string")
    assert not ("properties" in node and "additionalProperties" in node)


@pytest.mark.parametrize(("path", "node"), ALL_NODES)
def test_every_field_is_described_for_kubectl_explain(path, node):
    is_own_field = not path.startswith("metadata") and not path.endswith("[]")

    assert not is_own_field or node["description"].endswith(".")


@pytest.mark.parametrize(("path", "node"), ALL_NODES)
def test_what_cel_walks_is_bounded(path, node):
    walked = [*node.get("properties", {}).values()] if CEL_KEY in node and path else []

    assert all(is_bounded(child) for child in walked)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_without_cel_only_the_rules_are_missing(kind):
    plain, rules = crd(kind, cel=False), crd(kind, cel=True)

    assert CEL_KEY not in str(plain)
    schema = rules["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for _, node in nodes(schema):
        node.pop(CEL_KEY, None)
    assert plain == rules


def test_messages_name_the_field_also_inside_a_restore():
    schema = {kind.name: object_schema(kind) for kind in KINDS}["EtcdRestore"]
    size = schema["properties"]["spec"]["properties"]["clusterTemplate"]["properties"]["size"]

    assert size[CEL_KEY][0]["message"].startswith("spec.clusterTemplate.size must be 0, 1, 3")


def test_nothing_below_status_has_a_default():
    for kind in KINDS:
        status = object_schema(kind)["properties"]["status"]

        assert not [path for path, node in nodes(status) if "default" in node]


def test_whether_to_speak_tls_is_decided_by_the_operator_and_not_by_a_default_of_the_server():
    """Which would give it to clusters that run in plain text."""
    spec = object_schema(KINDS[0])["properties"]["spec"]
    security = spec["properties"]["security"]
    tls = security["properties"]["tls"]

    assert [part["default"] for part in (spec, security, tls)] == [{}, {}, {}]
    assert "default" not in tls["properties"]["enabled"]


def test_short_names_are_no_categories_of_other_kinds():
    """Kubectl prefers categories: `kubectl get etcd NAME` would stop working."""
    for kind in KINDS:
        others = {name for other in KINDS if other is not kind for name in other.categories}

        assert kind.short_name not in others


def test_the_definitions_are_one_yaml_file():
    names = [document["metadata"]["name"] for document in yaml.safe_load_all(render_crds(cel=True))]

    assert names == [f"{kind.plural}.etcd.etcd.io" for kind in KINDS]


def test_generated_files_are_fresh():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "hack" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)

    assert generate.stale(ROOT) == []
