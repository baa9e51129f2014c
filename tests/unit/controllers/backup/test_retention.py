"""Old backups of a schedule go, their data first; the newest good one never does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

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


def nightly(children, **policy):
    """A schedule that has nothing else to do."""
    asked = spec(schedule="0 2 * * *", retentionPolicy=policy)
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


@given(
    st.lists(st.tuples(st.integers(1, 60), st.booleans()), unique_by=lambda one: one[0]),
    st.integers(1, 5),
    st.integers(1, 30),
)
def test_something_to_restore_from_is_always_left(backups, most, days):
    children = [
        child(NOW - timedelta(days=n), "Completed" if ok else "Failed") for n, ok in backups
    ]

    gone = set(going(children, maxBackups=most, maxAge=f"{days}d"))

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
