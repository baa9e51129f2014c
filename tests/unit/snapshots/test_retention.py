"""Which backups stay: by tables for each rule, by properties for what must never happen."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.retention import Policy, Reason, Record, deletion_order, keep

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")


def ago(*ages, **changes):
    """Good backups of these ages, the first named 0."""
    return [Record(name=str(number), time=NOW - age, **changes) for number, age in enumerate(ages)]


def kept(records, now=NOW, **policy):
    return sorted(keep(records, Policy(**policy), now=now))


def test_without_a_policy_all_stay():
    assert kept(ago(HOUR, 1000 * DAY)) == ["0", "1"]


def test_newest_stay_up_to_the_number():
    assert kept(ago(4 * DAY, 3 * DAY, 2 * DAY, DAY), max_backups=2) == ["2", "3"]


def test_those_up_to_the_age_stay():
    assert kept(ago(DAY, 2 * DAY, 2 * DAY + HOUR), max_age=2 * DAY) == ["0", "1"]


def test_both_limits_bound():
    assert kept(ago(HOUR, DAY, 2 * DAY, 9 * DAY), max_backups=3, max_age=DAY) == ["0", "1"]


def test_last_good_one_stays_whatever_its_age():
    records = [*ago(900 * DAY, 800 * DAY), Record(name="bad", time=NOW - 700 * DAY, good=False)]

    assert keep(records, Policy(max_backups=1, max_age=DAY), now=NOW) == {"1": Reason.LAST_GOOD}


def test_bad_ones_take_no_place_among_the_newest():
    bad = [Record(name=f"bad-{n}", time=NOW - n * HOUR, good=False) for n in range(3)]

    assert kept([*bad, *ago(DAY, 2 * DAY, 3 * DAY)], max_backups=2) == ["0", "1", "bad-0", "bad-1"]


def test_newest_of_each_kept_hour_stays():
    minute = timedelta(minutes=1)
    records = ago(5 * minute, 10 * minute, HOUR + 5 * minute, 50 * HOUR)

    assert kept(records, keep_hourly=2, now=NOW) == ["0", "2"]
    assert kept(records, keep_hourly=3) == ["0", "2", "3"]


def test_newest_of_each_kept_day_stays_beyond_the_limits():
    records = ago(*(HOUR * 6 * n for n in range(20)))

    found = keep(records, Policy(max_backups=1, keep_daily=3), now=NOW)

    assert found == {"0": Reason.LAST_GOOD, "3": Reason.DAILY, "7": Reason.DAILY}


def test_days_are_those_of_the_time_zone():
    midnight = datetime(2026, 1, 10, 23, tzinfo=UTC)  # in Berlin
    records = [
        Record(name="before", time=midnight - timedelta(minutes=1)),
        Record(name="after", time=midnight + timedelta(minutes=1)),
    ]

    assert kept(records, keep_daily=2) == ["after"]
    assert kept(records, keep_daily=2, time_zone=BERLIN) == ["after", "before"]


def test_weeks_begin_on_monday_also_around_new_year():
    sunday = datetime(2027, 1, 3, 12, tzinfo=UTC)  # of the week of 28 December 2026
    records = [
        Record(name="monday", time=sunday + DAY),
        Record(name="sunday", time=sunday),
        Record(name="december", time=sunday - 5 * DAY),
    ]

    assert kept(records, keep_weekly=5) == ["monday", "sunday"]


def test_hour_that_comes_twice_is_two_hours():
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 2:30 in Berlin, and again an hour later
    records = [Record(name="first", time=first), Record(name="second", time=first + HOUR)]

    assert kept(records, keep_hourly=2, time_zone=BERLIN) == ["first", "second"]


def test_base_of_what_stays_stays():
    base = Record(name="base", time=NOW - 9 * DAY)
    logs = [
        Record(name="log-1", time=NOW - 5 * DAY, needs="base"),
        Record(name="log-2", time=NOW - DAY, needs="log-1"),
    ]

    found = keep([base, *logs], Policy(max_backups=1), now=NOW)

    assert found == {"log-2": Reason.LAST_GOOD, "log-1": Reason.NEEDED, "base": Reason.NEEDED}


@pytest.mark.parametrize(
    "chain",
    [
        [Record(name="log", time=NOW, needs="gone")],
        [
            Record(name="log", time=NOW, needs="base"),
            Record(name="base", time=NOW - DAY, good=False),
        ],
        [
            Record(name="log", time=NOW, needs="other"),
            Record(name="other", time=NOW - DAY, needs="log"),
        ],
    ],
    ids=["base-gone", "base-bad", "circle"],
)
def test_broken_chain_is_not_the_last_good_one(chain):
    whole = Record(name="whole", time=NOW - 9 * DAY)

    found = keep([*chain, whole], Policy(max_backups=1, max_age=HOUR), now=NOW)

    assert found["whole"] is Reason.LAST_GOOD


def test_what_needs_others_is_deleted_before_them():
    records = [
        Record(name="base", time=NOW - 9 * DAY),
        Record(name="log-1", time=NOW - 8 * DAY, needs="base"),
        Record(name="log-2", time=NOW - 7 * DAY, needs="log-1"),
        Record(name="other", time=NOW - 6 * DAY),
    ]

    assert deletion_order(records, {}) == ("log-2", "log-1", "base", "other")
    assert deletion_order(records, {"other": Reason.LAST_GOOD}) == ("log-2", "log-1", "base")


def test_hourly_backups_of_a_year_are_judged_at_once():
    records = ago(*(HOUR * n for n in range(8760)))

    before = time.process_time()
    found = keep(records, Policy(max_backups=8000), now=NOW)

    assert time.process_time() - before < 2  # all compared with all takes several
    assert len(found) == 8000


@pytest.mark.parametrize(
    "nonsense",
    [{"max_backups": 0}, {"max_age": timedelta()}, {"keep_daily": -1}],
    ids=["number", "age", "days"],
)
def test_policy_that_keeps_less_than_nothing_is_refused(nonsense):
    with pytest.raises(ValueError, match=r"at least|more than"):
        Policy(**nonsense)


def test_two_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        keep([*ago(HOUR), *ago(DAY)], Policy(), now=NOW)


# ---------------------------------------------------------------- properties
@st.composite
def histories(draw):
    """Backups and logs over forty days, some bad, some of broken chains."""
    minutes = st.integers(-100, 60 * 24 * 40)
    ages = draw(st.lists(minutes, max_size=25))
    records = []
    for number, age in enumerate(ages):
        names = [one.name for one in records]
        needs = draw(st.sampled_from([None, None, *names, "gone"]))
        time = NOW - timedelta(minutes=age)
        good = draw(st.booleans())
        records.append(Record(name=f"b{number}", time=time, good=good, needs=needs))
    return draw(st.permutations(records))


policies = st.builds(
    Policy,
    max_backups=st.none() | st.integers(1, 6),
    max_age=st.none() | st.timedeltas(min_value=HOUR, max_value=20 * DAY),
    keep_hourly=st.integers(0, 5),
    keep_daily=st.integers(0, 5),
    keep_weekly=st.integers(0, 5),
    time_zone=st.sampled_from([UTC, BERLIN, ZoneInfo("Pacific/Chatham")]),
)


def restorable(record, by_name):
    """Whether it and all that it needs is good and there."""
    if not record.good:
        return False
    return record.needs is None or (
        record.needs in by_name and restorable(by_name[record.needs], by_name)
    )


def newest_restorable(records):
    by_name = {one.name: one for one in records}
    found = [one for one in records if restorable(one, by_name)]
    return max(found, key=lambda one: (one.time, one.name), default=None)


@given(records=histories(), policy=policies)
def test_newest_restorable_one_is_never_lost(records, policy):
    names = keep(records, policy, now=NOW)
    left = [one for one in records if one.name in names]

    assert newest_restorable(left) == newest_restorable(records)


@given(records=histories(), policy=policies)
def test_no_chain_is_broken_not_even_half_way_through_the_deletion(records, policy):
    names = keep(records, policy, now=NOW)
    left = {one.name: one for one in records}
    whole = [one for one in records if restorable(one, left)]

    for gone in deletion_order(records, names):
        del left[gone]
        assert all(restorable(one, left) for one in whole if one.name in left)
    assert set(left) == set(names)


@given(records=histories(), policy=policies)
def test_what_stays_once_stays_for_the_same_policy(records, policy):
    names = keep(records, policy, now=NOW)
    left = [one for one in records if one.name in names]

    assert set(keep(left, policy, now=NOW)) == set(names)


@given(records=histories(), policy=policies)
def test_not_more_stay_than_the_policy_can_want(records, policy):
    reasons = list(keep(records, policy, now=NOW).values())

    assert reasons.count(Reason.LAST_GOOD) <= 1
    assert reasons.count(Reason.HOURLY) <= policy.keep_hourly
    assert reasons.count(Reason.DAILY) <= policy.keep_daily
    assert reasons.count(Reason.WEEKLY) <= policy.keep_weekly
    if policy.max_backups is not None:
        assert reasons.count(Reason.WITHIN_LIMITS) <= 2 * policy.max_backups


@given(records=histories(), policy=policies, more=st.integers(1, 3))
def test_a_larger_policy_keeps_no_less(records, policy, more):
    larger = Policy(
        max_backups=None if policy.max_backups is None else policy.max_backups + more,
        max_age=None if policy.max_age is None else policy.max_age + more * DAY,
        keep_hourly=policy.keep_hourly and policy.keep_hourly + more,
        keep_daily=policy.keep_daily and policy.keep_daily + more,
        keep_weekly=policy.keep_weekly and policy.keep_weekly + more,
        time_zone=policy.time_zone,
    )

    assert set(keep(records, policy, now=NOW)) <= set(keep(records, larger, now=NOW))
