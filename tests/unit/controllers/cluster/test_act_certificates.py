"""Secrets on an API server: made, read, renewed, and never shown."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from datetime import timedelta
from types import SimpleNamespace

import pytest
import structlog

from api.labels import ROTATE_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import AuthorityRotation
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION as LEAF_LIFE
from api.v1alpha1.tls_fields import SHORTEST_CERTIFICATE_DURATION
from controllers.cluster.act import perform
from controllers.cluster.ask_etcd import endpoint_of
from controllers.cluster.certificates.facts import AUTHORITIES, LEAVES, Role
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.happenings import happenings
from controllers.cluster.listeners import Listeners
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.certificate_steps import (
    DropRotationRequest,
    IssueCertificates,
    MakeNextAuthority,
    RecordAuthorities,
    ReplaceAuthority,
    WantedCertificate,
)
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.read_certificates import CertificateReader, read_certificates
from controllers.cluster.status import next_status
from controllers.resources import CLUSTERS, SECRETS
from controllers.writer import Writer
from etcd.dialer import DirectDialer
from etcd.pool import ChannelPool
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster.builders import NOW, pod, spec
from tests.unit.controllers.cluster.certificate_builders import (
    RECORDED,
    WHO,
    accepted,
    leaf,
    observed,
    secrets,
    without,
)
from tests.unit.controllers.cluster.test_act import NO_ETCD
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime
ALL = {secret_name("db", role) for role in Role}


def certificate_of(world, role):
    return base64.b64decode(world.stored(role)["data"]["tls.crt"])


class World:
    """The operator's eyes and hands, as far as Secrets go."""

    def __init__(self, api, server):
        self.server = server
        self.reader = CertificateReader(api)
        own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
        self.writer = Writer(api, own_writes, "prod/db", remaining_s=lambda: float("inf"))
        self.seen = accepted({}, authorities=None)
        self.told = []

    def wants(self, **fields):
        """An edit of spec.security.tls was accepted."""
        wanted = spec(security={"tls": {"enabled": True, **fields}})
        self.seen = dataclasses.replace(self.seen, applied=wanted, spec=wanted)

    def cert(self, role):
        return self.stored(role)["data"]["tls.crt"]

    async def look(self, now=NOW):
        who, authorities = tls_identity(self.seen), self.seen.status.authorities
        read = await self.reader.read(who, authorities, now=now)
        self.seen = dataclasses.replace(self.seen, certificates=read.certificates, now=now)
        return read

    async def step(self):
        planned = plan(self.seen)
        outcome = await perform(planned.step, self.seen, self.writer, NO_ETCD)
        status = next_status(self.seen, planned, outcome)
        self.told += [planned, outcome, status, *happenings(self.seen, planned, outcome, status)]
        self.seen = dataclasses.replace(self.seen, status=status)
        return outcome

    async def make_all(self, now=NOW):
        """Steps until no more is said of certificates."""
        for _ in range(5):
            await self.look(now)
            if not isinstance(plan(self.seen).step, IssueCertificates | RecordAuthorities):
                return
            assert await self.step() == Done()
        raise AssertionError(plan(self.seen))

    def stored(self, role):
        return self.server.objects("secrets").get(f"prod/{secret_name('db', role)}")

    def put(self, found):
        for secret in found.values():
            path = SECRETS.path("prod", secret["metadata"]["name"])
            self.server.put(path, {**secret, "metadata": {**secret["metadata"]}})


@pytest.fixture
async def world(api, server):
    return World(api, server)


async def test_new_cluster_gets_all_its_secrets(world):
    await world.make_all()

    assert {key.partition("/")[2] for key in world.server.objects("secrets")} == ALL
    read = await world.look()
    assert (read.tls.cert, read.borrowed) == (certificate_of(world, Role.OPERATOR), False)


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("written", range(2))
async def test_operator_that_ends_in_the_middle_is_followed_by_another(
    world, api, server, steps, written
):
    """`written`: how many Secrets of the step after those were written."""
    for _ in range(steps):
        await world.look()
        if isinstance(plan(world.seen).step, IssueCertificates | RecordAuthorities):
            await world.step()
    await world.look()
    cut = plan(world.seen).step
    if isinstance(cut, IssueCertificates):
        some = dataclasses.replace(cut, certificates=cut.certificates[:written])
        await perform(some, world.seen, world.writer, NO_ETCD)
    made = server.objects("secrets")
    other = World(api, server)
    other.seen = dataclasses.replace(other.seen, status=world.seen.status)
    await other.make_all()

    assert {key.partition("/")[2] for key in server.objects("secrets")} == ALL
    assert made.items() <= server.objects("secrets").items()


async def test_authority_that_came_up_meanwhile_stays(world):
    await world.look()
    theirs = secrets()[Role.CLIENT_CA]
    world.put({Role.CLIENT_CA: theirs})

    assert isinstance(await world.step(), Changed)
    assert world.stored(Role.CLIENT_CA)["data"] == theirs["data"]


@pytest.mark.parametrize("how", ["another", "spoilt", "missing"])
async def test_authority_that_was_changed_meanwhile_signs_nothing(world, how):
    world.put(without(secrets(), *LEAVES))
    world.seen = accepted({}, authorities=RECORDED)
    await world.look()
    path = SECRETS.path("prod", "db-ca")
    if how == "missing":
        world.server.remove(path)
    else:
        other = {**secrets()[Role.PEER_CA]["data"]} if how == "another" else {"tls.crt": "AAAA"}
        world.server.put(path, {**world.stored(Role.CLIENT_CA), "data": other})

    assert isinstance(await world.step(), Changed)
    assert world.stored(Role.SERVER) is None


async def test_renewal_keeps_the_secret_and_changes_what_is_in_it(world):
    await world.make_all()
    before = {role: world.stored(role) for role in Role}
    later = NOW + LEAF_LIFE * 0.7
    await world.make_all(later)

    for role in Role:
        after = world.stored(role)
        assert after["metadata"]["uid"] == before[role]["metadata"]["uid"]
        renewed = after["data"]["tls.key"] != before[role]["data"]["tls.key"]
        assert renewed is (role in LEAVES)
    assert not [call for call in world.server.calls if call.verb in {"list", "watch", "delete"}]


async def test_operator_dials_with_what_was_renewed(world):
    await world.make_all()
    old = (await world.look()).tls
    await world.make_all(NOW + LEAF_LIFE * 0.7)
    new = (await world.look(NOW + LEAF_LIFE * 0.7)).tls

    assert old != new
    assert old.ca == new.ca


async def test_secret_that_was_deleted_before_its_renewal_is_not_made_from_an_old_plan(world):
    await world.make_all()
    await world.look(NOW + LEAF_LIFE * 0.7)
    world.server.remove(SECRETS.path("prod", "db-server-tls"))

    assert isinstance(await world.step(), Changed)
    assert world.stored(Role.SERVER) is None


async def test_refusal_is_said_by_the_secrets_name(world):
    await world.look()
    world.server.script("create", answer_status(403, message="exceeded quota"))
    refused = await world.step()

    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.NOT_ALLOWED
    assert "db-ca" in refused.message
    assert "exceeded quota" in refused.message


async def test_secret_that_can_not_be_written_costs_no_other_its_renewal(world):
    await world.make_all()
    before = {role: world.cert(role) for role in LEAVES}
    await world.look(NOW + LEAF_LIFE * 0.7)
    world.server.script("patch", answer_status(403, message="exceeded quota"))
    refused = await world.step()

    assert isinstance(refused, Rejected)
    kept = [role for role in LEAVES if world.cert(role) == before[role]]
    assert [secret_name("db", role) in refused.message for role in kept] == [True]


async def test_nothing_secret_is_told(world):
    with structlog.testing.capture_logs() as logs:
        await world.make_all()
        await world.make_all(NOW + LEAF_LIFE * 0.7)
        read = await world.look(NOW + LEAF_LIFE * 0.7)
    shown = repr([world.told, logs, read, world.seen, world.reader])

    for role in Role:
        text = world.stored(role)["data"]["tls.key"]
        body = base64.b64decode(text).decode().splitlines()[1:-1]
        assert body
        assert not [line for line in [text, *body] if line in shown]


class TestMemory:
    async def test_well_secrets_are_read_every_five_minutes(self, world):
        await world.make_all()
        read = await world.look()
        before = len(world.server.seen("get"))
        await world.look(NOW + timedelta(minutes=4, seconds=59))

        assert len(world.server.seen("get")) == before
        assert (await world.look(NOW + timedelta(minutes=5))).tls == read.tls
        assert len(world.server.seen("get")) == before + len(Role)

    @pytest.mark.parametrize("life", [SHORTEST_CERTIFICATE_DURATION, timedelta(minutes=20)])
    async def test_short_lived_certificates_are_renewed_in_time_three_times(self, world, life):
        """Looked at every ten seconds: what is remembered does not hide that one is due."""
        world.wants(certificateDuration=f"{life.total_seconds():.0f}s")
        await world.make_all()
        now, served = NOW, [world.cert(Role.SERVER)]
        while now < NOW + life * 3:
            now += timedelta(seconds=10)
            await world.make_all(now)
            left = world.seen.certificates.facts[Role.SERVER].certificate.not_after - now
            assert left > life * 0.3
            if world.cert(Role.SERVER) != served[-1]:
                served.append(world.cert(Role.SERVER))
        assert len(served) >= 4

    async def test_other_names_are_in_the_certificate_at_once(self, world):
        await world.make_all()
        await world.look()
        world.wants(subjectAltNames=["etcd.example.org"])
        await world.make_all()

        assert "etcd.example.org" in world.seen.certificates.facts[Role.SERVER].certificate.names

    async def test_whoever_has_to_know_reads_anew(self, world):
        await world.make_all()
        await world.look()
        world.server.remove(SECRETS.path("prod", "db-server-tls"))
        read = await world.reader.read(WHO, world.seen.status.authorities, now=NOW, anew=True)

        assert Role.SERVER not in read.certificates.facts

    async def test_what_is_not_well_is_read_each_time(self, world):
        world.put(without(secrets(), Role.CLIENT))
        world.seen = accepted({}, authorities=RECORDED)
        await world.look()
        before = len(world.server.seen("get"))
        await world.look()

        assert len(world.server.seen("get")) == before + len(Role)

    @pytest.mark.parametrize("how", ["forgotten", "another uid"])
    async def test_memory_is_of_one_cluster(self, world, how):
        await world.make_all()
        await world.look()
        for role in Role:
            world.server.remove(SECRETS.path("prod", secret_name("db", role)))
        if how == "forgotten":
            world.reader.forget("prod/db")
        who = WHO if how == "forgotten" else dataclasses.replace(WHO, uid="another")

        read = await world.reader.read(who, RECORDED, now=NOW)
        assert (read.certificates.facts, read.tls) == ({}, None)

    async def test_no_right_to_read_is_a_value(self, world):
        world.server.on_every("get", answer_status(403, message="no secrets for you"))
        read = await world.look()

        assert "no secrets for you" in read.certificates.unread
        assert "grant it get" in read.certificates.unread
        assert plan(world.seen).step.reason is Reason.NOT_ALLOWED

    async def test_unreadable_secrets_give_no_credentials(self, world):
        unreadable = {role: spoilt(role) for role in (Role.CLIENT, Role.OPERATOR)}
        world.put({**secrets(), **unreadable})

        assert (await world.look()).tls is None

    async def test_clients_credentials_are_borrowed_before_there_are_own_ones(self, world):
        world.put({**secrets(), Role.OPERATOR: spoilt(Role.OPERATOR)})
        read = await world.look()

        assert (read.tls.cert, read.borrowed) == (certificate_of(world, Role.CLIENT), True)


def spoilt(role):
    made = leaf(role)
    return {**made, "data": {**made["data"], "tls.key": "AAAA"}}


def test_authorities_and_leaves_are_all_roles():
    assert set(AUTHORITIES) | set(LEAVES) == set(Role)
    assert observed().certificates.facts.keys() == set(Role)


class NotingDialer:
    """Dials nobody; notes with which credentials it was asked to."""

    dialled_with = None

    def dial(self, endpoint, tls):
        self.dialled_with = tls
        return SimpleNamespace(channel=None)


class TestDialling:
    """With which credentials etcd is dialled, as far as observing decides it."""

    async def look(self, world, pool, who, *, pods=()):
        status = world.seen.status
        return await read_certificates(world.reader, pool, who, status, pods, now=NOW)

    async def test_cluster_with_tls_is_dialled_with_a_secret_of_it(self, world):
        await world.make_all()
        pool = ChannelPool(DirectDialer())
        await self.look(world, pool, WHO)

        assert pool.trusts("prod/db")

    async def test_without_credentials_nothing_is_dialled_in_plain_text_instead(self, world):
        pool = ChannelPool(DirectDialer())
        await self.look(world, pool, WHO)

        assert not pool.trusts("prod/db")

    async def test_last_credentials_stay_while_the_secret_is_gone(self, world):
        await world.make_all()
        dialer = NotingDialer()
        pool = ChannelPool(dialer)
        await self.look(world, pool, WHO)
        own = certificate_of(world, Role.OPERATOR)
        world.server.remove(SECRETS.path("prod", "db-operator-tls"))
        found = await self.look(world, pool, WHO, pods=(pod(0, running=False),))

        assert Role.OPERATOR not in found.facts
        pool.client(endpoint_of(WHO, pod(0)))
        assert dialer.dialled_with.cert == own

    async def test_plain_cluster_of_the_same_name_is_dialled_in_plain_text(self, world):
        await world.make_all()
        pool = ChannelPool(DirectDialer())
        await self.look(world, pool, WHO)
        before = len(world.server.seen("get"))
        await self.look(world, pool, dataclasses.replace(WHO, listeners=Listeners(), uid="another"))

        assert not pool.trusts("prod/db")
        assert len(world.server.seen("get")) == before


class TestRotation:
    """What a rotation writes, as the server takes it."""

    def rotating(self, phase, made=""):
        rotation = AuthorityRotation(authority="client", phase=phase, since=NOW, next=made)
        return RECORDED.model_copy(update={"rotation": rotation})

    async def take(self, world, step, authorities):
        status = world.seen.status.model_copy(update={"authorities": authorities})
        seen = dataclasses.replace(world.seen, status=status)
        return await perform(step, seen, world.writer, NO_ETCD)

    def next_one(self, after=RECORDED.client):
        return MakeNextAuthority(
            role=Role.CLIENT_CA,
            secret="db-ca",
            after=after,
            not_before=NOW,
            not_after=NOW + LEAF_LIFE,
        )

    async def test_next_authority_is_made_once(self, world):
        world.put(secrets())
        before = world.stored(Role.CLIENT_CA)["data"]
        authorities = self.rotating("Preparing")

        assert await self.take(world, self.next_one(), authorities) == Done()
        made = world.stored(Role.CLIENT_CA)["data"]
        assert before.items() < made.items()
        assert await self.take(world, self.next_one(), authorities) == Done()
        assert world.stored(Role.CLIENT_CA)["data"] == made

    async def test_none_is_made_beside_another_authority_than_the_recorded_one(self, world):
        world.put(secrets())
        outcome = await self.take(world, self.next_one("f" * 64), self.rotating("Preparing"))

        assert isinstance(outcome, Changed)
        assert world.server.seen("patch") == []

    async def test_refusal_is_said_by_the_secrets_name(self, world):
        world.put(secrets())
        world.server.script("patch", answer_status(403, message="exceeded quota"))
        outcome = await self.take(world, self.next_one(), self.rotating("Preparing"))

        assert isinstance(outcome, Rejected)
        assert "db-ca" in outcome.message

    async def test_of_two_operators_one_makes_it(self, world):
        world.put(secrets())
        world.server.script("patch", answer_status(409, reason="Conflict"))

        assert isinstance(
            await self.take(world, self.next_one(), self.rotating("Preparing")), Changed
        )

    async def test_next_authority_takes_the_place_of_the_old_one_and_its_key_goes(self, world):
        world.put(secrets())
        await self.take(world, self.next_one(), self.rotating("Preparing"))
        await world.look()
        made = world.seen.certificates.facts[Role.CLIENT_CA].next.fingerprint
        old = world.stored(Role.CLIENT_CA)["data"]
        then = RECORDED.model_copy(update={"client": made})
        step = ReplaceAuthority(role=Role.CLIENT_CA, secret="db-ca", by=made, then=then)
        dropping = self.rotating("Dropping", made)

        assert await self.take(world, step, dropping) == Done()
        new = world.stored(Role.CLIENT_CA)["data"]
        assert new["tls.key"] == old["next-tls.key"]
        assert new.keys() == {"tls.crt", "tls.key", "ca.crt"}
        assert await self.take(world, step, dropping) == Done()
        assert world.stored(Role.CLIENT_CA)["data"] == new

    async def test_nothing_takes_its_place_that_is_not_there(self, world):
        world.put(secrets())
        before = world.stored(Role.CLIENT_CA)["data"]
        then = RECORDED.model_copy(update={"client": "f" * 64})
        step = ReplaceAuthority(role=Role.CLIENT_CA, secret="db-ca", by="f" * 64, then=then)
        outcome = await self.take(world, step, self.rotating("Dropping", "f" * 64))

        assert isinstance(outcome, Changed)
        assert world.stored(Role.CLIENT_CA)["data"] == before

    async def test_leaf_that_was_changed_meanwhile_is_not_written_over(self, world):
        world.put(secrets())
        await self.take(world, self.next_one(), self.rotating("Preparing"))
        await world.look()
        made = world.seen.certificates.facts[Role.CLIENT_CA].next.fingerprint
        step = IssueCertificates(
            certificates=(
                WantedCertificate(
                    role=Role.SERVER,
                    secret="db-server-tls",
                    uid="another",
                    not_before=NOW,
                    not_after=NOW + LEAF_LIFE,
                    why="whom it trusts changes",
                    keeps=True,
                ),
            )
        )

        assert isinstance(await self.take(world, step, self.rotating("Trusting", made)), Changed)

    async def test_annotation_goes_only_as_it_was_seen(self, world):
        world.server.put(
            CLUSTERS.path("prod", "db"),
            {
                "metadata": {
                    "name": "db",
                    "namespace": "prod",
                    "uid": world.seen.uid,
                    "annotations": {ROTATE_ANNOTATION: "all", "other": "stays"},
                }
            },
        )
        step = DropRotationRequest(asked="all")

        assert isinstance(await self.take(world, step, RECORDED), Changed)
        stored = world.server.objects("etcdclusters")["prod/db"]
        version = stored["metadata"]["resourceVersion"]
        world.seen = dataclasses.replace(world.seen, resource_version=version)
        assert await self.take(world, step, RECORDED) == Done()
        after = world.server.objects("etcdclusters")["prod/db"]["metadata"]
        assert after["annotations"] == {"other": "stays"}
