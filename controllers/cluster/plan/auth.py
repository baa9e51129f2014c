"""Rules of authentication: users and roles first, then the switch, and off the other way round.

Every change is etcd's own and touches no member.  What must never happen: authentication that is on
while the operator is not root, for then nobody cares for the cluster any more.  The operator is
root by its certificate; so its certificate and the user come first.
"""

from datetime import timedelta
from itertools import islice
from typing import Final

from api.reasons import Reason
from api.v1alpha1.auth import Auth, AuthStatus
from controllers.cluster.auth.changes import Change, due_changes, record_of
from controllers.cluster.certificates.due import leaf_trouble
from controllers.cluster.certificates.facts import ISSUER, Role
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.observed import Observed, derived
from controllers.cluster.plan.auth_steps import ChangeAuth, RecordAuth, SwitchAuth
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.sources import operators_trouble
from controllers.cluster.plan.steps import Wait

# A password takes etcd about 0.1 s (bcrypt); a step is to be over within a few seconds.
_MOST_AT_ONCE: Final = 20
# The rest of the work goes on meanwhile.
_TRIED_AGAIN_AFTER: Final = timedelta(seconds=15)
_RECHECK_S: Final = 5.0
_MOST_SHOWN: Final = 5


def record_auth(observed: Observed) -> RecordAuth | None:
    """What is to be made is ours: recorded before it is made, and until it is gone.

    A refusal is forgotten once nothing is left to do: the change was made though its answer was
    lost, or is no longer asked for.
    """
    auth, store = _wanted(observed), observed.auth.store
    if auth is None or store is None:
        return None
    record = record_of(auth, observed.status.auth, store, observed.auth.passwords)
    if record is not None and not _is_left(observed, auth, record):
        record = record.model_copy(update={"refused": None})
    if record == observed.status.auth or (not auth.enabled and store.enabled):
        return None
    return RecordAuth(auth=record)


def switch_auth_off(observed: Observed) -> SwitchAuth | None:
    """No longer wanted: the switch first, so that nobody is shut out while users go."""
    auth, store = _wanted(observed), observed.auth.store
    if auth is None or auth.enabled or store is None or not store.enabled:
        return None
    return None if was_refused_just_now(observed) else SwitchAuth(on=False)


def change_auth(observed: Observed) -> ChangeAuth | None:
    """Users and roles that are not as they should be."""
    changes = due(observed)
    if not changes or was_refused_just_now(observed):
        return None
    return ChangeAuth(changes=changes)


def switch_auth_on(observed: Observed) -> SwitchAuth | None:
    """Everything is there, and the operator is root by its certificate.

    What etcd refused is no reason not to try again: only a try that succeeds makes it forgotten.
    """
    auth, store = _wanted(observed), observed.auth.store
    if auth is None or not auth.enabled or store is None or store.enabled:
        return None
    if due(observed) or _obstacle(observed, auth) or was_refused_just_now(observed):
        return None
    return SwitchAuth(on=True)


def wait_for_credentials(observed: Observed) -> Wait | None:
    """A Secret that a user's password should be in can't be used, or etcd refused a change."""
    return auth_trouble(observed)


def auth_trouble(observed: Observed) -> Wait | None:
    """What stands against authentication as the spec says; None where all is well, or on its
    way.
    """
    auth, recorded = _wanted(observed), observed.status.auth
    if auth is None:
        return None
    obstacle = _obstacle(observed, auth)
    if obstacle is not None:
        return obstacle
    if recorded is not None and recorded.refused and _is_left(observed, auth, recorded):
        return Wait(
            reason=Reason.AUTH_REFUSED,
            message="etcd did not carry out a change of users and roles:"
            f" {recorded.refused.message}",
            recheck_s=_RECHECK_S,
        )
    return None


def was_refused_just_now(observed: Observed) -> bool:
    """Whether it is too early to ask etcd again."""
    recorded = observed.status.auth
    refused = recorded.refused if recorded else None
    return refused is not None and observed.now < refused.time + _TRIED_AGAIN_AFTER


@derived
def due(observed: Observed) -> tuple[Change, ...]:
    """The next changes of users and roles: those of what is recorded as ours."""
    auth, recorded = _wanted(observed), observed.status.auth
    if auth is None or recorded is None:
        return ()
    return tuple(islice(due_changes(auth, recorded, observed.auth), _MOST_AT_ONCE))


def _wanted(observed: Observed) -> Auth | None:
    """What is asked for; None while nobody ever asked, or nothing of it is left."""
    if observed.applied is None:
        return None
    auth = observed.applied.security.auth
    return auth if auth.enabled or observed.status.auth is not None else None


def _is_left(observed: Observed, auth: Auth, recorded: AuthStatus) -> bool:
    """Whether etcd is known not to be as the spec says."""
    store = observed.auth.store
    if store is None:
        return False
    change = next(due_changes(auth, recorded, observed.auth), None)
    return change is not None or store.enabled != auth.enabled


def _obstacle(observed: Observed, auth: Auth) -> Wait | None:
    """What has to be mended before authentication can be switched on."""
    if not auth.enabled:
        return None
    unusable = [
        f"Secret {password.secret} for {user}: {password.problem}"
        for user, password in observed.auth.passwords.items()
        if password.problem
    ]
    if unusable:
        more = f" and {len(unusable) - _MOST_SHOWN} more" if len(unusable) > _MOST_SHOWN else ""
        message = "; ".join(unusable[:_MOST_SHOWN]) + more
        return Wait(reason=Reason.CREDENTIALS_MISSING, message=message, recheck_s=_RECHECK_S)
    if trouble := _own_certificate(observed):
        return Wait(reason=Reason.CERTIFICATES_PENDING, message=trouble, recheck_s=_RECHECK_S)
    return None


def _own_certificate(observed: Observed) -> str:
    """Why the operator is not root by its certificate; empty when it is."""
    who, authorities = tls_identity(observed), observed.status.authorities
    if who is None or not who.serves_tls:
        return "The operator can't show its certificate, for clients don't speak TLS"
    if authorities is None:
        return "The operator's certificate waits for the cluster's authorities"
    if ISSUER[Role.OPERATOR] in who.given:
        trouble = operators_trouble(observed, who)
    else:
        facts = observed.certificates.facts
        trouble = leaf_trouble(who, Role.OPERATOR, facts, authorities, observed.now)
    name = secret_name(who.name, Role.OPERATOR)
    return f"Secret {name}, with which the operator comes as root: {trouble}" if trouble else ""
