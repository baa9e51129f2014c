"""Decides the one next step of an EtcdRestore: an ordered tuple of rules, the first wins.

Pure. First the backup is examined, by a Job; nothing is changed before it is known to be whole.
What comes then is the work of the EtcdCluster's own reconciler, which is asked for it
(`following`). What can't be done ends the restore, and only an edit begins another: one that waited
for ever might give a cluster old data on a day when nobody remembers it.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from api.etcdrestore_rules import etcdrestore_not_supported_yet, unconfirmed_errors
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.restore import RestoreSpec
from controllers.agent_jobs import Attempt, Job, failure_of, may_still_speak, progress_of
from controllers.backup.order import Failed, failed
from controllers.restore.following import follow, forward_old_data, going_back
from controllers.restore.observed import ENDS, Observed
from controllers.restore.order import Examined
from controllers.restore.render import attempt_of, cluster, examine_job, examine_job_name
from controllers.restore.steps import (
    Accept,
    AskCluster,
    Begin,
    DeleteJob,
    Fail,
    MakeCluster,
    MakeJob,
    Refuse,
    Rest,
    Step,
    Wait,
)
from controllers.restore.target import request_of, target_refusal, wanted_spec
from controllers.restore_source import Resolved, Unresolved

# For a backup that was applied together with the restore, and is taken first.
_LONGEST_FOR_BACKUP: Final = timedelta(minutes=15)
_WAIT_FOR_LAST_WORD: Final = Wait(
    reason=Reason.EXAMINING_BACKUP, message="Waiting for the pod's last word"
)

Rule = Callable[[Observed, RestoreSpec], Step | None]


def plan(observed: Observed) -> Step:
    """The next step."""
    if observed.is_deleting:
        return Wait(reason=Reason.DELETING, message="Its Job goes with it, and no cluster does")
    if observed.spec is None and observed.status.phase in ENDS:
        return Rest(edited=True)
    if observed.spec is None:
        message = "; ".join(str(error) for error in observed.errors)
        return Refuse(reason=Reason.INVALID_SPEC, message=message)
    for rule in _RULES:
        step = rule(observed, observed.spec)
        if step is not None:
            return step
    message = "every case has a rule"
    raise AssertionError(message)


def _rest_when_completed(observed: Observed, spec: RestoreSpec) -> Step | None:
    """What was restored is history, but for the old data that is still there."""
    if observed.status.phase not in ENDS:
        return None
    if not _is_current(observed, spec):
        return Rest(edited=True)
    if spec.restore_type != "Replace":
        return Rest()
    going = going_back(observed, spec) if observed.status.phase == "Completed" else None
    return forward_old_data(observed, spec) or going or Rest()


def _rest_when_failed(observed: Observed, spec: RestoreSpec) -> Step | None:
    ended = observed.status.phase == "Failed" and _is_current(observed, spec)
    return Rest() if ended else None


def _refuse_what_is_not_done_yet(observed: Observed, spec: RestoreSpec) -> Step | None:
    errors = etcdrestore_not_supported_yet(spec)
    if not errors:
        return None
    message = "; ".join(str(error) for error in errors)
    return Refuse(reason=Reason.NOT_SUPPORTED_YET, message=message)


def _begin(observed: Observed, spec: RestoreSpec) -> Step | None:
    """Before anything else is done with this state of the spec, the moment is recorded."""
    if _is_current(observed, spec):
        return None
    if spec.skip_hash_check and not observed.confirmed:
        message = "; ".join(map(str, unconfirmed_errors(observed.name, spec, confirmed="")))
        return Refuse(reason=Reason.NOT_CONFIRMED, message=message)
    if spec.old_data == "PutBack":
        message = (
            "spec.oldData is PutBack, which goes back from a restore that was carried out, and"
            " there was none: set it to Keep"
        )
        return Refuse(reason=Reason.INVALID_SPEC, message=message)
    return Begin()


def _check_target(observed: Observed, spec: RestoreSpec) -> Step | None:
    refusal = target_refusal(observed, spec)
    if refusal is None:
        return None
    may_pass = observed.target is not None and observed.target.is_deleting
    if may_pass and spec.restore_type == "New" and _has_time(observed):
        message = f"Waiting for EtcdCluster {spec.cluster_name} to be gone"
        return Wait(reason=refusal.reason, message=message)
    return Fail(answer=refusal)


def _carry_out(observed: Observed, spec: RestoreSpec) -> Step | None:
    """The backup is known to be good: now there is something to ask for."""
    if observed.status.phase != "Running":
        return None
    target = observed.target
    if spec.restore_type == "Replace":
        assert target is not None
        return AskCluster(
            name=spec.cluster_name,
            uid=target.uid,
            resource_version=target.resource_version,
            annotations=request_of(observed, spec),
        )
    wanted = wanted_spec(observed, spec)
    if isinstance(wanted, Failed):
        return Fail(answer=wanted)
    return MakeCluster(body=cluster(observed, spec, wanted))


def _check_source(observed: Observed, _spec: RestoreSpec) -> Step | None:
    source = observed.source
    if not isinstance(source, Unresolved):
        return None
    if source.may_come and _has_time(observed):
        return Wait(reason=source.reason, message=source.message, stalled=True)
    return Fail(answer=failed(source.reason, source.message))


def _delete_old_job(observed: Observed, spec: RestoreSpec) -> Step | None:
    """One that was made of an earlier spec."""
    name = examine_job_name(observed, spec)
    old = next((job for job in observed.jobs if job.name != name), None)
    if old is None:
        return None
    return _gone(old) or DeleteJob(name=old.name, uid=old.uid, why="the spec has changed")


def _record_the_result(observed: Observed, _spec: RestoreSpec) -> Step | None:
    for job in observed.jobs:
        attempts = _attempts(observed, job)
        good = next((one.answer for one in attempts if isinstance(one.answer, Examined)), None)
        if good is not None:
            return Accept(answer=good)
        if job.failure is not None and not may_still_speak(job, attempts, observed.now):
            return Fail(answer=failure_of(job, attempts, Reason.RESTORE_FAILED))
    return None


def _watch_the_job(observed: Observed, _spec: RestoreSpec) -> Step | None:
    job = next(iter(observed.jobs), None)
    if job is None:
        return None
    attempts = _attempts(observed, job)
    if job.terminating:
        return _gone(job)
    if job.failure is not None:
        return _WAIT_FOR_LAST_WORD
    if not job.complete:
        progress = progress_of(job, attempts, Reason.EXAMINING_BACKUP)
        return Wait(reason=progress.reason, message=progress.message, stalled=progress.stalled)
    if any(not one.ended for one in attempts):
        return _WAIT_FOR_LAST_WORD
    return DeleteJob(name=job.name, uid=job.uid, why="its pod is gone, and with it the result")


def _make_job(observed: Observed, spec: RestoreSpec) -> Step:
    source, wanted = observed.source, _examined_for(observed, spec)
    assert isinstance(source, Resolved)
    if isinstance(wanted, Failed):
        return Fail(answer=wanted)
    if not observed.image:
        message = (
            "The operator does not know its own image, which the pod runs that reads the backup:"
            " start it with --image, or OPERATOR_IMAGE in its environment"
        )
        return Refuse(reason=Reason.OPERATOR_IMAGE_UNKNOWN, message=message)
    body = examine_job(observed, spec, source, wanted)
    return MakeJob(body=body, storage_path=source.storage_path)


def _examined_for(observed: Observed, spec: RestoreSpec) -> ClusterSpec | Failed:
    """The spec of the cluster that is to have the backup's data."""
    if spec.restore_type == "Replace":
        assert observed.target is not None
        assert observed.target.spec is not None  # see target_refusal
        return observed.target.spec
    wanted = wanted_spec(observed, spec)
    return wanted if isinstance(wanted, Failed) else ClusterSpec.model_validate(wanted)


def _gone(job: Job) -> Wait | None:
    if not job.terminating:
        return None
    return Wait(reason=Reason.RECONCILING, message=f"Waiting for Job {job.name} to be gone")


def _attempts(observed: Observed, job: Job) -> list[Attempt]:
    return [one for one in observed.attempts if one.job_uid == job.uid]


def _is_current(observed: Observed, spec: RestoreSpec) -> bool:
    return observed.status.attempt == attempt_of(spec)


def _has_time(observed: Observed) -> bool:
    began = observed.status.start_time
    return began is None or observed.now < began + _LONGEST_FOR_BACKUP


_RULES: Final[tuple[Rule, ...]] = (
    _rest_when_completed,
    _rest_when_failed,
    _refuse_what_is_not_done_yet,
    follow,
    _begin,
    _check_target,
    _carry_out,
    _check_source,
    _delete_old_job,
    _record_the_result,
    _watch_the_job,
    _make_job,
)
