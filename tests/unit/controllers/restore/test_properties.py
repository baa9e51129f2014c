"""Whatever happens to the backup, the Job, the cluster, the spec and our own writes, in any order:
no cluster is made of a backup that was not examined whole, none twice, and none is touched that is
somebody else's.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.labels import RESTORE_ATTEMPT_ANNOTATION, RESTORE_UID_LABEL
from api.reasons import Reason
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore import RestoreStatus
from controllers.agent_jobs import Job
from controllers.backup.order import failed
from controllers.backup.outcome import Done
from controllers.restore.plan import plan
from controllers.restore.render import attempt_of
from controllers.restore.status import next_status
from controllers.restore.steps import Action, DeleteJob, MakeCluster, MakeJob
from controllers.restore_source import resolve
from tests.unit.controllers.restore.builders import (
    EXAMINED,
    READY,
    attempt,
    backup,
    observed,
    spec,
    target,
)
from tests.unit.controllers.restore.test_plan import DONE, restoring

SPECS = [spec(store=None, backupName="once", bumpRevision=n) for n in range(3)]
CLUSTERS = [{}, restoring(()), restoring((), **DONE), restoring(READY, **DONE)]
ENDS = ("Completed", "Failed")


class Restores(RuleBasedStateMachine):
    """An EtcdRestore in a world that does what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = observed(spec=SPECS[0], source=None)
        self.found: dict | None = None
        self.proven: set[str] = set()  # attempts whose backup was read whole
        self.made: list[int] = []  # for which of the states of spec and memory a cluster was made
        self.lost = 0  # writes of the status
        self.state = 0  # changes with every edit, and with every write that is lost
        self.uids = 0

    # ---------------------------------------------------------------- the operator
    @rule(lose=st.booleans())
    def reconcile(self, lose):
        """One step; the process may die before the status is written."""
        seen = self.observe()
        step = plan(seen)
        if isinstance(step, Action):
            self.take(step, seen)
        if lose and self.lost < 3:
            self.lost += 1
            self.state += 1
            return
        outcome = Done() if isinstance(step, Action) else None
        self.seen = replace(self.seen, status=next_status(seen, step, outcome))

    def observe(self):
        source = resolve(self.seen.spec.source, "prod", self.found)
        recorded = {"size": 3} if self.found else None
        return replace(self.seen, source=source, recorded=recorded)

    def take(self, step, seen):
        match step:
            case MakeJob(body=body):
                self.uids += 1
                job = Job(name=body["metadata"]["name"], uid=f"job-{self.uids}")
                self.seen = replace(self.seen, jobs=(*seen.jobs, job))
            case DeleteJob(uid=uid):
                left = tuple(job for job in seen.jobs if job.uid != uid)
                pods = tuple(one for one in seen.attempts if one.job_uid != uid)
                self.seen = replace(self.seen, jobs=left, attempts=pods)
            case MakeCluster(body=body):
                self.make(body, seen)
            case _:
                raise AssertionError(step)

    def make(self, body, seen):
        mine = attempt_of(seen.spec)
        assert seen.target is None, "over a cluster that is there"
        assert mine in self.proven, "of a backup that nobody has read"
        assert body["spec"]["bootstrap"]["restoreFrom"] == seen.spec.source.to_json()
        self.uids += 1
        metadata = body["metadata"]
        made = target(
            uid=f"cluster-{self.uids}",
            maker=metadata["labels"][RESTORE_UID_LABEL],
            attempt=metadata["annotations"][RESTORE_ATTEMPT_ANNOTATION],
        )
        self.seen = replace(self.seen, target=made)
        self.made.append(self.state)

    # ---------------------------------------------------------------- the world
    @rule(phase=st.sampled_from(["Pending", "Running", "Completed", "Completed", "Failed"]))
    def backup_is(self, phase):
        self.found = backup(phase)

    @rule()
    def backup_goes(self):
        self.found = None

    @precondition(lambda self: self.running_job() is not None)
    @rule(how=st.sampled_from(["whole", "whole", "damaged", "silent"]))
    def job_ends(self, how):
        job = self.running_job()
        rest = tuple(one for one in self.seen.jobs if one.uid != job.uid)
        if how == "whole":
            self.proven |= {attempt_of(one) for one in SPECS if job.name.endswith(attempt_of(one))}
        answers = {"whole": EXAMINED, "damaged": failed(Reason.BACKUP_DAMAGED, "part 1")}
        pods = (
            () if how == "silent" else (attempt(job_uid=job.uid, ended=True, answer=answers[how]),)
        )
        ended = (
            replace(job, failure="it gave up", failed_at=self.seen.now)
            if how == "damaged"
            else replace(job, complete=True)
        )
        attempts = (*self.seen.attempts, *pods)
        self.seen = replace(self.seen, jobs=(*rest, ended), attempts=attempts)

    def running_job(self):
        running = (one for one in self.seen.jobs if not one.complete and one.failure is None)
        return next(running, None)

    @precondition(lambda self: self.seen.target is None)
    @rule(maker=st.sampled_from(["", "another"]))
    def somebody_makes_a_cluster(self, maker):
        self.uids += 1
        theirs = target(uid=f"cluster-{self.uids}", maker=maker)
        self.seen = replace(self.seen, target=theirs)

    @precondition(lambda self: self.seen.target is not None)
    @rule()
    def cluster_is_deleted(self):
        self.seen = replace(self.seen, target=None)

    @precondition(lambda self: self.seen.target is not None)
    @rule(
        status=st.sampled_from([{}, restoring(()), restoring((), **DONE), restoring(READY, **DONE)])
    )
    def cluster_goes_on(self, status):
        known = ClusterStatus.model_validate(status)
        self.seen = replace(self.seen, target=replace(self.seen.target, status=known))

    @rule(asked=st.sampled_from(SPECS))
    def spec_is_edited(self, asked):
        self.state += asked != self.seen.spec
        self.seen = replace(self.seen, spec=asked)

    @rule(minutes=st.integers(1, 20))
    def time_passes(self, minutes):
        self.seen = replace(self.seen, now=self.seen.now + timedelta(minutes=minutes))

    # ---------------------------------------------------------------- what always holds
    @invariant()
    def an_end_is_an_end(self):
        """Nothing is done after it, whatever the world does, until the spec is edited."""
        status: RestoreStatus = self.seen.status
        if status.phase in ENDS and status.attempt == attempt_of(self.seen.spec):
            assert not isinstance(plan(self.observe()), Action)

    @invariant()
    def each_status_can_be_written(self):
        status = self.seen.status
        assert RestoreStatus.model_validate(status.to_json()) == status

    @invariant()
    def one_attempt_makes_one_cluster(self):
        """Whoever deletes it: only an operator that forgot, or an edit, makes another."""
        assert len(self.made) == len(set(self.made))


Restores.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRestores = Restores.TestCase
