"""Versions of etcd: one normal form, a total order, and a list of those that lose data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.version import EtcdVersion, denial_of, normal_version, parse_version

numbers = st.integers(0, 9999)
prereleases = st.sampled_from(["", "alpha.1", "alpha.2", "alpha.10", "beta", "rc.0", "1"])
versions = st.builds(EtcdVersion, numbers, numbers, numbers, prereleases)


@pytest.mark.parametrize("text", ["3.5.9", "v3.5.9"])
def test_the_v_is_optional(text):
    assert normal_version(text) == "v3.5.9"


@given(versions)
def test_the_normal_form_reads_back(version):
    assert parse_version(str(version)) == version


@pytest.mark.parametrize(
    "text",
    [
        *("", "3", "3.5", "v", "latest", "3.5.x", "3.5.9.1", "03.5.9", "3.5.9+build", "3.5.9-"),
        *("V3.5.9", "3.5.99999", "3.5.9\n", "3.5.9-" + "a" * 60),
    ],
)
def test_malformed_versions_are_refused(text):
    with pytest.raises(ValueError, match="must be a version"):
        parse_version(text)


def test_versions_are_ordered_as_semantic_versions_are():
    ordered = ["3.5.9", "3.5.10", "3.6.0-alpha.2", "3.6.0-alpha.10", "3.6.0-rc.1", "3.6.0", "3.7.0"]

    assert sorted(set(ordered), key=parse_version) == ordered


@given(versions, versions)
def test_exactly_one_of_less_equal_greater_holds(one, other):
    assert (one < other) + (one == other) + (one > other) == 1


@pytest.mark.parametrize(
    ("text", "is_denied"),
    [("3.5.0", True), ("3.5.2", True), ("3.5.2-rc.1", True), ("3.5.3", False), ("3.6.0", False)],
)
def test_versions_that_corrupt_data_are_denied(text, is_denied):
    assert (denial_of(parse_version(text)) is not None) == is_denied
