"""Users, roles and tokens: service `etcdserverpb.Auth`.

All changes go through the quorum and need the root role once authentication is on. Repeating one
raises AuthObjectExistsError or AuthObjectMissingError, which are as good as done. Passwords and
tokens are never logged and appear in no error.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd import rpc
from etcd.proto import auth_pb2 as pb
from etcd.proto import permission_pb2

if TYPE_CHECKING:
    from etcd.transport import Transport

TIMEOUT_S = 8.0


class Access(enum.Enum):
    """What a permission allows."""

    READ = "READ"
    WRITE = "WRITE"
    READWRITE = "READWRITE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Access to [key, range_end); an empty range_end means the one key, ALL_KEYS twice all."""

    access: Access
    key: bytes
    range_end: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStatus:
    """enabled: is authentication on. revision: grows with every change to users and roles."""

    enabled: bool
    revision: int


class AuthClient:
    """Users and roles, through one member."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def authenticate(self, name: str, password: str, *, timeout_s: float = TIMEOUT_S) -> str:
        """A token for `EtcdClient.with_token`; simple tokens end after 300 s without use.

        Retry-safe. Raises CredentialsRejectedError; AuthObjectMissingError with authentication off.
        """
        request = pb.AuthenticateRequest(name=name, password=password)
        answer = await self._transport.unary(rpc.AUTHENTICATE, request, timeout_s=timeout_s)
        return answer.token

    async def status(self, *, timeout_s: float = TIMEOUT_S) -> AuthStatus:
        """Retry-safe; needs a user while authentication is on, but for 3.7. Since 3.5."""
        request = pb.AuthStatusRequest()
        answer = await self._transport.unary(rpc.AUTH_STATUS, request, timeout_s=timeout_s)
        return AuthStatus(enabled=answer.enabled, revision=answer.auth_revision)

    async def enable(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Turns authentication on. Raises BadRequestError without a root user in the root role."""
        await self._transport.unary(rpc.AUTH_ENABLE, pb.AuthEnableRequest(), timeout_s=timeout_s)

    async def disable(self, *, timeout_s: float = TIMEOUT_S) -> None:
        """Turns authentication off; users and roles stay."""
        await self._transport.unary(rpc.AUTH_DISABLE, pb.AuthDisableRequest(), timeout_s=timeout_s)

    async def user_add(self, name: str, password: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Adds a user; an empty password means: only by client certificate."""
        request = pb.AuthUserAddRequest(name=name, password=password)
        if not password:
            request.options.no_password = True
        await self._transport.unary(rpc.USER_ADD, request, timeout_s=timeout_s)

    async def user_delete(self, name: str, *, timeout_s: float = TIMEOUT_S) -> None:
        request = pb.AuthUserDeleteRequest(name=name)
        await self._transport.unary(rpc.USER_DELETE, request, timeout_s=timeout_s)

    async def user_change_password(
        self, name: str, password: str, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Sets a new password; the user's tokens end."""
        request = pb.AuthUserChangePasswordRequest(name=name, password=password)
        await self._transport.unary(rpc.USER_CHANGE_PASSWORD, request, timeout_s=timeout_s)

    async def users(self, *, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
        """Names of all users. Retry-safe."""
        answer = await self._transport.unary(
            rpc.USER_LIST, pb.AuthUserListRequest(), timeout_s=timeout_s
        )
        return tuple(answer.users)

    async def user_roles(self, name: str, *, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
        """Roles of one user. Retry-safe."""
        request = pb.AuthUserGetRequest(name=name)
        answer = await self._transport.unary(rpc.USER_GET, request, timeout_s=timeout_s)
        return tuple(answer.roles)

    async def user_grant_role(self, name: str, role: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Gives a role to a user; giving it again is harmless."""
        request = pb.AuthUserGrantRoleRequest(user=name, role=role)
        await self._transport.unary(rpc.USER_GRANT_ROLE, request, timeout_s=timeout_s)

    async def user_revoke_role(self, name: str, role: str, *, timeout_s: float = TIMEOUT_S) -> None:
        request = pb.AuthUserRevokeRoleRequest(name=name, role=role)
        await self._transport.unary(rpc.USER_REVOKE_ROLE, request, timeout_s=timeout_s)

    async def role_add(self, role: str, *, timeout_s: float = TIMEOUT_S) -> None:
        request = pb.AuthRoleAddRequest(name=role)
        await self._transport.unary(rpc.ROLE_ADD, request, timeout_s=timeout_s)

    async def role_delete(self, role: str, *, timeout_s: float = TIMEOUT_S) -> None:
        request = pb.AuthRoleDeleteRequest(role=role)
        await self._transport.unary(rpc.ROLE_DELETE, request, timeout_s=timeout_s)

    async def roles(self, *, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
        """Names of all roles. Retry-safe."""
        answer = await self._transport.unary(
            rpc.ROLE_LIST, pb.AuthRoleListRequest(), timeout_s=timeout_s
        )
        return tuple(answer.roles)

    async def role_permissions(
        self, role: str, *, timeout_s: float = TIMEOUT_S
    ) -> tuple[Permission, ...]:
        """Permissions of one role. Retry-safe."""
        request = pb.AuthRoleGetRequest(role=role)
        answer = await self._transport.unary(rpc.ROLE_GET, request, timeout_s=timeout_s)
        return tuple(
            Permission(
                access=Access(permission_pb2.Permission.Type.Name(p.perm_type)),
                key=p.key,
                range_end=p.range_end,
            )
            for p in answer.perm
        )

    async def role_grant(
        self, role: str, permission: Permission, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Adds a permission, or replaces the one on the same range."""
        request = pb.AuthRoleGrantPermissionRequest(
            name=role,
            perm=permission_pb2.Permission(
                perm_type=permission.access.value,
                key=permission.key,
                range_end=permission.range_end,
            ),
        )
        await self._transport.unary(rpc.ROLE_GRANT_PERMISSION, request, timeout_s=timeout_s)

    async def role_revoke(
        self, role: str, *, key: bytes, range_end: bytes = b"", timeout_s: float = TIMEOUT_S
    ) -> None:
        """Takes the permission on exactly this range away."""
        request = pb.AuthRoleRevokePermissionRequest(role=role, key=key, range_end=range_end)
        await self._transport.unary(rpc.ROLE_REVOKE_PERMISSION, request, timeout_s=timeout_s)
