"""Whose authorities sign the certificates of a running cluster becomes somebody else: step by step,
from any state, and whoever dies or changes their mind meanwhile.

Everybody lets everybody in after every single step; see `owner_world`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.reasons import Reason
from controllers.cluster import act_sources
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.issue import authority_secret
from controllers.cluster.certificates.trust import NAMES, recorded
from controllers.cluster.plan import sources
from controllers.cluster.plan.certificate_steps import CopyCertificates, RecordAuthorities
from controllers.cluster.plan.certificates import (
    certificate_trouble,
    record_owners,
)
from controllers.cluster.plan.sources import with_sources_held
from controllers.cluster.plan.steps import RecordSpec
from tests.unit.controllers.cluster.builders import NOW
from tests.unit.controllers.cluster.certificate_builders import (
    RECORDED,
    WHO,
    authority,
    observed,
    secrets,
    stored,
)
from tests.unit.controllers.cluster.owner_world import (
    MEMBERS,
    WEB,
    OwnerWorld,
    members,
    print_of,
    web,
)
from tests.unit.controllers.cluster.user_certificates import pair, root, secret, server

PHASES = ("Preparing", "Spreading", "Trusting", "Issuing", "Replacing", "Dropping")
LONG = timedelta(minutes=10)


@pytest.fixture
def world():
    made = OwnerWorld()
    made.put(web("one"))
    made.put(members("one"))
    return made


def go(world, until=None, *, dying=False):
    """Everything goes its way until that holds, or nothing is left to do.

    `dying`: the operator ends after every write, before it has recorded any.
    """
    for _ in range(400):
        if until is not None and until(world):
            return
        if dying:
            world.step(dies_after=0)
            assert world.cut_off() == []
        planned = world.step()
        assert world.cut_off() == []
        world.controller_looks()
        for n in range(3):
            world.controller_makes(n, stale=False)
        if planned.rule == "settled":
            assert until is None, f"it never came to that: {world.rules[-20:]}"
            return
        if planned.rule.startswith("wait"):
            world.time_passes(LONG)
    raise AssertionError(world.rules[-20:])


def look_again(world):
    """Secrets of the user's are no event: they are read every few minutes."""
    world.time_passes(LONG)


def in_phase(phase, authority="client"):
    def holds(world):
        rotation = world.authorities.rotation
        return rotation is not None and (rotation.phase, rotation.authority) == (phase, authority)

    return holds


def trusted(world):
    """Whom all members trust, by the names of the authorities."""
    found = {}
    for role, name in NAMES.items():
        (found[name],) = {process.trusts[role] for process in world.pods.values()}
    return found


def is_over(world, **owners):
    """Members trust the recorded authorities alone, and these are what they should be."""
    authorities = world.authorities
    assert authorities.rotation is None
    prints = {name: recorded(authorities, role) for role, name in NAMES.items()}
    assert trusted(world) == {name: {one} for name, one in prints.items()}
    for name, owner in owners.items():
        known = {print_of(one): one for one in ("one", "two", "three")}
        assert known.get(prints[name], "operator") == owner
        assert (name in authorities.given) is (owner != "operator")
    return True


class TestTheWay:
    def test_the_owners_are_recorded_before_the_edit_is_in_force(self, world):
        world.edit(**WEB)
        first = world.step()
        assert isinstance(first.step, RecordAuthorities)
        assert (world.authorities.given, world.authorities.rotation) == ((), None)

        second = world.step()
        assert isinstance(second.step, RecordSpec)
        assert second.step.rendered is None

    def test_an_edit_that_changes_no_owner_records_none(self, world):
        world.edit(subjectAltNames=["etcd.example.org"])

        assert record_owners(world.look()) is None

    def test_owners_are_recorded_once(self, world):
        world.edit(**WEB)
        go(world)
        world.edit()

        assert record_owners(world.look()) is None

    @pytest.mark.parametrize(
        ("wish", "owners"),
        [
            (WEB, {"client": "one", "peer": "operator"}),
            (MEMBERS, {"client": "operator", "peer": "one"}),
            ({**WEB, **MEMBERS}, {"client": "one", "peer": "one"}),
        ],
        ids=["clients", "members", "both"],
    )
    def test_from_the_operators_to_the_users_and_back(self, world, wish, owners):
        before = world.authorities
        world.edit(**wish)
        go(world)
        assert is_over(world, **owners)

        world.edit()
        go(world)
        assert is_over(world, client="operator", peer="operator")
        # The Secrets of the operator's authorities were there all the time.
        assert (world.authorities.client, world.authorities.peer) == (before.client, before.peer)

    @pytest.mark.parametrize(
        ("wish", "of", "name"), [(WEB, web, "client"), (MEMBERS, members, "peer")]
    )
    def test_from_one_of_the_users_to_another_in_the_same_secret(self, world, wish, of, name):
        world.edit(**wish)
        go(world)
        world.put(of("two"))
        look_again(world)
        go(world)

        assert is_over(world, **{name: "two"})

    def test_from_one_of_the_users_to_another_in_another_secret(self, world):
        world.edit(**WEB)
        go(world)
        world.put(pair("web-2", server(by=root("two")), root("two")))
        world.edit(certificateSecret="web-2")
        go(world)

        assert is_over(world, client="two")

    def test_to_a_new_authority_of_the_operators_where_the_old_one_is_gone(self, world):
        before = world.authorities.client
        world.edit(**WEB)
        go(world)
        world.api.objects.pop("db-ca")
        world.edit()
        go(world)

        assert is_over(world, client="operator")
        assert world.authorities.client != before

    def test_to_a_bundle_of_several_authorities(self, world):
        world.put(pair("web", server(by=root("one")), root("one"), root("two")))
        world.edit(**WEB)
        go(world)

        both = {print_of("one"), print_of("two")}
        assert trusted(world)["client"] == both
        world.edit()
        go(world)
        assert is_over(world, client="operator")

    def test_trust_comes_first_then_certificates_then_distrust(self, world):
        """And each member is restarted twice."""
        old = world.authorities.client
        world.edit(**WEB)
        go(world, in_phase("Trusting"))
        go(world, in_phase("Issuing"))
        assert trusted(world)["client"] == {old, print_of("one")}
        assert shows(world) == {old}
        go(world, in_phase("Dropping"))
        assert trusted(world)["client"] == {old, print_of("one")}
        assert shows(world) == {print_of("one")}
        go(world)

        assert is_over(world, client="one")
        restarted = world.events.count("MemberRestarted")
        assert restarted == 2 * 3

    def test_one_authority_after_the_other(self, world):
        """Each of both has its whole way."""
        world.edit(**WEB, **MEMBERS)
        go(world, in_phase("Dropping"))
        assert world.authorities.peer != print_of("one")
        assert trusted(world)["peer"] == {world.authorities.peer}
        for phase in PHASES[1:]:
            go(world, in_phase(phase, "peer"))
        go(world)

        assert is_over(world, client="one", peer="one")

    def test_certificates_of_the_old_authority_stay_until_the_next_signs(self, world):
        """The user's Secret holds only the new ones by then."""
        world.edit(**WEB)
        go(world)
        kept = {name: world.api.objects[name]["data"]["tls.crt"] for name in LEAVES_OF_CLIENTS}
        world.put(web("two"))
        look_again(world)
        go(world, in_phase("Issuing"))

        now = {name: world.api.objects[name]["data"]["tls.crt"] for name in LEAVES_OF_CLIENTS}
        assert now == kept
        go(world, in_phase("Replacing"))
        of_two = web("two")["data"]["tls.crt"]
        now = {name: world.api.objects[name]["data"]["tls.crt"] for name in LEAVES_OF_CLIENTS}
        assert set(now.values()) == {of_two}

    def test_operator_finds_its_way_back_to_its_own_certificate(self, world):
        """The one that it had before is of another time: it does not know what members show now."""
        world.edit(**WEB)
        go(world)
        world.put(web("two"))
        look_again(world)
        go(world)
        assert is_over(world, client="two")

        world.edit()
        go(world)
        assert is_over(world, client="operator")


LEAVES_OF_CLIENTS = ("db-server-tls", "db-client-tls")


def shows(world):
    """By whom the certificates are that are in the servers' Secret now."""
    data = world.api.objects["db-server-tls"]["data"]
    return {world._facts(data, next(iter(NAMES))).certificate.issuer}


class TestWhoDies:
    @pytest.mark.parametrize("wish", [WEB, MEMBERS], ids=["clients", "members"])
    def test_operator_that_ends_after_every_write_gets_there_and_back(self, world, wish):
        name = "client" if wish is WEB else "peer"
        world.edit(**wish)
        go(world, dying=True)
        assert is_over(world, **{name: "one"})

        world.edit()
        go(world, dying=True)
        assert is_over(world, **{name: "operator"})

    @pytest.mark.parametrize("written", [1, 2])
    def test_operator_that_ends_between_two_secrets_of_a_step_goes_on(self, world, written):
        world.edit(**WEB)
        for phase in PHASES[1:]:
            go(world, in_phase(phase))
            for _ in range(3):
                world.step(dies_after=written)
                assert world.cut_off() == []
        go(world)

        assert is_over(world, client="one")


class TestAnotherMind:
    @pytest.mark.parametrize("phase", PHASES)
    def test_back_to_the_operators_in_the_middle(self, world, phase):
        before = world.authorities.client
        world.edit(**WEB)
        go(world, in_phase(phase))
        world.edit()
        go(world)

        assert is_over(world, client="operator")
        assert world.authorities.client == before

    @pytest.mark.parametrize("phase", PHASES)
    def test_to_another_one_of_the_users_in_the_middle(self, world, phase):
        """From Issuing on the Secret has to hold what was begun: that is said, and waited for."""
        world.edit(**WEB)
        go(world, in_phase(phase))
        world.put(web("two"))
        look_again(world)
        if phase == "Issuing":
            for _ in range(3):
                world.step()
            (told,) = {certificate_trouble(world.look()).message.partition(";")[0]}
            assert told == (
                "Secret web (certificateSecret) can't be used: its ca.crt is not the authority that"
                " the members trust since they started: put the same certificates there as before"
            )
            assert in_phase("Issuing")(world)
            world.put(web("one"))
            look_again(world)
            go(world, in_phase("Replacing"))
            world.put(web("two"))
            look_again(world)
        go(world)

        assert is_over(world, client="two")

    @pytest.mark.parametrize("phase", PHASES)
    def test_back_to_the_users_in_the_middle(self, world, phase):
        world.edit(**WEB)
        go(world)
        world.edit()
        go(world, in_phase(phase))
        world.edit(**WEB)
        go(world)

        assert is_over(world, client="one")

    def test_before_anything_is_trusted_an_edit_that_is_taken_back_leaves_no_trace(self, world):
        before = world.authorities
        world.edit(**WEB)
        go(world, in_phase("Preparing"))
        world.edit()
        template = world.template
        go(world)

        assert is_over(world, client="operator")
        assert world.authorities.client == before.client
        made = world.live["StatefulSet", "db"]["spec"]["template"]
        assert made["spec"]["containers"] == template["spec"]["containers"]


class TestRefusals:
    """What is wrong is said, and nothing is begun: everything stays as it is."""

    def said(self, world, steps=6):
        for _ in range(steps):
            world.step()
            assert world.cut_off() == []
        wait = certificate_trouble(world.look())
        assert world.authorities.rotation is None or in_phase("Preparing")(world)
        return wait.reason, wait.message.partition(";")[0]

    def test_a_secret_that_is_not_there(self, world):
        world.api.objects.pop("web")
        world.edit(**WEB)

        assert self.said(world) == (
            Reason.CERTIFICATE_SECRET_MISSING,
            "Secret web (certificateSecret) does not exist: make it, with tls.crt and tls.key",
        )
        world.put(web("one"))
        look_again(world)
        go(world)
        assert is_over(world, client="one")

    def test_a_certificate_that_is_not_of_the_authority_beside_it(self, world):
        world.put(pair("web", server(by=root("two")), root("one")))
        world.edit(**WEB)
        reason, message = self.said(world)

        assert reason is Reason.CERTIFICATE_REFUSED
        assert message.startswith("Secret web (certificateSecret) can't be used: ")

    def test_two_secrets_with_different_authorities(self, world):
        """While the cluster's is one of them, or neither."""
        world.put(pair("app", server(by=root("two")), root("two")))
        world.put(secret("ours", {"ca.crt": root("one").pem}))
        world.edit(certificateSecret="web", clientCertificateSecret="app", caSecret="ours")
        reason, message = self.said(world)

        assert reason is Reason.CERTIFICATE_REFUSED
        assert message.startswith("Secret app (clientCertificateSecret) can't be used: ")

    def test_a_bad_secret_for_the_next_authority_leaves_the_present_one(self, world):
        world.edit(**WEB)
        go(world)
        kept = world.api.objects["db-server-tls"]["data"]
        world.put(pair("web", server(by=root("two"), names=()), root("two")))
        look_again(world)
        reason, message = self.said(world)

        assert (reason, world.api.objects["db-server-tls"]["data"]) == (
            Reason.CERTIFICATE_REFUSED,
            kept,
        )
        assert "subject alternative names lack" in message

    def test_a_certificate_of_the_old_authority_that_is_lost_has_to_be_brought(self, world):
        """Nobody can make one: the operator has no key of the user's authority."""
        world.edit(**WEB)
        go(world)
        world.put(web("two"))
        look_again(world)
        go(world, in_phase("Trusting"))
        world.api.objects.pop("db-server-tls")
        look_again(world)
        wait = certificate_trouble(world.look())

        assert wait.reason is Reason.CERTIFICATE_REFUSED
        assert wait.message == (
            "Secret db-server-tls is missing or spoilt, and nobody has a certificate of the"
            " authority that the members trust: put one into your Secret"
        )
        world.put(web("one"))
        look_again(world)
        go(world)
        assert is_over(world, client="one")

    def test_somebody_elses_secret_under_the_name_of_the_operators_authority(self, world):
        world.edit(**WEB)
        go(world)
        theirs = world.api.objects["db-ca"]
        metadata = {**theirs["metadata"], "ownerReferences": []}
        world.put({**theirs, "metadata": metadata})
        world.edit()

        assert self.said(world) == (
            Reason.NAME_CONFLICT,
            "Secret db-ca exists and is not controlled by this EtcdCluster: delete or rename it",
        )

    @pytest.mark.parametrize(
        ("spoil", "problem"),
        [
            (lambda data: {**data, "tls.key": "AAAA"}, "what it holds can't be read"),
            (lambda data: {**data, "tls.key": ""}, "it has no tls.key"),
            (
                lambda _: web("two")["data"],
                "what it holds is no authority",
            ),
        ],
        ids=["spoilt", "without a key", "a certificate"],
    )
    def test_an_authority_of_the_operators_that_can_not_come_back(self, world, spoil, problem):
        """It may be needed: the operator replaces nothing that it finds."""
        world.edit(**WEB)
        go(world)
        found = world.api.objects["db-ca"]
        world.put({**found, "data": spoil(found["data"])})
        world.edit()
        look_again(world)

        assert self.said(world) == (
            Reason.CERTIFICATE_REFUSED,
            f"Secret db-ca can't be used: {problem}: delete it, and another is made",
        )
        world.api.objects.pop("db-ca")
        look_again(world)
        go(world)
        assert is_over(world, client="operator")

    def test_an_authority_of_the_operators_that_has_expired(self):
        old = authority(Role.CLIENT_CA, name="old", since=NOW - timedelta(days=3660))
        found = secrets() | {Role.CLIENT_CA: stored(authority_secret(WHO, Role.CLIENT_CA, old))}
        theirs = RECORDED.model_copy(update={"client": "0" * 64, "given": ("client",)})
        wait = certificate_trouble(observed(found, authorities=theirs))

        assert wait.message == (
            "Secret db-ca can't be used: it expired at 2025-12-22 12:00 UTC: delete it, and another"
            " is made"
        )


class TestThatThisCanFail:
    def test_certificates_that_are_copied_before_they_are_trusted_cut_everybody_off(
        self, world, monkeypatch
    ):
        def offered(observed, role):
            return observed.certificates.sources[role].authority

        world.edit(**WEB)
        go(world)
        world.put(web("two"))
        look_again(world)
        for module in (sources, act_sources):
            monkeypatch.setattr(module, "signing_authority", offered)

        planned = world.step()
        world.time_passes(LONG)

        assert isinstance(planned.step, CopyCertificates)
        assert "application 0 does not trust db-0" in world.cut_off()


class TestEditsThatAreHeld:
    def test_where_certificates_come_from_stays_while_the_next_authority_begins_to_sign(
        self, world
    ):
        """All else of the edit is taken."""
        world.edit(**WEB)
        go(world, in_phase("Issuing"))
        world.edit(subjectAltNames=["etcd.example.org"])
        held = with_sources_held(world.look(), world.base.spec)

        assert held.security.tls.certificate_secret == "web"
        assert held.security.tls.subject_alt_names == ("etcd.example.org",)
        assert with_sources_held(world.look(), world.base.applied) == world.base.applied

    @pytest.mark.parametrize("phase", [one for one in PHASES if one != "Issuing"])
    def test_in_no_other_phase(self, world, phase):
        world.edit(**WEB)
        go(world, in_phase(phase))
        world.edit()

        assert with_sources_held(world.look(), world.base.spec) == world.base.spec

    def test_a_secret_that_no_longer_holds_it_can_not_be_taken_out(self, world):
        """Certificates of the old authority would be left to members that trust the next alone."""
        world.edit(**WEB)
        go(world, in_phase("Issuing"))
        world.put(web("two"))
        look_again(world)
        world.edit()
        for _ in range(6):
            world.step()
            assert world.cut_off() == []
        assert in_phase("Issuing")(world)
        assert world.base.applied.security.tls.certificate_secret == "web"

        world.put(web("one"))
        look_again(world)
        go(world)
        assert is_over(world, client="operator")
