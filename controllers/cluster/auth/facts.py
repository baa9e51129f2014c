"""What etcd and the Secrets say of users and roles, without any password.

Pure data, made by `read_auth` and a part of `Observed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from etcd.auth import Access

# The first key and the range's end, as etcd stores a permission; the end is empty for one key.
KeyRange: TypeAlias = tuple[bytes, bytes]
Grants: TypeAlias = Mapping[KeyRange, Access]

# Where a password can come from beside a Secret.
NO_PASSWORD: Final = "certificate"  # noqa: S105 - there is none: a certificate alone will do
NOBODYS: Final = "nobody"  # at random, and kept by nobody
# Recorded while a password is replaced by another one: it may be either.
CHANGING: Final = "changing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthStore:
    """Everything that etcd's auth store holds. `revision` grows with every change to it."""

    enabled: bool
    revision: int
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)  # their roles, by name
    roles: Mapping[str, Grants] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """Where a user's password is, and in which state: `origin` changes with the Secret.

    `secret` and `key` are empty, and `origin` is NO_PASSWORD or NOBODYS, where no Secret has it.
    `problem` says why what the Secret holds can't be used; empty when it can.
    """

    origin: str
    secret: str = ""
    key: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """What was seen. `store` is None when etcd was not asked, or did not answer: `error` says why.

    `passwords`: by the user's name, of root and of all users in the accepted spec.
    """

    store: AuthStore | None = None
    error: str = ""
    passwords: Mapping[str, Password] = field(default_factory=dict)
