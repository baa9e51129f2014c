"""Durations are read as Go reads them, with days."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.duration import parse_duration

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30d", 30 * 86400 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("250ms", SECOND // 4),
        ("7µs", 7000),
        ("7us", 7000),
        ("1ns", 1),
        ("0s", 0),
        ("0.1ns", 0),
    ],
)
def test_durations_mean_what_go_means(text, nanoseconds):
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "d", "-1h", "1w", "1h ", "1 h", "h1", "1..5h", "1h\n"])
def test_malformed_durations_are_refused(text):
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


def test_durations_beyond_63_bits_are_refused():
    with pytest.raises(ValueError, match="292 years"):
        parse_duration("110000d")


@given(st.integers(0, 999), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours, minutes, seconds):
    expected = (hours * 3600 + minutes * 60 + seconds) * SECOND

    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == expected


@given(st.text(st.sampled_from("0123456789.hmsdnuµ "), max_size=40))
def test_any_text_is_a_duration_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0
