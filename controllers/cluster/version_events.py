"""Turns steps of rolls and changes of version into the events that tell of them.

Pure.  Called by `happenings`.  One event when something is decided, with the path and what speaks
against it, one for each member that is restarted, one for each version that is complete.
"""

from collections.abc import Iterator

from api.event_reasons import EventReason
from controllers.cluster.membership_events import event
from controllers.cluster.observed import Observed
from controllers.cluster.plan.saving import target
from controllers.cluster.plan.steps import (
    Action,
    DeletePod,
    RecordSpec,
    Wait,
)
from controllers.cluster.plan.version_steps import (
    CancelDowngrade,
    CompareHashes,
    EnableDowngrade,
    RecordUpgrade,
    ResizePod,
)
from controllers.events import Happening


def of_version_step(observed: Observed, step: Action | Wait) -> Iterator[Happening]:
    """What a step that was taken has done, or begun."""
    match step:
        case RecordSpec(rendered=rendered, why=why) if rendered is not None:
            yield event(EventReason.ROLLOUT_STARTED, why)
        case DeletePod(name=name, why=why):
            yield event(EventReason.MEMBER_RESTARTED, f"{name} is restarted: {why}")
        case ResizePod(name=name):
            yield event(EventReason.MEMBER_RESIZED, f"{name} is given other resources in place")
        case RecordUpgrade():
            yield from _of_path(observed, step)
        case EnableDowngrade(target=target):
            yield event(EventReason.DOWNGRADE_ENABLED, f"etcd makes its data fit {target}")
        case CancelDowngrade(target=target, why=why):
            message = f"The downgrade to {target} was cancelled: {why}"
            yield event(EventReason.DOWNGRADE_CANCELLED, message)
        case CompareHashes(reached=reached, then=then) if reached:
            yield event(EventReason.VERSION_REACHED, f"Every member runs {reached}, data unchanged")
            if then is None:
                yield event(EventReason.UPGRADED, f"The cluster runs {reached}")
        case _:
            pass


def _of_path(observed: Observed, step: RecordUpgrade) -> Iterator[Happening]:
    before, now = observed.status.upgrade, step.upgrade
    if step.not_compared:
        yield event(EventReason.HASHES_UNKNOWN, step.why)
        if before is not None and now is None:
            yield event(EventReason.UPGRADED, f"The cluster runs {before.path[0]}")
        return
    if now is None or (before is not None and before.path == now.path):
        return
    yield event(EventReason.UPGRADE_STARTED, step.why)
    for warning in step.warnings:
        yield event(EventReason.VERSION_WARNING, warning)
    if target(observed) is None:
        yield event(EventReason.UPGRADE_UNSAVED, "No snapshot is taken before: no backup target")
