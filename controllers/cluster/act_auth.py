"""Changes etcd's users, roles and authentication.

Called by `act_etcd`, which turns what etcd refuses into `NotYet`.  What is so already is as good as
done, so that every change can be repeated.  A password goes from its Secret to etcd: it is read
here, and is in no log, error or outcome.
"""

import contextlib
import secrets

from controllers.cluster.auth.changes import (
    AddRole,
    AddUser,
    Change,
    DeleteRole,
    DeleteUser,
    Forbid,
    GiveRole,
    Permit,
    SetPassword,
    TakeRole,
)
from controllers.cluster.auth.facts import NO_PASSWORD, Password
from controllers.cluster.auth.passwords import origin_of, password_in
from controllers.cluster.certificates.parse import UnfitSecretError
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Altered, Changed, Done, Outcome
from controllers.cluster.plan.auth_steps import ChangeAuth, SwitchAuth
from controllers.resources import SECRETS
from controllers.writer import Writer
from etcd.auth import TIMEOUT_S, AuthClient
from etcd.client import EtcdClient
from etcd.errors import AuthObjectExistsError, AuthObjectMissingError, EtcdError
from informers.errors import NotFoundError

_RANDOM_BYTES = 32


class _OtherPasswordError(Exception):
    """The Secret is not as it was observed."""


async def perform_on_auth(
    step: ChangeAuth | SwitchAuth, observed: Observed, writer: Writer, leader: EtcdClient
) -> Outcome:
    """Take the step. Raises EtcdError of the switch, and KubeError."""
    if isinstance(step, SwitchAuth):
        timeout_s = writer.timeout_s(TIMEOUT_S)
        if step.on:
            await leader.auth.enable(timeout_s=timeout_s)
        else:
            await leader.auth.disable(timeout_s=timeout_s)
        return Done()
    made: list[Change] = []
    for change in step.changes:
        try:
            await _make(change, observed, writer, leader.auth)
        except _OtherPasswordError:
            return Altered(changes=tuple(made)) if made else Changed(what="a user's Secret")
        except EtcdError as error:
            return Altered(changes=tuple(made), refused=f"{change}: {error.message}")
        made.append(change)
    return Altered(changes=tuple(made))


async def _make(change: Change, observed: Observed, writer: Writer, auth: AuthClient) -> None:
    match change:
        case AddUser(user=user, password=place):
            password = await _password(user, place, observed, writer)
            await auth.user_add(user, password, timeout_s=writer.timeout_s(TIMEOUT_S))
        case SetPassword(user=user, password=place):
            password = await _password(user, place, observed, writer)
            await auth.user_change_password(user, password, timeout_s=writer.timeout_s(TIMEOUT_S))
        case _:
            with contextlib.suppress(AuthObjectExistsError, AuthObjectMissingError):
                await _make_public(change, auth, writer.timeout_s(TIMEOUT_S))


async def _make_public(
    change: AddRole | DeleteRole | Permit | Forbid | DeleteUser | GiveRole | TakeRole,
    auth: AuthClient,
    timeout_s: float,
) -> None:
    match change:
        case AddRole(role=role):
            await auth.role_add(role, timeout_s=timeout_s)
        case DeleteRole(role=role):
            await auth.role_delete(role, timeout_s=timeout_s)
        case Permit(role=role, permission=permission):
            await auth.role_grant(role, permission, timeout_s=timeout_s)
        case Forbid(role=role, keys=(key, range_end)):
            await auth.role_revoke(role, key=key, range_end=range_end, timeout_s=timeout_s)
        case DeleteUser(user=user):
            await auth.user_delete(user, timeout_s=timeout_s)
        case GiveRole(user=user, role=role):
            await auth.user_grant_role(user, role, timeout_s=timeout_s)
        case TakeRole(user=user, role=role):
            await auth.user_revoke_role(user, role, timeout_s=timeout_s)


async def _password(user: str, place: Password, observed: Observed, writer: Writer) -> str:
    """What the Secret holds now, if it is in the state that was observed; empty for who has none.

    Raises _OtherPasswordError.
    """
    if place.origin == NO_PASSWORD:
        return ""
    if not place.secret:
        return secrets.token_urlsafe(_RANDOM_BYTES)
    try:
        secret = await writer.api.get(SECRETS, namespace=observed.namespace, name=place.secret)
        password = password_in(user, place, secret)
    except (NotFoundError, UnfitSecretError):
        raise _OtherPasswordError from None
    if origin_of(secret) != place.origin:
        raise _OtherPasswordError
    return password
