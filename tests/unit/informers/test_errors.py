"""Answers of an API server into typed errors."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers import errors
from informers.errors import StatusError, error_from_object, error_from_status
from tests.unit.informers.api_faults import status_body

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
KNOWN = ["code", "reason", "message", "details", "kind"]


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", errors.StatusError),
        (401, "Unauthorized", errors.UnauthorizedError),
        (403, "Forbidden", errors.ForbiddenError),
        (404, "NotFound", errors.NotFoundError),
        (409, "AlreadyExists", errors.AlreadyExistsError),
        (409, "Conflict", errors.ConflictError),
        (410, "Expired", errors.ExpiredError),
        (410, "Gone", errors.ExpiredError),
        (410, "", errors.ExpiredError),
        (422, "Invalid", errors.InvalidError),
        (429, "TooManyRequests", errors.TooManyRequestsError),
        (500, "InternalError", errors.ServerError),
        (504, "Timeout", errors.ServerError),
    ],
)
def test_r11_status_has_its_type(code, reason, expected):
    error = error_from_status(code, orjson.dumps(status_body(code, reason, "why")))
    assert type(error) is expected
    assert (error.status, error.reason, error.message) == (code, reason, "why")


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(
            {"code": 504, "reason": "Timeout",
             "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}},
            id="cause",
        ),
        pytest.param(
            {"code": 504, "reason": "Timeout", "message": "Too large resource version: 2"},
            id="message",
        ),
        pytest.param(
            {"code": 504, "reason": "Timeout",
             "details": {"causes": [{"message": "Too large resource version"}]}},
            id="message of a cause",
        ),
    ],
)  # fmt: skip
def test_r13_version_from_the_future_is_told_apart_from_other_timeouts(status):
    assert type(error_from_object(status)) is errors.ResourceVersionTooLargeError


def test_r13_words_count_only_in_exact_case_and_with_reason_timeout():
    lower = {"code": 504, "reason": "Timeout", "message": "too large resource version"}
    other = {"code": 400, "reason": "BadRequest", "message": "Too large resource version"}
    assert type(error_from_object(lower)) is errors.ServerError
    assert type(error_from_object(other)) is errors.StatusError


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        ({}, {}, None),
        ({"Retry-After": "3"}, {}, 3),
        ({}, {"retryAfterSeconds": 4}, 4),
        ({"Retry-After": "3"}, {"retryAfterSeconds": 4}, 4),
        ({"Retry-After": "soon"}, {}, None),
        ({"Retry-After": "-1"}, {"retryAfterSeconds": -1}, None),
        ({"Retry-After": "Mon, 01 Jan 2035 00:00:10 GMT",
          "Date": "Mon, 01 Jan 2035 00:00:00 GMT"}, {}, 10),
        ({"Retry-After": "Mon, 01 Jan 2035 00:00:10 GMT"}, {}, None),
    ],
)  # fmt: skip
def test_r14_longer_of_both_retry_advices_counts(headers, details, expected):
    body = orjson.dumps(status_body(429, "TooManyRequests", details=details))
    assert error_from_status(429, body, headers).retry_after_s == expected


def test_answer_of_a_proxy_is_kept_as_text_and_cut():
    error = error_from_status(502, b"<html>" + b"x" * 10_000)
    assert type(error) is errors.ServerError
    assert error.message.startswith("<html>")
    assert len(error.message) <= 500


@given(st.integers(100, 599), st.binary() | json.map(lambda value: str(value).encode()))
def test_any_body_gives_some_error(status, body):
    assert error_from_status(status, body, {"Retry-After": body.decode(errors="replace")})


@given(st.dictionaries(st.sampled_from(KNOWN), json))
def test_r11_any_object_gives_some_error(status):
    assert isinstance(error_from_object(status), StatusError)
