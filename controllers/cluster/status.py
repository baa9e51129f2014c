"""Turns what was observed and planned into the status that users read.

Pure.  The conditions are made in `conditions`.  Nothing here is read back for a decision but the
recorded intents (`bootstrap`, `appliedSpec`, `clusterID`), which the planner's Record steps ask
for.  An unchanged observation gives an equal status, and an equal status is not written.
"""

from datetime import datetime
from typing import Final

from api.conditions import Phase
from api.labels import pod_selector
from api.reasons import Reason
from api.v1alpha1.cluster_status import ClusterStatus, MemberStatus, PlanStatus
from controllers.cluster.certificate_status import certificates_of
from controllers.cluster.conditions import NEEDS_SOMEONE, conditions_of
from controllers.cluster.epochs import is_switching
from controllers.cluster.members import ViewOfMember, members_of
from controllers.cluster.membership import replaces, voters_of
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import NotYet, Outcome, Rejected
from controllers.cluster.plan import health
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.edits import operator_changes
from controllers.cluster.plan.steps import (
    Plan,
    Wait,
)
from controllers.cluster.records import recorded
from controllers.cluster.space import quota_bytes, shown_size

# A cluster that grows, shrinks or is paused is as well as its voters are.
_SAYS_NOTHING_OF_HEALTH: Final = frozenset(
    {
        Reason.PAUSED,
        Reason.RECONCILING,
        Reason.SCALING,
        Reason.MEMBER_JOINING,
        Reason.MEMBER_REPLACING,
        Reason.ROLLING_OUT,
        Reason.WAITING_FOR_WINDOW,
        Reason.UPGRADING,
        Reason.DOWNGRADING,
        Reason.VOLUME_RESIZING,
        Reason.VOLUME_MIGRATION,
        Reason.ROTATING_AUTHORITY,
        Reason.PREPARING_DATA,
        Reason.SWITCHING_TLS,
    }
)


def next_status(observed: Observed, plan: Plan, outcome: Outcome | None) -> ClusterStatus:
    """The status after this reconcile; `last_update_time` moves only together with a change."""
    old = observed.status
    shown = _shown(observed, plan, outcome)
    views = members_of(observed)
    new = old.model_copy(
        update={
            "observed_generation": observed.generation,
            "phase": _phase(observed, shown).value,
            "conditions": conditions_of(observed, plan, shown, views),
            "members": tuple(_member(view, observed) for view in views),
            "replicas": len(views),
            "ready_replicas": sum(view.healthy for view in views),
            "selector": pod_selector(observed.name),
            "version": _version(observed) or old.version,
            "certificates": certificates_of(observed),
            "last_backup_time": _last_backup(observed),
            "operator_changes": operator_changes(observed),
            "plan": _plan(old.plan, plan, outcome, shown, observed.now),
            **_leader(views, old),
            **recorded(observed, plan.step, outcome),
        }
    )
    if new == old:
        return old
    return new.model_copy(update={"last_update_time": observed.now.replace(microsecond=0)})


def _shown(observed: Observed, plan: Plan, outcome: Outcome | None) -> Wait:
    """The wait that sums the cluster up: the plan's own, or its health behind an action."""
    if isinstance(outcome, Rejected):
        return Wait(reason=outcome.reason, message=outcome.message)
    if isinstance(plan.step, Wait) and plan.step.reason not in _SAYS_NOTHING_OF_HEALTH:
        return plan.step
    return health.verdict(observed)


def _phase(observed: Observed, shown: Wait) -> Phase:
    if observed.deleting_since is not None:
        return Phase.DELETING
    if Reason.STOPPED in {shown.reason, health.verdict(observed).reason}:
        return Phase.STOPPED
    if is_switching(observed.status):
        return Phase.RECOVERING
    if not is_formed(observed):
        return Phase.FAILED if shown.reason in NEEDS_SOMEONE else Phase.CREATING
    return _phase_of_formed(observed)


def _phase_of_formed(observed: Observed) -> Phase:
    verdict, joining = health.verdict(observed), observed.status.joining
    if verdict.reason in {Reason.QUORUM_LOST, Reason.QUORUM_UNRECOVERABLE}:
        return Phase.FAILED
    if observed.status.upgrade is not None or verdict.reason is Reason.ROLLING_OUT:
        return Phase.UPGRADING
    if joining is not None and joining.reason == Reason.VOLUME_MIGRATION:
        return Phase.UPGRADING
    if not verdict.settled or (joining is not None and replaces(joining)):
        return Phase.RECOVERING
    wanted = observed.applied.size if observed.applied else 0
    return Phase.RUNNING if len(voters_of(observed.status)) == wanted else Phase.SCALING


def _member(view: ViewOfMember, observed: Observed) -> MemberStatus:
    old = next((m for m in observed.status.members if m.name == view.name), None)
    quota = quota_bytes(observed.applied)
    return MemberStatus(
        name=view.name,
        id=view.member_id or (old.id if old else ""),
        peer_url=view.peer_url,
        client_url=view.client_url,
        ready=view.healthy,
        role=view.role or "",
        version=f"v{view.status.version}" if view.status else (old.version if old else ""),
        db_size=shown_size(
            old.db_size if old else None, view.status.db_size if view.status else None, quota
        ),
        node=(view.pod.node if view.pod else "") or (old.node if old else ""),
        reason=view.reason,
        **_when_healthy(view, observed, old),
    )


def _when_healthy(
    view: ViewOfMember, observed: Observed, old: MemberStatus | None
) -> dict[str, str]:
    """What it ran from when it was last healthy: later evidence is held against it."""
    claim = observed.claim(view.ordinal)
    if view.healthy and view.pod is not None and claim is not None:
        return {"healthy_revision": view.pod.revision, "healthy_claim": claim.uid}
    if old is None:
        return {}
    return {"healthy_revision": old.healthy_revision, "healthy_claim": old.healthy_claim}


def _last_backup(observed: Observed) -> datetime | None:
    """It is not forgotten when the object that told of it is deleted."""
    known = (observed.status.last_backup_time, *(one.completed for one in observed.backups))
    return max(filter(None, known), default=None)


def _leader(views: tuple[ViewOfMember, ...], old: ClusterStatus) -> dict[str, str]:
    leader = next((view for view in views if view.role == "leader"), None)
    if leader is None:
        return {"leader": "", "leader_id": ""}
    return {"leader": leader.name, "leader_id": leader.member_id or old.leader_id}


def _version(observed: Observed) -> str:
    """The lowest version that answers: what a mixed cluster behaves as."""
    versions = [status.version for status in observed.etcd.statuses.values()]
    lowest = min(
        versions, key=lambda text: tuple(map(int, text.split("-")[0].split("."))), default=""
    )
    return f"v{lowest}" if lowest else ""


def _plan(
    old: PlanStatus | None, plan: Plan, outcome: Outcome | None, shown: Wait, now: datetime
) -> PlanStatus:
    step = plan.step
    waits = isinstance(step, Wait)
    new = PlanStatus(
        rule=plan.rule,
        action="" if waits else str(step),
        waits_for=str(step) if waits else outcome.message if isinstance(outcome, NotYet) else "",
        reason=(step.reason if isinstance(step, Wait) else shown.reason).value,
        since=now.replace(microsecond=0),
        not_before=step.not_before if isinstance(step, Wait) else None,
    )
    same = old is not None and old.model_copy(update={"since": new.since}) == new
    return old if same and old is not None else new
