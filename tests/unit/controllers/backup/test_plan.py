"""The one next step of a backup that is taken once, in every state it can be in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from api.errors import FieldError
from api.reasons import Reason
from api.v1alpha1.backup import BackupStatus
from controllers.backup.order import Order, failed
from controllers.backup.plan import plan
from controllers.backup.steps import DeleteJob, Finish, MakeJob, Refuse, Rest, Wait
from tests.unit.controllers.backup.builders import (
    MEMBERS,
    NOW,
    S3,
    SAVED,
    after,
    attempt,
    cluster,
    job,
    member,
    observed,
    spec,
)


def order_of(step):
    assert isinstance(step, MakeJob)
    (container,) = step.body["spec"]["template"]["spec"]["containers"]
    return Order.model_validate_json(container["args"][-1])


def asked(members, **fields):
    seen = observed(cluster=cluster(members, **fields))
    return [one.name for one in order_of(plan(seen)).members]


def test_followers_are_asked_before_the_leader():
    assert asked(MEMBERS) == ["db-1", "db-2", "db-0"]


def test_without_quorum_any_voter_is_asked_and_no_learner():
    down = [member(f"db-{n}", ready=False, role="") for n in (1, 0)]
    learner = member("db-2", ready=False, role="learner")

    assert asked([*down, learner]) == ["db-0", "db-1"]


def test_members_that_are_ready_come_first():
    assert asked([member("db-0", ready=False), member("db-1", role="leader")]) == ["db-1", "db-0"]


@pytest.mark.parametrize(
    ("changes", "kind", "reason", "words"),
    [
        ({"cluster": None}, Wait, Reason.CLUSTER_NOT_FOUND, "EtcdCluster db"),
        ({"cluster": cluster([])}, Wait, Reason.NO_MEMBER_RUNS, "no member"),
        ({"cluster": cluster(clusterID="")}, Wait, Reason.NO_MEMBER_RUNS, "no member"),
        ({"image": ""}, Refuse, Reason.OPERATOR_IMAGE_UNKNOWN, "OPERATOR_IMAGE"),
        (
            {"spec": spec(clusterNamespace="other")},
            Refuse,
            Reason.NOT_SUPPORTED_YET,
            "spec.clusterNamespace",
        ),
        ({"spec": spec(local=None)}, Refuse, Reason.NOT_SUPPORTED_YET, "spec.local"),
        (
            {"spec": None, "errors": (FieldError("spec.s3", "is required"),)},
            Refuse,
            Reason.INVALID_SPEC,
            "spec.s3 is required",
        ),
        ({"is_deleting": True}, Wait, Reason.DELETING, "Job"),
    ],
)
def test_what_keeps_a_backup_from_being_begun(changes, kind, reason, words):
    step = plan(observed(**changes))

    assert (type(step), step.reason) == (kind, reason)
    assert words in step.message


def test_own_namespace_named_is_its_own():
    assert isinstance(plan(observed(spec=spec(clusterNamespace="prod"))), MakeJob)


@pytest.mark.parametrize("phase", ["Completed", "Failed"])
def test_an_end_is_an_end(phase):
    status = BackupStatus(phase=phase, job="once-0123abcd-1")

    for changes in ({}, {"jobs": (job(),)}, {"cluster": None}, {"image": ""}):
        assert plan(observed(status=status, **changes)) == Rest()


def test_another_spec_is_another_try_after_a_failure_but_not_after_a_backup():
    failure = BackupStatus(phase="Failed", job="once-0123abcd-1")
    done = failure.model_copy(update={"phase": "Completed"})

    again = plan(observed(status=failure, generation=2))

    assert isinstance(again, MakeJob)
    assert again.body["metadata"]["name"] == "once-0123abcd-2"
    assert plan(observed(status=done, generation=2)) == Rest(edited=True)
    assert plan(observed(status=done, generation=2, spec=None)) == Rest(edited=True)


def test_the_job_of_an_earlier_spec_goes_first():
    seen = observed(generation=2, jobs=(job(),))

    assert plan(seen) == DeleteJob(
        name="once-0123abcd-1", uid="job-uid", why="the spec has changed"
    )
    going = plan(replace(seen, jobs=(job(terminating=True),)))
    assert isinstance(going, Wait)


class TestJob:
    def step(self, *attempts, **fields):
        return plan(observed(jobs=(job(**fields),), attempts=attempts))

    def test_runs(self):
        step = self.step(attempt())

        assert (step.reason, step.stalled) == (Reason.BACKUP_RUNNING, False)

    def test_is_stuck(self):
        obstacle = (Reason.CONTAINER_CONFIG_ERROR, 'secret "keys" not found')
        step = self.step(attempt(obstacle=obstacle))

        assert (step.reason, step.stalled) == (Reason.CONTAINER_CONFIG_ERROR, True)
        assert 'secret "keys" not found' in step.message

    def test_can_not_make_its_pod(self):
        step = self.step(refusal="exceeded quota: small")

        assert (step.reason, step.stalled) == (Reason.PODS_REFUSED, True)
        assert "exceeded quota: small" in step.message

    def test_could_make_its_pod_in_the_end(self):
        assert self.step(attempt(), refusal="exceeded quota").reason is Reason.BACKUP_RUNNING

    def test_tries_again_with_the_words_of_the_last_attempt(self):
        first = failed(Reason.STORE_UNAVAILABLE, "first words")
        last = failed(Reason.SNAPSHOT_FAILED, "last words")
        step = self.step(
            attempt(ended=True, answer=last, created=NOW),
            attempt(ended=True, answer=first, created=NOW - timedelta(minutes=1)),
        )

        assert (step.reason, step.stalled) == (Reason.SNAPSHOT_FAILED, False)
        assert "last words" in step.message

    def test_is_complete(self):
        assert self.step(attempt(ended=True, answer=SAVED), complete=True) == Finish(answer=SAVED)

    def test_counts_as_complete_as_soon_as_the_pod_has_said_so(self):
        assert self.step(attempt(ended=True, answer=SAVED)) == Finish(answer=SAVED)

    def test_waits_for_a_cache_that_is_behind(self):
        step = self.step(attempt(), complete=True)

        assert isinstance(step, Wait)

    def test_is_made_anew_when_the_result_is_lost(self):
        assert isinstance(self.step(complete=True), DeleteJob)

    def test_has_failed_with_the_words_of_the_pod(self):
        answer = failed(Reason.STORE_FORBIDDEN, "403")

        assert self.step(attempt(ended=True, answer=answer), failure="has a failed pod") == Finish(
            answer=answer
        )

    @pytest.mark.parametrize(
        ("pod", "reason", "words"),
        [
            (
                attempt(ended=True, last_words="exit code 137 (OOMKilled)"),
                Reason.BACKUP_FAILED,
                "backoff limit: exit code 137 (OOMKilled)",
            ),
            (
                attempt(obstacle=(Reason.POD_UNSCHEDULABLE, "no claim")),
                Reason.POD_UNSCHEDULABLE,
                "no claim",
            ),
        ],
    )
    def test_has_failed_without_a_word_of_ours(self, pod, reason, words):
        answer = self.step(pod, failure="backoff limit").answer

        assert (answer.reason, answer.message) == (reason, words)

    def test_has_failed_and_its_pod_may_still_say_why(self):
        running = attempt()

        fresh = self.step(running, failure="f", failed_at=NOW - timedelta(seconds=5))
        late = self.step(running, failure="f", failed_at=NOW - timedelta(minutes=2))
        gone = self.step(failure="f", failed_at=NOW - timedelta(seconds=5))

        assert isinstance(fresh, Wait)
        assert (late.answer.message, gone.answer.message) == ("f", "f")

    def test_of_another_one_does_not_count(self):
        step = self.step(attempt(ended=True, answer=SAVED, job_uid="another"))

        assert isinstance(step, Wait)


class TestStatus:
    def test_from_the_first_look_to_the_end(self):
        seen = observed()
        began = after(seen, plan(seen))
        assert (began.phase, began.start_time, began.job) == (
            "Running",
            NOW.replace(microsecond=0),
            "once-0123abcd-1",
        )
        seen = replace(seen, status=began, jobs=(job(),), attempts=(attempt(),))
        assert after(seen, plan(seen)).phase == "Running"

        seen = replace(seen, attempts=(attempt(ended=True, answer=SAVED),))
        done = after(seen, plan(seen))

        assert done.phase == "Completed"
        assert (done.backup_size, done.etcd_revision, done.sha256) == (100, 7, "ab" * 32)
        assert {c.type: (c.status, c.reason) for c in done.conditions} == {
            "Ready": ("True", "BackupCompleted"),
            "Reconciling": ("False", "BackupCompleted"),
            "Stalled": ("False", "BackupCompleted"),
        }
        seen = replace(seen, status=done)
        assert after(seen, plan(seen)) == done

    def test_of_a_failure_stays_until_the_spec_changes(self):
        answer = failed(Reason.STORE_FORBIDDEN, "403: no such key")
        seen = observed(jobs=(job(failure="f"),), attempts=(attempt(ended=True, answer=answer),))
        status = after(seen, plan(seen))

        assert status.phase == "Failed"
        assert {(c.type, c.status, c.message) for c in status.conditions} == {
            ("Ready", "False", "403: no such key"),
            ("Reconciling", "False", "403: no such key"),
            ("Stalled", "True", "403: no such key"),
        }
        seen = replace(seen, status=status)
        assert after(seen, plan(seen)) == status
        corrected = replace(seen, generation=2, jobs=(), attempts=(), spec=spec(**S3, local=None))
        again = after(corrected, plan(corrected))
        assert (again.phase, again.job) == ("Running", "once-0123abcd-2")

    def test_of_a_refused_edit_of_what_failed_does_not_end_it(self):
        failure = BackupStatus(phase="Failed", job="once-0123abcd-1")
        seen = observed(status=failure, generation=2, image="")
        refused = replace(seen, status=after(seen, plan(seen)))

        assert isinstance(plan(replace(refused, image="now/known:1")), MakeJob)

    def test_of_an_edit_that_comes_too_late_and_is_taken_back(self):
        seen = observed(attempts=(attempt(ended=True, answer=SAVED),), jobs=(job(),))
        done = after(seen, plan(seen))
        late = replace(seen, status=done, generation=2)
        told = after(late, plan(late))

        stalled = next(c for c in told.conditions if c.type == "Stalled")
        assert (stalled.status, stalled.reason) == ("True", "EditedTooLate")
        assert told.phase == "Completed"
