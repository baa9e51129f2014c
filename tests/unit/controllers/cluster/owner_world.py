"""The world of `rotation_world`, in which the user has authorities too: edits of the spec, Secrets
that the user writes at any moment, and certificates of whichever authority.
"""

import base64
import dataclasses
import functools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from api.v1alpha1.cluster import ClusterSpec
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.parse import fingerprint
from controllers.cluster.observed import Observed
from controllers.cluster.read_certificates import ReadCertificates
from controllers.cluster.render.tls import AUTHORITY_KEY, CALLER_KEY, CERTIFICATE_KEY
from tests.unit.controllers.cluster.builders import spec
from tests.unit.controllers.cluster.rotation_world import World
from tests.unit.controllers.cluster.user_certificates import pair, peer, root, server

WEB = {"certificateSecret": "web"}
MEMBERS = {"peerCertificateSecret": "members"}
_OURS = ("db-ca", "db-peer-ca")


@functools.cache
def web(authority: str) -> dict[str, Any]:
    """The user's Secret for servers and clients, by that authority of theirs."""
    return pair("web", server(by=root(authority)), root(authority))


@functools.cache
def members(authority: str) -> dict[str, Any]:
    """The one for members among themselves."""
    return pair("members", peer(by=root(authority)), root(authority))


def print_of(authority: str) -> str:
    return fingerprint(root(authority).certificate)


class OwnerWorld(World):
    """Begins with the operator's own authorities; what the user wants is said by `edit`."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, x509.Certificate] = {}

    # --- the user

    def edit(self, **tls: object) -> None:
        """All of spec.security.tls but that it is on."""
        wanted = spec(size=3, security={"tls": {"enabled": True, **tls}})
        self.base = dataclasses.replace(self.base, spec=wanted, generation=self.base.generation + 1)

    def put(self, secret: Mapping[str, Any]) -> None:
        """The user writes a Secret."""
        self.api._store(secret["metadata"]["name"], dict(secret))

    def look(self) -> Observed:
        applied = ClusterSpec.model_validate(self.status.applied_spec)
        self.base = dataclasses.replace(self.base, applied=applied)
        return super().look()

    # --- who shows what, and trusts whom

    def _dialled(self, read: ReadCertificates) -> Mapping[str, str]:
        assert read.tls is not None
        if read.borrowed:
            return self.dials
        found = {CERTIFICATE_KEY: read.tls.cert, AUTHORITY_KEY: read.tls.ca}
        return {key: base64.b64encode(value).decode() for key, value in found.items()}

    def _facts(self, data: Mapping[str, str], authority: Role, leaf: Role | None = None) -> Any:
        certificates = {
            key: x509.load_pem_x509_certificate(base64.b64decode(data[key]))
            for key in (CERTIFICATE_KEY, CALLER_KEY)
            if key in data
        }
        bundle = x509.load_pem_x509_certificates(base64.b64decode(data[AUTHORITY_KEY]))
        shown = {key: self._shown_as(one) for key, one in certificates.items()}
        return SimpleNamespace(
            certificate=shown[CERTIFICATE_KEY],
            caller=shown.get(CALLER_KEY, shown[CERTIFICATE_KEY]),
            trusts=frozenset(map(fingerprint, bundle)),
        )

    def _shown_as(self, certificate: x509.Certificate) -> SimpleNamespace:
        mine = fingerprint(certificate)
        if mine not in _ISSUERS:
            _ISSUERS[mine] = next(by for by in self._authorities() if _signed(certificate, by))
        return SimpleNamespace(fingerprint=mine, issuer=fingerprint(_ISSUERS[mine]))

    def _authorities(self) -> list[x509.Certificate]:
        """All that there have ever been."""
        found = [root(name).certificate for name in ("one", "two", "three")]
        for name in _OURS:
            for _, data in self.api.versions.get(name, ()):
                for key in (CERTIFICATE_KEY, "next-tls.crt"):
                    if data.get(key):
                        text = base64.b64decode(data[key])
                        found.append(x509.load_pem_x509_certificate(text))
        return found


_ISSUERS: dict[str, x509.Certificate] = {}


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
