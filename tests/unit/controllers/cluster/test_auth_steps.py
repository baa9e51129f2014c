"""Authentication step by step: what comes first, what is said, and what is left alone."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from api.conditions import find_condition
from api.reasons import Reason
from controllers.cluster.ask_etcd import ask_etcd
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.parse import read_facts
from controllers.cluster.observed import Certificates, Etcd
from controllers.cluster.plan import plan
from controllers.cluster.plan.auth_steps import AuthStep, ChangeAuth, RecordAuth, SwitchAuth
from controllers.cluster.plan.steps import Wait
from controllers.cluster.status import next_status
from etcd.errors import (
    AuthObjectMissingError,
    BadRequestError,
    CredentialsMissingError,
    PermissionDeniedError,
    RequestTimedOutError,
)
from informers.errors import ForbiddenError
from tests.unit.controllers.cluster.auth_world import AuthWorld
from tests.unit.controllers.cluster.builders import status_of
from tests.unit.controllers.cluster.certificate_builders import WHO, observed, secrets, without

READER = {"name": "reader", "permissions": [{"access": "Read", "key": "/a/", "prefix": True}]}
APP = {"name": "app", "passwordSecret": {"name": "db-app"}, "roles": ["reader"]}
BY_CERTIFICATE = {"name": "etcd-client", "roles": ["reader"]}
ON = {"enabled": True, "users": [APP, BY_CERTIFICATE], "roles": [READER]}
PASSWORD = "correct-horse"


@pytest.fixture
def world():
    made = AuthWorld()
    made.secrets.put("db-app", password=PASSWORD)
    made.want(**ON)
    return made


@pytest.fixture
async def on(world):
    """The same with authentication on."""
    await world.settle()
    return world


def shown(world, kind="AuthReady"):
    status = next_status(world.seen, plan(world.seen), None)
    condition = find_condition(status.conditions, kind)
    return condition.status, condition.reason


class TestOrder:
    async def test_record_then_users_then_the_switch(self, world):
        steps = await world.settle()

        assert [type(step) for step in steps] == [RecordAuth, ChangeAuth, SwitchAuth, RecordAuth]
        assert [str(change) for change in steps[1].changes] == [
            "add role root",
            "add role reader",
            "permit role reader READ",
            "add user root",
            "give root role root",
            "add user app",
            "give app role reader",
            "add user etcd-client",
            "give etcd-client role reader",
        ]
        assert [user.name for user in world.auth.users] == ["app", "etcd-client", "root"]
        assert world.auth.enabled
        assert plan(world.seen).step.settled
        assert shown(world) == ("True", "AuthEnforced")

    async def test_off_comes_before_users_are_deleted(self, on):
        on.want(enabled=False, users=[APP])
        steps = await on.settle()

        assert isinstance(steps[0], SwitchAuth)
        assert set(on.store.passwords) == {"root"}
        assert on.auth is None
        assert shown(on) == ("False", "AuthDisabled")

    async def test_many_changes_are_made_some_at_a_time(self, world):
        world.want(
            enabled=True, users=[{"name": f"user-{n}", "roles": ["root"]} for n in range(60)]
        )
        steps = await world.settle()

        assert max(len(s.changes) for s in steps if isinstance(s, ChangeAuth)) <= 20
        assert len(world.store.passwords) == 61

    async def test_paused_cluster_is_left_alone(self, world):
        paused = world.seen.spec.model_copy(update={"paused": True})
        world.seen = dataclasses.replace(world.seen, spec=paused)

        assert await world.settle() == []
        assert world.store.calls == []


class TestTrouble:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({}, "it has no password"),
            ({"password": "a\n"}, "line break"),
            (None, "it is missing"),
        ],
    )
    async def test_nothing_is_switched_on_before_every_password_is_there(
        self, world, values, words
    ):
        world.secrets.remove("db-app")
        if values is not None:
            world.secrets.put("db-app", **values)
        await world.settle()
        wait = plan(world.seen).step

        assert not world.store.enabled
        assert "etcd-client" in world.store.passwords
        assert "app" not in world.store.passwords
        assert (wait.reason, shown(world)) == (
            Reason.CREDENTIALS_MISSING,
            ("False", "CredentialsMissing"),
        )
        assert words in wait.message
        assert "Secret db-app for app" in wait.message
        assert PASSWORD not in wait.message
        assert shown(world, "Stalled") == ("True", "CredentialsMissing")

        world.secrets.put("db-app", password=PASSWORD)
        await world.settle()
        assert world.store.enabled

    async def test_roots_secret_has_to_be_roots(self, world):
        world.secrets.put("db-root", username="admin", password=PASSWORD)
        world.want(**ON, rootCredentialsSecret="db-root")
        await world.settle()

        assert "its username is not root" in plan(world.seen).step.message
        assert not world.store.enabled

    async def test_secret_that_may_not_be_read_is_told(self, world):
        async def forbidden(*_, **__):
            raise ForbiddenError(status=403, message="no")

        world.secrets.get = forbidden
        await world.settle()

        assert "may not read it (no)" in plan(world.seen).step.message

    async def test_password_that_goes_away_costs_nobody_access(self, on):
        on.secrets.remove("db-app")
        on.wait(100)
        assert await on.settle() == []

        assert on.store.passwords["app"] == PASSWORD
        assert shown(on) == ("False", "CredentialsMissing")

    async def test_operator_without_a_certificate_of_its_own_switches_nothing_on(self, world):
        lacking = Certificates(
            facts=read_facts(without(secrets(), Role.OPERATOR)), unread="not allowed"
        )
        world.seen = dataclasses.replace(world.seen, certificates=lacking)
        await world.settle()

        assert not world.store.enabled
        assert "db-operator-tls" in plan(world.seen).step.message

    async def test_what_etcd_refuses_is_told_and_keeps_nothing_else_from_being_done(self, world):
        world.store.refusal = BadRequestError("etcdserver: too cold")
        steps = await world.settle()

        assert [type(step) for step in steps] == [RecordAuth, ChangeAuth]
        assert world.auth.refused.message == "add role root: etcdserver: too cold"
        assert plan(world.seen).step.reason is Reason.AUTH_REFUSED
        world.store.refusal = None
        assert await world.settle() == []
        world.wait(20)
        await world.settle()
        assert world.store.enabled
        assert world.auth.refused is None

    async def test_switch_that_etcd_refuses_is_told_too(self, on):
        on.store.refusal = RequestTimedOutError("etcdserver: request timed out")
        on.want(enabled=False)
        await on.settle()

        assert on.auth.refused.message.startswith("Switch authentication off: etcd answers")
        assert on.auth.enabled

    async def test_while_nobody_leads_nothing_is_known(self, on):
        await on.look(leader=False)

        assert not isinstance(plan(on.seen).step, AuthStep)
        assert shown(on) == ("Unknown", "Unknown")

    def test_operator_that_is_shut_out_says_so(self):
        answer = Etcd(
            error="db-0: etcdserver: permission denied",
            statuses={"db-0": status_of(0)},
            errors={"db-0": "etcdserver: permission denied"},
            denied=True,
        )
        made = dataclasses.replace(observed(), etcd=answer)
        step = plan(made).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.ACCESS_DENIED
        assert "permission denied" in step.message
        status = next_status(made, plan(made), None)
        assert find_condition(status.conditions, "QuorumAvailable").status == "Unknown"


class Refusing:
    """A pool whose members answer, but to `rpc` only that the caller may not ask."""

    def __init__(self, rpc, error):
        self.rpc, self.error = rpc, error
        self.maintenance = SimpleNamespace(status=self.status)
        self.cluster = SimpleNamespace(member_list=self.member_list)

    def client(self, _endpoint):
        return self

    def obstacle(self, _endpoint):
        return ""

    async def retain(self, _cluster, _endpoints): ...

    async def status(self, *, timeout_s):
        if self.rpc == "Status":
            raise self.error
        return status_of(0)

    async def member_list(self, *, linearizable, timeout_s):
        raise self.error


@pytest.mark.parametrize("rpc", ["Status", "MemberList"])
@pytest.mark.parametrize(
    ("error", "denied"),
    [
        (CredentialsMissingError("etcdserver: user name is empty"), True),
        (PermissionDeniedError("etcdserver: permission denied"), True),
        (AuthObjectMissingError("etcdserver: user name not found"), True),
        (RequestTimedOutError("etcdserver: request timed out"), False),
    ],
)
async def test_denial_is_told_from_silence(rpc, error, denied):
    answer = await ask_etcd(Refusing(rpc, error), WHO, observed().pods[:1], cluster_id="")

    assert answer.members is None
    assert answer.denied is denied
    assert answer.errors == {"db-0": error.message}


class TestWhoseTheyAre:
    async def test_user_made_by_hand_is_made_anew_once_the_spec_names_it(self, world):
        await world.store.user_add("app", "", timeout_s=1)
        await world.settle()

        assert world.store.passwords["app"] == PASSWORD

    async def test_users_and_roles_made_by_hand_stay(self, on):
        await on.store.user_add("admin", "x", timeout_s=1)
        await on.store.role_add("extra", timeout_s=1)
        await on.store.user_grant_role("admin", "extra", timeout_s=1)
        assert await on.settle() == []
        on.want(enabled=False)
        await on.settle()

        assert on.store.user_roles_of["admin"] == {"extra"}

    async def test_user_that_leaves_the_spec_is_deleted(self, on):
        on.want(**{**ON, "users": [BY_CERTIFICATE]})
        await on.settle()

        assert set(on.store.passwords) == {"root", "etcd-client"}
        assert [user.name for user in on.auth.users] == ["etcd-client", "root"]

    async def test_operator_that_never_was_asked_asks_nobody(self):
        world = AuthWorld()
        world.store.status = None
        await world.look()

        assert plan(world.seen).step.settled


class TestPasswords:
    async def test_changed_secret_is_seen_within_a_minute(self, on):
        on.secrets.put("db-app", password="another")
        assert await on.settle() == []
        on.wait(61)
        intent, step = await on.settle()

        assert {user.name: user.password_from for user in intent.auth.users}["app"] == "changing"
        assert [str(change) for change in step.changes] == ["set the password of app"]
        assert on.store.passwords["app"] == "another"

    async def test_secret_that_changed_since_it_was_seen_is_looked_at_again(self, world):
        await world.look()
        await world.step()
        await world.look()
        world.secrets.put("db-app", password="another")
        await world.step()
        assert "app" not in world.store.passwords

        await world.settle()
        assert world.store.passwords["app"] == "another"

    async def test_secrets_are_read_once_a_minute_and_the_store_once_a_change(self, on):
        await on.look()
        on.store.users = None  # a look at them would fail
        reads = len(on.secrets.reads)
        await on.settle()
        assert len(on.secrets.reads) == reads

        on.wait(61)
        await on.settle()
        assert len(on.secrets.reads) == reads + 1

    async def test_root_without_a_secret_has_a_password_that_nobody_knows(self, world):
        await world.settle()
        other = AuthWorld()
        other.secrets.put("db-app", password=PASSWORD)
        other.want(**ON)
        await other.settle()

        assert len(world.store.passwords["root"]) > 30
        assert world.store.passwords["root"] != other.store.passwords["root"]

    async def test_no_password_is_told_or_recorded(self, world):
        world.secrets.put("db-root", username="root", password=PASSWORD)
        world.want(**ON, rootCredentialsSecret="db-root")
        steps = await world.settle()

        everything = repr((steps, world.told, world.seen, world.seen.status.to_json()))
        assert world.store.passwords["root"] == PASSWORD
        assert PASSWORD not in everything


async def test_changes_and_switches_are_events(world):
    await world.settle()
    world.want(enabled=False)
    await world.settle()

    told = [one.reason for one in world.told if one.reason.startswith("Auth")]
    assert told == ["AuthChanged", "AuthSwitchedOn", "AuthSwitchedOff", "AuthChanged"]
