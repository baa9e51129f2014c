"""What one reconcile of an EtcdBackup has to tell by events. Pure."""

from collections.abc import Iterator

from api.conditions import ConditionType
from api.event_reasons import EventReason
from api.v1alpha1.backup import BackupStatus
from controllers.backup.archive.steps import ApplyArchiver, DeleteArchiver
from controllers.backup.observed import Observed
from controllers.backup.order import Proven, Saved
from controllers.backup.outcome import Outcome, Rejected
from controllers.backup.steps import (
    Await,
    DeleteChild,
    ExpireChild,
    Finish,
    FinishVerification,
    MakeChild,
    MakeJob,
    MakeVerification,
    Step,
)
from controllers.events import Happening, happening, newly, newly_stalled


def happenings(
    observed: Observed, step: Step, outcome: Outcome | None, status: BackupStatus
) -> tuple[Happening, ...]:
    """What was done, and that help is needed, when that begins."""
    told = () if isinstance(outcome, Rejected) else _done(step, status)
    before, after = observed.status.conditions, status.conditions
    return (
        *told,
        *newly_stalled(before, after),
        *newly(ConditionType.ARCHIVER_READY, "False", before, after),
    )


def _done(step: Step, status: BackupStatus) -> Iterator[Happening]:
    match step:
        case MakeVerification() | FinishVerification():
            return _of_verification(step, status)
        case ApplyArchiver() | DeleteArchiver():
            return _of_archive(step)
        case _:
            return _of_backup(step)


def _of_verification(
    step: MakeVerification | FinishVerification, status: BackupStatus
) -> Iterator[Happening]:
    match step:
        case MakeVerification(body=body):
            name = body["metadata"]["name"]
            yield happening(EventReason.BACKUP_VERIFYING, f"Made Job {name}")
        case FinishVerification(answer=Proven()) if status.verified is not None:
            yield happening(EventReason.BACKUP_VERIFIED, status.verified.message)
        case FinishVerification() if status.verified and status.verified.result == "Unknown":
            message = f"{status.verified.reason}: {status.verified.message}"
            yield happening(EventReason.VERIFICATION_NOT_DONE, message)
        case _:
            return


def _of_archive(step: ApplyArchiver | DeleteArchiver) -> Iterator[Happening]:
    match step:
        case ApplyArchiver(body=body, uid=uid):
            did = "Made" if uid is None else "Corrected"
            message = f"{did} Deployment {body['metadata']['name']}"
            yield happening(EventReason.ARCHIVER_APPLIED, message)
        case DeleteArchiver(name=name, why=why):
            message = f"Deleted Deployment {name}: {why}"
            yield happening(EventReason.ARCHIVER_DELETED, message)


def _of_backup(step: Step) -> Iterator[Happening]:
    match step:
        case MakeJob(body=body):
            name = body["metadata"]["name"]
            yield happening(EventReason.BACKUP_STARTED, f"Made Job {name}")
        case Finish(answer=Saved() as saved):
            message = f"{saved.backup_size} bytes at {saved.storage_path}"
            yield happening(EventReason.BACKUP_COMPLETED, message)
        case MakeChild(body=body, base_for=why) if why:
            message = f"Made EtcdBackup {body['metadata']['name']} at once: {why}"
            yield happening(EventReason.BASE_MADE, message)
        case MakeChild(body=body):
            message = f"Made EtcdBackup {body['metadata']['name']}"
            yield happening(EventReason.BACKUP_SCHEDULED, message)
        case DeleteChild(name=name):
            message = f"Deleted {name}, which was not finished"
            yield happening(EventReason.BACKUP_REPLACED, message)
        case ExpireChild(name=name):
            message = f"Deleting {name}, with what it has in the store"
            yield happening(EventReason.BACKUP_EXPIRED, message)
        case Await(missed=missed) if missed is not None:
            message = f"The backup of {missed:%Y-%m-%dT%H:%M:%SZ} is not made up for"
            yield happening(EventReason.SCHEDULE_MISSED, message)
        case _:
            return
