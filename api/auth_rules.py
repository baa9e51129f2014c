"""Checks `spec.security.auth` for what its schema cannot say.

Called by api/cluster_rules.py; pure.
"""

from collections.abc import Iterator

from api.errors import FieldError
from api.v1alpha1.auth import ROOT, Auth, AuthRole, Permission
from api.v1alpha1.cluster import Security


def auth_errors(security: Security, path: str) -> Iterator[FieldError]:
    """Yield everything that is wrong with the auth of a security section that stands at `path`."""
    auth, here = security.auth, f"{path}.auth"
    tls = security.tls
    if auth.enabled and tls.enabled is not None and not tls.with_clients:
        field = "enabled" if tls.enabled is False else "clientTLSEnabled"
        yield FieldError(
            f"{here}.enabled",
            "needs TLS with clients, because the operator is known to etcd by its certificate",
            f"Set {path}.tls.{field} to true, or this to false.",
        )
    theirs = (
        "certificateSecret" if tls.certificate_secret else "issuerRef" if tls.issuer_ref else ""
    )
    if auth.enabled and theirs and tls.operator_certificate_secret is None:
        yield FieldError(
            f"{here}.enabled",
            "needs a certificate by which the operator is root, and another authority than its own"
            " signs for clients",
            f"Set {path}.tls.operatorCertificateSecret to a Secret with one by the authority of"
            f" {theirs}, or this to false.",
        )
    yield from _user_errors(auth, here)
    yield from _role_errors(auth, here)


def _user_errors(auth: Auth, path: str) -> Iterator[FieldError]:
    known = {ROOT, *(role.name for role in auth.roles)}
    names = [user.name for user in auth.users]
    for number, user in enumerate(auth.users):
        here = f"{path}.users[{number}]"
        if user.name == ROOT:
            yield FieldError(
                f"{here}.name",
                "must not be root, which is there anyway",
                f"Its password is in {path}.rootCredentialsSecret.",
            )
        if user.name in names[:number]:
            yield FieldError(f"{here}.name", f"is {user.name} for a second time")
        for place, role in enumerate(user.roles):
            if role not in known:
                yield FieldError(
                    f"{here}.roles[{place}]",
                    f"is {role}, which is not among {path}.roles",
                    "Add the role, or correct its name.",
                )


def _role_errors(auth: Auth, path: str) -> Iterator[FieldError]:
    names = [role.name for role in auth.roles]
    for number, role in enumerate(auth.roles):
        here = f"{path}.roles[{number}]"
        if role.name == ROOT:
            yield FieldError(f"{here}.name", "must not be root, which may do everything anyway")
        if role.name in names[:number]:
            yield FieldError(f"{here}.name", f"is {role.name} for a second time")
        yield from _permission_errors(role, here)


def _permission_errors(role: AuthRole, path: str) -> Iterator[FieldError]:
    for number, permission in enumerate(role.permissions):
        here = f"{path}.permissions[{number}]"
        yield from _range_errors(permission, here)


def _range_errors(permission: Permission, path: str) -> Iterator[FieldError]:
    begin, end = permission.key.encode(), permission.range_end.encode()
    if permission.prefix and end:
        yield FieldError(f"{path}.rangeEnd", "must not be set together with prefix")
    elif end and end <= begin:
        yield FieldError(f"{path}.rangeEnd", "must come after key, byte by byte")
    elif not begin and not permission.prefix:
        yield FieldError(f"{path}.key", "must not be empty", "For all keys, set prefix to true.")
