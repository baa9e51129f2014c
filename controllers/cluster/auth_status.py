"""What the condition AuthReady says, and what of authentication is not as the spec says.

Pure.  Called by `conditions`.
"""

from api.conditions import ConditionStatus
from api.reasons import Reason
from controllers.cluster.observed import Observed
from controllers.cluster.plan.auth import auth_trouble, due
from controllers.cluster.plan.steps import Wait


def auth_verdict(observed: Observed) -> tuple[ConditionStatus, Reason, str]:
    """What the condition says."""
    applied, recorded = observed.applied, observed.status.auth
    wanted = applied is not None and applied.security.auth.enabled
    if not wanted and recorded is None:
        return "False", Reason.AUTH_DISABLED, "spec.security.auth.enabled is false"
    pending = not_there_yet(observed)
    if pending is not None:
        return "False", pending.reason, pending.message
    if observed.auth.store is None:
        return "Unknown", Reason.UNKNOWN, f"etcd was not asked: {observed.auth.error}"
    users, roles = (len(recorded.users), len(recorded.roles)) if recorded else (0, 0)
    message = f"etcd asks who is calling; {users} users and {roles} roles are as the spec says"
    return "True", Reason.AUTH_ENFORCED, message


def not_there_yet(observed: Observed) -> Wait | None:
    """What is still to be done, or stands against it; None as well while etcd can't be asked."""
    trouble = auth_trouble(observed)
    if trouble is not None:
        return trouble
    applied, recorded, store = observed.applied, observed.status.auth, observed.auth.store
    if applied is None or store is None:
        return None
    if not applied.security.auth.enabled:
        message = "Authentication is being switched off, and its users are deleted"
        return Wait(reason=Reason.AUTH_PENDING, message=message) if recorded else None
    if due(observed):
        return Wait(reason=Reason.AUTH_PENDING, message="Users and roles are being changed")
    if not store.enabled or recorded is None:
        return Wait(reason=Reason.AUTH_PENDING, message="Authentication is being switched on")
    return None
