"""Turns a step and what came of it into the status of an EtcdRestore. Pure.

An equal status is not written. Ready is True when the cluster serves what was restored;
Reconciling and Stalled are as kstatus reads them.
"""

from datetime import UTC, datetime
from typing import Any, Final

from api.conditions import ConditionStatus, ConditionType, set_condition
from api.reasons import Reason
from api.v1alpha1.cluster_status import RestoredData
from api.v1alpha1.restore import RestoreStatus
from controllers.backup.order import Failed
from controllers.backup.outcome import Changed, Done, Outcome, Rejected
from controllers.restore.observed import ENDS, Observed
from controllers.restore.order import Examined
from controllers.restore.render import attempt_of
from controllers.restore.steps import (
    Accept,
    AskCluster,
    Begin,
    Complete,
    DeleteJob,
    Fail,
    MakeCluster,
    MakeJob,
    PutBack,
    Refuse,
    Rest,
    Step,
    Wait,
)

EXAMINED: Final = 10
DONE: Final = 100
# Of an earlier attempt, with another spec.
_NOTHING_KNOWN: Final[dict[str, Any]] = {
    "percent": None,
    "job": "",
    "completion_time": None,
    "storage_path": "",
    "base": "",
    "etcd_version": "",
    "etcd_revision": None,
    "keys": None,
    "backup_size": None,
    "notes": (),
    "restored_cluster": "",
    "restored_cluster_uid": "",
    "source_revision": None,
    "source_time": None,
    "replayed": None,
    "restored_size": None,
}
# Ready, Reconciling, Stalled, and why.
_Verdict = tuple[ConditionStatus, ConditionStatus, ConditionStatus, Reason, str]


def next_status(observed: Observed, step: Step, outcome: Outcome | None) -> RestoreStatus:
    """The status after this step."""
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
            **_changes(observed, step, outcome),
            "conditions": conditions,
            "observed_generation": observed.generation,
        }
    )


def _changes(observed: Observed, step: Step, outcome: Outcome | None) -> dict[str, Any]:
    match step:
        case Complete() | PutBack() | Fail():
            return _of_end(observed, step)
        case MakeJob() | MakeCluster() | AskCluster() if isinstance(outcome, Done):
            return _of_action(observed, step)
        case Begin():
            return {**_NOTHING_KNOWN, **_start(observed), "phase": "Pending"}
        case Accept(answer=answer):
            return {**_facts(answer), "phase": "Running", "percent": EXAMINED}
        case Wait(percent=percent, cluster_uid=uid) if uid:
            return {**_cluster(observed, uid), "phase": "Running", "percent": percent}
        case _:
            return {} if observed.status.phase else {"phase": "Pending"}


def _of_action(observed: Observed, step: MakeJob | MakeCluster | AskCluster) -> dict[str, Any]:
    match step:
        case MakeJob(body=body, storage_path=path):
            job = {"job": body["metadata"]["name"], "storage_path": path}
            return {**job, "phase": "Examining"}
        case MakeCluster() | AskCluster():
            return {"restored_cluster": _cluster_name(observed)}


def _of_end(observed: Observed, step: Complete | PutBack | Fail) -> dict[str, Any]:
    match step:
        case Complete(cluster_uid=uid, restored=restored):
            end = {"phase": "Completed", "completion_time": _second(observed.now), "percent": DONE}
            return {**_cluster(observed, uid), **end, **_of_data(restored)}
        case PutBack():
            return {"phase": "PutBack"}
        case Fail():
            # Refused before it was begun: this very state of the spec is not tried again.
            was_begun = observed.status.attempt == _attempt(observed)
            start = {} if was_begun else {**_NOTHING_KNOWN, **_start(observed)}
            return {**start, "phase": "Failed"}


def _of_data(restored: RestoredData | None) -> dict[str, Any]:
    if restored is None:
        return {"restored_size": None}
    return {
        **({"notes": restored.notes} if restored.notes else {}),
        "base": restored.base,
        "source_revision": restored.source_revision,
        "source_time": restored.source_time,
        "replayed": restored.replayed,
        "restored_size": restored.database_size,
    }


def _start(observed: Observed) -> dict[str, Any]:
    return {"start_time": _second(observed.now), "attempt": _attempt(observed)}


def _cluster(observed: Observed, uid: str) -> dict[str, Any]:
    return {"restored_cluster": _cluster_name(observed), "restored_cluster_uid": uid}


def _attempt(observed: Observed) -> str:
    assert observed.spec is not None
    return attempt_of(observed.spec)


def _cluster_name(observed: Observed) -> str:
    assert observed.spec is not None
    return observed.spec.cluster_name


def _facts(answer: Examined) -> dict[str, Any]:
    return {
        "base": answer.base,
        "etcd_version": answer.etcd_version,
        "etcd_revision": answer.revision,
        "keys": answer.keys,
        "backup_size": answer.backup_size,
        "notes": answer.notes,
    }


def _verdict(observed: Observed, step: Step, outcome: Outcome | None) -> _Verdict | None:
    """Ready, Reconciling, Stalled, and why; None where the conditions stay as they are."""
    if isinstance(outcome, Rejected):
        return _stalled(outcome.reason, outcome.message)
    match step:
        case (
            Refuse(reason=reason, message=message)
            | Fail(answer=Failed(reason=reason, message=message))
        ):
            return _stalled(reason, message)
        case Wait(reason=reason, message=message, stalled=stalled):
            return "False", "True", "True" if stalled else "False", reason, message
        case Complete() | PutBack() | Rest():
            return _end(observed, step)
        case AskCluster() if observed.status.phase in ENDS or outcome == Changed():
            return None  # what becomes of old data changes nothing of the restore
        case _:
            return "False", "True", "False", *_told(observed, step)


def _end(observed: Observed, step: Complete | PutBack | Rest) -> _Verdict | None:
    completed = observed.status.phase == "Completed"
    match step:
        case Rest(edited=True):
            told = "The restore has ended before the spec was changed: make another EtcdRestore"
            ready: ConditionStatus = "True" if completed else "False"
            return ready, "False", "True", Reason.EDITED_TOO_LATE, told
        case PutBack():
            told = "The cluster has the data again that it had before, as spec.oldData asked"
            return "False", "False", "False", Reason.PUT_BACK, told
        case Rest() if not completed:
            return None
        case _:
            # Also once an edit that came too late is taken back.
            target = _target(observed)
            what = f"the data up to {target}" if target else "the backup's data"
            told = f"EtcdCluster {_cluster_name(observed)} serves {what}"
            if _skips(observed):
                told += ", whose hashes may be wrong, as spec.skipHashCheck asked: see status.notes"
            return "True", "False", "False", Reason.RESTORE_COMPLETED, told


def _stalled(reason: Reason, message: str) -> _Verdict:
    return "False", "False", "True", reason, message


def _target(observed: Observed) -> str:
    return "" if observed.spec is None else observed.spec.target


def _skips(observed: Observed) -> bool:
    return observed.spec is not None and observed.spec.skip_hash_check


def _told(
    observed: Observed,
    step: MakeJob | DeleteJob | MakeCluster | AskCluster | Begin | Accept,
) -> tuple[Reason, str]:
    match step:
        case Begin():
            return Reason.EXAMINING_BACKUP, "The backup will be examined first"
        case MakeJob(body=body):
            name = body["metadata"]["name"]
            return Reason.EXAMINING_BACKUP, f"Job {name} reads and checks the whole backup"
        case DeleteJob(name=name, why=why):
            return Reason.EXAMINING_BACKUP, f"Deleting Job {name}: {why}"
        case Accept(answer=answer):
            told = f"The backup is whole: {answer.backup_size} bytes were read and checked"
            if _target(observed):
                told += f", and the changes up to {_target(observed)}"
            if _skips(observed):
                told = (
                    f"{answer.backup_size} bytes were read, and wrong hashes are only noted, as"
                    " spec.skipHashCheck asks"
                )
            return Reason.RESTORING, told
        case MakeCluster(body=body):
            return Reason.RESTORING, f"Made EtcdCluster {body['metadata']['name']}"
        case AskCluster(name=name):
            return Reason.RESTORING, f"Asked EtcdCluster {name}"


def _second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
