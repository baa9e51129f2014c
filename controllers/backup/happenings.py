"""What one reconcile of an EtcdBackup has to tell by events. Pure."""

from collections.abc import Iterator

from api.conditions import ConditionType, find_condition
from api.event_reasons import EventReason
from api.v1alpha1.backup import BackupStatus
from controllers.backup.observed import Observed
from controllers.backup.order import Saved
from controllers.backup.outcome import Outcome, Rejected
from controllers.backup.steps import (
    Await,
    DeleteChild,
    ExpireChild,
    Finish,
    MakeChild,
    MakeJob,
    Step,
)
from controllers.events import Happening

_BY_VALUE = {reason.value: reason for reason in EventReason}


def happenings(
    observed: Observed, step: Step, outcome: Outcome | None, status: BackupStatus
) -> tuple[Happening, ...]:
    """What was done, and that help is needed, when that begins."""
    told = [] if isinstance(outcome, Rejected) else list(_of_step(step))
    before = find_condition(observed.status.conditions, ConditionType.STALLED)
    after = find_condition(status.conditions, ConditionType.STALLED)
    if after is not None and after.status == "True":
        is_new = before is None or (before.status, before.reason) != (after.status, after.reason)
        reason = _BY_VALUE.get(after.reason)
        if is_new and reason is not None:
            told.append(_happening(reason, after.message))
    return tuple(told)


def _of_step(step: Step) -> Iterator[Happening]:
    match step:
        case MakeJob(body=body):
            name = body["metadata"]["name"]
            yield _happening(EventReason.BACKUP_STARTED, f"Made Job {name}")
        case Finish(answer=Saved() as saved):
            message = f"{saved.backup_size} bytes at {saved.storage_path}"
            yield _happening(EventReason.BACKUP_COMPLETED, message)
        case MakeChild(body=body):
            message = f"Made EtcdBackup {body['metadata']['name']}"
            yield _happening(EventReason.BACKUP_SCHEDULED, message)
        case DeleteChild(name=name):
            message = f"Deleted {name}, which was not finished"
            yield _happening(EventReason.BACKUP_REPLACED, message)
        case ExpireChild(name=name):
            message = f"Deleting {name}, with what it has in the store"
            yield _happening(EventReason.BACKUP_EXPIRED, message)
        case Await(missed=missed) if missed is not None:
            message = f"The backup of {missed:%Y-%m-%dT%H:%M:%SZ} is not made up for"
            yield _happening(EventReason.SCHEDULE_MISSED, message)
        case _:
            return


def _happening(reason: EventReason, message: str) -> Happening:
    return Happening(type=reason.event_type, reason=reason.value, message=message)
