"""Any bytes give a request or a clean refusal; answers have the form that the API server reads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.api.manifests import cluster
from tests.unit.webhooks.requests import review
from webhooks.review import ALLOWED, Review, ReviewError, Verdict, answer, read_review

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=20,
)


def readable(body):
    try:
        return isinstance(read_review(body), Review)
    except ReviewError:
        return False


def test_a_request_is_read():
    read = read_review(review(cluster({"size": 1}), subResource="scale"))

    assert (read.uid, read.group, read.kind) == ("r-1", "etcd.etcd.io", "EtcdCluster")
    assert (read.operation, read.subresource) == ("CREATE", "scale")
    assert read.obj["spec"] == {"size": 1}
    assert read.stored is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe",
        b"{}{}",
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
        review(cluster()).replace(b"admission.k8s.io/v1", b"admission.k8s.io/v1beta1"),
        review(cluster()).replace(b"AdmissionReview", b"Other"),
        review(cluster(), uid=7),
        review(cluster(), kind="EtcdCluster"),
        review(cluster(), object=[]),
        review(cluster(), operation=None),
        b'{"a":' * 100_000,
        b"[" * 100_000,
        review(cluster()).replace(b'"uid": "r-1"', b'"uid": "\xed\xa0\x80"'),
    ],
)
def test_what_is_no_request_is_refused(body):
    assert not readable(body)


@given(st.binary())
def test_any_bytes_are_read_or_refused(body):
    readable(body)


@given(st.binary(max_size=30), st.integers(0, 600), st.integers(0, 30))
def test_a_request_with_any_damage_is_read_or_refused(damage, at, length):
    whole = review(cluster({"size": 3}), cluster({"size": 1}))
    readable(whole[:at] + damage + whole[at + length :])


@given(JSON)
def test_any_json_in_the_place_of_a_request_is_read_or_refused(value):
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": value}
    readable(json.dumps(body).encode())


def test_an_allowed_request_is_answered_with_its_uid_and_warnings():
    body = json.loads(answer("r-1", Verdict(warnings=("w" * 300,) * 30)))

    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert body["response"]["uid"] == "r-1"
    assert body["response"]["allowed"] is True
    assert body["response"]["warnings"] == ["w" * 256] * 10
    assert "warnings" not in json.loads(answer("r-1", ALLOWED))["response"]


@pytest.mark.parametrize(("is_invalid", "code"), [(True, 422), (False, 403)])
def test_a_refusal_says_why(is_invalid, code):
    response = json.loads(answer("r-1", Verdict(message="no", is_invalid=is_invalid)))["response"]

    assert response["allowed"] is False
    assert (response["status"]["code"], response["status"]["message"]) == (code, "no")
