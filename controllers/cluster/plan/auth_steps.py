"""The steps that concern authentication.  Part of `steps.Action`.

Pure data, under the same rules as those in `steps`; nothing secret is in them.
"""

from dataclasses import dataclass

from typing_extensions import override

from api.v1alpha1.auth import AuthStatus
from controllers.cluster.auth.changes import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAuth:
    """Record which users and roles are ours, before they are made; None: nothing of ours is
    left.
    """

    auth: AuthStatus | None

    @override
    def __str__(self) -> str:
        if self.auth is None:
            return "Record that authentication is off and its users are gone"
        return "Record which users and roles are the operator's"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAuth:
    """Make these changes to etcd's users and roles, in this order."""

    changes: tuple[Change, ...]

    @override
    def __str__(self) -> str:
        return "Change users and roles: " + ", ".join(map(str, self.changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchAuth:
    """Have etcd ask, or no longer ask, who is calling."""

    on: bool

    @override
    def __str__(self) -> str:
        return f"Switch authentication {'on' if self.on else 'off'}"


AuthStep = RecordAuth | ChangeAuth | SwitchAuth
