"""Who may do what in a cluster: `spec.security.auth` of an EtcdCluster, and what status records of
it.

What belongs together across fields (names that are used but not made, ranges that hold nothing) is
in api/auth_rules.py.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from api.v1alpha1.common import (
    Flag,
    Model,
    ObjectName,
    OptionalObjectName,
    Text,
    Time,
    keyed_by,
    matching,
    text_schema,
)

# etcd's own: the user and the role that may do everything, members and users included.
ROOT: Final = "root"
# What a certificate's CN takes (RFC 5280, ub-common-name), and a user can be one.
MAX_NAME_LENGTH: Final = 64
NAME_PATTERN: Final = r"^[a-zA-Z0-9]([a-zA-Z0-9._@/+-]*[a-zA-Z0-9])?$"
MAX_KEY_LENGTH: Final = 1024
DATA_KEY_PATTERN: Final = r"^[-._a-zA-Z0-9]+$"
MAX_DATA_KEY_LENGTH: Final = 253
MAX_USERS: Final = 128
MAX_ROLES: Final = 64
MAX_PERMISSIONS: Final = 64

AuthName = Annotated[
    Text,
    Field(max_length=MAX_NAME_LENGTH),
    AfterValidator(
        matching(
            NAME_PATTERN,
            "must be letters, digits and . _ @ / + -, and begin and end with a letter or a digit",
        )
    ),
    text_schema(NAME_PATTERN, MAX_NAME_LENGTH),
]
DataKey = Annotated[
    Text,
    Field(max_length=MAX_DATA_KEY_LENGTH),
    AfterValidator(matching(DATA_KEY_PATTERN, "must be a key of a Secret, such as password")),
    text_schema(DATA_KEY_PATTERN, MAX_DATA_KEY_LENGTH),
]
EtcdKey = Annotated[Text, Field(max_length=MAX_KEY_LENGTH)]


class PasswordSecret(Model):
    """Where a password is."""

    name: ObjectName = Field(description="The name of a Secret in the cluster's namespace.")
    key: DataKey = Field(default="password", description="The key in the Secret.")


class Permission(Model):
    """What a role may do with which keys."""

    access: Literal["Read", "Write", "ReadWrite"] = Field(
        description="Read is get and watch, Write is put and delete, ReadWrite is both."
    )
    key: EtcdKey = Field(
        description="The key, the first key of a range, or with `prefix` how the keys begin."
    )
    prefix: Flag = Field(
        default=False,
        description='Whether all keys are meant that begin with `key`; with key "" all keys.',
    )
    range_end: EtcdKey = Field(
        default="",
        description="The end of a range that begins with `key`: the first key that is no longer in"
        " it. Not together with `prefix`.",
    )


class AuthRole(Model):
    """A role: a set of permissions under a name."""

    name: AuthName = Field(description="The role's name. root is built in and may do everything.")
    permissions: Annotated[tuple[Permission, ...], Field(max_length=MAX_PERMISSIONS)] = Field(
        default=(),
        description="What it may do. Those on the same keys are united; what somebody grants"
        " beside them is revoked.",
    )


class AuthUser(Model):
    """A user, who comes with a password or with a client certificate."""

    name: AuthName = Field(
        description="The user's name: the one to log in with, or the common name (CN) of a client"
        " certificate. etcd-client is who comes with the Secret <cluster>-client-tls and no"
        " password."
    )
    password_secret: PasswordSecret | None = Field(
        default=None,
        description="Where the password is; another one in the Secret is taken over. Unset, the"
        " user has no password and is known by a certificate alone.",
    )
    roles: Annotated[tuple[AuthName, ...], Field(max_length=MAX_ROLES)] = Field(
        default=(), description="The user's roles: names from `roles` beside `users`, or root."
    )


class Auth(Model):
    """Authentication: who calls etcd, and what they may do."""

    enabled: Flag = Field(
        default=False,
        description="Whether etcd asks who is calling. It needs TLS, and is"
        " switched on and off without touching a member. When it is switched off, the users and"
        " roles named here are deleted in etcd.",
    )
    root_credentials_secret: OptionalObjectName = Field(
        default=None,
        description="The name of a Secret of type kubernetes.io/basic-auth, with username root and"
        " the password that people log in with as root. Unset, nobody can: the operator itself"
        " comes with a certificate.",
    )
    users: Annotated[tuple[AuthUser, ...], Field(max_length=MAX_USERS)] = Field(
        default=(),
        description="The users; root is there anyway. Those that etcd has beside them are left as"
        " they are.",
        json_schema_extra=keyed_by("name"),
    )
    roles: Annotated[tuple[AuthRole, ...], Field(max_length=MAX_ROLES)] = Field(
        default=(),
        description="The roles; root is there anyway. Those that etcd has beside them are left as"
        " they are.",
        json_schema_extra=keyed_by("name"),
    )


class AuthUserStatus(Model):
    """A user in etcd that the operator looks after."""

    name: Text = Field(description="The user's name.")
    password_from: Text = Field(
        default="",
        description="Which state of which Secret its password was taken from, as uid and"
        " resourceVersion; certificate for a user without one, nobody where nobody knows it,"
        " changing before it is replaced by another one. Empty while nothing is known of it. Do"
        " not change.",
    )


class RefusedChange(Model):
    """A change of users, roles or authentication that etcd did not carry out."""

    message: Text = Field(description="etcd's words.")
    time: Time = Field(description="When it was tried last.")


class AuthStatus(Model):
    """Authentication as it is in etcd; there from before it is switched on until it is off and
    its users are gone.
    """

    enabled: Flag = Field(default=False, description="Whether etcd asks who is calling.")
    users: tuple[AuthUserStatus, ...] = Field(
        default=(),
        description="The users that are the operator's to change and to delete, recorded before"
        " they are made. Do not change.",
        json_schema_extra=keyed_by("name"),
    )
    roles: tuple[Text, ...] = Field(
        default=(),
        description="The roles that are the operator's to change and to delete, recorded before"
        " they are made. Do not change.",
    )
    refused: RefusedChange | None = Field(
        default=None, description="The change that etcd did not carry out."
    )
