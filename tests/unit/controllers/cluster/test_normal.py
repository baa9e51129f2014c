"""When an object counts as changed: applying twice writes once, and what we want is held to."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.cluster.render import desired_objects
from controllers.cluster.render.normal import differs, hash_of, stamped
from tests.unit.controllers.cluster.builders import observed

DESIRED = desired_objects(observed(spec_fields={"resources": {"requests": {"memory": "1024Mi"}}}))


def by_kind(kind):
    return next(obj for obj in DESIRED if obj["kind"] == kind)


def stateful_set(memory):
    """The StatefulSet as a server may hold it: quantities in its own spelling."""
    live = copy.deepcopy(stamped(by_kind("StatefulSet")))
    container = live["spec"]["template"]["spec"]["containers"][0]
    container["resources"]["requests"]["memory"] = memory
    return live


@pytest.mark.parametrize("desired", DESIRED, ids=lambda obj: obj["kind"])
def test_applied_object_does_not_differ(desired):
    assert not differs(desired, stamped(desired))


@pytest.mark.parametrize("memory", ["1Gi", "1024Mi", "1073741824"])
def test_quantity_in_another_spelling_is_the_same(memory):
    assert not differs(by_kind("StatefulSet"), stateful_set(memory))


def test_another_quantity_differs():
    assert differs(by_kind("StatefulSet"), stateful_set("2Gi"))


def test_field_that_is_no_longer_wanted_is_caught_by_the_hash():
    live = stamped(by_kind("Service"))
    wanted = copy.deepcopy(by_kind("Service"))
    del wanted["spec"]["publishNotReadyAddresses"]

    assert differs(wanted, live)


def test_annotations_of_others_are_none_of_our_business():
    live = copy.deepcopy(stamped(by_kind("Service")))
    live["metadata"]["annotations"]["cloud/ip"] = "1.2.3.4"

    assert not differs(by_kind("Service"), live)


def test_keyed_list_in_another_order_is_the_same():
    live = copy.deepcopy(stamped(by_kind("Service")))
    live["spec"]["ports"].reverse()

    assert not differs(by_kind("Service"), live)


def test_arguments_in_another_order_differ():
    live = stateful_set("1Gi")
    wanted = copy.deepcopy(by_kind("StatefulSet"))
    wanted["spec"]["template"]["spec"]["containers"][0]["args"] = ["a", "b"]
    live["spec"]["template"]["spec"]["containers"][0]["args"] = ["b", "a"]
    live["metadata"]["annotations"] = stamped(wanted)["metadata"]["annotations"]

    assert differs(wanted, live)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3)
    ),
    max_leaves=12,
)


def objects():
    return st.dictionaries(st.text(max_size=3), JSON, max_size=4).map(
        lambda spec: {"kind": "X", "metadata": {"name": "x"}, "spec": spec}
    )


@given(objects())
def test_applying_twice_writes_once_whatever_the_object(desired):
    assert not differs(desired, copy.deepcopy(stamped(desired)))


@given(objects(), objects())
def test_another_object_of_ours_always_differs(one, other):
    if one != other:
        assert differs(one, stamped(other)) or hash_of(one) == hash_of(other)


@given(objects(), st.dictionaries(st.text(min_size=4, max_size=6), JSON, max_size=3))
def test_fields_added_by_the_server_do_not_count(desired, added):
    live = copy.deepcopy(stamped(desired))
    live["spec"] |= added
    live["status"] = added

    assert not differs(desired, live)
