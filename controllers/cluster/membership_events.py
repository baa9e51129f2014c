"""Turns steps and changes of membership into the events that tell of them.  Called by `happenings`.

Pure.  One event when something is decided, one for each step that cannot be taken back, and one
when it is complete; what a step waits for is in status.plan.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import assert_never

from api.event_reasons import EventReason
from api.reasons import Reason
from api.v1alpha1.cluster_status import ClusterStatus, JoiningMember
from controllers.cluster.membership import replaces, voters_of
from controllers.cluster.plan.epoch_steps import (
    DeleteEpoch,
    EpochStep,
    RecordEpochs,
    SwitchEpoch,
)
from controllers.cluster.plan.steps import (
    Action,
    AddLearner,
    DiscardClaim,
    DiscardLeftovers,
    MoveLeader,
    PromoteLearner,
    RecordMembership,
    RemoveMember,
    Wait,
)
from controllers.cluster.plan.volume_steps import ResizeClaims
from controllers.events import Happening
from etcd.ids import member_id_hex


def of_membership_step(step: Action | Wait) -> Iterator[Happening]:
    """What a step that was taken has done."""
    match step:
        case RecordMembership(joining=None):
            pass  # the change of status tells how it ended
        case RecordMembership(joining=JoiningMember(id=""), why=why):
            yield event(EventReason.PLANNED, why)
        case AddLearner(name=name):
            yield event(EventReason.MEMBER_ADDED, f"{name} was added as a learner")
        case PromoteLearner(name=name):
            yield event(EventReason.MEMBER_PROMOTED, f"{name} has caught up and votes")
        case RemoveMember(name=name, id=member_id, why=why):
            message = f"{name} ({member_id_hex(member_id)}) was removed: {why}"
            yield event(EventReason.MEMBER_REMOVED, message)
        case MoveLeader(leader=leader, target=target):
            yield event(EventReason.LEADER_MOVED, f"{leader} handed leadership to {target}")
        case RecordEpochs() | SwitchEpoch() | DeleteEpoch():
            yield _of_epochs(step)
        case _:
            yield from _of_volume_step(step)


def _of_epochs(step: EpochStep) -> Happening:
    match step:
        case RecordEpochs(why=why):
            return event(EventReason.DATA_CHANGES, why)
        case SwitchEpoch(former=former, next_epoch=begins):
            return event(
                EventReason.DATA_SET_ASIDE,
                f"The data of epoch {former.epoch} were set aside: {', '.join(former.claims)};"
                f" the members go on with epoch {begins.epoch}",
            )
        case DeleteEpoch():
            return event(EventReason.DATA_DISCARDED, str(step))
        case _:
            assert_never(step)


def _of_volume_step(step: Action | Wait) -> Iterator[Happening]:
    match step:
        case DiscardClaim(name=name, keep_volume=True, why=why):
            message = f"{name} was deleted and its volume kept: {why}"
            yield event(EventReason.VOLUME_KEPT, message)
        case DiscardClaim(name=name, why=why):
            yield event(EventReason.VOLUME_DISCARDED, f"{name} was deleted: {why}")
        case ResizeClaims():
            yield event(EventReason.VOLUMES_RESIZED, f"{step}; the members keep running")
        case DiscardLeftovers(claims=claims):
            names = ", ".join(name for name, _ in claims)
            message = f"{names} of an earlier cluster were deleted (spec.storage.existingVolumes)"
            yield event(EventReason.VOLUME_DISCARDED, message)
        case _:
            pass


def of_membership(old: ClusterStatus, new: ClusterStatus) -> Iterator[Happening]:
    """What is complete, or given up."""
    wanted = (new.applied_spec or {}).get("size", 0)
    withdrawn = new.withdrawn
    if withdrawn is not None and withdrawn != old.withdrawn:
        yield event(
            EventReason.MEMBER_WITHDRAWN,
            f"{withdrawn.message}. {Reason.MEMBER_WITHDRAWN.next_step} Otherwise it is tried again"
            f" at {_time(withdrawn.not_before)}",
        )
    elif _is_replaced(old.joining, new, wanted):
        assert old.joining is not None
        message = f"{old.joining.name} was replaced ({old.joining.reason})"
        yield event(EventReason.MEMBER_REPLACED, message)
    if _has_reached(wanted, old, new):
        yield event(EventReason.SCALED, f"The cluster has {wanted} voters")


def _is_replaced(joined: JoiningMember | None, new: ClusterStatus, wanted: int) -> bool:
    """Whether who joined in the place of a lost member votes; not one that is no longer wanted, or
    that was never added.
    """
    if joined is None or not joined.id or new.joining is not None or not replaces(joined):
        return False
    return joined.ordinal in voters_of(new) and joined.ordinal < wanted


def _has_reached(wanted: int, old: ClusterStatus, new: ClusterStatus) -> bool:
    if not old.cluster_id or new.joining is not None:
        return False
    return len(voters_of(old)) != len(voters_of(new)) == wanted


def _time(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S UTC")


def event(reason: EventReason, message: str) -> Happening:
    """The event of a reason; whether it is a warning is the reason's."""
    return Happening(type=reason.event_type, reason=reason.value, message=message)
