"""Raw lists and events into objects."""

from __future__ import annotations

import orjson
import pytest

from informers.decode import decode_object, decode_page
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


def test_cluster_scoped_object_has_its_name_as_key():
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
def test_what_is_no_list_is_an_error_not_an_empty_cache(body):
    """TestReflectorListExtract, TestIsUnsupportedTableObject."""
    with pytest.raises(UnreadableError):
        decode_page(body)


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_list_may_be_empty(items):
    page = decode_page(b'{"metadata":{"resourceVersion":"7","continue":""},"items":' + items + b"}")
    assert (page.resource_version, page.continue_token, page.items) == ("7", "", [])


def test_object_does_not_keep_its_page_alive():
    page = decode_page(b'{"metadata":{"resourceVersion":"7"},"items":[' + pod() + b"]}")
    assert type(decode_object(page.items[0], PODS).raw) is bytes
