"""Paths, keys, and the order of resourceVersions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.resource import Resource, compare_resource_versions, object_key, split_key

PODS = Resource("", "v1", "pods", "Pod")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("a"), "/api/v1/namespaces/a/pods"),
        (PODS.path("a", "x"), "/api/v1/namespaces/a/pods/x"),
        (STATEFUL_SETS.path("a", "x", "scale"),
         "/apis/apps/v1/namespaces/a/statefulsets/x/scale"),
        (NODES.path(name="n/../../x"), "/api/v1/nodes/n%2F..%2F..%2Fx"),
    ],
)  # fmt: skip
def test_path_is_what_the_server_serves(path, expected):
    assert path == expected


def test_path_that_no_server_serves_is_an_error():
    with pytest.raises(ValueError, match="needs a namespace"):
        PODS.path(name="x")
    with pytest.raises(ValueError, match="not namespaced"):
        NODES.path("a", "n")


def test_api_version_has_the_group_unless_it_is_the_core_one():
    assert (PODS.api_version, STATEFUL_SETS.api_version) == ("v1", "apps/v1")


@pytest.mark.parametrize(("namespace", "name"), [("a", "x"), ("", "x")])
def test_s1_key_can_be_taken_apart_again(namespace, name):
    assert split_key(object_key(namespace, name)) == (namespace, name)


@given(st.integers(min_value=0), st.integers(min_value=0))
def test_r2_decimal_versions_are_ordered_as_numbers_of_any_size(left, right):
    assert compare_resource_versions(str(left), str(right)) == (left > right) - (left < right)


@pytest.mark.parametrize("opaque", ["", "abc", "1a", "-1", "1.5", "007", "²", "१२"])
def test_r2_opaque_version_has_no_order(opaque):
    assert compare_resource_versions(opaque, "1") is None
    assert compare_resource_versions("1", opaque) is None


def test_r2_equal_versions_are_equal_even_if_opaque():
    assert compare_resource_versions("abc", "abc") == 0
