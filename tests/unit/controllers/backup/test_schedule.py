"""A schedule makes one backup for each of its times: never two, also where clocks are set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.labels import SCHEDULED_AT_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.backup import BackupStatus
from controllers.backup.plan import plan
from controllers.backup.schedule import due_after, last_due
from controllers.backup.steps import Await, DeleteChild, MakeChild, Suspended, Wait
from tests.unit.controllers.backup.builders import NOW, after, child, observed, spec

CREATED = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
TWO = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
ELEVEN = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def nightly(schedule="0 2 * * *", **fields):
    """Looked at half a minute after noon, ten hours after it was due for the first time."""
    changes = {name: fields.pop(name) for name in list(fields) if name not in OBSERVED}
    asked = spec(schedule=schedule, **changes)
    return observed(**{"name": "nightly", "created": CREATED, "spec": asked} | fields)


OBSERVED = {"now", "children", "status", "created", "generation"}


def made(step):
    assert isinstance(step, MakeChild), step
    return step.scheduled


def test_what_is_due_is_made_and_what_is_made_is_not_due():
    seen = nightly()
    step = plan(seen)
    assert made(step) == TWO
    assert step.body["metadata"]["name"] == "nightly-202603010200"
    assert step.body["metadata"]["annotations"] == {SCHEDULED_AT_ANNOTATION: "2026-03-01T02:00:00Z"}

    status = after(seen, step)
    tomorrow = TWO + timedelta(days=1)
    assert (status.last_schedule_time, status.next_schedule_time) == (TWO, tomorrow)
    # The child is there and the status was lost, or the other way round.
    assert plan(replace(seen, children=(child(TWO),))) == Await(due=tomorrow)
    assert plan(replace(seen, status=status)) == Await(due=tomorrow)


def test_a_child_is_taken_once_and_has_all_but_the_schedule():
    seen = nightly(timeZone="Europe/Berlin", suspend=False, startingDeadlineSeconds=86400)

    body = plan(seen).body

    assert body["spec"] == {
        "clusterName": "db",
        "storageType": "Local",
        "local": {"claimName": "backups", "path": "etcd"},
        "compression": False,
    }
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (seen.uid, True)


def test_only_the_last_time_that_was_missed_is_made_up_for():
    assert made(plan(nightly("0 * * * *"))) == NOON


def test_nothing_is_due_before_the_object_was_there():
    assert plan(nightly(created=TWO + timedelta(seconds=1))) == Await(due=TWO + timedelta(days=1))


@pytest.mark.parametrize("known_by", ["status", "children"])
def test_a_clock_that_was_ahead_once_is_said_and_the_next_time_is_told_truly(known_by):
    ahead = TWO + timedelta(days=30)
    known = {
        "status": {"status": BackupStatus(last_schedule_time=ahead)},
        "children": {"children": (child(ahead),)},
    }
    seen = nightly(**known[known_by])

    step = plan(seen)

    assert isinstance(step, Wait)
    assert (step.reason, step.stalled) == (Reason.CLOCK_BEHIND, True)
    assert "2026-03-31T02:00:00Z" in step.message
    status = after(seen, step)
    assert status.next_schedule_time == ahead + timedelta(days=1)
    then = replace(seen, status=status, now=ahead + timedelta(days=1))
    assert made(plan(then)) == ahead + timedelta(days=1)


def test_a_clock_that_was_ahead_by_less_than_a_time_is_not_worth_a_word():
    seen = nightly(now=TWO - timedelta(seconds=3), children=(child(TWO),))

    step = plan(seen)

    assert step == Await(due=TWO + timedelta(days=1))
    assert after(seen, step).next_schedule_time == TWO + timedelta(days=1)


def test_what_is_too_late_is_left_out_and_said():
    step = plan(nightly(startingDeadlineSeconds=3600))

    assert step == Await(due=TWO + timedelta(days=1), missed=TWO)
    assert made(plan(nightly(startingDeadlineSeconds=11 * 3600))) == TWO


def test_a_suspended_schedule_makes_nothing_and_makes_up_for_the_last_time_afterwards():
    seen = nightly("0 * * * *", suspend=True)

    assert plan(seen) == Suspended()
    status = after(seen, plan(seen))
    assert (status.phase, status.next_schedule_time) == ("Suspended", None)
    resumed = replace(seen, spec=spec(schedule="0 * * * *"), status=status)
    assert made(plan(resumed)) == NOON


@pytest.mark.parametrize(
    ("policy", "kind"), [("Forbid", Wait), ("Replace", DeleteChild), ("Allow", MakeChild)]
)
def test_an_unfinished_backup_and_the_next_one(policy, kind):
    running = child(ELEVEN, "Running")

    step = plan(nightly("0 * * * *", concurrencyPolicy=policy, children=(running,)))

    assert isinstance(step, kind)
    if kind is DeleteChild:
        assert (step.name, step.uid) == (running.name, running.uid)
    finished = nightly("0 * * * *", concurrencyPolicy=policy, children=(child(ELEVEN),))
    assert made(plan(finished)) == NOON


@pytest.mark.parametrize("phase", ["", "Pending"])
def test_one_that_has_not_begun_is_waited_for_where_both_may_run(phase):
    waiting = child(ELEVEN, phase)
    running = child(ELEVEN - timedelta(hours=1), "Running")
    seen = nightly("0 * * * *", concurrencyPolicy="Allow", children=(running, waiting))

    step = plan(seen)

    assert isinstance(step, Wait)
    assert waiting.name in step.message
    begun = replace(seen, children=(running, replace(waiting, phase="Running")))
    assert made(plan(begun)) == NOON


def test_ready_is_as_good_as_the_last_finished_backup():
    def ready(*children):
        seen = nightly(children=children)
        status = after(seen, plan(seen))
        return next((c.status, c.reason) for c in status.conditions if c.type == "Ready"), status

    good, bad = child(TWO - timedelta(days=1)), child(TWO, "Failed")

    assert ready(good)[0] == ("True", "Scheduled")
    verdict, status = ready(good, bad)
    assert verdict == ("False", "BackupFailed")
    assert status.last_successful_time == good.completed
    assert ready(good, replace(bad, phase="Running"))[0] == ("True", "Scheduled")


# Berlin's clocks go from 02:00 to 03:00 at 01:00 UTC on 2026-03-29, and from 03:00 back to 02:00 at
# 01:00 UTC on 2026-10-25; Lord Howe's go back by half an hour on 2026-04-05 at 15:00 UTC the day
# before.
DST = [
    ("30 2 * * *", "Europe/Berlin", "2026-03-29", ["01:00"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["00:30"]),
    ("0 3 * * *", "Europe/Berlin", "2026-10-25", ["02:00"]),
    ("30 * * * *", "Europe/Berlin", "2026-10-25", [f"{hour:02}:30" for hour in range(24)]),
    ("0 * * * *", "Europe/Berlin", "2026-03-29", [f"{hour:02}:00" for hour in range(24)]),
    ("0 2 * * *", "UTC", "2026-03-29", ["02:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04", ["14:45"]),
    ("@daily", "Europe/Berlin", "2026-10-25", ["23:00"]),
]


@pytest.mark.parametrize(("schedule", "zone", "day", "times"), DST)
def test_a_day_on_which_the_clocks_are_set(schedule, zone, day, times):
    """A clock that ticks every ten minutes, with a restart after every tick."""
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    status, children, got = BackupStatus(), (), []
    for minutes in range(0, 24 * 60, 10):
        seen = nightly(
            schedule,
            timeZone=zone,
            created=start - timedelta(seconds=1),
            now=start + timedelta(minutes=minutes, seconds=5),
            status=status,
            children=children,
        )
        step = plan(seen)
        if isinstance(step, MakeChild):
            got.append(f"{step.scheduled:%H:%M}")
            # As often the one is lost as the other.
            if minutes % 20:
                status = after(seen, step)
            else:
                children = (*children, child(step.scheduled))

    assert got == times


schedules = st.sampled_from(
    [
        "* * * * *",
        "*/7 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "5 4 * * 1",
        "* 0-11 * * *",
        "0 0 1 * *",
    ]
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"])
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(schedules, zones, moments, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_the_last_due_time_is_the_one_that_nothing_due_follows(schedule, zone, begin, width):
    until = begin + width

    found = last_due(schedule, zone, begin, until)

    first = due_after(schedule, zone, begin)
    if found is None:
        assert first > until
    else:
        assert first <= found <= until < due_after(schedule, zone, found)


@given(
    schedules, zones, moments, st.lists(st.timedeltas(timedelta(0), timedelta(days=2)), max_size=12)
)
def test_no_time_is_served_twice_whenever_somebody_looks(schedule, zone, begin, pauses):
    status, served, now = BackupStatus(), [], begin
    for pause in pauses:
        now += pause
        seen = nightly(schedule, timeZone=zone, created=begin, now=now, status=status)
        step = plan(seen)
        if isinstance(step, MakeChild):
            served.append(step.scheduled)
            assert begin < step.scheduled <= now
        status = after(seen, step)
        assert status.next_schedule_time > now

    assert served == sorted(set(served))


def test_an_absence_of_years_is_looked_through_at_once():
    seen = nightly("* * * * *", created=NOW - timedelta(days=3000))

    assert made(plan(seen)) == NOON
