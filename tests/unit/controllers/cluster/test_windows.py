"""Maintenance windows open when the clock of their zone says so.

The reference is brute force: every minute is looked at, with the fields of the schedule as sets of
numbers. Not tested: zones before 1972, whose offsets are no whole minutes.
"""

import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.v1alpha1.maintenance import MaintenanceWindow
from controllers.cluster.windows import is_open, may_disrupt, next_opening

MINUTE = timedelta(minutes=1)
# How far the reference looks ahead for a start.
HORIZON = timedelta(days=2)

# Moments at which the clocks of these zones are set: by an hour at night and at midnight, by half
# an hour, by two hours, in the other direction in summer, a day left out, and never.
JUMPS = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 4, 5, 3, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 3, 22, 2, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("UTC", datetime(2026, 2, 28, 23, tzinfo=UTC)),
]


def window(schedule, duration="1h", zone="UTC"):
    return MaintenanceWindow(schedule=schedule, duration=duration, time_zone=zone)


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


# ---------------------------------------------------------------- the reference


@dataclass(frozen=True)
class Field:
    """One field of a schedule: what is written, and what it means."""

    text: str
    numbers: frozenset[int] = field(repr=False)


@st.composite
def fields(draw, low, high):
    every = range(low, high + 1)
    first, last = sorted(draw(st.tuples(st.sampled_from(every), st.sampled_from(every))))
    # cronsim reads a range of one number with a step as "from this number on".
    step = draw(st.integers(1, high)) if first < last else 1
    stepped = f"{first}-{last}/{step}" if first < last else f"{first}"
    return draw(
        st.sampled_from(
            [
                Field("*", frozenset(every)),
                Field(f"*/{step}", frozenset(every[::step])),
                Field(f"{first}", frozenset({first})),
                Field(f"{first},{last}", frozenset({first, last})),
                Field(f"{first}-{last}", frozenset(range(first, last + 1))),
                Field(stepped, frozenset(range(first, last + 1, step))),
            ]
        )
    )


@dataclass(frozen=True)
class Reference:
    """A schedule in a zone, minute by minute."""

    minutes: Field
    hours: Field
    days: Field
    weekdays: Field
    zone: str

    @property
    def schedule(self):
        return f"{self.minutes.text} {self.hours.text} {self.days.text} * {self.weekdays.text}"

    def starts_at(self, moment):
        """Whether the clock comes to show a due time at this minute, or skips one."""
        zone = ZoneInfo(self.zone)
        shown = moment.astimezone(zone).replace(tzinfo=None)
        before = (moment - MINUTE).astimezone(zone).replace(tzinfo=None)
        skipped = (shown - before) // MINUTE - 1
        return any(self._is_due(shown - back * MINUTE) for back in range(max(skipped, 0) + 1))

    def _is_due(self, shown):
        on_day = shown.day in self.days.numbers
        on_weekday = shown.isoweekday() % 7 in self.weekdays.numbers
        both = self.days.text.startswith("*") or self.weekdays.text.startswith("*")
        return (
            shown.minute in self.minutes.numbers
            and shown.hour in self.hours.numbers
            and ((on_day and on_weekday) if both else (on_day or on_weekday))
        )


@st.composite
def cases(draw):
    """A schedule, and a moment near one at which its zone's clock is set."""
    zone, jump = draw(st.sampled_from(JUMPS))
    reference = Reference(
        minutes=draw(fields(0, 59)),
        hours=draw(fields(0, 23)),
        days=draw(fields(1, 31)),
        weekdays=draw(fields(0, 6)),
        zone=zone,
    )
    seconds = draw(st.integers(-3 * 3600, 3 * 3600) | st.integers(-2 * 86400, 2 * 86400))
    # As a time of the zone itself, with which a sum would be one of wall clocks.
    return reference, (jump + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))


def whole_minutes(after, until):
    """All whole minutes after one moment, up to another and including it."""
    minute = after.replace(second=0, microsecond=0) + MINUTE
    while minute <= until:
        yield minute
        minute += MINUTE


@given(cases(), st.integers(1, 2 * 24 * 60))
def test_a_window_is_open_if_any_minute_of_its_duration_was_a_start(case, minutes):
    reference, now = case
    begin = now.astimezone(UTC) - minutes * MINUTE
    expected = any(map(reference.starts_at, whole_minutes(begin, now)))

    assert is_open((window(reference.schedule, f"{minutes}m", reference.zone),), now) is expected


@given(cases())
def test_the_next_opening_is_the_first_minute_that_is_a_start(case):
    reference, now = case
    horizon = now.astimezone(UTC) + HORIZON
    minutes = whole_minutes(now.astimezone(UTC), horizon)
    expected = next(filter(reference.starts_at, minutes), None)
    found = next_opening((window(reference.schedule, zone=reference.zone),), now)

    assert found == expected or (expected is None and found > horizon)


@given(cases(), cases())
def test_several_windows_are_open_when_one_is(one, other):
    now = one[1]
    windows = tuple(window(case.schedule, "3h", case.zone) for case, _ in (one, other))

    assert is_open(windows, now) == any(is_open((each,), now) for each in windows)
    assert next_opening(windows, now) == min(next_opening((each,), now) for each in windows)


@given(cases())
def test_at_its_next_opening_a_window_is_open(case):
    windows = (window(case[0].schedule, "1s", case[0].zone),)
    opening = next_opening(windows, case[1])

    assert opening > case[1]
    assert opening.tzinfo is UTC
    assert is_open(windows, opening)
    assert not is_open(windows, opening - timedelta(microseconds=1))


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-05-09T01:59:59.999999", False),
        ("2026-05-09T02:00:00", True),
        ("2026-05-09T03:29:59.999999", True),
        ("2026-05-09T03:30:00", False),
        ("2026-05-10T02:00:00", False),
    ],
)
def test_a_window_is_open_from_its_start_until_its_end(now, expected):
    windows = (window("0 2 * * 6", "1h30m", "Europe/Berlin"),)

    assert is_open(windows, at(now, "Europe/Berlin")) is expected


def test_without_windows_none_is_open_and_nothing_has_to_wait():
    now = at("2026-05-09T02:00")

    assert not is_open((), now)
    assert may_disrupt((), now)
    assert next_opening((), now) is None


@pytest.mark.parametrize(("now", "expected"), [("02:30", True), ("03:30", False)])
def test_with_windows_what_may_wait_waits_for_one(now, expected):
    assert may_disrupt((window("0 2 * * *"),), at(f"2026-05-09T{now}")) is expected


def test_a_window_longer_than_its_period_never_closes():
    now = at("2026-05-09T02:00:30")

    assert is_open((window("0 0 * * *", "2d"),), now)
    assert next_opening((window("0 0 * * *", "2d"),), now) == at("2026-05-10T00:00")


def test_a_rare_window_is_found_years_ahead():
    assert next_opening((window("0 0 29 2 *"),), at("2097-01-01T00:00")) == at("2104-02-29T00:00")


@pytest.mark.parametrize(
    ("now", "expected"),
    [("00:59", False), ("01:00", True), ("01:59", True), ("02:00", False)],
)
def test_a_start_that_the_clock_skips_is_when_it_jumps(now, expected):
    # 02:00 becomes 03:00, at 01:00 UTC.
    windows = (window("30 2 * * *", "1h", "Europe/Berlin"),)

    assert is_open(windows, at(f"2026-03-29T{now}")) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [("00:29", False), ("00:30", True), ("01:00", False), ("01:30", True), ("02:00", False)],
)
def test_a_start_that_the_clock_shows_twice_is_both(now, expected):
    # 03:00 becomes 02:00, at 01:00 UTC.
    windows = (window("30 2 * * *", "30m", "Europe/Berlin"),)

    assert is_open(windows, at(f"2026-10-25T{now}")) is expected


def test_a_long_window_ends_when_the_clock_says_so_after_it_was_set_back():
    windows = (window("30 2 * * *", "3h", "Europe/Berlin"),)

    assert is_open(windows, at("2026-10-25T05:29", "Europe/Berlin"))
    assert not is_open(windows, at("2026-10-25T05:30", "Europe/Berlin"))


def test_an_hourly_window_stays_hourly_when_the_clock_is_set_back():
    now = at("2026-10-25T00:10")
    openings = []
    for _ in range(3):
        now = next_opening((window("0 * * * *", "5m", "Europe/Berlin"),), now)
        openings.append(now)

    assert openings == [at(f"2026-10-25T0{hour}:00") for hour in (1, 2, 3)]


def test_a_day_that_a_zone_left_out_opens_its_windows_at_the_jump():
    # Samoa went from December 29th, 24:00, to the 31st, 00:00.
    opening = next_opening(
        (window("0 2 30 12 *", zone="Pacific/Apia"),), at("2011-12-29T12:00", "Pacific/Apia")
    )

    assert opening.astimezone(ZoneInfo("Pacific/Apia")).date() == date(2011, 12, 31)


def test_the_cost_of_a_long_window_does_not_grow_with_its_starts():
    short, long = (calls_of(duration) for duration in ("1m", "7d"))

    assert long <= 2 * short


def calls_of(duration):
    """How many Python functions are called to see that a window of every minute is open."""
    windows = (window("* * * * *", duration, "Europe/Berlin"),)
    # Not the moment of another test: answers for a minute are remembered.
    now = at("2027-05-09T02:00:30")
    calls = []
    sys.setprofile(lambda _, event, __: calls.append(event) if event == "call" else None)
    try:
        assert is_open(windows, now)
    finally:
        sys.setprofile(None)
    return len(calls)
