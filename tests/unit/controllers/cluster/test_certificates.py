"""What is in the certificates that we make, and which are due for being made."""

from __future__ import annotations

import base64
import dataclasses
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given
from hypothesis import strategies as st

from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION as LEAF_LIFE
from api.v1alpha1.tls_fields import SHORTEST_CERTIFICATE_DURATION
from controllers.cluster.certificates.due import (
    AUTHORITY_LIFE,
    authority_life,
    authority_trouble,
    due_leaves,
    leaf_life,
    leaf_trouble,
    renew_after,
)
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER, LEAVES, Role
from controllers.cluster.certificates.issue import (
    authority_from,
    authority_secret,
    leaf_data,
    leaf_secret,
    new_authority,
    new_leaf,
    trust_data,
)
from controllers.cluster.certificates.parse import read_facts
from controllers.cluster.certificates.subjects import subject_of
from tests.unit.controllers.cluster.builders import NOW
from tests.unit.controllers.cluster.certificate_builders import (
    RECORDED,
    WHO,
    authority,
    facts,
    key,
    leaf,
    secrets,
    stored,
    without,
)

LONG = dataclasses.replace(
    WHO, name="a" * 45, namespace="n" * 63, cluster_domain="kubernetes.example.org"
)

NAMED = dataclasses.replace(
    WHO,
    more_names=("etcd.example.org", "*.apps.example.org"),
    more_addresses=("fd00::7", "10.1.2.3"),
)


def pem(secret, key="tls.crt"):
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"][key]))


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def cn(certificate):
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return name.value


class TestWhatIsMade:
    @pytest.mark.parametrize("role", AUTHORITIES)
    def test_authority_signs_leaves_and_nothing_else(self, role):
        made = authority(role).certificate

        limits = extension(made, x509.BasicConstraints)
        assert (limits.ca, limits.path_length) == (True, 0)
        assert extension(made, x509.KeyUsage).key_cert_sign
        assert not extension(made, x509.KeyUsage).digital_signature

    def test_authorities_of_clients_and_of_members_are_two(self):
        client, peer = (authority(role) for role in AUTHORITIES)

        assert client.key.public_key() != peer.key.public_key()
        assert client.certificate.subject != peer.certificate.subject

    @pytest.mark.parametrize("role", LEAVES)
    def test_chain_is_tied_by_key_identifiers(self, role):
        made, by = pem(leaf(role)), authority(ISSUER[role]).certificate

        signer = extension(made, x509.AuthorityKeyIdentifier).key_identifier
        assert signer == extension(by, x509.SubjectKeyIdentifier).digest
        assert signer == extension(by, x509.AuthorityKeyIdentifier).key_identifier
        assert extension(made, x509.SubjectKeyIdentifier).digest != signer

    @pytest.mark.parametrize(
        "name", ["etcd.example.org", "x.apps.example.org", "10.1.2.3", "fd00::7"]
    )
    def test_clients_are_served_under_the_names_of_the_spec(self, name):
        assert is_served(Role.SERVER, leaf(Role.SERVER, who=NAMED), name)
        assert not is_served(Role.PEER, leaf(Role.PEER, who=NAMED), name)
        assert not is_served(Role.SERVER, leaf(Role.SERVER), name)

    @pytest.mark.parametrize("role", [Role.SERVER, Role.PEER])
    @pytest.mark.parametrize(
        "name",
        [
            "db-0.db-peer.prod.svc.cluster.local",
            "db-8.db-peer.prod.svc",
            "db-0.db-peer.prod",
            "db-0.db-peer",
            "db-peer.prod.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            "::1",
        ],
    )
    def test_members_are_served_under_every_name(self, role, name):
        assert is_served(role, leaf(role), name)

    @pytest.mark.parametrize("name", ["db", "db.prod", "db.prod.svc", "db.prod.svc.cluster.local"])
    def test_client_service_is_served_to_clients_alone(self, name):
        assert is_served(Role.SERVER, leaf(Role.SERVER), name)
        assert not is_served(Role.PEER, leaf(Role.PEER), name)

    @pytest.mark.parametrize("role", [Role.SERVER, Role.PEER])
    @pytest.mark.parametrize(
        "name", ["db-0.db-peer.other.svc.cluster.local", "other.prod.svc", "10.0.0.1", "local"]
    )
    def test_nobody_else_is_served(self, role, name):
        assert not is_served(role, leaf(role), name)

    def test_uses_are_those_of_the_role(self):
        uses = {role: set(extension(pem(leaf(role)), x509.ExtendedKeyUsage)) for role in LEAVES}
        server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH

        # etcd's JSON gateway calls its own listener with the server's certificate.
        assert uses == {
            Role.SERVER: {server, client},
            Role.PEER: {server},
            Role.CLIENT: {client},
            Role.OPERATOR: {client},
        }

    def test_member_calls_others_with_a_certificate_without_names(self):
        """With names in it, releases of 3.5 look whether the caller's address resolves to them."""
        caller = pem(leaf(Role.PEER), "client.crt")

        assert set(extension(caller, x509.ExtendedKeyUsage)) == {ExtendedKeyUsageOID.CLIENT_AUTH}
        assert cn(caller) == cn(pem(leaf(Role.PEER))) == "etcd-peer"
        with pytest.raises(x509.ExtensionNotFound):
            extension(caller, x509.SubjectAlternativeName)

    @pytest.mark.parametrize("role", Role)
    def test_names_of_any_length_leave_the_common_name_short(self, role):
        by = new_authority(LONG.name, Role.PEER_CA, key("x"), 1, (NOW, NOW + AUTHORITY_LIFE))
        made = by.certificate
        if role in LEAVES:
            life = (NOW, NOW + LEAF_LIFE)
            made = new_leaf(by, subject_of(LONG, role), key("y"), 2, life)

        assert len(cn(made)) <= 64
        assert "." not in cn(made)

    def test_secrets_are_of_the_kind_that_programs_know(self):
        for role, secret in secrets().items():
            assert secret["type"] == "kubernetes.io/tls"
            assert {"tls.crt", "tls.key", "ca.crt"} <= secret["data"].keys()
            assert secret["metadata"]["ownerReferences"][0]["uid"] == WHO.uid, role

    def test_only_authorities_secrets_hold_an_authoritys_key(self):
        for role in LEAVES:
            held = base64.b64decode(leaf(role)["data"]["tls.key"])
            for of in AUTHORITIES:
                made = authority_secret(WHO, of, authority(of))
                assert held != base64.b64decode(made["data"]["tls.key"])

    def test_key_is_on_the_curve_that_every_client_knows(self):
        secret = stored(authority_secret(WHO, Role.PEER_CA, authority(Role.PEER_CA)))
        made = authority_from(secret, RECORDED.peer)

        assert isinstance(made.key.curve, ec.SECP256R1)

    def test_clocks_may_differ_a_little(self):
        signer = facts()[Role.CLIENT_CA].certificate

        begins = {authority_life(NOW)[0], leaf_life(signer, NOW, LEAF_LIFE)[0]}
        assert begins == {NOW - timedelta(minutes=5)}

    def test_certificate_does_not_outlive_its_authority(self):
        late = NOW + AUTHORITY_LIFE - timedelta(days=30)

        signer = facts()[Role.CLIENT_CA].certificate
        assert leaf_life(signer, late, LEAF_LIFE)[1] == NOW + AUTHORITY_LIFE


def is_served(role, secret, name):
    """Whether a client of ours, by the rules of the web, takes the certificate for this name."""
    store = Store([authority(ISSUER[role]).certificate])
    subject = x509.DNSName(name)
    if name[0].isdigit() or ":" in name:
        import ipaddress

        subject = x509.IPAddress(ipaddress.ip_address(name))
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(subject)
    try:
        verifier.verify(pem(secret), [])
    except x509.verification.VerificationError:
        return False
    return True


LIVES = st.sampled_from(
    [SHORTEST_CERTIFICATE_DURATION, timedelta(minutes=50), timedelta(days=2), LEAF_LIFE]
)


def due(found, now=NOW, recorded=RECORDED, who=WHO):
    return {r: one.why for r, one in due_leaves(who, read_facts(found), recorded, now).items()}


def lasting(life):
    return dataclasses.replace(WHO, leaf_life=life)


class TestWhatIsDue:
    def test_nothing_when_all_is_well(self):
        assert due(secrets()) == {}

    def test_whatever_is_missing(self):
        assert due(without(secrets(), *LEAVES)) == dict.fromkeys(LEAVES, "it is missing")

    @pytest.mark.parametrize("role", LEAVES)
    def test_renewal_at_two_thirds_of_its_life(self, role):
        middle = renew_after(facts()[role].certificate, LEAF_LIFE)

        assert NOW + LEAF_LIFE * 0.6 < middle < NOW + LEAF_LIFE * 0.7
        assert due(secrets(), middle - timedelta(seconds=1)) == {}
        assert set(due(secrets(), middle)) == set(LEAVES)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"life": timedelta(seconds=-1)}, "expired"),
            ({"since": NOW + timedelta(days=1)}, "not valid before"),
            ({"by": authority(Role.CLIENT_CA, name="another")}, "not signed by"),
        ],
    )
    def test_what_is_wrong_is_made_anew(self, change, why):
        found = {**secrets(), Role.SERVER: leaf(Role.SERVER, **change)}

        (said,) = due(found).values()
        assert why in said

    @pytest.mark.parametrize(
        ("role", "key", "value", "why"),
        [
            (Role.CLIENT, "tls.crt", None, "no tls.crt"),
            (Role.CLIENT, "tls.crt", "%", "no base64"),
            (Role.CLIENT, "tls.crt", "AAAA", "can't be read"),
            (Role.CLIENT, "tls.key", "AAAA", "can't be read"),
            (Role.CLIENT, "ca.crt", None, "no ca.crt"),
            (Role.PEER, "client.crt", None, "no client.crt"),
        ],
    )
    def test_what_somebody_spoilt_is_made_anew(self, role, key, value, why):
        secret = leaf(role)
        spoilt = {**secret, "data": {**secret["data"], key: value}}

        (said,) = due({**secrets(), role: spoilt}).values()
        assert why in said

    def test_key_of_another_certificate(self):
        mixed = leaf(Role.CLIENT)
        mixed["data"]["tls.key"] = leaf(Role.SERVER)["data"]["tls.key"]

        assert due({**secrets(), Role.CLIENT: mixed}) == {
            Role.CLIENT: "its key is not the certificate's"
        }

    def test_another_bundle_than_the_clusters(self):
        mixed = leaf(Role.PEER)
        mixed["data"]["ca.crt"] = leaf(Role.SERVER)["data"]["ca.crt"]

        assert due({**secrets(), Role.PEER: mixed}) == {
            Role.PEER: "its ca.crt is not the cluster's authority"
        }

    def test_names_of_another_cluster(self):
        other = dataclasses.replace(WHO, cluster_domain="other.local")
        by = authority(Role.CLIENT_CA)
        life = (NOW, NOW + LEAF_LIFE)
        data = leaf_data(other, Role.SERVER, by, key=key("s"), serials=(1, 2), life=life)
        trusted = trust_data(Role.SERVER, RECORDED, [[by.certificate]])
        made = leaf_secret(other, Role.SERVER, {**data, **trusted})

        assert due({**secrets(), Role.SERVER: stored(made)}) == {
            Role.SERVER: "its names or uses are not those that are needed"
        }

    @pytest.mark.parametrize("role", AUTHORITIES)
    def test_without_its_authority_nothing_is_due(self, role):
        gone = without(secrets(since=NOW - LEAF_LIFE), role)

        assert set(due(gone)) == {leaf for leaf in LEAVES if ISSUER[leaf] is not role}

    def test_another_authority_than_the_recorded_one_signs_nothing(self):
        other = authority(Role.CLIENT_CA, name="another")
        found = secrets(since=NOW - LEAF_LIFE)
        found[Role.CLIENT_CA] = stored(authority_secret(WHO, Role.CLIENT_CA, other))

        assert set(due(found)) == {Role.PEER}

    def test_somebody_elses_secret_is_left_alone(self):
        theirs = leaf(Role.CLIENT, since=NOW - LEAF_LIFE)
        theirs["metadata"] = {"name": "db-client-tls", "uid": "x"}

        assert due({**secrets(), Role.CLIENT: theirs}) == {}

    def test_what_ends_with_its_authority_is_not_renewed_again_and_again(self):
        late = NOW + AUTHORITY_LIFE - timedelta(days=30)
        last = secrets(since=late, life=timedelta(days=30))

        assert due(last, late + timedelta(days=29)) == {}

    @given(st.floats(min_value=-0.2, max_value=1.4), LIVES, LIVES)
    def test_at_any_time_what_is_due_is_cured_by_making_it(self, share, before, life):
        """No certificate is in force for a moment longer than it may, and none is made in vain,
        whatever life was wanted when it was made, and is now.
        """
        who, now = lasting(life), (NOW + before * share).replace(microsecond=0)
        found = secrets(who=lasting(before), life=before)
        for role in due(found, now, who=who):
            begin, end = leaf_life(read_facts(found)[ISSUER[role]].certificate, now, life)
            assert end - now == life
            found[role] = leaf(role, who=who, begins=begin, since=now, life=life)

        if now >= NOW:
            assert due(found, now, who=who) == {}
            for role in LEAVES:
                assert not leaf_trouble(who, role, read_facts(found), RECORDED, now)

    def test_other_names_make_the_servers_certificate_anew_and_no_other(self):
        assert set(due(secrets(), who=NAMED)) == {Role.SERVER}
        assert due({**secrets(), Role.SERVER: leaf(Role.SERVER, who=NAMED)}, who=NAMED) == {}

    def test_order_of_names_is_the_users_affair(self):
        turned = dataclasses.replace(
            NAMED, more_names=NAMED.more_names[::-1], more_addresses=NAMED.more_addresses[::-1]
        )

        assert due({**secrets(), Role.SERVER: leaf(Role.SERVER, who=NAMED)}, who=turned) == {}

    def test_shorter_life_is_in_force_at_two_thirds_of_it(self):
        week = lasting(timedelta(days=7))

        assert due(secrets(), NOW + timedelta(days=4), who=week) == {}
        assert set(due(secrets(), NOW + timedelta(days=5), who=week)) == set(LEAVES)

    @given(st.lists(st.sampled_from(list(Role)), unique=True), st.sampled_from(list(Role)))
    def test_authorities_are_never_due(self, missing, spoilt):
        found = without(secrets(), *missing)
        if spoilt in found:
            found[spoilt] = {**found[spoilt], "data": {}}

        wanted = due(found)

        assert not set(AUTHORITIES) & set(wanted)
        for role in wanted:
            assert not authority_trouble(WHO, ISSUER[role], read_facts(found), RECORDED)


class TestReading:
    @given(
        st.sampled_from(list(Role)),
        st.dictionaries(
            st.sampled_from(["tls.crt", "tls.key", "ca.crt", "client.crt"]),
            st.one_of(
                st.none(), st.text(), st.binary().map(lambda b: base64.b64encode(b).decode())
            ),
        ),
    )
    def test_anything_in_a_secret_gives_facts(self, role, data):
        found = secrets()
        found[role] = {**found[role], "data": {**found[role]["data"], **data}}

        read_facts(found)

    @pytest.mark.filterwarnings("ignore:Parsed a serial number")
    @given(
        st.sampled_from(list(Role)),
        st.sampled_from(["tls.crt", "tls.key"]),
        st.integers(0, 1000),
        st.integers(0, 7),
    )
    def test_a_certificate_with_a_changed_byte_gives_facts_that_quote_nothing(
        self, role, which, place, bit
    ):
        found = secrets()
        whole = bytearray(base64.b64decode(found[role]["data"][which]))
        whole[place % len(whole)] ^= 1 << bit
        changed = base64.b64encode(bytes(whole)).decode()
        found[role] = {**found[role], "data": {**found[role]["data"], which: changed}}

        said = read_facts(found)[role].problem

        assert len(said) < 60
        assert "BEGIN" not in said

    def test_facts_hold_nothing_secret(self):
        shown = repr(facts())

        for secret in secrets().values():
            lines = base64.b64decode(secret["data"]["tls.key"]).decode().splitlines()
            assert not [line for line in lines if line in shown]
