"""Raw lists and events into objects."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.decode import Removed, Stored, decode_event, decode_object, decode_page
from informers.errors import UnreadableError
from informers.resource import Resource

PODS = Resource("", "v1", "pods", "Pod")


def pod(**meta):
    return orjson.dumps(
        {"metadata": {"name": "x", "resourceVersion": "1"} | meta, "spec": {"a": 1}}
    )


def test_keys_are_at_hand_without_the_body():
    obj = decode_object(pod(namespace="a", uid="u", labels={"k": "v"}), PODS)
    assert (obj.key, obj.namespace, obj.name) == ("a/x", "a", "x")
    assert (obj.uid, obj.resource_version, obj.labels) == ("u", "1", {"k": "v"})


def test_object_reads_as_the_whole_mapping():
    obj = decode_object(pod(), PODS)
    assert obj["spec"] == {"a": 1}
    assert obj.get("status") is None
    assert set(obj) == {"apiVersion", "kind", "metadata", "spec"}


def test_s1_cluster_scoped_object_has_its_name_as_key():
    assert decode_object(pod(), PODS).key == "x"


@pytest.mark.parametrize("nothing", [{}, {"labels": None, "ownerReferences": None}])
def test_absent_and_null_are_the_same(nothing):
    obj = decode_object(pod(**nothing), PODS)
    assert (obj.labels, obj.owner_uid) == ({}, "")


def test_owner_is_the_controlling_one():
    references = [{"uid": "1"}, {"uid": "2", "controller": False}, {"uid": "3", "controller": True}]
    assert decode_object(pod(ownerReferences=references), PODS).owner_uid == "3"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"kind":"List","metadata":{}}',
        b'{"kind":"Table","metadata":{"resourceVersion":"1"}}',
        b'{"kind":"Status","metadata":{"resourceVersion":"1"}}',
        b'{"kind":"List","metadata":{"resourceVersion":"1"},"items":{}}',
    ],
)
def test_r5_what_is_no_list_is_an_error_not_an_empty_cache(body):
    """TestReflectorListExtract, TestIsUnsupportedTableObject."""
    with pytest.raises(UnreadableError):
        decode_page(body)


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_list_may_be_empty(items):
    page = decode_page(b'{"metadata":{"resourceVersion":"7","continue":""},"items":' + items + b"}")
    assert (page.resource_version, page.continue_token, page.items) == ("7", "", [])


def test_r30_object_does_not_keep_its_page_alive():
    page = decode_page(b'{"metadata":{"resourceVersion":"7"},"items":[' + pod() + b"]}")
    assert type(decode_object(page.items[0], PODS).raw) is bytes


# ---------------------------------------------------------------------- managed fields
FIELDS = [{"manager": "kubelet", "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}}}]


@pytest.mark.parametrize(
    "meta",
    [
        pytest.param({"managedFields": FIELDS}, id="last"),
        pytest.param({"managedFields": FIELDS, "uid": "u"}, id="in the middle"),
        pytest.param({"managedFields": []}, id="empty"),
        pytest.param({"managedFields": None}, id="null"),
        pytest.param({"annotations": {"a": '"managedFields":[]'}, "managedFields": []}, id="named"),
    ],
)
def test_r25_managed_fields_are_cut_out_and_nothing_else(meta):
    raw = pod(**meta)
    body = orjson.loads(raw)
    del body["metadata"]["managedFields"]
    assert decode_object(raw, PODS).body() == {"apiVersion": "v1", "kind": "Pod"} | body


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            b'{"metadata":{"name":"x","resourceVersion":"1","managedFields": []}}', id="spaced"
        ),
        pytest.param(
            b'{"metadata":{"name":"x","resourceVersion":"1","managedFields":[]},'
            b'"spec":{"template":{"metadata":{"managedFields":[]}}}}',
            id="twice",
        ),
    ],
)
def test_r25_object_is_kept_whole_where_the_fields_cannot_be_told_apart(raw):
    assert decode_object(raw, PODS).raw == raw


json_text = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | json_text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(json_text | st.just("managedFields"), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    before=st.dictionaries(json_text, json_values, max_size=3),
    fields=json_values,
    after=st.dictionaries(json_text, json_values, max_size=3),
    spec=json_values,
)
def test_r25_any_object_stays_what_it_is_but_for_its_managed_fields(before, fields, after, spec):
    own = {"name": "x", "resourceVersion": "1"}
    meta = {"annotated": before} | own | {"managedFields": fields} | {"trailing": after}
    raw = orjson.dumps({"spec": spec, "metadata": meta, "status": spec})
    kept = decode_object(raw, PODS).body()
    kept["metadata"].pop("managedFields", None)
    expected = orjson.loads(raw)
    del expected["metadata"]["managedFields"]
    assert kept == {"apiVersion": "v1", "kind": "Pod"} | expected


def test_r25_transform_is_the_same_for_events_of_every_kind():
    body = orjson.loads(pod(managedFields=FIELDS)) | {"apiVersion": "v1", "kind": "Pod"}
    for kind, expected in (("ADDED", Stored), ("MODIFIED", Stored), ("DELETED", Removed)):
        event = decode_event(orjson.dumps({"type": kind, "object": body}), PODS)
        assert isinstance(event, expected)
        assert "managedFields" not in event.object["metadata"]
