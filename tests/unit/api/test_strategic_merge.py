"""A user's pod template is merged as Kubernetes merges strategically.

Left to the API server: whether the result is a valid pod.
"""

import copy
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import merge_keys
from api.errors import MergeError
from api.strategic_merge import MAX_DEPTH, merge_pod_template

ROOT = Path(__file__).resolve().parents[3]

names = st.sampled_from(["a", "b", "c"])
variables = st.lists(st.fixed_dictionaries({"name": names}, optional={"value": names}), max_size=3)
ports = st.lists(
    st.fixed_dictionaries({"containerPort": st.integers(1, 3), "protocol": st.just("TCP")}),
    max_size=3,
)
containers = st.lists(
    st.fixed_dictionaries(
        {"name": names},
        optional={"env": variables, "ports": ports, "image": names, "command": st.lists(names)},
    ),
    max_size=3,
    unique_by=lambda container: container["name"],
)
templates = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({"labels": st.dictionaries(names, names)}),
        "spec": st.fixed_dictionaries(
            {}, optional={"containers": containers, "nodeSelector": st.dictionaries(names, names)}
        ),
    },
)


def pod(*containers, **fields):
    return {"spec": {"containers": list(containers), **fields}}


@given(templates)
def test_merging_nothing_changes_nothing(template):
    assert merge_pod_template(template, {}) == template


@given(templates)
def test_merging_over_nothing_gives_the_patch(template):
    assert merge_pod_template({}, template) == template


@given(templates, templates)
def test_merging_twice_is_merging_once(base, patch):
    once = merge_pod_template(base, patch)

    assert merge_pod_template(once, patch) == once


@given(templates, templates)
def test_the_arguments_are_left_alone(base, patch):
    before = copy.deepcopy((base, patch))
    merge_pod_template(base, patch)

    assert (base, patch) == before


def names_of(template):
    return [container["name"] for container in template.get("spec", {}).get("containers", [])]


@given(templates, templates)
def test_items_of_the_base_stay_in_front_and_in_order(base, patch):
    merged = names_of(merge_pod_template(base, patch))
    added = [name for name in names_of(patch) if name not in names_of(base)]

    assert merged == names_of(base) + added


def test_a_containers_fields_merge_by_its_name():
    base = pod({"name": "etcd", "image": "e", "env": [{"name": "A", "value": "1"}]})
    patch = pod({"name": "etcd", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}]})

    assert merge_pod_template(base, patch) == pod(
        {
            "name": "etcd",
            "image": "e",
            "env": [{"name": "A", "value": "3"}, {"name": "B", "value": "2"}],
        }
    )


def test_lists_without_a_merge_key_are_replaced():
    base = pod(tolerations=[{"key": "old"}])

    assert merge_pod_template(base, {"spec": {"tolerations": [{"key": "new"}]}}) == pod(
        tolerations=[{"key": "new"}]
    )


def test_null_deletes_a_field():
    base = pod(affinity={"podAntiAffinity": {}}, priority=1)

    assert merge_pod_template(base, {"spec": {"affinity": None}}) == pod(priority=1)


def test_the_second_item_of_a_key_merges_with_the_second():
    twice = [{"containerPort": 53, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"}]
    template = pod({"name": "dns", "ports": twice})

    assert merge_pod_template(template, template) == template


def test_plain_values_are_united():
    base = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"finalizers": ["c", "a"]}}

    assert merge_pod_template(base, patch) == {"metadata": {"finalizers": ["a", "b", "c"]}}


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"$patch": "replace"}, "$patch"),
        ({"spec": {"$setElementOrder/containers": []}}, "spec.$setElementOrder/containers"),
        ({"spec": {"$retainKeys": ["a"]}}, "spec.$retainKeys"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": []}}, "metadata.$delete"),
        (pod({"name": "a", "$patch": "delete"}), "spec.containers[0].$patch"),
        ({"spec": {"tolerations": [{"a": [{"$patch": 1}]}]}}, "spec.tolerations[0].a[0].$patch"),
        (pod({"image": "x"}), "spec.containers[0].name"),
        (pod({"name": True}), "spec.containers[0].name"),
        (pod("etcd"), "spec.containers[0]"),
        (pod({"name": "a", "env": [{}]}), "spec.containers[0].env[0].name"),
        ({"spec": {"containers": {}}}, "spec.containers"),
        ({"spec": []}, "spec"),
        ({"metadata": {"finalizers": [{}]}}, "metadata.finalizers[0]"),
    ],
)
def test_what_cannot_be_merged_is_named(patch, field):
    with pytest.raises(MergeError) as failure:
        merge_pod_template({}, patch)

    assert failure.value.error.field.startswith(f"spec.podTemplate.{field}")


@pytest.mark.parametrize(
    ("base", "patch"),
    [
        ({"affinity": {}}, {"affinity": "x"}),
        ({"tolerations": []}, {"tolerations": 1}),
        ({"affinity": {}}, {"affinity": []}),
        ({"tolerations": []}, {"tolerations": {}}),
    ],
)
def test_a_value_of_another_kind_is_refused(base, patch):
    with pytest.raises(MergeError, match="must be"):
        merge_pod_template({"spec": base}, {"spec": patch})


def nested(make, depth):
    value = "x"
    for _ in range(depth):
        value = make(value)
    return {"spec": {"deep": value}}


@pytest.mark.parametrize("make", [lambda v: {"a": v}, lambda v: [v], lambda v: [{"a": v}]])
def test_templates_nested_without_end_are_refused(make):
    with pytest.raises(MergeError, match="levels deep"):
        merge_pod_template({}, nested(make, 100 * MAX_DEPTH))


def test_the_table_is_as_it_was_generated():
    path = ROOT / "hack" / "generate_merge_keys.py"
    spec = importlib.util.spec_from_file_location("generate_merge_keys", path)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    text = Path(merge_keys.__file__).read_text(encoding="utf-8")

    assert generator.digest_of(generator.body_of(text)) == merge_keys.DIGEST
