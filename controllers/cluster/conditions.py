"""One function per condition of a cluster, and the tuple of them all.

Pure.  Called by `status`.  Each says True, False or Unknown, with a stable reason and words for
whoever reads it at night; `api.conditions` keeps the transition times.
"""

from collections.abc import Iterable
from typing import Final

from api.conditions import ConditionStatus, ConditionType, set_condition
from api.reasons import Reason
from api.v1alpha1.common import Condition
from controllers.cluster.auth_status import auth_verdict, not_there_yet
from controllers.cluster.certificate_status import tls_verdict
from controllers.cluster.members import ViewOfMember
from controllers.cluster.membership import voters_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan import health, objects
from controllers.cluster.plan.accepted import edit, is_formed
from controllers.cluster.plan.admission import refuse_edit
from controllers.cluster.plan.claims import is_being_renewed
from controllers.cluster.plan.edits import operator_changes, wait_for_window
from controllers.cluster.plan.probe import refuse_image
from controllers.cluster.plan.restoring import IN_VAIN
from controllers.cluster.plan.roll import coming_back, wait_for_turn
from controllers.cluster.plan.steps import Plan, Wait
from controllers.cluster.plan.template import is_taking_its_turn
from controllers.cluster.plan.tls_switching import wait_for_switch
from controllers.cluster.plan.upgrade import wait_for_version
from controllers.cluster.plan.volumes import (
    resize_claims,
    that_differ,
    wait_for_size,
    wait_to_migrate,
)
from controllers.cluster.space import quota_bytes
from etcd.ids import cluster_id_hex, member_id_hex
from etcd.maintenance import AlarmKind

# The operator can do nothing about these: someone has to change something first.
NEEDS_SOMEONE: Final = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.NOT_SUPPORTED_YET,
        Reason.TEMPLATE_REFUSED,
        Reason.NAME_CONFLICT,
        Reason.LEFTOVER_VOLUMES,
        Reason.STATUS_LOST,
        Reason.EMPTY_DATA_DIRECTORY,
        Reason.QUORUM_UNRECOVERABLE,
        Reason.CLUSTER_ID_MISMATCH,
        Reason.MEMBER_ID_MISMATCH,
        Reason.NOT_ALLOWED,
        Reason.UNKNOWN_MEMBER,
        Reason.REPLACEMENT_LIMIT,
        Reason.MEMBER_WITHDRAWN,
        Reason.UPGRADE_FIRST,
        Reason.ROLLOUT_BLOCKED,
        Reason.PROBE_FAILED,
        Reason.NOT_SAVED,
        Reason.VERSION_REFUSED,
        Reason.VOLUME_REFUSED,
        Reason.HASHES_DIFFER,
        Reason.CERT_MANAGER_MISSING,
        Reason.CERTIFICATE_SECRET_MISSING,
        Reason.CERTIFICATE_REFUSED,
        Reason.CERTIFICATE_EXPIRING,
        Reason.AUTHORITY_LOST,
        Reason.AUTHORITY_EXPIRING,
        Reason.CREDENTIALS_MISSING,
        Reason.ACCESS_DENIED,
        Reason.AUTH_RESTORED,
        Reason.BACKUP_NOT_SHARED,
        Reason.OPERATOR_IMAGE_UNKNOWN,
        *IN_VAIN,
    }
)
# Cured by a new member, which needs nobody's help: a problem only where that is not under way.
_CURED: Final = frozenset({Reason.EMPTY_DATA_DIRECTORY})
# While these are said, members are down because they are just being started.
_STARTING: Final = frozenset({Reason.CREATING, Reason.WAITING_FOR_PODS, Reason.RESTORING})
_SPACE_LOW_SHARE: Final = 0.9
_OPERATOR_CHANGES: Final = (
    "What is wanted is what runs. Waiting for spec.acceptOperatorChanges or a maintenance window,"
    " because this version of the operator makes it otherwise"
)
_VOLUMES_DIFFER: Final = (
    "What is wanted is what runs, on volumes that spec.storage would have otherwise"
)

_Verdict = tuple[ConditionStatus, Reason, str]


def conditions_of(
    observed: Observed, plan: Plan, shown: Wait, views: tuple[ViewOfMember, ...]
) -> tuple[Condition, ...]:
    """All conditions, in a stable order. `shown`: the wait that sums the cluster up."""
    verdicts: dict[ConditionType, _Verdict] = {
        ConditionType.READY: _ready(shown),
        ConditionType.RECONCILING: _reconciling(plan, shown),
        ConditionType.STALLED: _stalled(plan, shown),
        ConditionType.QUORUM_AVAILABLE: _quorum_available(observed, shown),
        ConditionType.MEMBERS_HEALTHY: _members_healthy(observed, shown),
        ConditionType.UP_TO_DATE: _up_to_date(observed, shown),
        ConditionType.TLS_READY: tls_verdict(observed),
        ConditionType.AUTH_READY: auth_verdict(observed),
        ConditionType.SPACE_AVAILABLE: _space_available(observed, views),
        ConditionType.DATA_CONSISTENT: _data_consistent(observed, views),
        ConditionType.PAUSED: _paused(observed),
    }
    conditions = observed.status.conditions
    for kind, (status, reason, message) in verdicts.items():
        conditions = set_condition(
            conditions,
            kind,
            status,
            reason=reason,
            message=message,
            now=observed.now,
            generation=observed.generation,
        )
    return conditions


def _ready(shown: Wait) -> _Verdict:
    status: ConditionStatus = "True" if shown.reason is Reason.CLUSTER_READY else "False"
    return status, shown.reason, shown.message


def _reconciling(plan: Plan, shown: Wait) -> _Verdict:
    step = plan.step
    if not isinstance(step, Wait):
        return "True", Reason.RECONCILING, str(step)
    if step.settled or step.reason in NEEDS_SOMEONE or step.reason is Reason.PAUSED:
        return "False", step.reason, "Nothing to do"
    return "True", step.reason, step.message


def _stalled(plan: Plan, shown: Wait) -> _Verdict:
    is_cured = shown.reason in _CURED and plan.step != shown
    if shown.reason in NEEDS_SOMEONE and not is_cured:
        return "True", shown.reason, f"{shown.message}. {shown.reason.next_step}"
    return "False", shown.reason, "No help is needed"


def _quorum_available(observed: Observed, shown: Wait) -> _Verdict:
    if not is_formed(observed):
        return "Unknown", shown.reason, "The cluster has not formed yet"
    stopped = _stopped(observed)
    if stopped is not None:
        return stopped
    if observed.etcd.members is None:
        lost = health.verdict(observed)
        unknown = lost.reason in {Reason.MEMBERS_UNREACHABLE, Reason.ACCESS_DENIED}
        return "Unknown" if unknown else "False", lost.reason, lost.message
    return "True", Reason.QUORUM_PRESENT, "A linearizable read was answered"


def _stopped(observed: Observed) -> _Verdict | None:
    """What is said of members that are not to run, whatever else the plan is about."""
    verdict = health.verdict(observed)
    if verdict.reason is not Reason.STOPPED:
        return None
    return "Unknown", Reason.STOPPED, verdict.message


def _members_healthy(observed: Observed, shown: Wait) -> _Verdict:
    """Of the voters: who joins as one more is not missed by anyone yet."""
    stopped = _stopped(observed)
    if stopped is not None:
        return stopped
    voters = health.judged(observed)
    if not voters:
        return "Unknown", Reason.UNKNOWN, "There are no members yet"
    down = [view for view in voters if not view.healthy]
    if not down:
        return "True", Reason.ALL_MEMBERS_HEALTHY, f"All {len(voters)} members are healthy"
    message = "; ".join(f"{view.name}: {view.reason}" for view in down)
    return "False", _why_down(observed, shown, down), message


def _why_down(observed: Observed, shown: Wait, down: list[ViewOfMember]) -> Reason:
    joining = observed.status.joining
    if shown.reason in _STARTING:
        return shown.reason
    if all(is_taking_its_turn(observed, view) for view in down):
        return Reason.ROLLING_OUT
    if joining is not None and [view.ordinal for view in down] == [joining.ordinal]:
        return Reason.MEMBER_REPLACING
    return Reason.MEMBERS_UNHEALTHY


def _up_to_date(observed: Observed, shown: Wait) -> _Verdict:
    verdict = _not_taken_up(observed, shown) or _not_there_yet(observed)
    if verdict is not None:
        return verdict
    waiting = operator_changes(observed)
    if waiting:
        return "True", Reason.OPERATOR_CHANGES, f"{_OPERATOR_CHANGES}: {', '.join(waiting)}"
    other = that_differ(observed)
    if other:
        return "True", Reason.VOLUMES_DIFFER, f"{_VOLUMES_DIFFER}: {', '.join(other)}"
    return "True", Reason.UP_TO_DATE, "What is wanted is what runs"


def _not_taken_up(observed: Observed, shown: Wait) -> _Verdict | None:
    """The spec, or an edit of it, was refused."""
    if observed.applied is None:
        return "False", shown.reason, "No spec has been accepted yet"
    if observed.spec is None:
        return "False", Reason.INVALID_SPEC, "; ".join(map(str, observed.spec_errors))
    refused = refuse_edit(observed)
    return None if refused is None else ("False", refused.reason, refused.message)


def _not_there_yet(observed: Observed) -> _Verdict | None:
    """What was accepted has not reached every member."""
    under_way = (
        refuse_image(observed)
        or wait_for_turn(observed)
        or coming_back(observed)
        or wait_for_version(observed)
        or wait_for_window(observed)
        or wait_for_switch(observed)
        or wait_to_migrate(observed)
        or wait_for_size(observed)
        or not_there_yet(observed)
    )
    if under_way is not None:
        return "False", under_way.reason, under_way.message
    unmade = (
        _untaken(observed)
        or objects.correct_drift(observed)
        or resize_claims(observed)
        or _being_renewed(observed)
    )
    if unmade is not None:
        return "False", Reason.RECONCILING, str(unmade)
    voters = len(voters_of(observed.status))
    wanted = observed.applied.size if observed.applied else 0
    if is_formed(observed) and wanted not in {0, voters}:
        return "False", Reason.SCALING, f"{voters} members vote, spec.size is {wanted}"
    return None


def _untaken(observed: Observed) -> str | None:
    """An edit that nothing stands against and that is taken up with the next steps."""
    wanted = edit(observed)
    return None if wanted is None else "The spec has changed; status.plan says what comes next"


def _being_renewed(observed: Observed) -> str | None:
    return "The StatefulSet is to be made anew" if is_being_renewed(observed) else None


def _space_available(observed: Observed, views: tuple[ViewOfMember, ...]) -> _Verdict:
    raised = _raised(observed, AlarmKind.NOSPACE, views)
    if raised:
        return "False", Reason.NO_SPACE, f"Alarm NOSPACE raised by {', '.join(raised)}"
    if not observed.etcd.statuses:
        return "Unknown", Reason.UNKNOWN, "No member answers"
    quota = quota_bytes(observed.applied)
    full = [
        f"{name} ({100 * status.db_size // quota} %)"
        for name, status in sorted(observed.etcd.statuses.items())
        if status.db_size >= _SPACE_LOW_SHARE * quota
    ]
    if full:
        return "False", Reason.SPACE_LOW, f"Near the quota of {quota} bytes: {', '.join(full)}"
    return "True", Reason.SPACE_SUFFICIENT, "Every database is well below its quota"


def _data_consistent(observed: Observed, views: tuple[ViewOfMember, ...]) -> _Verdict:
    raised = _raised(observed, AlarmKind.CORRUPT, views)
    if raised:
        return "False", Reason.DATA_CORRUPT, f"Alarm CORRUPT raised by {', '.join(raised)}"
    strangers = [
        f"{name} answers for cluster {cluster_id_hex(status.cluster_id)}"
        for name, status in sorted(observed.etcd.statuses.items())
        if observed.status.cluster_id
        and cluster_id_hex(status.cluster_id) != observed.status.cluster_id
    ]
    if strangers:
        return "False", Reason.CLUSTER_ID_MISMATCH, "; ".join(strangers)
    if not observed.etcd.statuses:
        return "Unknown", Reason.UNKNOWN, "No member answers"
    return "True", Reason.DATA_CONSISTENT, "No member raised the alarm CORRUPT"


def _paused(observed: Observed) -> _Verdict:
    if observed.spec is not None and observed.spec.paused:
        return "True", Reason.PAUSED, "spec.paused is true"
    return "False", Reason.NOT_PAUSED, "spec.paused is false"


def _raised(observed: Observed, kind: AlarmKind, views: Iterable[ViewOfMember]) -> list[str]:
    names = {view.member.id: view.name for view in views if view.member}
    return sorted(
        names.get(alarm.member_id, f"member {member_id_hex(alarm.member_id)}")
        for alarm in observed.etcd.alarms
        if alarm.kind is kind
    )
