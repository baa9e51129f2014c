"""Users, roles and authentication as the operator brings them to real members, with TLS: who may do
what then, and that the operator can go on with everything.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import subprocess
import urllib.request
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api.labels import TLS_MOUNT_PATH
from controllers.cluster.certificates.due import AUTHORITY_LIFE
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.issue import new_leaf
from controllers.cluster.certificates.subjects import Subject
from controllers.cluster.plan.auth_steps import SwitchAuth
from controllers.cluster.render.tls import etcdctl_environment
from etcd.errors import AuthObjectMissingError, CredentialsRejectedError, PermissionDeniedError
from etcd.kv_types import Put, Range
from etcd.tls import ClientTLS
from tests.integration.etcd.processes import programs, wait_for
from tests.integration.etcd.tls_members import TLSCluster, speak
from tests.unit.controllers.cluster.auth_world import AuthWorld
from tests.unit.controllers.cluster.builders import NOW
from tests.unit.controllers.cluster.certificate_builders import authority, key

pytestmark = pytest.mark.timeout(90)

# Before 3.5.29 and 3.6.10 who is nobody may list members, and before 3.5.32 and 3.6.12 ask a member
# for its status (CHANGELOG-3.5.md, CHANGELOG-3.6.md).
VERSIONS = ("3.5.21", "3.7.3")
ON = {
    "enabled": True,
    "rootCredentialsSecret": "root-login",
    "users": [
        {"name": "app", "passwordSecret": {"name": "app"}, "roles": ["app"]},
        {"name": "etcd-client", "roles": ["reader"]},
    ],
    "roles": [
        {
            "name": "app",
            "permissions": [{"access": "ReadWrite", "key": "/app/", "prefix": True}],
        },
        {"name": "reader", "permissions": [{"access": "Read", "key": "/app/", "prefix": True}]},
    ],
}


@pytest.fixture(scope="module", params=VERSIONS)
def cluster(request, tmp_path_factory):
    """Three members of each version, started once; each test leaves them well."""
    made = TLSCluster(tmp_path_factory.mktemp(f"auth-{request.param}"), request.param)
    try:
        made.start()
        yield made
    finally:
        made.kill()


async def put(client, key, value):
    await client.kv.put(Put(key=key, value=value), timeout_s=5)


async def get(client, key):
    return [one.value for one in (await client.kv.range(Range(key=key), timeout_s=5)).kvs]


class People:
    """Clients of one cluster, by who they are."""

    def __init__(self, cluster, pool):
        self.cluster = cluster
        self.pool = pool

    def by(self, folder, member=0):
        """Who has the certificate in that mounted Secret; "operator" or "client"."""
        mounted = self.cluster.mounts / folder
        return self._client(
            folder,
            member,
            ClientTLS(
                ca=(mounted / "ca.crt").read_bytes(),
                cert=(mounted / "tls.crt").read_bytes(),
                key=(mounted / "tls.key").read_bytes(),
            ),
        )

    def named(self, common_name, member=0):
        """Who has a certificate of the clients' authority with that CN."""
        made = new_leaf(
            authority(Role.CLIENT_CA),
            Subject(common_name=common_name, calls=True),
            key(Role.CLIENT),
            x509.random_serial_number(),
            (NOW, NOW + AUTHORITY_LIFE),
        )
        mounted = self.cluster.mounts / "client"
        tls = ClientTLS(
            ca=(mounted / "ca.crt").read_bytes(),
            cert=made.public_bytes(Encoding.PEM),
            key=(mounted / "tls.key").read_bytes(),
        )
        return self._client(common_name, member, tls)

    async def logged_in(self, name, password, member=0):
        """A client with the token for that password."""
        client = self.by("client", member)
        return client.with_token(await client.auth.authenticate(name, password, timeout_s=5))

    def _client(self, who, member, tls):
        endpoint = self.cluster.members[member].endpoint()
        mine = f"prod/{who}"
        self.pool.trust(mine, tls)
        uid = f"{endpoint.pod_uid}-{who}"
        return self.pool.client(dataclasses.replace(endpoint, cluster=mine, pod_uid=uid))


@pytest.fixture
async def people(cluster, pool):
    made = People(cluster, pool)
    for member in range(3):
        operator = made.by("operator", member)
        assert await wait_for(lambda c=operator: c.cluster.member_list(timeout_s=2))
    return made


@pytest.fixture
async def world(people):
    """The operator, that has switched authentication on; off again after the test."""

    class Members:
        def client(self, _endpoint):
            return people.by("operator")

    made = AuthWorld(Members())
    made.secrets.put("root-login", username="root", password="of-root")
    made.secrets.put("app", password="first")
    made.want(**ON)
    steps = await made.settle()
    assert steps[-2] == SwitchAuth(on=True)
    assert made.seen.auth.store.enabled
    yield made
    made.want(enabled=False)
    await made.settle()


async def test_users_may_do_what_their_roles_say_and_nothing_else(people, world):
    app = await people.logged_in("app", "first")
    await put(app, b"/app/one", b"1")
    for refused in (
        put(app, b"/other", b"1"),
        get(app, b"/other"),
        app.auth.user_add("mallory", "x", timeout_s=5),
        app.cluster.member_add(peer_urls=["https://127.0.0.1:1"], is_learner=True, timeout_s=5),
        app.maintenance.defragment(timeout_s=5),
    ):
        with pytest.raises(PermissionDeniedError):
            await refused

    by_certificate = people.by("client")
    assert await get(by_certificate, b"/app/one") == [b"1"]
    with pytest.raises(PermissionDeniedError):
        await put(by_certificate, b"/app/one", b"2")

    root = await people.logged_in("root", "of-root")
    await put(root, b"/other", b"1")
    for name, password in (("app", "second"), ("etcd-client", ""), ("nobody", "x")):
        with pytest.raises(CredentialsRejectedError):
            await people.logged_in(name, password)


async def test_certificate_of_nobody_is_let_in_and_may_do_nothing(people, world):
    nobody = people.named("stranger")
    for refused in (
        lambda: get(nobody, b"/app/one"),
        lambda: put(nobody, b"/app/one", b"1"),
        lambda: nobody.maintenance.hash_kv(timeout_s=5),
        lambda: nobody.auth.users(timeout_s=5),
    ):
        with pytest.raises((PermissionDeniedError, AuthObjectMissingError)):
            await refused()
    assert (await people.named("root").auth.status(timeout_s=5)).enabled


async def operate(people):
    """Everything that the operator asks of members."""
    leader = 0
    for member in range(3):
        operator = people.by("operator", member)
        status = await operator.maintenance.status(timeout_s=5)
        leader = member if status.is_leader else leader
        assert len((await operator.cluster.member_list(timeout_s=5)).members) == 3
        assert await operator.maintenance.alarms(timeout_s=5) == ()
        await operator.maintenance.hash_kv(timeout_s=5)
        await operator.maintenance.defragment(timeout_s=20)
        chunks = [chunk async for chunk in operator.maintenance.snapshot()]
        assert chunks
    other = (await people.by("operator", (leader + 1) % 3).maintenance.status()).member_id
    await people.by("operator", leader).maintenance.move_leader(other, timeout_s=8)


async def test_operator_goes_on_with_everything(people, world, cluster):
    await operate(people)
    for member in cluster.members:
        for path in ("readyz", "livez", "health"):
            url = f"http://127.0.0.1:{member.metrics_port}/{path}"
            with await asyncio.to_thread(urllib.request.urlopen, url, timeout=5) as answer:
                assert answer.status == 200
    restarted = cluster.members[1]
    restarted.process.terminate()
    await asyncio.to_thread(restarted.process.wait, 15)
    cluster.start_member(restarted)
    operator = people.by("operator", 1)
    assert await wait_for(lambda: operator.cluster.member_list(timeout_s=2))
    await operate(people)


async def test_member_is_replaced(people, world, cluster):
    lost = cluster.members[2]
    ids = {
        n: (await people.by("operator", n).maintenance.status(timeout_s=5)).member_id
        for n in range(3)
    }
    lost.kill()
    await asyncio.to_thread(shutil.rmtree, lost.folder / "data")
    operator = people.by("operator")
    assert await wait_for(lambda: operator.cluster.member_remove(ids[2], timeout_s=5))
    added = await wait_for(
        lambda: operator.cluster.member_add(peer_urls=[lost.peer_url], is_learner=True, timeout_s=5)
    )
    cluster.start_member(lost, state="existing")
    statuses = [await people.by("operator", n).maintenance.status(timeout_s=5) for n in (0, 1)]
    leader = people.by("operator", 0 if statuses[0].is_leader else 1)
    learner = added.member.id
    assert await wait_for(lambda: leader.cluster.member_promote(learner, timeout_s=5))
    new = people.by("operator", 2)
    status = await wait_for(lambda: new.maintenance.status(timeout_s=2))
    assert status.member_id == learner
    assert await wait_for(lambda: new.cluster.member_list(timeout_s=2))
    app = await people.logged_in("app", "first", 2)
    await put(app, b"/app/on-the-new-one", b"1")


async def test_changed_password_is_taken_over(people, world):
    world.secrets.put("app", password="second")
    world.wait(100)
    _, step = await world.settle()

    assert str(step) == "Change users and roles: set the password of app"
    await people.logged_in("app", "second")
    with pytest.raises(CredentialsRejectedError):
        await people.logged_in("app", "first")


async def test_drift_is_put_right(people, world):
    root = await people.logged_in("root", "of-root")
    await root.auth.user_grant_role("app", "root", timeout_s=5)
    await root.auth.role_revoke("reader", key=b"/app/", range_end=b"/app0", timeout_s=5)
    await root.auth.user_add("by-hand", "x", timeout_s=5)
    await world.settle()

    store = world.seen.auth.store
    assert store.users["app"] == {"app"}
    assert set(store.roles["reader"]) == {(b"/app/", b"/app0")}
    assert "by-hand" in store.users


async def test_user_becomes_one_of_another_kind(people, world):
    """Etcd gives no password to who was made without one: the user is made anew."""
    app, client = ON["users"]
    swapped = [{**app, "passwordSecret": None}, {**client, "passwordSecret": {"name": "app"}}]
    world.want(**{**ON, "users": swapped, "rootCredentialsSecret": None})
    await world.settle()

    await put(people.named("app"), b"/app/one", b"1")
    await people.logged_in("etcd-client", "first")
    for name, password in (("app", "first"), ("root", "of-root")):
        with pytest.raises(CredentialsRejectedError):
            await people.logged_in(name, password)


async def test_switched_off_everybody_may_do_everything_again(people, world):
    world.want(enabled=False)
    steps = await world.settle()

    assert steps[0] == SwitchAuth(on=False)
    assert world.auth is None
    await put(people.by("client"), b"/other", b"1")
    assert not {"app", "etcd-client"} & {*await people.by("client").auth.users(timeout_s=5)}
    world.want(**ON)
    await world.settle()
    with pytest.raises(PermissionDeniedError):
        await put(people.by("client"), b"/other", b"1")


async def test_json_gateway_knows_nobody_by_certificate(people, world, cluster):
    member = cluster.members[0]
    answer = await asyncio.to_thread(
        speak,
        member,
        member.client_port,
        cluster.context("operator"),
        "/v3/kv/range",
        method="POST",
        body='{"key": "YQ=="}',
    )

    assert answer.status == 400
    assert "CommonName of client" in answer.body


async def test_etcdctl_in_the_pod_is_who_the_client_secret_is(world, cluster):
    variables = {
        one["name"]: one["value"].replace(TLS_MOUNT_PATH, str(cluster.mounts))
        for one in etcdctl_environment()
    }

    async def etcdctl(*arguments):
        run = await asyncio.to_thread(
            subprocess.run,
            [
                programs(cluster.version) / "etcdctl",
                "--endpoints",
                f"127.0.0.1:{cluster.members[0].client_port}",
                *arguments,
            ],
            env={"PATH": os.environ["PATH"], **variables},
            capture_output=True,
            text=True,
            timeout=20,
        )
        return run.returncode == 0, run.stdout + run.stderr

    assert (await etcdctl("member", "list"))[0]
    assert (await etcdctl("endpoint", "status"))[0]
    assert (await etcdctl("get", "/app/one"))[0]
    done, words = await etcdctl("put", "/app/one", "1")
    assert not done
    assert "permission denied" in words
    assert (await etcdctl("--user", "root:of-root", "put", "/app/one", "1"))[0]


async def test_rolling_upgrade_with_authentication_on(tmp_path, pool):
    cluster = TLSCluster(tmp_path, "3.5.35")
    try:
        cluster.start()
        people = People(cluster, pool)
        assert await wait_for(lambda: people.by("operator").cluster.member_list(timeout_s=2))
        world = AuthWorld(SimpleNamespace(client=lambda _: people.by("operator")))
        world.secrets.put("root-login", username="root", password="of-root")
        world.secrets.put("app", password="first")
        world.want(**ON)
        await world.settle()
        for number, member in enumerate(cluster.members):
            await asyncio.to_thread(cluster.upgrade, member, "3.6.16")
            operator = people.by("operator", number)
            assert await wait_for(lambda c=operator: c.cluster.member_list(timeout_s=2))
            world.restart()
            assert await world.settle() == []
            app = await wait_for(lambda n=number: people.logged_in("app", "first", n))
            await put(app, b"/app/one", b"1")
        await operate(people)
    finally:
        cluster.kill()
