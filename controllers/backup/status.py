"""Turns a step and what came of it into the status of an EtcdBackup. Pure.

An equal status is not written. Ready is True when the backup is taken, or the schedule keeps its
times; Reconciling and Stalled are as kstatus reads them.
"""

from datetime import UTC, datetime
from typing import Any, Final

from api.conditions import ConditionStatus, ConditionType, set_condition
from api.labels import STORAGE_PATH_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.backup import BackupStatus
from controllers.backup.observed import Child, Observed
from controllers.backup.order import Failed, Saved
from controllers.backup.outcome import Outcome, Rejected
from controllers.backup.render import job_name
from controllers.backup.schedule import next_time, unfinished
from controllers.backup.steps import (
    Await,
    DeleteChild,
    DeleteJob,
    DeleteSelf,
    ExpireChild,
    Finish,
    MakeChild,
    MakeDeletion,
    MakeJob,
    Refuse,
    Rest,
    Step,
    Suspended,
    Wait,
)

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
# Ready, Reconciling, Stalled, and why.
_Verdict = tuple[ConditionStatus, ConditionStatus, ConditionStatus, Reason, str]


def next_status(observed: Observed, step: Step, outcome: Outcome | None) -> BackupStatus:
    """The status after this step."""
    scheduled = observed.spec is not None and observed.spec.schedule is not None
    changes = (_of_schedule if scheduled else _of_one)(observed, step, outcome)
    verdict = _verdict(observed, step, outcome)
    conditions = observed.status.conditions
    if verdict is not None:
        ready, reconciling, stalled, reason, message = verdict
        for kind, value in (
            (ConditionType.READY, ready),
            (ConditionType.RECONCILING, reconciling),
            (ConditionType.STALLED, stalled),
        ):
            conditions = set_condition(
                conditions,
                kind,
                value,
                reason=reason,
                message=message,
                now=observed.now,
                generation=observed.generation,
            )
    return observed.status.model_copy(
        update={
            **changes,
            "conditions": conditions,
            "observed_generation": observed.generation,
        }
    )


def _of_one(observed: Observed, step: Step, outcome: Outcome | None) -> dict[str, Any]:
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
        case Wait(reason=Reason.DELETING) | Rest():
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
    }


def _verdict(observed: Observed, step: Step, outcome: Outcome | None) -> _Verdict | None:
    """Ready, Reconciling, Stalled, and why; None where the conditions stay as they are."""
    if isinstance(outcome, Rejected):
        return _stalled(outcome.reason, outcome.message)
    match step:
        case Refuse(reason=reason, message=message):
            return _stalled(reason, message)
        case Wait(reason=reason, message=message, stalled=stalled):
            return "False", "True", "True" if stalled else "False", reason, message
        case MakeJob() | DeleteJob() | MakeDeletion() | DeleteSelf():
            return "False", "True", "False", *_told(step)
        case Finish() | Rest():
            return _end(observed.status, step)
        case Await() | MakeChild() | DeleteChild() | ExpireChild() | Suspended():
            return _of_times(observed, step)


def _stalled(reason: Reason, message: str) -> _Verdict:
    return "False", "False", "True", reason, message


def _told(step: MakeJob | DeleteJob | MakeDeletion | DeleteSelf) -> tuple[Reason, str]:
    match step:
        case MakeJob(body=body):
            return Reason.BACKUP_RUNNING, f"Job {body['metadata']['name']} takes the backup"
        case DeleteJob(name=name, why=why):
            return Reason.BACKUP_RUNNING, f"Deleting Job {name}: {why}"
        case MakeDeletion() | DeleteSelf():
            return Reason.BACKUP_EXPIRED, "Its data are being deleted"


def _end(status: BackupStatus, step: Finish | Rest) -> _Verdict | None:
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


def _of_times(observed: Observed, step: Step) -> _Verdict:
    """A schedule is as good as the last backup of it that was finished."""
    if isinstance(step, Suspended):
        told = "spec.suspend is true: no backups are made"
        return "False", "False", "False", Reason.SUSPENDED, told
    last = last_finished(observed.children)
    if last is not None and last.phase == "Failed":
        told = f"{last.name}: {last.message}"
        return "False", "False", "False", Reason.BACKUP_FAILED, told
    return "True", "False", "False", Reason.SCHEDULED, "Backups are taken as scheduled"


def last_finished(children: tuple[Child, ...]) -> Child | None:
    """The newest child that was completed or failed."""
    finished = [one for one in children if one.phase in {"Completed", "Failed"}]
    return max(finished, key=lambda one: one.scheduled, default=None)


def _second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
