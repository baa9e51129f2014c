"""The conditions and phases of a cluster, and the one way to change a condition.

Written by controllers' status functions, read by people, alerts and `kubectl wait`; Reconciling
and Stalled are read as kstatus reads them. docs/reference/conditions.md is generated from this
module.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from api.reasons import Reason
from api.v1alpha1.common import Condition


class ConditionType(StrEnum):
    """What is observed."""

    meaning: str
    good: str

    def __new__(cls, value: str, good: str, meaning: str) -> Self:
        """Make a member that is its own text; `good` is the status in which all is well."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.good = good
        member.meaning = meaning
        return member

    READY = "Ready", "True", "The summary: every member is a healthy voter on what the spec wants."
    RECONCILING = "Reconciling", "False", "The operator is working towards the spec, or waits."
    STALLED = "Stalled", "False", "The operator cannot go on without help; the message says whose."
    QUORUM_AVAILABLE = "QuorumAvailable", "True", "The cluster accepts writes."
    MEMBERS_HEALTHY = "MembersHealthy", "True", "Every member answers and follows the leader."
    UP_TO_DATE = "UpToDate", "True", "Every member runs what the spec says."
    TLS_READY = "TLSReady", "True", "Certificates are there and valid; False without TLS."
    AUTH_READY = "AuthReady", "True", "Users and roles are as the spec says; False without auth."
    SPACE_AVAILABLE = "SpaceAvailable", "True", "No member's database is near its quota."
    DATA_CONSISTENT = "DataConsistent", "True", "No member's data differs from the others'."
    VERIFIED = "Verified", "True", "Of an EtcdBackup: it was restored, and is what was saved."
    ARCHIVER_READY = (
        "ArchiverReady",
        "True",
        "The changes of the cluster are kept as they come; only with spec.continuous.enabled.",
    )
    PAUSED = "Paused", "False", "spec.paused is true: the operator changes nothing."


class Phase(StrEnum):
    """The summary of a cluster in one word, for tables."""

    CREATING = "Creating"
    RUNNING = "Running"
    SCALING = "Scaling"
    UPGRADING = "Upgrading"
    RECOVERING = "Recovering"
    FAILED = "Failed"
    DELETING = "Deleting"
    STOPPED = "Stopped"


ConditionStatus = Literal["True", "False", "Unknown"]


def find_condition(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Return the condition of this type, or None."""
    return next((condition for condition in conditions if condition.type == kind), None)


def set_condition(
    conditions: Sequence[Condition],
    kind: ConditionType,
    status: ConditionStatus,
    *,
    reason: Reason,
    message: str,
    now: datetime,
    generation: int | None,
) -> tuple[Condition, ...]:
    """Return the conditions with this one set, in a stable order: new ones at the end.

    `lastTransitionTime` becomes `now` (aware, to the second) only when `status` changes;
    everything else is replaced. So an unchanged observation gives an equal tuple, and equal status
    is not written.
    """
    previous = find_condition(conditions, kind)
    since = now.replace(microsecond=0)
    if previous is not None and previous.status == status:
        since = previous.last_transition_time
    condition = Condition(
        type=kind.value,
        status=status,
        observed_generation=generation,
        last_transition_time=since,
        reason=reason.value,
        message=message,
    )
    if previous is None:
        return (*conditions, condition)
    return tuple(condition if old is previous else old for old in conditions)
