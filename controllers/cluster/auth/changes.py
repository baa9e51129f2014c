"""The changes that bring etcd's users and roles to what the spec says, in the order to make them.

Pure.  Each can be lost or repeated: the next look tells what is left.  What is made anew comes
before what is taken away, so that nobody loses what is theirs in between; roles come before those
who have them.  What is not recorded as ours is never deleted, and root never at all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from typing_extensions import override

from api.v1alpha1.auth import ROOT, Auth, AuthStatus, AuthUserStatus
from controllers.cluster.auth.facts import (
    CHANGING,
    NO_PASSWORD,
    Authentication,
    AuthStore,
    Grants,
    KeyRange,
    Password,
)
from etcd.auth import Access, Permission
from etcd.kv_types import prefix_end


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRole:
    role: str

    @override
    def __str__(self) -> str:
        return f"add role {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRole:
    role: str

    @override
    def __str__(self) -> str:
        return f"delete role {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Give a role a permission, in the place of the one on the same keys."""

    role: str
    permission: Permission

    @override
    def __str__(self) -> str:
        return f"permit role {self.role} {self.permission.access.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbid:
    """Take away what a role may do with exactly these keys."""

    role: str
    keys: KeyRange

    @override
    def __str__(self) -> str:
        return f"revoke a permission of role {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddUser:
    user: str
    password: Password

    @override
    def __str__(self) -> str:
        return f"add user {self.user}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteUser:
    user: str

    @override
    def __str__(self) -> str:
        return f"delete user {self.user}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPassword:
    user: str
    password: Password

    @override
    def __str__(self) -> str:
        return f"set the password of {self.user}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveRole:
    user: str
    role: str

    @override
    def __str__(self) -> str:
        return f"give {self.user} role {self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRole:
    user: str
    role: str

    @override
    def __str__(self) -> str:
        return f"take role {self.role} from {self.user}"


Change = (
    AddRole
    | DeleteRole
    | Permit
    | Forbid
    | AddUser
    | DeleteUser
    | SetPassword
    | GiveRole
    | TakeRole
)


def record_of(
    auth: Auth, recorded: AuthStatus | None, store: AuthStore, passwords: Mapping[str, Password]
) -> AuthStatus | None:
    """What status has to say before the next change: which users and roles are ours, those that
    are only to be made included, and whose passwords are about to be others. None once
    authentication is off and nothing of ours is left.
    """
    before = recorded or AuthStatus()
    wanted_users = [ROOT, *(user.name for user in auth.users)] if auth.enabled else []
    wanted_roles = [role.name for role in auth.roles] if auth.enabled else []
    users = {
        user.name: user
        for user in before.users
        if user.name in wanted_users or (user.name in store.users and user.name != ROOT)
    }
    for name in wanted_users:
        origin = users[name].password_from if name in users else ""
        origin = _before_change(name, origin, store, passwords[name])
        users[name] = AuthUserStatus(name=name, password_from=origin)
    roles = {*wanted_roles, *(role for role in before.roles if role in store.roles)}
    if not (auth.enabled or store.enabled or users or roles):
        return None
    return before.model_copy(
        update={
            "enabled": store.enabled,
            "users": tuple(users[name] for name in sorted(users)),
            "roles": tuple(sorted(roles)),
        }
    )


def _before_change(name: str, origin: str, store: AuthStore, password: Password) -> str:
    """What is known of a user's password for certain, whether the next change of it is made or
    not.
    """
    if password.problem or (name in store.users and origin == password.origin):
        return origin
    if name not in store.users or _is_of_another_kind(name, origin, password):
        return ""
    return CHANGING


def due_changes(auth: Auth, recorded: AuthStatus, seen: Authentication) -> Iterator[Change]:
    """Every change that can be made now, in order; nothing while etcd's store was not seen."""
    store = seen.store
    if store is None:
        return
    if auth.enabled:
        yield from _roles(auth, store)
        yield from _users(auth, recorded, store, seen.passwords)
    wanted_users = {ROOT, *(user.name for user in auth.users if auth.enabled)}
    for user in recorded.users:
        if user.name in store.users and user.name not in wanted_users:
            yield DeleteUser(user=user.name)
    wanted_roles = {ROOT, *(role.name for role in auth.roles if auth.enabled)}
    for role in recorded.roles:
        if role in store.roles and role not in wanted_roles:
            yield DeleteRole(role=role)


def grants_of(auth: Auth, role: str) -> Grants:
    """What a role is to be permitted; what is said twice of the same keys is united."""
    grants: dict[KeyRange, Access] = {}
    for one in auth.roles:
        for permission in one.permissions if one.name == role else ():
            begin = permission.key.encode()
            keys = (begin or b"\0", permission.range_end.encode())
            if permission.prefix:
                keys = (begin or b"\0", prefix_end(begin))
            access = Access(permission.access.upper())
            same = grants.get(keys, access) is access
            grants[keys] = access if same else Access.READWRITE
    return grants


def _roles(auth: Auth, store: AuthStore) -> Iterator[Change]:
    if ROOT not in store.roles:
        yield AddRole(role=ROOT)
    for role in auth.roles:
        if role.name not in store.roles:
            yield AddRole(role=role.name)
        has, wanted = store.roles.get(role.name, {}), grants_of(auth, role.name)
        for keys, access in wanted.items():
            if has.get(keys) is not access:
                permission = Permission(access=access, key=keys[0], range_end=keys[1])
                yield Permit(role=role.name, permission=permission)
        for keys in has:
            if keys not in wanted:
                yield Forbid(role=role.name, keys=keys)


def _users(
    auth: Auth, recorded: AuthStatus, store: AuthStore, passwords: Mapping[str, Password]
) -> Iterator[Change]:
    origins = {user.name: user.password_from for user in recorded.users}
    wanted = {ROOT: frozenset({ROOT}), **{u.name: frozenset(u.roles) for u in auth.users}}
    for name, roles in wanted.items():
        yield from _user(name, roles, origins.get(name, ""), store, passwords[name])


def _user(
    name: str, roles: frozenset[str], origin: str, store: AuthStore, password: Password
) -> Iterator[Change]:
    has = store.users.get(name)
    if has is not None and not password.problem and _is_of_another_kind(name, origin, password):
        yield DeleteUser(user=name)
        has = None
    if has is None:
        if password.problem:
            return
        yield AddUser(user=name, password=password)
    elif origin != password.origin and not password.problem:
        yield SetPassword(user=name, password=password)
    for role in sorted(roles - (has or frozenset())):
        yield GiveRole(user=name, role=role)
    for role in sorted((has or frozenset()) - roles) if name != ROOT else ():
        yield TakeRole(user=name, role=role)


def _is_of_another_kind(name: str, origin: str, password: Password) -> bool:
    """Whether the user has to be made anew: who was made without a password can never be given
    one, nor lose one (etcd server/auth/store.go, UserChangePassword), and of who was found there
    etcd does not tell which it is. Root always has one.
    """
    if name == ROOT:
        return False
    return not origin or (origin == NO_PASSWORD) is not (password.origin == NO_PASSWORD)
