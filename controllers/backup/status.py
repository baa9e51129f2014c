"""Turns a step and what came of it into the status of an EtcdBackup. Pure.

An equal status is not written. Ready is True when the backup is taken, or the schedule keeps its
times; Reconciling and Stalled are as kstatus reads them.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from api.conditions import ConditionStatus, ConditionType, set_condition
from api.labels import STORAGE_PATH_ANNOTATION
from api.reasons import Reason, reason_of
from api.v1alpha1.backup import BackupStatus
from controllers.backup.archive.status import (
    Verdict as ArchiverVerdict,
)
from controllers.backup.archive.status import (
    archive_status,
    archiver_verdict,
    with_archiver_ready,
)
from controllers.backup.observed import Child, Observed
from controllers.backup.order import Failed, Saved
from controllers.backup.outcome import Outcome, Rejected
from controllers.backup.render import job_name
from controllers.backup.schedule import next_time, unfinished
from controllers.backup.steps import (
    AskVerification,
    DeleteJob,
    DeleteSelf,
    Finish,
    FinishVerification,
    MakeChild,
    MakeDeletion,
    MakeJob,
    MakeVerification,
    Refuse,
    Rest,
    Step,
    Suspended,
    Verifying,
    Wait,
)
from controllers.backup.verification import result_of

# What the planner waits for before it makes a Job.
_NOT_BEGUN: Final = frozenset({Reason.CLUSTER_NOT_FOUND, Reason.NO_MEMBER_RUNS})
# Of an earlier attempt, with another spec.
_NOTHING_KNOWN: Final[dict[str, Any]] = {
    "completion_time": None,
    "backup_size": None,
    "storage_path": "",
    "member": "",
    "database_size": None,
    "sha256": "",
    "etcd_version": "",
    "etcd_revision": None,
    "keys": None,
    "encryption_key_id": "",
    "cluster_spec": None,
}
_VERIFIED: Final[Mapping[str, ConditionStatus]] = {
    "Passed": "True",
    "Failed": "False",
    "Unknown": "Unknown",
}
_Told = tuple[ConditionType, ConditionStatus, Reason, str]
# Ready, Reconciling, Stalled, and why.
_Verdict = tuple[ConditionStatus, ConditionStatus, ConditionStatus, Reason, str]


def next_status(observed: Observed, step: Step, outcome: Outcome | None) -> BackupStatus:
    """The status after this step."""
    scheduled = observed.spec is not None and observed.spec.schedule is not None
    changes = (_of_schedule if scheduled else _of_one)(observed, step, outcome)
    archiver = archiver_verdict(observed, step, outcome)
    status = observed.status.model_copy(
        update={**changes, "observed_generation": observed.generation}
    )
    conditions = status.conditions
    for kind, value, reason, message in _conditions(observed, step, outcome, status, archiver):
        conditions = set_condition(
            conditions,
            kind,
            value,
            reason=reason,
            message=message,
            now=observed.now,
            generation=observed.generation,
        )
    if observed.spec is not None:
        conditions = with_archiver_ready(observed, conditions, archiver)
    return status.model_copy(
        update={**archive_status(observed, conditions), "conditions": conditions}
    )


def _conditions(
    observed: Observed,
    step: Step,
    outcome: Outcome | None,
    status: BackupStatus,
    archiver: ArchiverVerdict | None,
) -> Iterator[_Told]:
    """Those that change; `status` is what else is known after the step."""
    verdict = _verdict(observed, step, outcome, status, archiver)
    if verdict is not None:
        ready, reconciling, stalled, reason, message = verdict
        yield ConditionType.READY, ready, reason, message
        yield ConditionType.RECONCILING, reconciling, reason, message
        yield ConditionType.STALLED, stalled, reason, message
    match step:
        case FinishVerification() if status.verified is not None:
            found = status.verified
            value = _VERIFIED[found.result]
            yield ConditionType.VERIFIED, value, reason_of(found.reason), found.message
        case MakeVerification() | Verifying() if status.verified is None:
            reason, message = _told(step)
            yield ConditionType.VERIFIED, "Unknown", reason, message
        case _:
            return  # what was known stays so


def _of_one(  # noqa: PLR0911 - one for each kind of step
    observed: Observed, step: Step, outcome: Outcome | None
) -> dict[str, Any]:
    job = {"job": job_name(observed)}
    match step:
        case _ if observed.expired and observed.status.phase in {"Completed", "Failed"}:
            return {}  # it is what it was until it is gone
        case MakeJob(body=body) if not isinstance(outcome, Rejected):
            began = {"start_time": _second(observed.now), "phase": "Running"}
            place = {"storage_path": body["metadata"]["annotations"][STORAGE_PATH_ANNOTATION]}
            spec = {"cluster_spec": observed.cluster and observed.cluster.status.applied_spec}
            return {**_NOTHING_KNOWN, **job, **began, **place, **spec}
        case Finish(answer=Saved() as saved):
            return {**_result(saved), **job, "phase": "Completed"}
        case Finish():
            return {**job, "phase": "Failed", **_place(observed)}
        case FinishVerification():
            return {"verified": result_of(step, observed.now)}
        case Wait(reason=Reason.DELETING) | Rest() | MakeVerification() | Verifying():
            return {}
        case _:
            begun = isinstance(step, Wait) and step.reason not in _NOT_BEGUN
            return {"phase": "Running" if begun else "Pending", **_place(observed)}


def _place(observed: Observed) -> dict[str, Any]:
    """What the Job may leave in the store is found there, whatever comes of it and of us."""
    mine = (job.storage_path for job in observed.jobs if job.name == job_name(observed))
    path = next(filter(None, mine), None)
    return {} if path is None else {"storage_path": path}


def _result(saved: Saved) -> dict[str, Any]:
    return {
        "start_time": saved.started_at,
        "completion_time": saved.completed_at,
        "backup_size": saved.backup_size,
        "storage_path": saved.storage_path,
        "member": saved.member,
        "database_size": saved.database_size,
        "sha256": saved.sha256,
        "etcd_version": saved.etcd_version,
        "etcd_revision": saved.etcd_revision,
        "keys": saved.keys,
        "encryption_key_id": saved.key_id,
    }


def _of_schedule(observed: Observed, step: Step, outcome: Outcome | None) -> dict[str, Any]:
    assert observed.spec is not None
    served = [one.scheduled for one in observed.children]
    if isinstance(step, MakeChild) and not isinstance(outcome, Rejected):
        served.append(step.scheduled)
    recorded = observed.status.last_schedule_time
    completed = [one.completed for one in observed.children if one.completed is not None]
    before = observed.status.last_successful_time
    waits = isinstance(step, Suspended | Refuse)
    return {
        "phase": "Suspended" if isinstance(step, Suspended) else "Scheduled",
        "last_schedule_time": max([*served, *([recorded] if recorded else [])], default=None),
        "last_successful_time": max([*completed, *([before] if before else [])], default=None),
        "next_schedule_time": None if waits else next_time(observed, observed.spec),
        "active": len(unfinished(observed)) + (isinstance(step, MakeChild)),
        **({"last_verification_time": step.due} if isinstance(step, AskVerification) else {}),
    }


def _verdict(  # noqa: PLR0911 - one for each kind of step
    observed: Observed,
    step: Step,
    outcome: Outcome | None,
    status: BackupStatus,
    archiver: ArchiverVerdict | None,
) -> _Verdict | None:
    """Ready, Reconciling, Stalled, and why; None where the conditions stay as they are."""
    match step:
        case _ if isinstance(outcome, Rejected):
            ready = _worth(status) if isinstance(step, MakeVerification) else "False"
            return ready, "False", "True", outcome.reason, outcome.message
        case Refuse(reason=reason, message=message):
            return _stalled(reason, message)
        case Wait(reason=reason, message=message, stalled=stalled):
            return "False", "True", "True" if stalled else "False", reason, message
        case MakeJob() | DeleteJob() | MakeDeletion() | DeleteSelf():
            return "False", "True", "False", *_told(step)
        case MakeVerification():
            return _worth(status), "True", "False", *_told(step)
        case Verifying(stalled=stalled):
            return _worth(status), "True", "True" if stalled else "False", *_told(step)
        case FinishVerification():
            return _end(status, Rest(edited=observed.status.job != job_name(observed)))
        case Finish() | Rest():
            return _end(status, step)
        case _:
            return _of_times(observed, step, archiver)


def _worth(status: BackupStatus) -> ConditionStatus:
    """Of a completed backup: the last verification counts until the next one has ended."""
    return "False" if _is_wanting(status) else "True"


def _is_wanting(status: BackupStatus) -> bool:
    return status.verified is not None and status.verified.result == "Failed"


def _stalled(reason: Reason, message: str) -> _Verdict:
    return "False", "False", "True", reason, message


def _told(
    step: MakeJob | DeleteJob | MakeDeletion | DeleteSelf | MakeVerification | Verifying,
) -> tuple[Reason, str]:
    match step:
        case MakeVerification(body=body):
            return Reason.BACKUP_VERIFYING, f"Job {body['metadata']['name']} tries the backup out"
        case Verifying(reason=reason, message=message):
            return reason, f"The backup is being tried out: {message}"
        case MakeJob(body=body):
            return Reason.BACKUP_RUNNING, f"Job {body['metadata']['name']} takes the backup"
        case DeleteJob(name=name, why=why):
            return Reason.BACKUP_RUNNING, f"Deleting Job {name}: {why}"
        case MakeDeletion() | DeleteSelf():
            return Reason.BACKUP_EXPIRED, "Its data are being deleted"


def _end(status: BackupStatus, step: Finish | Rest) -> _Verdict | None:
    if isinstance(step, Rest) and status.verified is not None and _is_wanting(status):
        return _stalled(Reason.VERIFICATION_FAILED, status.verified.message)
    if isinstance(step, Rest) and step.edited:
        told = "The backup was taken before the spec was changed: make another EtcdBackup"
        return "True", "False", "True", Reason.EDITED_TOO_LATE, told
    match step:
        case Finish(answer=Failed() as answer):
            return _stalled(answer.reason, answer.message)
        case Finish(answer=Saved(backup_size=size, storage_path=path)):
            pass
        case _ if status.phase == "Completed":
            size, path = status.backup_size or 0, status.storage_path
        case _:
            return None
    return "True", "False", "False", Reason.BACKUP_COMPLETED, f"{size} bytes at {path}"


def _of_times(observed: Observed, step: Step, archiver: ArchiverVerdict | None) -> _Verdict:
    """A schedule is as good as the last backup of it that was finished, and as what keeps the
    changes after it.
    """
    if isinstance(step, Suspended):
        told = "spec.suspend is true: no backups are made"
        return "False", "False", "False", Reason.SUSPENDED, told
    tried = [one for one in observed.children if one.verified in {"Passed", "Failed"}]
    if tried and tried[-1].verified == "Failed":
        told = f"{tried[-1].name}: {tried[-1].message}"
        return "False", "False", "False", Reason.VERIFICATION_FAILED, told
    last = last_finished(observed.children)
    if last is not None and last.phase == "Failed":
        told = f"{last.name}: {last.message}"
        return "False", "False", "False", Reason.BACKUP_FAILED, told
    if archiver is not None and archiver[0] == "False":
        return "False", "False", "False", *archiver[1:]
    return "True", "False", "False", Reason.SCHEDULED, "Backups are taken as scheduled"


def last_finished(children: tuple[Child, ...]) -> Child | None:
    """The newest child that was completed or failed."""
    finished = [one for one in children if one.phase in {"Completed", "Failed"}]
    return max(finished, key=lambda one: one.scheduled, default=None)


def _second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
