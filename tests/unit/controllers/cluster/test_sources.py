"""Certificates of the user's on an API server: awaited, copied, renewed, and refused."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from datetime import timedelta

import pytest
import structlog

from api.conditions import find_condition
from api.reasons import Reason
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION as LEAF_LIFE
from controllers.cluster.act import perform
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.happenings import happenings
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.certificate_steps import (
    CopyCertificates,
    IssueCertificates,
    OrderCertificates,
    RecordAuthorities,
    RecordRotation,
)
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.steps import ApplyObjects, RecordSpec, Wait
from controllers.cluster.read_certificates import CertificateReader
from controllers.cluster.status import next_status
from controllers.resources import CERTIFICATES, SECRETS
from controllers.writer import Writer
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster import builders
from tests.unit.controllers.cluster.builders import NOW, spec
from tests.unit.controllers.cluster.certificate_builders import observed, with_tls
from tests.unit.controllers.cluster.test_act import NO_ETCD
from tests.unit.controllers.cluster.user_certificates import (
    BOTH,
    GIVEN,
    SERVER_NAMES,
    given,
    made,
    pair,
    peer,
    root,
    server,
)
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime
LEAVES = (Role.SERVER, Role.CLIENT, Role.PEER)
PAIRS = {Role.SERVER: "web", Role.CLIENT: "web", Role.PEER: "peers"}
RENEWED = {"since": NOW, "life": timedelta(days=91)}


def server_pem(world):
    return base64.b64decode(world.server.objects("secrets")["prod/web"]["data"]["tls.crt"])


def tls(**fields):
    return {"security": {"tls": {"enabled": True, **fields}}}


class World:
    """A cluster with TLS, as one operator sees it; time passes with `look`."""

    def __init__(self, api, server):
        self.server = server
        self.reader = CertificateReader(api)
        own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
        self.writer = Writer(api, own_writes, "prod/db", remaining_s=lambda: float("inf"))
        self.seen = None
        self.told = []

    def begin(self, **fields):
        """A spec was accepted, and no member has started."""
        accepted = builders.accepted(spec_fields=tls(**(fields or GIVEN)))
        self.seen = with_tls(accepted, {}, authorities=None)
        return self

    async def run(self, **fields):
        """A formed cluster in which all is well."""
        fields = fields or GIVEN
        self.begin(**fields)
        await self.settle()
        recorded = self.seen.status.authorities
        self.seen = observed({}, spec_fields=tls(**fields), authorities=recorded)
        await self.look()
        return self

    def wants(self, **fields):
        self.seen = dataclasses.replace(self.seen, spec=spec(size=3, **tls(**fields)), generation=2)

    async def look(self, now=NOW):
        who, recorded = tls_identity(self.seen), self.seen.status.authorities
        read = await self.reader.read(who, recorded, now=now)
        self.seen = dataclasses.replace(self.seen, certificates=read.certificates, now=now)
        return plan(self.seen).step

    async def step(self):
        planned = plan(self.seen)
        outcome = await perform(planned.step, self.seen, self.writer, NO_ETCD)
        status = next_status(self.seen, planned, outcome)
        self.told += [planned, outcome, status, *happenings(self.seen, planned, outcome, status)]
        self.seen = dataclasses.replace(self.seen, status=status)
        return outcome

    async def settle(self, now=NOW):
        """Steps until no more is done about certificates; what is said then."""
        for _ in range(6):
            step = await self.look(now)
            if isinstance(step, Wait | ApplyObjects):
                return step
            assert await self.step() == Done()
        raise AssertionError(plan(self.seen))

    def put(self, *secrets):
        for one in secrets:
            self.server.put(SECRETS.path("prod", one["metadata"]["name"]), one)

    def stored(self, role):
        return self.server.objects("secrets").get(f"prod/{secret_name('db', role)}")

    def served(self, role):
        return base64.b64decode(self.stored(role)["data"]["tls.crt"])

    def tls_ready(self):
        planned = plan(self.seen)
        status = next_status(self.seen, planned, None)
        found = find_condition(status.conditions, "TLSReady")
        return found.status, found.reason, found.message


@pytest.fixture
async def world(api, server):
    made_ = World(api, server)
    made_.put(*given().values())
    return made_


class TestBirth:
    async def test_good_secrets_are_recorded_then_copied_before_the_first_object(self, world):
        world.begin()

        assert isinstance(await world.look(), RecordAuthorities)
        assert world.server.objects("secrets").keys() == {f"prod/{name}" for name in given()}
        assert isinstance(await world.settle(), ApplyObjects)
        for role in LEAVES:
            theirs = world.server.objects("secrets")[f"prod/{PAIRS[role]}"]
            assert world.stored(role)["metadata"]["ownerReferences"][0]["uid"] == builders.UID
            assert world.stored(role)["data"]["tls.crt"] == theirs["data"]["tls.crt"]

    async def test_no_authority_is_made_when_all_is_given(self, world):
        world.begin()
        await world.settle()

        names = {key.partition("/")[2] for key in world.server.objects("secrets")}
        assert names == {*given(), "db-server-tls", "db-client-tls", "db-peer-tls"}

    async def test_operator_dials_as_the_clients_do(self, world):
        """Its own authority signs for nobody whom the members would let in."""
        await world.run()
        assert (await self.dialled(world, NOW)).cert == server_pem(world)
        world.put(pair("web", server(**RENEWED)))
        await world.settle(NOW + timedelta(minutes=5))

        assert (await self.dialled(world, NOW + timedelta(minutes=5))).cert == server_pem(world)

    async def dialled(self, world, now):
        who, recorded = tls_identity(world.seen), world.seen.status.authorities
        read = await world.reader.read(who, recorded, now=now)
        assert not read.borrowed
        return read.tls

    async def test_members_certificates_are_the_operators_unless_given(self, world):
        world.begin(autoTLS=False, certificateSecret="web", caSecret="ours")

        assert isinstance(await world.settle(), ApplyObjects)
        names = {key.partition("/")[2] for key in world.server.objects("secrets")}
        assert "db-peer-ca" in names
        assert "db-ca" not in names

    async def test_clients_certificates_are_the_operators_unless_given(self, world):
        world.begin(peerCertificateSecret="peers")

        assert isinstance(await world.settle(), ApplyObjects)
        names = {key.partition("/")[2] for key in world.server.objects("secrets")}
        assert "db-ca" in names
        assert "db-peer-ca" not in names

    async def test_applications_get_the_clients_own_certificate(self, world):
        app = made("app", by=root())
        world.put(pair("app", app))
        world.begin(**GIVEN, clientCertificateSecret="app")
        await world.settle()

        assert world.served(Role.CLIENT) == app.pem
        assert world.served(Role.SERVER) != app.pem

    @pytest.mark.parametrize("name", sorted(given()))
    async def test_missing_secret_is_waited_for(self, world, name):
        world.server.remove(SECRETS.path("prod", name))
        world.begin()
        step = await world.settle()

        assert (step.reason, step.recheck_s) == (Reason.CERTIFICATE_SECRET_MISSING, 5.0)
        assert f"Secret {name} " in step.message
        assert world.stored(Role.SERVER) is None
        world.put(given()[name])
        assert isinstance(await world.settle(), ApplyObjects)

    @pytest.mark.parametrize("role", LEAVES)
    async def test_bad_secret_starts_no_pod(self, world, role):
        ended = {"since": NOW - timedelta(days=9), "life": timedelta(days=8)}
        bad = {
            "web": pair("web", server(**ended)),
            "peers": pair("peers", peer(**ended), root("peers")),
        }
        world.put(bad[PAIRS[role]])
        world.begin()
        step = await world.settle()

        assert step.reason is Reason.CERTIFICATE_REFUSED
        assert "it expired at" in step.message
        assert world.tls_ready()[:2] == ("False", "CertificateRefused")

    async def test_somebody_elses_secret_is_not_written_over(self, world):
        world.put(pair("db-server-tls", server(), root()))
        world.begin()

        assert (await world.settle()).reason is Reason.NAME_CONFLICT
        assert "ownerReferences" not in world.stored(Role.SERVER)["metadata"]

    @pytest.mark.parametrize("steps", range(4))
    async def test_operator_that_ends_in_the_middle_is_followed_by_another(
        self, world, api, server, steps
    ):
        world.begin()
        for _ in range(steps):
            if isinstance(await world.look(), CopyCertificates | RecordAuthorities):
                await world.step()
        step = await world.look()
        if isinstance(step, CopyCertificates):
            some = dataclasses.replace(step, copies=step.copies[:1])
            await perform(some, world.seen, world.writer, NO_ETCD)
        other = World(api, server)
        other.seen = world.seen

        assert isinstance(await other.settle(), ApplyObjects)


class TestLife:
    async def test_all_is_well(self, world):
        await world.run()
        status, reason, message = world.tls_ready()

        assert plan(world.seen).step.settled
        assert (status, reason) == ("True", "CertificatesValid")
        assert "valid until 2026-03-31 12:00 UTC" in message

    async def test_status_says_where_each_comes_from(self, world):
        await world.run(certificateSecret="web", caSecret="ours")
        shown = next_status(world.seen, plan(world.seen), None).certificates
        sources = {one.secret: (one.source, one.renew_after is None) for one in shown}

        assert sources == {
            "db-peer-ca": ("", False),
            "db-server-tls": ("web", True),
            "db-peer-tls": ("", False),
            "db-client-tls": ("web", True),
        }

    @pytest.mark.parametrize("asked", ["client", "peer", "all"])
    async def test_authority_of_the_users_is_not_rotated(self, world, asked):
        await world.run()
        world.seen = dataclasses.replace(world.seen, rotation_asked=asked)

        assert plan(world.seen).step.settled
        assert "only to an authority that the operator made" in world.tls_ready()[2]

    async def test_authority_of_the_operators_beside_it_is_rotated(self, world):
        await world.run(certificateSecret="web", caSecret="ours")
        world.seen = dataclasses.replace(world.seen, rotation_asked="all")
        step = plan(world.seen).step

        assert isinstance(step, RecordRotation)
        assert (step.authorities.rotation.authority, step.authorities.rotation.then) == ("peer", "")

    async def test_good_renewal_reaches_the_members(self, world):
        await world.run()
        new = server(**RENEWED)
        world.put(pair("web", new))
        await world.settle(NOW + timedelta(minutes=5))

        assert world.served(Role.SERVER) == world.served(Role.CLIENT) == new.pem
        told = [getattr(one, "message", "") for one in world.told]
        assert "Secret web, valid until 2026-04-02 12:00 UTC, was copied to db-server-tls" in told

    @pytest.mark.parametrize("how", ["bad", "gone"])
    async def test_bad_renewal_never_reaches_the_members(self, world, how):
        await world.run()
        before = {role: world.stored(role) for role in LEAVES}
        match how:
            case "bad":
                world.put(pair("web", server(names=())))
            case "gone":
                world.server.remove(SECRETS.path("prod", "web"))
        step = await world.look(NOW + timedelta(minutes=5))

        assert step.settled
        assert {role: world.stored(role) for role in LEAVES} == before
        status, reason, message = world.tls_ready()
        assert status == "False"
        wanted = "CertificateSecretMissing" if how == "gone" else "CertificateRefused"
        assert reason == wanted
        assert "last until 2026-03-31 12:00 UTC" in message
        live = {key: obj for key, obj in world.seen.live.items() if key[0] != "ConfigMap"}
        assert isinstance(plan(dataclasses.replace(world.seen, live=live)).step, ApplyObjects)

    async def test_copy_that_can_not_be_written_costs_no_other_its_renewal(self, world):
        await world.run()
        before = {role: world.served(role) for role in (Role.SERVER, Role.CLIENT)}
        world.put(pair("web", server(**RENEWED)))
        await world.look(NOW + timedelta(minutes=5))
        world.server.script("patch", answer_status(403, message="exceeded quota"))
        refused = await world.step()

        assert isinstance(refused, Rejected)
        kept = [role for role in before if world.served(role) == before[role]]
        assert [secret_name("db", role) in refused.message for role in kept] == [True]

    async def test_own_certificate_that_can_not_be_written_costs_no_copy_its_renewal(self, world):
        await world.run(autoTLS=False, certificateSecret="web", caSecret="ours")
        late = NOW + LEAF_LIFE * 0.7
        world.put(pair("web", server(since=late - timedelta(days=1))))
        assert isinstance(await world.look(late), IssueCertificates)
        world.server.script("patch", answer_status(403, message="exceeded quota"))
        assert isinstance(await world.step(), Rejected)

        assert isinstance(await world.look(late), CopyCertificates)
        assert await world.step() == Done()
        assert [one.secret for one in world.seen.status.refused_certificates] == ["db-peer-tls"]

    async def test_renewal_that_turns_bad_before_it_is_copied_is_not(self, world):
        await world.run()
        world.put(pair("web", server(**RENEWED)))
        await world.look(NOW + timedelta(minutes=5))
        before = world.stored(Role.SERVER)
        world.put(pair("web", server(names=())))

        assert isinstance(await world.step(), Changed)
        assert world.stored(Role.SERVER) == before

    @pytest.mark.parametrize("role", LEAVES)
    @pytest.mark.parametrize("how", ["deleted", "spoilt"])
    async def test_copy_is_put_right(self, world, role, how):
        await world.run()
        before = world.stored(role)
        if how == "deleted":
            world.server.remove(SECRETS.path("prod", secret_name("db", role)))
        else:
            world.put({**before, "data": {**before["data"], "tls.crt": "AAAA"}})
        await world.settle(NOW + timedelta(minutes=5))

        assert world.stored(role)["data"] == before["data"]

    @pytest.mark.parametrize("role", LEAVES)
    async def test_key_that_somebody_added_to_a_copy_stays_and_is_no_reason_to_write(
        self, world, role
    ):
        await world.run()
        before = world.stored(role)
        world.put({**before, "data": {**before["data"], "note": "AAAA"}})

        assert (await world.settle(NOW + timedelta(minutes=5))).settled
        assert world.stored(role)["data"].keys() == {*before["data"], "note"}

    async def test_nothing_is_written_while_nothing_changes(self, world):
        await world.run()
        before = len(world.server.calls)
        for minutes in range(0, 60, 5):
            assert (await world.look(NOW + timedelta(minutes=minutes))).settled

        assert {call.verb for call in world.server.calls[before:]} == {"get"}

    async def test_end_is_told_before_it_comes(self, world):
        await world.run()
        late = NOW + timedelta(days=80)
        world.seen = dataclasses.replace(world.seen, now=late)
        status, reason, message = world.tls_ready()

        assert (status, reason) == ("False", "CertificateExpiring")
        assert "Secret web (certificateSecret)" in message
        assert "2026-03-31 12:00 UTC" in message

    async def test_nothing_secret_is_told(self, world):
        with structlog.testing.capture_logs() as logs:
            await world.run()
            world.put(pair("web", server(**RENEWED)))
            await world.settle(NOW + timedelta(minutes=5))
        shown = repr([world.told, logs, world.seen, world.reader])

        for role in LEAVES:
            text = world.stored(role)["data"]["tls.key"]
            body = base64.b64decode(text).decode().splitlines()[1:-1]
            assert body
            assert not [line for line in [text, *body] if line in shown]


class TestEdits:
    async def test_another_secret_by_the_same_authority_is_taken(self, world):
        await world.run()
        new = server(**RENEWED)
        world.put(pair("web-2", new))
        world.wants(**{**GIVEN, "certificateSecret": "web-2"})
        step = plan(world.seen).step
        assert isinstance(step, RecordSpec)
        world.seen = dataclasses.replace(world.seen, applied=world.seen.spec)
        await world.settle()

        assert world.served(Role.SERVER) == new.pem

    async def test_wrong_name_is_corrected_before_anything_is_trusted(self, world):
        world.begin(**{**GIVEN, "certificateSecret": "wen"})
        assert (await world.settle()).reason is Reason.CERTIFICATE_SECRET_MISSING
        world.wants(**GIVEN)
        step = plan(world.seen).step

        assert step.spec["security"]["tls"]["certificateSecret"] == "web"


ISSUER = {"issuerRef": {"name": "corporate", "kind": "ClusterIssuer"}}


class TestCertManager:
    """The test plays the issuer."""

    def issued(self, **changes):
        app = made("etcd-client", by=root(), uses=(BOTH[1],))
        return (
            pair("db-server-issued", server(**changes), root()),
            pair("db-client-issued", app, root()),
        )

    def ordered(self, world):
        found = world.server.objects("certificates")
        return {key.partition("/")[2]: one["spec"] for key, one in found.items()}

    async def test_certificates_are_ordered_awaited_and_copied(self, world):
        world.begin(**ISSUER)
        step = await world.settle()

        assert set(self.ordered(world)) == {"db-server-issued", "db-client-issued"}
        assert step.reason is Reason.CERTIFICATES_PENDING
        assert "cert-manager has not issued Certificate db-server-issued yet" in step.message
        assert world.stored(Role.SERVER) is None
        web, app = self.issued()
        world.put(web, app)
        assert isinstance(await world.settle(), ApplyObjects)
        assert web["data"].items() <= world.stored(Role.SERVER)["data"].items()
        assert app["data"].items() <= world.stored(Role.CLIENT)["data"].items()

    async def test_what_is_ordered(self, world):
        world.begin(
            **ISSUER, certificateDuration="36h", subjectAltNames=["etcd.example.org", "10.1.2.3"]
        )
        await world.settle()
        web, app = self.ordered(world)["db-server-issued"], self.ordered(world)["db-client-issued"]

        issuer = {"name": "corporate", "kind": "ClusterIssuer", "group": "cert-manager.io"}
        assert web["issuerRef"] == app["issuerRef"] == issuer
        assert {"etcd.example.org", *SERVER_NAMES} <= set(web["dnsNames"])
        assert "10.1.2.3" in web["ipAddresses"]
        assert web["usages"] == ["digital signature", "server auth", "client auth"]
        assert (app["commonName"], app["usages"][1:]) == ("etcd-client", ["client auth"])
        assert web["duration"] == "129600s"
        assert web["secretName"] == "db-server-issued"

    async def test_members_certificates_stay_the_operators(self, world):
        world.put(*self.issued())
        await world.run(**ISSUER)

        names = {key.partition("/")[2] for key in world.server.objects("secrets")}
        assert "db-peer-ca" in names
        assert "db-ca" not in names
        assert world.tls_ready()[:2] == ("True", "CertificatesValid")

    async def test_words_of_cert_manager_are_passed_on(self, world):
        world.begin(**ISSUER)
        await world.settle()
        path = CERTIFICATES.path("prod", "db-server-issued")
        live = world.server.objects("certificates")["prod/db-server-issued"]
        ready = {"type": "Ready", "status": "False", "message": "issuer corporate not found"}
        world.server.put(path, {**live, "status": {"conditions": [ready]}})

        assert (await world.settle()).message.endswith("yet: issuer corporate not found")

    async def test_renewal_is_taken_up(self, world):
        world.put(*self.issued())
        await world.run(**ISSUER)
        web, app = self.issued(**RENEWED)
        world.put(web, app)
        await world.settle(NOW + timedelta(minutes=5))

        assert web["data"].items() <= world.stored(Role.SERVER)["data"].items()

    async def test_nothing_is_ordered_again_while_nothing_changes(self, world):
        world.put(*self.issued())
        await world.run(**ISSUER)
        before = len(world.server.calls)
        for minutes in range(0, 60, 5):
            assert (await world.look(NOW + timedelta(minutes=minutes))).settled

        assert {call.verb for call in world.server.calls[before:]} == {"get"}

    async def test_other_names_change_the_order(self, world):
        world.put(*self.issued())
        await world.run(**ISSUER)
        more = spec(size=3, **tls(**ISSUER, subjectAltNames=["etcd.example.org"]))
        world.seen = dataclasses.replace(world.seen, applied=more, spec=more)
        await world.settle()

        assert "etcd.example.org" in self.ordered(world)["db-server-issued"]["dnsNames"]
        assert world.tls_ready()[:2] == ("False", "CertificateRefused")
        world.put(*self.issued(names=(*SERVER_NAMES, "etcd.example.org")))
        await world.settle()
        assert world.tls_ready()[:2] == ("True", "CertificatesValid")

    async def test_refused_order_does_not_stop_the_care_for_a_cluster(self, world):
        """cert-manager's own webhook is down."""
        world.put(*self.issued())
        await world.run(**ISSUER)
        more = spec(size=3, **tls(**ISSUER, certificateDuration="1000h"))
        world.seen = dataclasses.replace(world.seen, applied=more, spec=more)
        world.server.on_every("patch", answer_status(500, message="failed calling webhook"))
        assert isinstance(await world.look(), OrderCertificates)
        before = len(world.server.seen("patch"))
        assert isinstance(await world.step(), Rejected)
        step = await world.look()

        assert step.settled
        assert len(world.server.seen("patch")) == before + 2
        assert world.tls_ready()[:2] == ("False", "NotAllowed")
        assert "failed calling webhook" in world.tls_ready()[2]
        late = NOW + LEAF_LIFE * 0.7
        world.server.on_every("patch", None)
        assert isinstance(await world.look(late), IssueCertificates)

    async def test_somebody_elses_certificate_is_not_written_over(self, world):
        path = CERTIFICATES.path("prod", "db-server-issued")
        world.server.put(path, {"metadata": {"name": "db-server-issued"}, "spec": {"theirs": 1}})
        world.begin(**ISSUER)
        step = await world.settle()

        assert step.reason is Reason.NAME_CONFLICT
        assert self.ordered(world)["db-server-issued"] == {"theirs": 1}

    @pytest.mark.parametrize(
        ("answer", "reason", "said"),
        [
            (
                answer_status(404, message="404 page not found"),
                Reason.CERT_MANAGER_MISSING,
                "install cert-manager, or take issuerRef out",
            ),
            (
                answer_status(500, message="conversion webhook is down"),
                Reason.NOT_ALLOWED,
                "Certificate db-server-issued can't be read: conversion webhook is down",
            ),
            (
                answer_status(403, message="no certificates for you"),
                Reason.NOT_ALLOWED,
                "no certificates for you): grant it get on them",
            ),
        ],
    )
    async def test_what_can_not_be_ordered_is_said(self, world, answer, reason, said):
        world.begin(**ISSUER)
        await world.settle()
        # After the Secrets: the authority of members, three certificates, two that are issued.
        world.server.script("get", *[None] * 6, answer, answer)
        step = await world.look()

        assert step.reason is reason
        assert said in step.message
