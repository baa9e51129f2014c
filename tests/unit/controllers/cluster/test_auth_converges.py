"""Whatever is edited, drifts, crashes or is lost: users and roles come to what the spec says.

Passwords that somebody changes in etcd itself are left out: etcd does not tell.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib

from hypothesis import example, given, settings
from hypothesis import strategies as st

from controllers.cluster.auth.changes import grants_of
from etcd.auth import Access, Permission
from etcd.errors import EtcdError
from tests.unit.controllers.cluster.auth_model import ROOT, Crash
from tests.unit.controllers.cluster.auth_world import AuthWorld

USERS = ("app", "etcd-client", "report")
ROLES = ("reader", "writer")
BY_HAND = "admin"
names = st.sampled_from

permission = st.fixed_dictionaries(
    {"access": names(["Read", "Write", "ReadWrite"]), "key": names(["/a", "/b"])},
    optional={"prefix": st.booleans()},
)
role = st.fixed_dictionaries(
    {"name": names(ROLES), "permissions": st.lists(permission, max_size=3)}
)
user = st.fixed_dictionaries(
    {"name": names(USERS), "roles": st.lists(names([ROOT]), max_size=1)},
    optional={"passwordSecret": st.fixed_dictionaries({"name": names(["one", "two"])})},
)


@st.composite
def wanted_auth(draw):
    """A valid security.auth: users have roles that are there."""
    roles = draw(st.lists(role, max_size=2, unique_by=lambda one: one["name"]))
    users = draw(st.lists(user, max_size=3, unique_by=lambda one: one["name"]))
    known = [one["name"] for one in roles]
    if known:
        users = [
            {**one, "roles": [*one["roles"], *draw(st.lists(names(known), max_size=2))]}
            for one in users
        ]
    root = draw(st.sampled_from([None, "root-login"]))
    return {
        "enabled": draw(st.booleans()),
        "rootCredentialsSecret": root,
        "users": users,
        "roles": roles,
    }


EVERYTHING = Permission(access=Access.READWRITE, key=b"\0", range_end=b"\0")
drift = names(
    [
        lambda s: s.user_delete("app", timeout_s=1),
        lambda s: s.user_revoke_role("app", "reader", timeout_s=1),
        lambda s: s.user_grant_role("report", ROOT, timeout_s=1),
        lambda s: s.role_delete("reader", timeout_s=1),
        lambda s: s.role_grant("writer", EVERYTHING, timeout_s=1),
        lambda s: s.role_revoke("writer", key=b"/a", range_end=b"", timeout_s=1),
        lambda s: s.user_add(BY_HAND, "by hand", timeout_s=1),
        lambda s: s.disable(timeout_s=1),
    ]
)
edits = st.one_of(
    wanted_auth().map(lambda auth: ("spec", auth)),
    st.tuples(names(["one", "two", "root-login"]), names(["p1", "p2"])),
    drift.map(lambda change: ("drift", change)),
    st.integers(0, 12).map(lambda at: ("crash", at)),
    st.integers(0, 12).map(lambda at: ("lost", at)),
)
OFF = {"enabled": False}
ON = {
    "enabled": True,
    "users": [{"name": "app", "passwordSecret": {"name": "one"}, "roles": ["reader"]}],
    "roles": [{"name": "reader", "permissions": [{"access": "Read", "key": "/a"}]}],
}

CERTIFICATE = {**ON, "users": [{"name": "app", "roles": ["reader"]}]}
OTHER = {
    **ON,
    "users": [{"name": "app", "passwordSecret": {"name": "two"}, "roles": ["reader"]}],
}


async def live(world, what):
    """Edits one after the other; the operator goes on in between, until it crashes or etcd's answer
    to a change is lost.
    """
    for kind, value in what:
        if kind == "spec":
            world.want(**value)
        elif kind == "drift":
            armed = world.store.crash_at, world.store.lost_at
            world.store.crash_at = world.store.lost_at = None
            with contextlib.suppress(EtcdError):
                await value(world.store)
            world.store.crash_at, world.store.lost_at = armed
        elif kind == "crash":
            world.store.crash_at = len(world.store.calls) + value
        elif kind == "lost":
            world.store.lost_at = len(world.store.calls) + value
        else:
            world.secrets.put(kind, username=ROOT, password=value)
        world.wait(100)
        try:
            await world.settle()
        except Crash:
            world.restart()
            world.store.crash_at = None
    world.store.crash_at = world.store.lost_at = None


@settings(max_examples=60, deadline=None)
@given(what=st.lists(edits, max_size=6), last=wanted_auth())
@example(what=[("spec", ON), ("spec", OFF)], last=ON)
@example(what=[("spec", ON), ("crash", 2), ("spec", CERTIFICATE)], last=ON)
@example(what=[("spec", ON), ("crash", 0), ("spec", OTHER)], last=ON)
@example(what=[("spec", ON), ("crash", 1), ("spec", OFF)], last={**ON, "users": []})
@example(what=[("lost", 6), ("spec", ON)], last=ON)
@example(what=[("lost", 7), ("spec", ON)], last=ON)
@example(what=[("lost", 8), ("spec", {**ON, "users": [*ON["users"], {"name": "report"}]})], last=ON)
def test_store_comes_to_what_the_spec_says(what, last):
    async def story():
        world = AuthWorld()
        for name in ("one", "two", "root-login"):
            world.secrets.put(name, username=ROOT, password=name)
        await live(world, what)
        world.want(**last)
        world.wait(100)
        await world.settle()
        is_as_wished(world)

        world.restart()
        world.wait(100)
        before = len(world.store.calls)
        assert await world.settle() == []
        assert len(world.store.calls) == before

    asyncio.run(story())


def is_as_wished(world):
    store, auth = world.store, world.seen.applied.security.auth
    theirs = {ROOT, BY_HAND}
    if not auth.enabled:
        assert world.auth is None
        assert not store.enabled
        assert store.passwords.keys() <= theirs
        assert store.grants.keys() <= {ROOT}
        return
    assert store.enabled
    assert world.auth.refused is None
    assert store.user_roles_of[ROOT] == {ROOT}
    assert store.passwords.keys() <= theirs | {one.name for one in auth.users}
    assert store.grants.keys() == {ROOT, *(one.name for one in auth.roles)}
    for one in auth.users:
        secret = one.password_secret
        assert store.user_roles_of[one.name] == set(one.roles)
        assert store.passwords[one.name] == (password_in(world, secret.name) if secret else None)
    if auth.root_credentials_secret:
        assert store.passwords[ROOT] == password_in(world, auth.root_credentials_secret)
    for one in auth.roles:
        assert store.grants[one.name] == grants_of(auth, one.name)


def password_in(world, name):
    return base64.b64decode(world.secrets.secrets[name]["data"]["password"]).decode()
