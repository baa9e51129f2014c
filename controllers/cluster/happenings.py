"""Turns a change of status, or an action taken, into the events that tell of it.

Pure.  Events are for what changed, conditions for what is: each condition that gets worse says so
once with its reason and the next step, each that gets better says so once too.
"""

from collections.abc import Iterator
from typing import Final

from api.conditions import ConditionType, find_condition
from api.event_reasons import EventReason
from api.labels import APPLIED_HASH_ANNOTATION, pod_name
from api.reasons import Reason
from api.v1alpha1.cluster_status import ClusterStatus, RestoreRecord
from api.v1alpha1.common import Condition
from controllers.cluster.epochs import is_switching
from controllers.cluster.membership import voters_of
from controllers.cluster.membership_events import event, of_membership, of_membership_step
from controllers.cluster.observed import JsonObject, Observed
from controllers.cluster.outcome import Altered, Done, Hashed, Outcome
from controllers.cluster.plan.auth_steps import SwitchAuth
from controllers.cluster.plan.certificate_steps import (
    CopyCertificates,
    IssueCertificates,
    RecordRotation,
    ReplaceAuthority,
)
from controllers.cluster.plan.steps import (
    Action,
    ApplyObjects,
    DeleteClaims,
    DeletePod,
    Plan,
    RecordSpec,
    SetFinalizer,
    Wait,
)
from controllers.cluster.plan.switching_steps import RecordSwitch
from controllers.cluster.render.normal import hash_of
from controllers.cluster.version_events import of_version_step
from controllers.events import Happening

_EVENTS: Final = {reason.value: reason for reason in EventReason}
# What sets in with a condition, but is told when it is decided, in better words.
_TOLD_BY_STEPS: Final = frozenset({EventReason.SCALING, EventReason.MEMBER_WITHDRAWN})
_CONDITIONS: Final = {kind.value: kind for kind in ConditionType}
_REASONS: Final = {reason.value: reason for reason in Reason}


def happenings(
    observed: Observed, plan: Plan, outcome: Outcome | None, new: ClusterStatus
) -> tuple[Happening, ...]:
    """What there is to tell after this reconcile, in order."""
    return (
        *_of_action(observed, plan, outcome),
        *_of_auth(plan.step, outcome),
        *_of_status(observed.status, new),
    )


def _of_action(observed: Observed, plan: Plan, outcome: Outcome | None) -> Iterator[Happening]:
    if not isinstance(outcome, Done | Hashed):
        return
    match plan.step:
        case ApplyObjects(objects=objects):
            for desired in objects:
                key = (desired["kind"], desired["metadata"]["name"])
                if key[0] == "StatefulSet" and _was_released(observed, key):
                    yield event(
                        EventReason.STATEFUL_SET_RENEWED,
                        f"{' '.join(key)} was made anew around its running pods",
                    )
                elif _was_disturbed(desired, observed.live.get(key), observed):
                    yield event(EventReason.DRIFT_CORRECTED, f"{' '.join(key)} was put right")
        case DeletePod(name=name, why=why) if _is_only_voter(observed, name):
            yield event(
                EventReason.SHORT_OUTAGE,
                f"{name} is restarted ({why}): it is the only member, nobody answers until it is"
                " back",
            )
        case RecordSpec():
            yield from _of_size(observed)
            yield from of_version_step(observed, plan.step)
        case DeleteClaims():
            yield event(EventReason.VOLUMES_DELETED, str(plan.step))
        case SetFinalizer(present=False, gave_up=(_, *_) as remains):
            yield event(EventReason.CLEANUP_INCOMPLETE, f"Not deleted: {', '.join(remains)}")
        case _:
            yield from _of_certificates(plan.step)
            yield from of_membership_step(plan.step)
            yield from of_version_step(observed, plan.step)


def _of_certificates(step: Action | Wait) -> Iterator[Happening]:
    match step:
        case IssueCertificates(certificates=issued):
            for one in issued:
                if not one.keeps:
                    until = f"{one.not_after:%Y-%m-%d %H:%M} UTC"
                    message = f"Secret {one.secret}, valid until {until}: {one.why}"
                    yield event(EventReason.CERTIFICATE_ISSUED, message)
        case CopyCertificates(copies=copies):
            for copy in copies:
                until = f"{copy.ends:%Y-%m-%d %H:%M} UTC"
                message = f"Secret {copy.source}, valid until {until}, was copied to {copy.secret}"
                yield event(EventReason.CERTIFICATE_COPIED, message)
        case RecordRotation(why=why):
            yield event(EventReason.AUTHORITY_ROTATING, why)
        case RecordSwitch(tls=tls, endpoints=endpoints, why=why):
            reason = EventReason.TLS_SWITCHING if tls.change else EventReason.TLS_SWITCHED
            yield event(reason, f"{why}. Endpoints: {', '.join(endpoints)}")
        case ReplaceAuthority(secret=secret):
            message = f"Secret {secret} holds the new authority alone: back it up anew"
            yield event(EventReason.AUTHORITY_ROTATED, message)
        case _:
            pass


def _of_auth(step: Action | Wait, outcome: Outcome | None) -> Iterator[Happening]:
    match step, outcome:
        case _, Altered(changes=(_, *_) as changes):
            made = ", ".join(map(str, changes))
            yield event(EventReason.AUTH_CHANGED, f"{made[0].upper()}{made[1:]}")
        case SwitchAuth(on=on), Done():
            reason = EventReason.AUTH_SWITCHED_ON if on else EventReason.AUTH_SWITCHED_OFF
            yield event(reason, reason.meaning.removesuffix("."))
        case _:
            pass


def _of_size(observed: Observed) -> Iterator[Happening]:
    """An edit of spec.size is in force from now on."""
    before, after = observed.applied, observed.spec
    if before is None or after is None or before.size == after.size or not after.size:
        return  # the condition tells of the sleep, when it has begun
    if not before.size:
        names = ", ".join(pod_name(observed.name, n) for n in voters_of(observed.status))
        yield event(EventReason.WOKEN, f"spec.size is {after.size}: starting {names}")
    else:
        yield event(EventReason.SCALING, f"spec.size is {after.size}, it was {before.size}")


def _is_only_voter(observed: Observed, name: str) -> bool:
    voters = voters_of(observed.status) if observed.status.cluster_id else ()
    pod = next((pod for pod in observed.pods if pod.name == name), None)
    return pod is not None and pod.running and voters == (pod.ordinal,)


def _was_released(observed: Observed, key: tuple[str, str]) -> bool:
    """Whether it went without its pods, which happens when its claim templates are renewed."""
    return key not in observed.live and any(not pod.controlled for pod in observed.pods)


def _was_disturbed(desired: JsonObject, live: JsonObject | None, observed: Observed) -> bool:
    """Whether somebody else caused this apply: not our first one, and not a change of our own."""
    bootstrap = observed.status.bootstrap
    if live is None:
        was_closed = bootstrap is not None and bootstrap.closed
        return was_closed and not is_switching(observed.status)
    annotations = live["metadata"].get("annotations") or {}
    return annotations.get(APPLIED_HASH_ANNOTATION) == hash_of(desired)


def _of_status(old: ClusterStatus, new: ClusterStatus) -> Iterator[Happening]:
    yield from _of_bootstrap(old, new)
    yield from of_membership(old, new)
    if old.leader and new.leader and old.leader != new.leader:
        yield event(EventReason.LEADER_CHANGED, f"{new.leader} leads after {old.leader}")
    yield from _of_conditions(old, new)


def _of_bootstrap(old: ClusterStatus, new: ClusterStatus) -> Iterator[Happening]:
    if new.bootstrap and new.bootstrap.epoch in {one.epoch for one in old.set_aside}:
        return  # it was all told when these data began
    if old.bootstrap is None and new.bootstrap is not None:
        if new.cluster_id:
            size = new.bootstrap.size
            yield event(
                EventReason.ADOPTED, f"Cluster {new.cluster_id} goes on with its {size} members"
            )
            return
        if new.bootstrap.restore is None:
            yield event(EventReason.BOOTSTRAP_STARTED, f"Starting {new.bootstrap.size} members")
    yield from _of_restore(_restore_in(old), _restore_in(new))
    if new.bootstrap and new.bootstrap.closed and not (old.bootstrap and old.bootstrap.closed):
        yield event(EventReason.BOOTSTRAP_COMPLETED, f"Cluster {new.cluster_id} has formed")


def _of_restore(old: RestoreRecord | None, new: RestoreRecord | None) -> Iterator[Happening]:
    if new is None:
        return
    if new.restored is None and (old is None or old.source != new.source):
        message = f"{new.source} is made into the data of the first member"
        yield event(EventReason.RESTORE_BEGUN, message)
    if new.restored is not None and not (old and old.restored):
        one = new.restored
        message = (
            f"{new.source}, saved from {one.source_name} at {one.saved_at:%Y-%m-%d %H:%M:%S} UTC,"
            f" begins at revision {one.revision}"
        )
        yield event(EventReason.DATA_RESTORED, message)


def _restore_in(status: ClusterStatus) -> RestoreRecord | None:
    return status.bootstrap.restore if status.bootstrap else None


def _of_conditions(old: ClusterStatus, new: ClusterStatus) -> Iterator[Happening]:
    """One event per reason, however many conditions share it."""
    told: set[str] = set()
    for condition in new.conditions:
        before = find_condition(old.conditions, condition.type)
        reason = _news(condition, before)
        if reason is not None and reason not in told:
            told.add(reason)
            yield event(_EVENTS[reason], _with_step(reason, condition.message))


def _news(condition: Condition, before: Condition | None) -> str | None:
    """The event's reason when a condition has changed to something worth telling."""
    if before and (before.status, before.reason) == (condition.status, condition.reason):
        return None
    kind = _CONDITIONS[condition.type]
    match kind, condition.status:
        case ConditionType.READY, "True":
            return EventReason.CLUSTER_READY.value
        case ConditionType.QUORUM_AVAILABLE, "True" if before and before.status == "False":
            return EventReason.QUORUM_RESTORED.value
        case ConditionType.PAUSED, "True":
            return EventReason.PAUSED.value
        case ConditionType.PAUSED, "False" if before and before.status == "True":
            return EventReason.RESUMED.value
        case _:
            pass
    worse = condition.status not in {kind.good, "Unknown"}
    told_here = condition.reason in _EVENTS and condition.reason not in _TOLD_BY_STEPS
    return condition.reason if worse and told_here else None


def _with_step(reason: str, message: str) -> str:
    """The condition's words, and what to do next when there is something to do."""
    known = _REASONS.get(reason)
    if known is None or known.next_step == "None.":
        return message
    return f"{message}. {known.next_step}"
