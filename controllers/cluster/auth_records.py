"""Turns a step of authentication into what status remembers of it.  Pure.  Called by `records`."""

from api.v1alpha1.auth import AuthStatus, RefusedChange
from controllers.cluster.auth.changes import AddUser, DeleteUser, SetPassword
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Altered, Done, NotYet, Outcome
from controllers.cluster.plan.auth_steps import AuthStep, RecordAuth


def recorded_auth(
    observed: Observed, step: AuthStep, outcome: Outcome | None
) -> dict[str, AuthStatus | None]:
    """The field that the step sets; none where nothing was done."""
    match step, outcome:
        case RecordAuth(auth=auth), _:
            return {"auth": auth}
        case _, NotYet(message=message):
            return {"auth": _after(observed, Altered(changes=(), refused=f"{step}: {message}"))}
        case _, Done():
            return {"auth": _after(observed, Altered(changes=()))}
        case _, Altered():
            return {"auth": _after(observed, outcome)}
        case _:
            return {}


def _after(observed: Observed, outcome: Altered) -> AuthStatus:
    """Where the passwords are from that were set; what was refused, until something is done."""
    before = observed.status.auth or AuthStatus()
    origins = {user.name: user.password_from for user in before.users}
    for change in outcome.changes:
        match change:
            case AddUser(user=user, password=password) | SetPassword(user=user, password=password):
                origins[user] = password.origin
            case DeleteUser(user=user):
                origins[user] = ""
            case _:
                pass
    now = observed.now.replace(microsecond=0)
    refused = RefusedChange(message=outcome.refused, time=now) if outcome.refused else None
    users = tuple(
        user.model_copy(update={"password_from": origins[user.name]}) for user in before.users
    )
    return before.model_copy(update={"users": users, "refused": refused})
