"""Values of the command line, by the rules of Go's `flag` package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd.option_values import file_value, nanoseconds

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5s", 5_000_000_000),
        ("100ms", 100_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("-1s", -1_000_000_000),
        ("+1s", 1_000_000_000),
        ("10us", 10_000),
        ("10µs", 10_000),
        ("10μs", 10_000),
        ("1ns", 1),
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("2562047h", 9_223_369_200_000_000_000),
    ],
)
def test_durations_become_nanoseconds(text, expected):
    assert expected == nanoseconds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "5 s",
        "5S",
        "1d",
        "1h30",
        "--1s",
        "1e3s",
        "5s ",
        "2562048h",
        "\N{FULLWIDTH DIGIT ONE}s",
        "-",
    ],
)
def test_what_go_takes_for_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        nanoseconds(text)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(UNITS))), min_size=1))
def test_duration_is_the_sum_of_its_parts(parts):
    text = "".join(f"{number}{unit}" for number, unit in parts)

    assert sum(number * UNITS[unit] for number, unit in parts) == nanoseconds(text)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_gos_words_for_true(text):
    assert file_value(text, "bool") is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_gos_words_for_false(text):
    assert file_value(text, "bool") is False


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("int", "-1", -1),
        ("int", "0x10", 16),
        ("uint", "8589934592", 8589934592),
        ("string", " as it is, ", " as it is, "),
        ("strings", "a, b,,c", ["a", "b", "c"]),
        ("strings", "", []),
    ],
)
def test_values_take_the_files_type(kind, text, expected):
    value = file_value(text, kind)

    assert (expected, type(expected)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        ("bool", "yes", "true or false"),
        ("bool", "", "true or false"),
        ("int", "8Gi", "without unit"),
        ("int", "1_000", "without unit"),
        ("int", "010", "without unit"),
        ("int", "1.0", "without unit"),
        ("int", "9223372036854775808", "64 bits"),
        ("uint", "-1", "0 or more"),
        ("duration", "60", "units expected"),
    ],
)
def test_wrong_values_say_what_was_expected(kind, text, complaint):
    with pytest.raises(ValueError, match=complaint):
        file_value(text, kind)


@given(
    text=st.text(max_size=12),
    kind=st.sampled_from(["bool", "int", "uint", "duration", "string", "strings"]),
)
def test_any_text_converts_or_is_a_value_error(text, kind):
    try:
        file_value(text, kind)
    except ValueError:
        return
