"""A model of etcd's auth store, as `AuthClient` shows it, and of the Secrets with passwords.

What it answers is what server/auth/store.go does; tests/integration/etcd/test_auth.py holds the
operator to the real one.
"""

from __future__ import annotations

import base64
from types import SimpleNamespace

from etcd.auth import AuthStatus, Permission
from etcd.errors import (
    AuthObjectExistsError,
    AuthObjectMissingError,
    BadRequestError,
    CredentialsRejectedError,
    RequestTimedOutError,
)
from informers.errors import NotFoundError

ROOT = "root"


class Crash(BaseException):
    """The process ends here."""


class AuthStoreModel:
    """Users (their password, None for who has none; their roles) and roles (what they grant).

    `crash_at`: the number of the change at which the process ends; an even one was made before.
    `lost_at`: the same for the one change whose answer is lost.
    """

    def __init__(self):
        self.enabled = False
        self.revision = 1
        self.passwords = {}
        self.user_roles_of = {}
        self.grants = {}
        self.calls = []
        self.refusal = None
        self.crash_at = None
        self.lost_at = None

    def _call(self, name, apply):
        if self.refusal is not None:
            raise self.refusal
        crash = self.crash_at is not None and len(self.calls) >= self.crash_at
        if crash and self.crash_at % 2:
            raise Crash
        lost = self.lost_at is not None and len(self.calls) >= self.lost_at
        made, self.lost_at = (not lost or self.lost_at % 2 == 0), None if lost else self.lost_at
        if made:
            apply()
            self.calls.append(name)
            self.revision += 1
        if lost:
            raise RequestTimedOutError("etcdserver: request timed out")
        if crash:
            raise Crash

    def _known(self, found, names):
        if found not in names:
            raise AuthObjectMissingError("not found")

    async def status(self, *, timeout_s):
        return AuthStatus(enabled=self.enabled, revision=self.revision)

    async def enable(self, *, timeout_s):
        if ROOT not in self.user_roles_of.get(ROOT, ()):
            raise BadRequestError("root user does not have root role")
        self._call("enable", lambda: setattr(self, "enabled", True))

    async def disable(self, *, timeout_s):
        self._call("disable", lambda: setattr(self, "enabled", False))

    async def users(self, *, timeout_s):
        return tuple(self.passwords)

    async def user_roles(self, name, *, timeout_s):
        self._known(name, self.passwords)
        return tuple(self.user_roles_of[name])

    async def roles(self, *, timeout_s):
        return tuple(self.grants)

    async def role_permissions(self, role, *, timeout_s):
        self._known(role, self.grants)
        return tuple(
            Permission(access=access, key=key, range_end=end)
            for (key, end), access in self.grants[role].items()
        )

    async def user_add(self, name, password, *, timeout_s):
        if name in self.passwords:
            raise AuthObjectExistsError("user name already exists")

        def apply():
            self.passwords[name] = password or None
            self.user_roles_of[name] = set()

        self._call("user_add", apply)

    async def user_delete(self, name, *, timeout_s):
        self._known(name, self.passwords)
        if self.enabled and name == ROOT:
            raise BadRequestError("invalid auth management")

        def apply():
            del self.passwords[name], self.user_roles_of[name]

        self._call("user_delete", apply)

    async def user_change_password(self, name, password, *, timeout_s):
        self._known(name, self.passwords)

        def apply():
            if self.passwords[name] is not None:  # silently: it was made without one
                self.passwords[name] = password

        self._call("user_change_password", apply)

    async def user_grant_role(self, name, role, *, timeout_s):
        self._known(name, self.passwords)
        if role != ROOT:
            self._known(role, self.grants)
        self._call("user_grant_role", lambda: self.user_roles_of[name].add(role))

    async def user_revoke_role(self, name, role, *, timeout_s):
        self._known(name, self.passwords)
        self._known(role, self.user_roles_of[name])
        self._call("user_revoke_role", lambda: self.user_roles_of[name].remove(role))

    async def role_add(self, role, *, timeout_s):
        if role in self.grants:
            raise AuthObjectExistsError("role name already exists")
        self._call("role_add", lambda: self.grants.setdefault(role, {}))

    async def role_delete(self, role, *, timeout_s):
        self._known(role, self.grants)

        def apply():
            del self.grants[role]
            for roles in self.user_roles_of.values():
                roles.discard(role)

        self._call("role_delete", apply)

    async def role_grant(self, role, permission, *, timeout_s):
        self._known(role, self.grants)
        keys = (permission.key, permission.range_end)
        self._call("role_grant", lambda: self.grants[role].update({keys: permission.access}))

    async def role_revoke(self, role, *, key, range_end, timeout_s):
        self._known(role, self.grants)
        self._known((key, range_end), self.grants[role])
        self._call("role_revoke", lambda: self.grants[role].pop((key, range_end)))

    async def authenticate(self, name, password, *, timeout_s):
        if self.passwords.get(name) is None or self.passwords[name] != password:
            raise CredentialsRejectedError("authentication failed")
        return "token"


class SecretsModel:
    """The API server, as far as Secrets are read from it."""

    def __init__(self):
        self.secrets = {}
        self.reads = []
        self._version = 0

    def put(self, name, **values):
        """Makes or changes a Secret."""
        self._version += 1
        uid = self.secrets[name]["metadata"]["uid"] if name in self.secrets else f"{self._version}"
        self.secrets[name] = {
            "metadata": {"name": name, "uid": uid, "resourceVersion": str(self._version)},
            "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()},
        }

    def remove(self, name):
        del self.secrets[name]

    async def get(self, _resource, *, namespace, name):
        assert namespace == "prod"
        self.reads.append(name)
        if name not in self.secrets:
            raise NotFoundError(status=404, reason="NotFound", message=f"{name} is missing")
        return self.secrets[name]


class ClientsModel:
    """Whoever is asked, it is the model."""

    def __init__(self, store):
        self._client = SimpleNamespace(auth=store)

    def client(self, _endpoint):
        return self._client
