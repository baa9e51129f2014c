"""Asks etcd for its users and roles, and the Secrets for where passwords come from.

Called by `observe`, and only for a cluster that has, or is to have, authentication.  etcd counts
the changes to its store, so that all of it is read only when the count is another one.  Secrets are
in no cache of ours (see `read_certificates`): what was read is remembered for a minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from api.v1alpha1.auth import Auth, AuthStatus
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.ask_etcd import Clients, leader_client
from controllers.cluster.auth.facts import Authentication, AuthStore, Password
from controllers.cluster.auth.passwords import origin_of, password_in, places
from controllers.cluster.certificates.parse import UnfitSecretError
from controllers.cluster.observed import Etcd, Pod
from controllers.cluster.render.identity import Identity
from controllers.resources import SECRETS
from etcd.auth import AuthClient
from etcd.client import EtcdClient
from etcd.errors import AuthObjectMissingError, EtcdError
from informers.errors import ForbiddenError, NotFoundError
from informers.wire import KubeApi

# So long it takes until a changed password is seen.
_REMEMBERED: Final = timedelta(minutes=1)
_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Memory:
    """Of one cluster. `asked_for`: by whom the passwords were wanted when they were read."""

    uid: str
    cluster_id: str
    store: AuthStore | None = None
    asked_for: Auth | None = None
    since: datetime | None = None
    passwords: Mapping[str, Password] | None = None


class AuthReader:
    """Reads users and roles of all clusters, and remembers them by the clusters' keys."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._memories: dict[str, _Memory] = {}

    async def read(
        self,
        who: Identity,
        spec: ClusterSpec | None,
        status: ClusterStatus,
        leader: EtcdClient | None,
        *,
        now: datetime,
    ) -> Authentication:
        """What there is. `leader` is None while none is known. Raises KubeError; etcd's silence is
        a value.
        """
        auth = spec.security.auth if spec else Auth()
        if not auth.enabled and status.auth is None:
            return Authentication()
        if leader is None:
            return Authentication(error="no member leads")
        key = f"{who.namespace}/{who.name}"
        memory = self._memories.get(key)
        if memory is None or (memory.uid, memory.cluster_id) != (who.uid, status.cluster_id):
            memory = _Memory(who.uid, status.cluster_id)
        passwords = await self._passwords(who, auth, status.auth, memory, now)
        try:
            store = await _store(leader.auth, memory.store)
        except EtcdError as error:
            return Authentication(error=error.message, passwords=passwords)
        fresh = passwords is not memory.passwords
        self._memories[key] = replace(
            memory,
            store=store,
            asked_for=auth,
            since=now if fresh else memory.since,
            passwords=passwords,
        )
        return Authentication(store=store, passwords=passwords)

    def forget(self, key: str) -> None:
        """The cluster is gone."""
        self._memories.pop(key, None)

    async def _passwords(
        self,
        who: Identity,
        auth: Auth,
        recorded: AuthStatus | None,
        memory: _Memory,
        now: datetime,
    ) -> Mapping[str, Password]:
        """Remembered only while there is nothing to do about them."""
        if not auth.enabled:
            return {}
        known, since = memory.passwords, memory.since
        origins = {user.name: user.password_from for user in recorded.users} if recorded else {}
        if (
            known is not None
            and since is not None
            and memory.asked_for == auth
            and now < since + _REMEMBERED
            and all(not p.problem and origins.get(n) == p.origin for n, p in known.items())
        ):
            return known
        return {user: await self._place(who, user, place) for user, place in places(auth)}

    async def _place(self, who: Identity, user: str, place: Password) -> Password:
        if not place.secret:
            return place
        try:
            secret = await self._api.get(SECRETS, namespace=who.namespace, name=place.secret)
            password_in(user, place, secret)
        except NotFoundError:
            return replace(place, problem="it is missing")
        except ForbiddenError as error:
            return replace(place, problem=f"the operator may not read it ({error.message})")
        except UnfitSecretError as error:
            return replace(place, problem=str(error))
        return replace(place, origin=origin_of(secret))


async def read_auth(
    reader: AuthReader,
    channels: Clients,
    who: Identity | None,
    *,
    spec: ClusterSpec | None,
    status: ClusterStatus,
    pods: Sequence[Pod],
    etcd: Etcd,
    now: datetime,
) -> Authentication:
    """Users and roles by quorum, as every change to them goes through it. Raises KubeError.

    `who` is None before there is a cluster, `spec` before one was accepted.
    """
    if who is None:
        return Authentication()
    has_quorum = etcd.members is not None
    leader = leader_client(who, pods, etcd, channels) if has_quorum else None
    return await reader.read(who, spec, status, leader, now=now)


async def _store(client: AuthClient, known: AuthStore | None) -> AuthStore:
    """The whole store; what is known of it while nothing has changed. Raises EtcdError."""
    status = await client.status(timeout_s=_TIMEOUT_S)
    if known is not None and known.revision == status.revision:
        return known if known.enabled == status.enabled else replace(known, enabled=status.enabled)
    users, roles = {}, {}
    for user in await client.users(timeout_s=_TIMEOUT_S):
        try:
            users[user] = frozenset(await client.user_roles(user, timeout_s=_TIMEOUT_S))
        except AuthObjectMissingError:  # deleted meanwhile
            continue
    for role in await client.roles(timeout_s=_TIMEOUT_S):
        try:
            grants = await client.role_permissions(role, timeout_s=_TIMEOUT_S)
        except AuthObjectMissingError:
            continue
        roles[role] = {(one.key, one.range_end): one.access for one in grants}
    return AuthStore(enabled=status.enabled, revision=status.revision, users=users, roles=roles)
