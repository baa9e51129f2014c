"""Decides the one next step of an EtcdBackup: an ordered tuple of rules, the first wins.

Pure. A backup that is taken once is a Job; one with a schedule makes others that are taken once
(`schedule`).
"""

from collections.abc import Callable
from typing import Final

from api.backup_rules import backup_not_supported_yet
from api.reasons import Reason
from api.v1alpha1.backup import BackupSpec
from controllers.agent_jobs import (
    Attempt,
    Job,
    Progress,
    failure_of,
    may_still_speak,
    progress_of,
)
from controllers.backup.archive.plan import next_of_archive
from controllers.backup.members import members_to_ask
from controllers.backup.observed import Observed
from controllers.backup.order import Failed, Saved
from controllers.backup.place import holds, store_of
from controllers.backup.render import expiry_job, expiry_job_name, job_name, snapshot_job
from controllers.backup.retention import first_expired
from controllers.backup.schedule import next_of_schedule
from controllers.backup.steps import (
    Action,
    DeleteJob,
    DeleteSelf,
    ExpireChild,
    Finish,
    MakeDeletion,
    MakeJob,
    Refuse,
    Rest,
    Step,
    Wait,
)
from controllers.backup.verification import next_of_verification, next_to_ask

_WAIT_FOR_LAST_WORD: Final = Wait(
    reason=Reason.BACKUP_RUNNING, message="Waiting for the pod's last word"
)

Rule = Callable[[Observed, BackupSpec], Step | None]


def plan(observed: Observed) -> Step:
    """The next step."""
    if observed.is_deleting:
        return Wait(reason=Reason.DELETING, message="Its Job and its children go with it")
    if observed.spec is None and observed.status.phase == "Completed":
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


def _expire(observed: Observed, spec: BackupSpec) -> Step | None:
    """First what is in the store, then the object that tells where it is."""
    if not observed.expired or observed.status.phase not in {"Completed", "Failed"}:
        return None
    if observed.status.phase == "Failed" and not observed.status.storage_path:
        return DeleteSelf()
    name = expiry_job_name(observed)
    job = next((one for one in observed.jobs if one.name == name), None)
    if job is None:
        return (
            _in_another_store(observed, spec)
            or _without_image(observed)
            or MakeDeletion(body=expiry_job(observed, spec))
        )
    if job.complete:
        return DeleteSelf()
    if job.failure is not None:
        return _with_data_left(observed, _failure(observed, job))
    progress = _progress(observed, job)
    message = f"Its data are being deleted: {progress.message}"
    return Wait(reason=Reason.BACKUP_EXPIRED, message=message, stalled=progress.stalled)


def _with_data_left(observed: Observed, answer: Failed) -> DeleteSelf | Wait:
    if observed.status.phase == "Failed" and answer.reason is Reason.STORE_MISSING:
        return DeleteSelf()  # there never was a store to put anything into
    message = f"Its data could not be deleted: {answer.message}"
    return Wait(reason=Reason.BACKUP_EXPIRED, message=message, stalled=True)


def _in_another_store(observed: Observed, spec: BackupSpec) -> Wait | None:
    """The spec was edited since: the Job would find nothing there, and call that deleted."""
    path = observed.status.storage_path
    if holds(store_of(spec), path):
        return None
    message = (
        f"Its data are at {path}, which is not in the store that the spec names: name that one"
        " again, or delete the data and this EtcdBackup yourself"
    )
    return Wait(reason=Reason.BACKUP_EXPIRED, message=message, stalled=True)


def _verify(observed: Observed, spec: BackupSpec) -> Step | None:
    if spec.schedule is not None:
        return next_to_ask(observed, spec)
    return next_of_verification(observed, spec) if observed.status.phase == "Completed" else None


def _rest_when_finished(observed: Observed, spec: BackupSpec) -> Step | None:
    """What was completed is history; what failed is tried again only with another spec."""
    edited = observed.status.job != job_name(observed)  # the name tells the generation
    if spec.schedule is None and observed.status.phase == "Completed":
        return Rest(edited=edited)
    return Rest() if observed.status.phase == "Failed" and not edited else None


def _refuse_what_is_not_done_yet(observed: Observed, spec: BackupSpec) -> Step | None:
    errors = backup_not_supported_yet(spec, observed.namespace)
    if not errors:
        return None
    message = "; ".join(str(error) for error in errors)
    return Refuse(reason=Reason.NOT_SUPPORTED_YET, message=message)


def _expire_a_child(observed: Observed, spec: BackupSpec) -> Step | None:
    child = first_expired(observed, spec) if spec.schedule is not None else None
    return None if child is None else ExpireChild(name=child.name, uid=child.uid)


def _follow_the_schedule(observed: Observed, spec: BackupSpec) -> Step | None:
    """A backup that is due comes first: what is in the way of the changes is not in its way."""
    if spec.schedule is None:
        return next_of_archive(observed, spec)  # what is left of an earlier spec
    step = next_of_schedule(observed, spec)
    return step if isinstance(step, Action) else next_of_archive(observed, spec) or step


def _delete_old_job(observed: Observed, spec: BackupSpec) -> Step | None:
    """One that was made of an earlier spec."""
    old = next((job for job in observed.jobs if job.name != job_name(observed)), None)
    if old is None:
        return None
    if old.terminating:
        return Wait(reason=Reason.RECONCILING, message=f"Waiting for Job {old.name} to be gone")
    return DeleteJob(name=old.name, uid=old.uid, why="the spec has changed")


def _record_the_result(observed: Observed, _spec: BackupSpec) -> Step | None:
    for job in observed.jobs:
        attempts = _attempts(observed, job)
        saved = next((one.answer for one in attempts if isinstance(one.answer, Saved)), None)
        if saved is not None:
            return Finish(answer=saved)
        if job.failure is not None and not may_still_speak(job, attempts, observed.now):
            return Finish(answer=_failure(observed, job))
    return None


def _watch_the_job(observed: Observed, _spec: BackupSpec) -> Step | None:
    job = next(iter(observed.jobs), None)
    if job is None:
        return None
    if job.terminating:
        return Wait(reason=Reason.RECONCILING, message=f"Waiting for Job {job.name} to be gone")
    attempts = _attempts(observed, job)
    if job.failure is not None:
        return _WAIT_FOR_LAST_WORD
    if not job.complete:
        progress = _progress(observed, job)
        return Wait(reason=progress.reason, message=progress.message, stalled=progress.stalled)
    if any(not one.ended for one in attempts):
        return _WAIT_FOR_LAST_WORD
    # Its pod is gone: another Job finds the backup in the store, and tells what is in it.
    return DeleteJob(name=job.name, uid=job.uid, why="its pod is gone, and with it the result")


def _attempts(observed: Observed, job: Job) -> list[Attempt]:
    return [one for one in observed.attempts if one.job_uid == job.uid]


def _failure(observed: Observed, job: Job) -> Failed:
    return failure_of(job, _attempts(observed, job), Reason.BACKUP_FAILED)


def _progress(observed: Observed, job: Job) -> Progress:
    return progress_of(job, _attempts(observed, job), Reason.BACKUP_RUNNING)


def _make_job(observed: Observed, spec: BackupSpec) -> Step:
    cluster = observed.cluster
    if cluster is None:
        message = f"spec.clusterName: there is no EtcdCluster {spec.cluster_name} in the namespace"
        return Wait(reason=Reason.CLUSTER_NOT_FOUND, message=message, stalled=True)
    bootstrap, cluster_id = cluster.status.bootstrap, cluster.status.cluster_id
    if bootstrap is None or not cluster_id or not members_to_ask(cluster.status):
        message = f"EtcdCluster {spec.cluster_name} has no member that could be saved"
        return Wait(reason=Reason.NO_MEMBER_RUNS, message=message)
    return _without_image(observed) or MakeJob(
        body=snapshot_job(observed, spec, cluster, bootstrap)
    )


def _without_image(observed: Observed) -> Refuse | None:
    if observed.image:
        return None
    message = (
        "The operator does not know its own image, which the backup's pod runs:"
        " start it with --image, or OPERATOR_IMAGE in its environment"
    )
    return Refuse(reason=Reason.OPERATOR_IMAGE_UNKNOWN, message=message)


_RULES: Final[tuple[Rule, ...]] = (
    _expire,
    _verify,
    _rest_when_finished,
    _refuse_what_is_not_done_yet,
    _expire_a_child,
    _follow_the_schedule,
    _delete_old_job,
    _record_the_result,
    _watch_the_job,
    _make_job,
)
