"""What the operator reads on the page of the pod: a report, or why it is none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reasons import Reason
from controllers.backup.archive.order import LONGEST_PAGE, MOST_WINDOWS, ArchiverReport, read_report
from controllers.backup.order import failed
from tests.unit.controllers.backup.archive.builders import report, window


def page(said):
    return said.model_dump_json(by_alias=True).encode()


@pytest.mark.parametrize(
    "said",
    [
        ArchiverReport(),
        report(),
        report(base_needed="why", windows=()),
        report(failing=failed(Reason.STORE_FULL, "no space")),
    ],
)
def test_what_a_pod_tells_is_read_as_it_was_told(said):
    assert read_report(page(said)) == said


def test_the_longest_report_fits_on_the_page():
    longest = window(begin=2**63 - 1, end=2**63 - 1, base=f"{'f' * 16}-2147483647/{'x' * 253}")
    said = report(
        windows=(longest,) * MOST_WINDOWS,
        base_needed="w" * 1000,
        failing=failed(Reason.ARCHIVER_FAILING, "w" * 10_000),
    )

    assert len(page(said)) < LONGEST_PAGE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "the page"),
        (b"<html>", "the page"),
        (b"[]", "the page"),
        (b'{"revision": -1}', "revision"),
        (b'{"revision": true}', "revision"),
        (b'{"revision": "200"}', "revision"),
        (b'{"unarchivedSeconds": 1e999}', "unarchivedSeconds"),
        (b'{"windows": [{}]}', "windows.0"),
        (b'{"time": "yesterday"}', "time"),
        (b"\xff\xfe", "the page"),
    ],
)
def test_what_is_no_report_says_where_it_is_none(text, words):
    with pytest.raises(ValueError, match="what it says is no report: ") as failure:
        read_report(text)

    assert words in str(failure.value)


def test_words_of_a_page_that_is_none_are_not_repeated():
    """They end up in a status: nothing of what somebody else sent gets there."""
    with pytest.raises(ValueError, match="no report") as failure:
        read_report(b'{"revision": "s3cr3t"}')

    assert "s3cr3t" not in str(failure.value)


@given(st.binary(max_size=200))
def test_whatever_is_sent_ends_in_no_other_error(text):
    with contextlib.suppress(ValueError):
        assert isinstance(read_report(text), ArchiverReport)
