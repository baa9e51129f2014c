"""What is said of a Secret of the user's before anything of it is used."""

from __future__ import annotations

import base64
import dataclasses
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given as each
from hypothesis import strategies as st

from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.sources import sources_of
from controllers.cluster.certificates.validate import examine
from tests.unit.controllers.cluster.builders import NOW, spec
from tests.unit.controllers.cluster.certificate_builders import IDENTITY
from tests.unit.controllers.cluster.user_certificates import (
    BOTH,
    GIVEN,
    SERVER_NAMES,
    authorities,
    given,
    key,
    made,
    pair,
    peer,
    root,
    secret,
    server,
)


def tls(**fields):
    return spec(security={"tls": {"enabled": True, **fields}}).security.tls


def examined(role, secrets=None, *, now=NOW, **fields):
    wanted = tls(**(fields or GIVEN))
    who = Holder.of(IDENTITY, wanted)
    (source,) = [source for source in sources_of("db", wanted) if source.role is role]
    return examine(source, given() if secrets is None else secrets, who, now)


def with_(**changes):
    """The good Secrets, and some others in their places; None takes one away."""
    found = {**given(), **{name.replace("_", "-"): one for name, one in changes.items()}}
    return {name: one for name, one in found.items() if one is not None}


def web(of=None, **data):
    """CertificateSecret with another certificate, or with other values."""
    good = pair("web", of or server())
    for name, value in data.items():
        good["data"][name.replace("_", ".")] = value and base64.b64encode(value).decode()
    return {"web": {**good, "data": {k: v for k, v in good["data"].items() if v is not None}}}


class TestGood:
    @pytest.mark.parametrize("role", [Role.SERVER, Role.CLIENT, Role.PEER])
    def test_what_is_good_is_copied_whole(self, role):
        found = examined(role)
        data = found.data
        expected = peer() if role is Role.PEER else server()
        key_of_data = load_pem_private_key(data["tls.key"], None).public_key()

        assert found.facts.problem == ""
        assert key_of_data == expected.key.public_key()
        assert key_of_data == x509.load_pem_x509_certificate(data["tls.crt"]).public_key()
        assert data["ca.crt"] == (root("peers") if role is Role.PEER else root()).pem
        assert ("client.crt" in data) is (role is Role.PEER)
        assert found.facts.ends == expected.certificate.not_valid_after_utc

    @pytest.mark.parametrize("kind", ["RSA 2048", "P-384"])
    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_keys_of_every_usual_kind_and_form(self, kind, form):
        of = server(owner=key(kind, kind))
        found = examined(Role.SERVER, with_(**web(of, tls_key=of.key_pem(form))))

        assert found.facts.problem == ""

    def test_key_as_openssl_writes_it_with_its_parameters_before(self):
        of = server()
        parameters = block("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))
        text = parameters + of.key_pem(PrivateFormat.TraditionalOpenSSL)

        assert examined(Role.SERVER, with_(**web(of, tls_key=text))).facts.problem == ""

    def test_chain_over_an_authority_between(self):
        between = made("between", by=root(), authority=True, path_length=0)
        found = examined(Role.SERVER, with_(**web(server(by=between, above=(between,)))))

        assert found.facts.problem == ""
        assert found.data["tls.crt"].count(b"BEGIN CERTIFICATE") == 2

    def test_first_end_of_the_chain_counts(self):
        between = made("between", by=root(), authority=True, life=timedelta(days=10))
        found = examined(Role.SERVER, with_(**web(server(by=between, above=(between,)))))

        assert found.facts.ends == between.certificate.not_valid_after_utc

    def test_old_and_new_authority_in_one_bundle(self):
        both = authorities("ours", root("old"), root())

        assert examined(Role.SERVER, with_(ours=both)).facts.problem == ""

    def test_of_two_authorities_with_one_name_and_key_the_valid_one_counts(self):
        ended = root(since=NOW - timedelta(days=9), life=timedelta(days=8))

        both = authorities("ours", ended, root())
        assert examined(Role.SERVER, with_(ours=both)).facts.problem == ""

    def test_certificate_without_uses_may_be_used_for_all(self):
        assert examined(Role.SERVER, with_(**web(server(uses=())))).facts.problem == ""

    def test_clients_own_certificate(self):
        client = pair("app", made("app", by=root(), uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)))
        found = examined(Role.CLIENT, with_(app=client), **GIVEN, clientCertificateSecret="app")

        assert found.facts.problem == ""

    def test_authority_in_the_same_secret(self):
        one = {"web": pair("web", server(), root())}

        assert examined(Role.SERVER, one, certificateSecret="web").facts.problem == ""

    def test_members_authority_in_the_common_secret(self):
        both = authorities("ours", root(), root("peers"))
        found = examined(Role.PEER, with_(peers=pair("peers", peer()), ours=both))

        assert found.facts.problem == ""


EXPIRED = {"since": NOW - timedelta(days=9), "life": timedelta(days=8)}
ENCRYPTED = server().key_pem(passphrase=b"hush")
OLD_ENCRYPTED = server().key_pem(PrivateFormat.TraditionalOpenSSL, b"hush")
CLIENT_ONLY, SERVER_ONLY = (BOTH[1],), (BOTH[0],)
BETWEEN = made("between", by=root(), authority=True)
LIMITED = root("limited", path_length=0)
BELOW = made("below", by=LIMITED, authority=True)
ENDED = made("ended", by=root(), authority=True, **EXPIRED)

BAD = [
    ("no Secret", Role.SERVER, {"web": None}, "Secret web (certificateSecret) does not exist"),
    ("no authority", Role.SERVER, {"ours": None}, "Secret ours (certificateSecret) does not exist"),
    ("no certificate", Role.SERVER, web(tls_crt=None), "has no tls.crt: put the certificate"),
    ("empty certificate", Role.SERVER, web(tls_crt=b""), "has no tls.crt: put the certificate"),
    ("no key", Role.SERVER, web(tls_key=None), "has no tls.key: put the private key"),
    ("no ca.crt", Role.SERVER, {"ours": secret("ours", {"ca.pem": b"x"})}, "it has no ca.crt: put"),
    ("no PEM", Role.SERVER, web(tls_crt=b"\x30\x82"), "tls.crt can't be read: put one or more"),
    (
        "no key in PEM",
        Role.SERVER,
        web(tls_key=b"secret"),
        "tls.key can't be read: put the private",
    ),
    ("encrypted key", Role.SERVER, web(tls_key=ENCRYPTED), "tls.key is encrypted: put it there"),
    ("encrypted, old", Role.SERVER, web(tls_key=OLD_ENCRYPTED), "tls.key is encrypted: put it"),
    ("a public key", Role.SERVER, web(tls_key=server().pem), "tls.key can't be read"),
    (
        "other key",
        Role.SERVER,
        web(tls_key=peer().key_pem()),
        "tls.key is not the key of the first",
    ),
    (
        "weak key",
        Role.SERVER,
        web(server(owner=key("w", "RSA 1024"))),
        "TLS does not take: use RSA",
    ),
    ("odd curve", Role.SERVER, web(server(owner=key("o", "P-224"))), "TLS does not take: use RSA"),
    ("authority as leaf", Role.SERVER, web(root()), "first certificate in tls.crt is an authority"),
    (
        "expired",
        Role.SERVER,
        web(server(**EXPIRED)),
        "it expired at 2025-12-31 12:00 UTC: renew it",
    ),
    (
        "too early",
        Role.SERVER,
        web(server(since=NOW + timedelta(days=1))),
        "not valid before 2026-01-02 12:00 UTC: wait",
    ),
    ("no serverAuth", Role.SERVER, web(server(uses=CLIENT_ONLY)), "lack serverAuth: have it made"),
    ("no clientAuth", Role.SERVER, web(server(uses=SERVER_ONLY)), "lack clientAuth: have it made"),
    ("client's uses", Role.CLIENT, web(server(uses=SERVER_ONLY)), "lack clientAuth: have it made"),
    (
        "pods' names",
        Role.SERVER,
        web(server(names=SERVER_NAMES[:1])),
        "names lack *.db-peer.prod.svc.cluster.local: have it made with them",
    ),
    (
        "Service's name",
        Role.SERVER,
        web(server(names=("db.other.svc.cluster.local", SERVER_NAMES[1]))),
        "names lack db.prod.svc.cluster.local: have it made with them",
    ),
    ("no names", Role.SERVER, web(server(names=())), "lack db.prod.svc.cluster.local, *.db-peer."),
    ("other authority", Role.SERVER, web(server(by=root("x"))), "no authority in its ca.crt has"),
    (
        "same name, other key",
        Role.SERVER,
        web(server(by=root(owner=key("impostor")))),
        "no authority in its ca.crt has signed it: put the authority's",
    ),
    ("gap in the chain", Role.SERVER, web(server(by=BETWEEN)), "in between into tls.crt, after"),
    (
        "signed by a leaf",
        Role.SERVER,
        web(server(by=server(), above=(server(),))),
        "no authority in its ca.crt has signed it",
    ),
    (
        "too long a chain",
        Role.SERVER,
        {**web(server(by=BELOW, above=(BELOW,))), "ours": authorities("ours", LIMITED)},
        "no authority in its ca.crt has signed it",
    ),
    (
        "authority that may not sign",
        Role.SERVER,
        {"ours": authorities("ours", root(may_sign=False))},
        "no authority in its ca.crt has signed it",
    ),
    (
        "ended authority",
        Role.SERVER,
        {"ours": authorities("ours", root(**EXPIRED))},
        "an authority above it is valid only from 2025-12-23 to 2025-12-31: renew",
    ),
    (
        "ended between",
        Role.SERVER,
        web(server(by=ENDED, above=(ENDED,))),
        "an authority above it is valid only from 2025-12-23 to 2025-12-31: renew",
    ),
    (
        "leaf as authority",
        Role.SERVER,
        {"ours": authorities("ours", root(), server())},
        "Secret ours (the authority of certificateSecret) can't be used: its ca.crt holds",
    ),
    (
        "spoilt ca.crt",
        Role.SERVER,
        {"ours": secret("ours", {"ca.crt": b"?"})},
        "ca.crt can't be read",
    ),
    (
        "member without the name",
        Role.PEER,
        {"peers": pair("peers", peer(common_name="member"), root("peers"))},
        "its common name is not etcd-peer: have it made with CN=etcd-peer",
    ),
    (
        "member without the Service",
        Role.PEER,
        {"peers": pair("peers", peer(names=SERVER_NAMES), root("peers"))},
        "names lack db-peer.prod.svc.cluster.local: have",
    ),
    (
        "member that only serves",
        Role.PEER,
        {"peers": pair("peers", peer(uses=SERVER_ONLY), root("peers"))},
        "lack clientAuth: have it made with serverAuth and clientAuth",
    ),
    (
        "member of the clients' authority",
        Role.PEER,
        {"peers": pair("peers", peer(by=root()), root("peers"))},
        "Secret peers (peerCertificateSecret) can't be used: no authority in its ca.crt",
    ),
]


@pytest.mark.parametrize(
    ("role", "change", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_what_is_bad_is_refused_with_what_to_do(role, change, said):
    found = examined(role, with_(**change))

    assert said in found.facts.problem
    assert found.data == {}
    assert "\n" not in found.facts.problem


def test_names_of_the_spec_are_needed_too():
    more = {**GIVEN, "subjectAltNames": ["etcd.example.org", "10.1.2.3"]}
    named = server(names=(*SERVER_NAMES, "*.example.org", "10.1.2.3"))

    said = examined(Role.SERVER, **more).facts.problem
    assert "names lack etcd.example.org, 10.1.2.3: have it made with them" in said
    assert examined(Role.SERVER, with_(**web(named)), **more).facts.problem == ""


def test_tangled_authorities_are_done_with_soon():
    """Each has signed each other, all by one key: the ways among them are countless."""
    crowd = [made("crowd", owner=key("crowd"), authority=True) for _ in range(24)]
    found = examined(Role.SERVER, with_(**web(server(by=crowd[0], above=tuple(crowd)))))

    assert "no authority in its ca.crt has signed it" in found.facts.problem


VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(),
    st.binary().map(lambda value: base64.b64encode(value).decode()),
    st.sampled_from(
        [
            base64.b64encode(value).decode()
            for value in (server().pem, root().pem, server().key_pem(), peer().key_pem(), ENCRYPTED)
        ]
    ),
)
DATA = st.dictionaries(st.sampled_from(["tls.crt", "tls.key", "ca.crt"]), VALUES)


@each(st.sampled_from([Role.SERVER, Role.CLIENT, Role.PEER]), DATA, DATA)
def test_anything_in_the_secrets_is_examined(role, first, second):
    found = {name: secret(name, {}) for name in ("web", "ours", "peers")}
    found["web"]["data"] = found["peers"]["data"] = first
    found["ours"]["data"] = second
    examined_ = examined(role, found)

    assert bool(examined_.facts.problem) is (examined_.data == {})
    for value in (*first.values(), *second.values()):
        if isinstance(value, str) and len(value) > 20:
            assert value not in examined_.facts.problem


def signed_with_sha1(of):
    """The library signs nothing so any more: the algorithm is changed in what was signed."""
    der = of.certificate.public_bytes(Encoding.DER)
    sha256, sha1 = "300a06082a8648ce3d040302", "300906072a8648ce3d0401"
    der = bytearray(der.replace(bytes.fromhex(sha256), bytes.fromhex(sha1)))
    for place, shorter in ((2, 2), (6, 1)):  # the lengths of the whole, and of what is signed
        length = int.from_bytes(der[place : place + 2], "big") - shorter
        der[place : place + 2] = length.to_bytes(2, "big")
    return block("CERTIFICATE", bytes(der))


def test_signature_that_anybody_can_forge_is_refused():
    said = examined(Role.SERVER, with_(**web(tls_crt=signed_with_sha1(server())))).facts.problem

    assert "it is signed with MD5 or SHA-1: have it signed with SHA-256" in said


LEAF = server(by=BETWEEN)
BLOCKS = {
    "tls.crt": ("CERTIFICATE", LEAF.certificate.public_bytes(Encoding.DER)),
    "tls.key": (
        "PRIVATE KEY",
        LEAF.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
    ),
    "ca.crt": ("CERTIFICATE", BETWEEN.certificate.public_bytes(Encoding.DER)),
}


def block(kind, der):
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n".encode()


def changed(text, place, byte):
    found = bytearray(text)
    found[place % len(found)] = byte
    return bytes(found)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@each(
    st.sampled_from(sorted(BLOCKS)),
    st.integers(min_value=0, max_value=2000),
    st.integers(min_value=0, max_value=255),
    st.booleans(),
)
def test_a_changed_byte_gives_a_clean_answer(name, place, byte, in_text):
    """In the text, or in what it encodes: where a certificate's fields are."""
    blocks = {key: block(kind, der) for key, (kind, der) in BLOCKS.items()}
    kind, der = BLOCKS[name]
    spoilt = block(kind, changed(der, place, byte))
    if in_text:
        spoilt = changed(blocks[name], place, byte)
    own = {"certificateSecret": "web"}
    found = examined(Role.SERVER, {"web": secret("web", {**blocks, name: spoilt})}, **own)

    assert bool(found.facts.problem) is (found.data == {})
    if found.data:
        again = {"web": secret("web", found.data)}
        assert examined(Role.SERVER, again, **own).data == found.data


def test_nothing_secret_is_shown():
    found = examined(Role.SERVER)

    assert str(found.data["tls.key"]) not in repr(found)
    assert dataclasses.asdict(found.facts)["certificate"]["common_name"] == "server"
