"""Cron expressions and time zones are checked so that whoever computes times meets no failure."""

import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given
from hypothesis import strategies as st

from api.schedule import check_cron, check_time_zone


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "0 2 * * 6", "*/15 0-4,22 1 jan-mar MON-FRI", "0 2 L * *", "0 2 * * 1#2"],
)
def test_cron_expressions_of_five_fields_are_taken(text):
    assert check_cron(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "of five fields, such as 0 2 "),
        ("@daily", "of five fields"),
        ("0 2 * *", "of five fields"),
        ("0 0 2 * * 6", "of five fields"),
        (" 0 2 * * 6", "of five fields"),
        ("0 2 * * 6\n", "of five fields"),
        ("0 2 ? * 6", "of five fields"),
        ("60 2 * * 6", r"\(bad minute\)"),
        ("0 24 * * 6", r"\(bad hour\)"),
        ("0 2 * * 8", r"\(bad day-of-week\)"),
        ("*/0 2 * * 6", r"\(bad minute\)"),
        ("0 2 31 2 *", r"\(bad day-of-month\)"),
        ("0 2 */15 2 1#5", "must name a day that there is"),
    ],
)
def test_other_cron_expressions_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        check_cron(text)


@given(st.text(st.sampled_from("0123456789*/,-#LWMONJAFE "), max_size=24) | st.text())
@example("* * * * 1L/2")
@example("* * */99999999999 * *")
def test_any_text_is_a_schedule_with_a_next_time_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert next(CronSim(check_cron(text), datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("name", ["UTC", "Etc/UTC", "Europe/Berlin", "America/Port-au-Prince"])
def test_names_of_time_zones_are_taken(name):
    assert check_time_zone(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Berlin", "europe/berlin", "Europe", "localtime", "../UTC", "/etc/localtime", "a\0"],
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="must be the IANA name of a time zone, such as UTC or"):
        check_time_zone(name)


@given(st.text())
def test_any_text_is_a_time_zone_or_a_value_error(name):
    with contextlib.suppress(ValueError):
        assert ZoneInfo(check_time_zone(name))
