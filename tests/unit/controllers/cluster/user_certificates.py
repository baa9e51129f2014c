"""Certificates as users make them, good and bad, and the Secrets with them."""

from __future__ import annotations

import base64
import functools
import ipaddress
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.unit.controllers.cluster.builders import NOW

BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
SERVER_NAMES = ("db.prod.svc.cluster.local", "*.db-peer.prod.svc.cluster.local")
PEER_NAMES = ("db-peer.prod.svc.cluster.local", "*.db-peer.prod.svc.cluster.local")


@functools.cache
def key(name="key", kind="P-256"):
    """A private key of that name; the same one each time."""
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("RSA ")))
    curves = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-224": ec.SECP224R1}
    return ec.generate_private_key(curves[kind]())


class Made:
    """A certificate with its key, and whatever is between it and its authority."""

    def __init__(self, certificate, key, above=()):
        self.certificate = certificate
        self.key = key
        self.above = above

    @property
    def pem(self):
        chain = (self.certificate, *(one.certificate for one in self.above))
        return b"".join(one.public_bytes(Encoding.PEM) for one in chain)

    def key_pem(self, form=PrivateFormat.PKCS8, passphrase=None):
        how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, form, how)


def made(
    common_name="anything",
    *,
    by=None,
    above=(),
    names=(),
    uses=BOTH,
    owner=None,
    since=NOW - timedelta(days=1),
    life=timedelta(days=90),
    authority=None,
    path_length=None,
    may_sign=True,
):
    """A certificate; `by`: who signs it, None for itself. `authority`: None to say nothing."""
    owner = owner or key(common_name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(owner.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + life)
    )
    if authority is not None:
        limits = x509.BasicConstraints(ca=authority, path_length=path_length)
        builder = builder.add_extension(limits, critical=True)
    if not may_sign:
        usage = dict.fromkeys(_USAGES, False) | {"digital_signature": True}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    if uses and not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if names:
        found = x509.SubjectAlternativeName([_name(name) for name in names])
        builder = builder.add_extension(found, critical=False)
    return Made(builder.sign(by.key if by else owner, hashes.SHA256()), owner, above)


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@functools.cache
def root(name="root", **changes):
    """An authority that has signed itself."""
    life = timedelta(days=3650)
    return made(name, **{"authority": True, "life": life, **changes})


def server(**changes):
    """What certificateSecret holds for servers and clients."""
    return made("server", **{"by": root(), "names": SERVER_NAMES, **changes})


def peer(**changes):
    """What peerCertificateSecret holds."""
    more = {"by": root("peers"), "names": PEER_NAMES, **changes}
    return made(more.pop("common_name", "etcd-peer"), **more)


def secret(name, data):
    """A Secret as the server gives it; values in bytes."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "prod", "uid": f"uid-{name}"},
        "data": encoded,
    }


def pair(name, of, *authorities):
    """A Secret with a certificate, its key, and ca.crt if there are authorities."""
    data = {"tls.crt": of.pem, "tls.key": of.key_pem()}
    if authorities:
        data["ca.crt"] = b"".join(one.pem for one in authorities)
    return secret(name, data)


def authorities(name, *of):
    """A Secret with ca.crt alone."""
    return secret(name, {"ca.crt": b"".join(one.pem for one in of)})


def given():
    """All Secrets of `GIVEN`, by name."""
    found = (
        pair("web", server()),
        authorities("ours", root()),
        pair("peers", peer(), root("peers")),
    )
    return {one["metadata"]["name"]: one for one in found}


GIVEN = {"certificateSecret": "web", "caSecret": "ours", "peerCertificateSecret": "peers"}
