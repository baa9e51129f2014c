"""Versions, and what depends on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd.versions import (
    Version,
    learners_are_unready,
    parse_version,
    probes_of,
    promotions_survive,
    reports_storage_version,
)


@pytest.mark.parametrize("text", ["v3.5.9", "3.5.9"])
def test_versions_are_read_with_and_without_v(text):
    assert Version(3, 5, 9) == parse_version(text)


@pytest.mark.parametrize("text", ["", "3.5", "3.5.9-rc.0", "vv3.5.9", "3.05.9", "3.5.9 ", "latest"])
def test_anything_else_is_no_version(text):
    with pytest.raises(ValueError, match="not a version"):
        parse_version(text)


@given(st.tuples(*[st.integers(0, 9999)] * 3))
def test_text_and_version_are_the_same(parts):
    assert Version(*parts) == parse_version(str(Version(*parts)))


def test_versions_are_ordered_by_number():
    assert parse_version("3.5.9") < parse_version("3.5.21") < parse_version("3.6.0")


@pytest.mark.parametrize(
    ("text", "supported"),
    [("3.4.45", False), ("3.5.0", True), ("3.6.16", True), ("3.7.3", True), ("3.8.0", False)],
)
def test_supported_minors(text, supported):
    assert supported is parse_version(text).is_supported


@pytest.mark.parametrize(
    ("text", "liveness", "readiness"),
    [
        (
            "3.5.10",
            "/health?serializable=true&exclude=NOSPACE&exclude=CORRUPT",
            "/health",
        ),
        ("3.5.11", "/livez", "/readyz"),
        ("3.6.0", "/livez", "/readyz"),
    ],
)
def test_probes_suit_the_version(text, liveness, readiness):
    probes = probes_of(parse_version(text))

    assert (liveness, readiness) == (probes.liveness_path, probes.readiness_path)


@pytest.mark.parametrize(
    ("fact", "last_without", "first_with"),
    [
        (learners_are_unready, "3.5.18", "3.5.19"),
        (promotions_survive, "3.5.19", "3.5.20"),
        (reports_storage_version, "3.5.35", "3.6.0"),
    ],
)
def test_facts_begin_with_a_release(fact, last_without, first_with):
    assert (fact(parse_version(last_without)), fact(parse_version(first_with))) == (False, True)
