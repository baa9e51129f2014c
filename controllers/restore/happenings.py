"""What one reconcile of an EtcdRestore has to tell by events. Pure."""

from collections.abc import Iterator

from api.event_reasons import EventReason
from api.v1alpha1.restore import RestoreStatus
from controllers.backup.outcome import Changed, Outcome, Rejected
from controllers.events import Happening, happening, newly_stalled
from controllers.restore.observed import Observed
from controllers.restore.steps import (
    Accept,
    AskCluster,
    Begin,
    Complete,
    MakeCluster,
    MakeJob,
    PutBack,
    Step,
)


def happenings(
    observed: Observed, step: Step, outcome: Outcome | None, status: RestoreStatus
) -> tuple[Happening, ...]:
    """What was done, and that help is needed, when that begins."""
    told = () if isinstance(outcome, Rejected | Changed) else _of_step(step)
    stalled = newly_stalled(observed.status.conditions, status.conditions)
    return (*_skipping(observed, step), *told, *stalled)


def _skipping(observed: Observed, step: Step) -> Iterator[Happening]:
    """Something dangerous begins: said once, whatever comes of it."""
    if isinstance(step, Begin) and observed.spec is not None and observed.spec.skip_hash_check:
        message = "spec.skipHashCheck: the backup is restored although its hash may be wrong"
        yield happening(EventReason.HASH_CHECK_SKIPPED, message)


def _of_step(step: Step) -> Iterator[Happening]:
    match step:
        case MakeJob(body=body):
            message = f"Made Job {body['metadata']['name']}, which examines the backup"
            yield happening(EventReason.RESTORE_STARTED, message)
        case Accept(answer=answer):
            message = f"{answer.backup_size} bytes were read and checked"
            yield happening(EventReason.BACKUP_EXAMINED, message)
        case MakeCluster(body=body):
            message = f"Made EtcdCluster {body['metadata']['name']}"
            yield happening(EventReason.RESTORE_CLUSTER_MADE, message)
        case AskCluster(name=name, annotations=annotations):
            message = f"Wrote {', '.join(sorted(annotations))} onto EtcdCluster {name}"
            yield happening(EventReason.RESTORE_CLUSTER_ASKED, message)
        case Complete():
            message = "The cluster serves the backup's data, with all its members"
            yield happening(EventReason.RESTORE_COMPLETED, message)
        case PutBack():
            message = "The cluster has the data again that it had before"
            yield happening(EventReason.PUT_BACK, message)
        case _:
            return
