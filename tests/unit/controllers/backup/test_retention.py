"""Old backups of a schedule go, their data first; the newest good one never does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reasons import Reason
from api.v1alpha1.backup import BackupStatus
from controllers.backup.order import Removal, failed
from controllers.backup.plan import plan
from controllers.backup.render import expiry_job_name
from controllers.backup.steps import Await, DeleteSelf, ExpireChild, MakeDeletion, Refuse, Wait
from tests.unit.controllers.backup.builders import (
    NOW,
    S3,
    SAVED,
    after,
    attempt,
    child,
    job,
    observed,
    spec,
)


def nightly(children, *, zone="UTC", **policy):
    """A schedule that has nothing else to do."""
    asked = spec(schedule="0 2 * * *", timeZone=zone, retentionPolicy=policy)
    return observed(name="nightly", created=NOW, spec=asked, children=tuple(children))


def days_old(*ages, phase="Completed"):
    return [child(NOW - timedelta(days=age), phase) for age in ages]


def going(children, **policy):
    """The names that go, one after the other."""
    seen, names = nightly(children, **policy), []
    while isinstance(step := plan(seen), ExpireChild):
        names.append(step.name)
        marked = (replace(c, expired=c.expired or c.name == step.name) for c in seen.children)
        seen = replace(seen, children=tuple(marked))
    assert isinstance(step, Await)
    return names


def test_the_oldest_go_first():
    old, older, oldest = days_old(2, 3, 4)

    assert going([old, older, oldest, *days_old(1)], maxBackups=2) == [oldest.name, older.name]


def test_what_is_older_than_the_policy_goes():
    new, good, bad = *days_old(6, 30), *days_old(10, phase="Failed")

    assert going([new, good, bad], maxAge="7d") == [good.name, bad.name]


def test_nothing_goes_for_its_age_while_there_is_nothing_newer():
    """Backups have stopped, or the clock is ahead."""
    old = [*days_old(20, 30), *days_old(10, phase="Failed")]

    assert going(old, maxAge="7d") == []
    assert going(old, maxAge="7d", maxBackups=1) == [old[1].name]


@pytest.mark.parametrize("policy", [{}, {"maxBackups": 0}])
def test_without_a_policy_all_stay(policy):
    assert going(days_old(*range(1, 50)), **policy) == []


def test_what_is_not_finished_stays():
    running = days_old(5, phase="Running")

    assert going([*running, *days_old(1)], maxBackups=1, maxAge="1h") == []


def test_days_are_kept_beyond_the_number():
    today, *others = days_old(0, 1, 2, 3, 4)

    gone = going([*others, today], maxBackups=2, keepDaily=4)

    assert gone == [others[-1].name]


def test_of_an_hour_a_day_and_a_week_the_last_good_one_is_kept():
    early, late = (child(NOW - timedelta(hours=hours)) for hours in (3, 2))
    bad = child(NOW - timedelta(hours=1), "Failed")
    last_week, its_saturday = days_old(7, 8)  # NOW is a Sunday
    children = [early, late, bad, last_week, its_saturday]

    assert going(children, keepDaily=1) == [its_saturday.name, last_week.name, early.name]
    assert going(children, keepWeekly=2) == [its_saturday.name, early.name]
    assert going(children, keepHourly=2) == [its_saturday.name, last_week.name]


def test_days_are_those_of_the_schedules_zone():
    """2025-10-25T22:30Z is past midnight in Berlin, of the day on which clocks are set back."""
    evening = child(datetime(2025, 10, 25, 22, 30, tzinfo=UTC))
    last_of_day = child(datetime(2025, 10, 26, 22, 30, tzinfo=UTC))
    children = [child(datetime(2025, 10, 25, 21, 30, tzinfo=UTC)), evening, last_of_day]

    assert going(children, keepDaily=2, zone="Europe/Berlin") == [evening.name]
    assert going(children, keepDaily=2) == [children[0].name]


def test_an_hour_that_comes_twice_is_two_hours():
    first, second = (child(datetime(2025, 10, 26, hour, 10, tzinfo=UTC)) for hour in (0, 1))

    assert going([first, second], keepHourly=2, zone="Europe/Berlin") == []
    assert going([first, second], keepHourly=1, zone="Europe/Berlin") == [first.name]


def test_days_that_are_kept_let_nothing_go_for_its_age_while_there_is_nothing_newer():
    old = days_old(20, 21, 22)

    assert going(old, maxAge="7d", keepDaily=1) == []
    assert going([*old, *days_old(1)], maxAge="7d", keepDaily=2) == [old[2].name, old[1].name]


def test_what_failed_stays_until_something_comes_after_it():
    good, bad = *days_old(2), *days_old(1, phase="Failed")

    assert going([good, bad], keepDaily=1) == []
    assert going([good, bad, *days_old(0)], keepDaily=2) == [bad.name]


def test_what_can_not_be_deleted_takes_no_place_of_what_stays():
    """It is marked, and its own status says why it is still there."""
    oldest, older, new = days_old(3, 2, 1)
    stuck = replace(oldest, expired=True)

    assert going([stuck, older, new], keepDaily=2) == []
    assert going([replace(new, expired=True), older, stuck], keepDaily=2) == []


@given(
    st.lists(st.tuples(st.integers(1, 60), st.booleans()), unique_by=lambda one: one[0]),
    st.integers(1, 5),
    st.integers(1, 30),
    st.integers(0, 3),
)
def test_something_to_restore_from_is_always_left(backups, most, days, weeks):
    children = [
        child(NOW - timedelta(days=n), "Completed" if ok else "Failed") for n, ok in backups
    ]

    gone = set(going(children, maxBackups=most, maxAge=f"{days}d", keepWeekly=weeks))

    good = [one for one in children if one.phase == "Completed"]
    if good:
        newest = max(good, key=lambda one: one.scheduled)
        assert newest.name not in gone


class TestExpired:
    def seen(self, **fields):
        done = observed(jobs=(job(),), attempts=(attempt(ended=True, answer=SAVED),))
        status = after(done, plan(done))
        return replace(done, status=status, expired=True, **fields)

    def expiry(self, **fields):
        return job(name=expiry_job_name(observed()), uid="expiry", **fields)

    def test_the_data_go_first(self):
        step = plan(self.seen())

        assert isinstance(step, MakeDeletion)
        (container,) = step.body["spec"]["template"]["spec"]["containers"]
        assert container["args"][:2] == ["agent", "delete"]
        removal = Removal.model_validate_json(container["args"][-1])
        assert removal.folder == "abc-1/once-0123abcd"
        assert removal.local == spec().local
        volumes = step.body["spec"]["template"]["spec"]["volumes"]
        assert [volume["name"] for volume in volumes] == ["backup"]

    def test_what_deletes_them_needs_no_key(self):
        seen = replace(self.seen(), spec=spec(encryption={"keySecret": "deleted-meanwhile"}))

        assert "deleted-meanwhile" not in str(plan(seen).body)

    def test_then_the_object(self):
        assert plan(self.seen(jobs=(job(), self.expiry(complete=True)))) == DeleteSelf()

    def test_while_the_data_can_not_be_deleted_it_stays(self):
        answer = failed(Reason.STORE_FORBIDDEN, "403")
        tried = (attempt(ended=True, answer=answer, job_uid="expiry"),)
        seen = self.seen(jobs=(self.expiry(failure="f"),))
        seen = replace(seen, attempts=tried)

        step = plan(seen)

        assert isinstance(step, Wait)
        assert (step.stalled, step.reason) == (True, Reason.BACKUP_EXPIRED)
        assert "403" in step.message

    def test_while_the_pod_that_deletes_them_can_not_be_made_it_says_so(self):
        step = plan(self.seen(jobs=(self.expiry(refusal="exceeded quota"),)))

        assert (step.stalled, step.reason) == (True, Reason.BACKUP_EXPIRED)
        assert "exceeded quota" in step.message

    @pytest.mark.parametrize("fields", [{}, {"image": ""}])
    def test_it_is_what_it_was_until_it_is_gone(self, fields):
        seen = self.seen(**fields)
        status = after(seen, plan(seen))

        assert (status.phase, status.storage_path) == ("Completed", SAVED.storage_path)
        assert isinstance(plan(replace(seen, status=status)), Refuse if fields else MakeDeletion)

    @pytest.mark.parametrize("recorded", ["when the Job was made", "when the Job was seen"])
    def test_what_failed_may_have_something_in_the_store(self, recorded):
        seen = observed()
        made = plan(seen)
        if recorded == "when the Job was made":
            seen = replace(seen, status=after(seen, made))
        path = made.body["metadata"]["annotations"]["etcd.etcd.io/storage-path"]
        seen = replace(seen, jobs=(job(failure="f", storage_path=path),))
        gone = replace(seen, status=after(seen, plan(seen)), jobs=(), expired=True)

        assert (gone.status.phase, gone.status.storage_path) == ("Failed", SAVED.storage_path)
        step = plan(gone)
        assert isinstance(step, MakeDeletion)
        assert after(gone, step).phase == "Failed"

    def test_what_failed_before_it_had_a_place_has_nothing_in_the_store(self):
        failure = BackupStatus(phase="Failed", job="once-0123abcd-1")

        assert plan(observed(status=failure, expired=True)) == DeleteSelf()

    @pytest.mark.parametrize(("phase", "kind"), [("Failed", DeleteSelf), ("Completed", Wait)])
    def test_where_there_is_no_store_nothing_was_stored_by_what_failed(self, phase, kind):
        seen = self.seen(jobs=(self.expiry(failure="f"),))
        answer = failed(Reason.STORE_MISSING, "no such bucket")
        tried = (attempt(ended=True, answer=answer, job_uid="expiry"),)
        status = seen.status.model_copy(update={"phase": phase})

        assert isinstance(plan(replace(seen, status=status, attempts=tried)), kind)

    @pytest.mark.parametrize(
        "elsewhere",
        [
            {"local": {"claimName": "others", "path": "etcd"}},
            {"local": {"claimName": "backups"}},
            {"local": None},
            {**S3, "local": None},
        ],
    )
    def test_data_are_not_looked_for_where_they_are_not(self, elsewhere):
        step = plan(self.seen(spec=spec(**elsewhere)))

        assert isinstance(step, Wait)
        assert (step.stalled, step.reason) == (True, Reason.BACKUP_EXPIRED)
        assert SAVED.storage_path in step.message

    def test_what_is_not_finished_is_finished_first(self):
        assert not isinstance(plan(replace(observed(), expired=True)), MakeDeletion | DeleteSelf)
