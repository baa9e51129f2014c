"""What security.auth may say, and in which words it is refused."""

import pytest

from api.errors import FieldError
from api.validation import validate_cluster

AUTH = "spec.security.auth"
ROLE = {"name": "app", "permissions": [{"access": "Read", "key": "/app/", "prefix": True}]}
USER = {"name": "app", "passwordSecret": {"name": "db-app"}, "roles": ["app"]}


def errors(auth, *, tls=True):
    security = {"tls": {"enabled": tls}, "auth": auth}
    return validate_cluster({"metadata": {"name": "db"}, "spec": {"security": security}})


def permission(**fields):
    return {"roles": [{"name": "app", "permissions": [{"access": "Read", "key": "a", **fields}]}]}


@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"enabled": True},
        {"enabled": True, "rootCredentialsSecret": "db-root", "users": [USER], "roles": [ROLE]},
        {"users": [{"name": "kube-apiserver-etcd-client", "roles": ["root"]}]},
        {"users": [{**USER, "passwordSecret": {"name": "x", "key": "app.password"}, "roles": []}]},
        permission(),
        permission(key="", prefix=True),
        permission(rangeEnd="b"),
        permission(key="ä", rangeEnd="ö", access="ReadWrite"),
    ],
)
def test_it_may_say_so(auth):
    assert errors(auth) == ()


@pytest.mark.parametrize(
    ("auth", "field", "words"),
    [
        ({"users": [{**USER, "name": "root", "roles": []}]}, "users[0].name", "root"),
        ({"users": [USER, USER], "roles": [ROLE]}, "users[1].name", "second time"),
        ({"users": [USER]}, "users[0].roles[0]", "not among spec.security.auth.roles"),
        ({"users": [{"name": "a:b"}]}, "users[0].name", "letters, digits"),
        ({"users": [{"name": "a" * 65}]}, "users[0].name", "at most 64"),
        (
            {"users": [{"name": "a", "passwordSecret": {"name": "x", "key": "a/b"}}]},
            "users[0].passwordSecret.key",
            "key of a Secret",
        ),
        ({"users": [{"name": "a", "passwordSecret": {}}]}, "users[0].passwordSecret.name", "req"),
        ({"roles": [{"name": "root"}]}, "roles[0].name", "root"),
        ({"roles": [ROLE, ROLE]}, "roles[1].name", "second time"),
        (permission(access="read"), "roles[0].permissions[0].access", "'Read'"),
        (permission(key=""), "roles[0].permissions[0].key", "set prefix to true"),
        (permission(rangeEnd="a"), "roles[0].permissions[0].rangeEnd", "must come after key"),
        (permission(rangeEnd="b", prefix=True), "roles[0].permissions[0].rangeEnd", "prefix"),
        (
            {"roles": [{"name": "a", "permissions": [{"access": "Read"}]}]},
            "roles[0].permissions[0].key",
            "is required",
        ),
    ],
)
def test_it_is_refused_by_field(auth, field, words):
    (error,) = errors(auth)

    assert error.field == f"{AUTH}.{field}"
    assert words in str(error)


def test_authentication_is_refused_on_a_cluster_that_was_made_without_tls():
    made = {"token": "t", "epoch": 1, "size": 1, "scheme": "http"}
    cluster = {
        "metadata": {"name": "db"},
        "spec": {"security": {"auth": {"enabled": True}}},
        "status": {"bootstrap": made},
    }

    assert [error.field for error in validate_cluster(cluster)] == [f"{AUTH}.enabled"]
    made["scheme"] = "https"
    assert validate_cluster(cluster) == ()


def test_authentication_needs_tls():
    assert errors({"enabled": True}, tls=False) == (
        FieldError(
            f"{AUTH}.enabled",
            "needs TLS with clients, because the operator is known to etcd by its certificate",
            "Set spec.security.tls.enabled to true, or this to false.",
        ),
    )
