"""Which certificates come from Secrets of the user's, and what is known of these.

Pure data.  A member never mounts such a Secret: what is in it is examined (`validate`), and then
copied into the Secret that the operator would have made itself, so that a bad renewal reaches
nobody.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from api.labels import issued_client_name, issued_server_name
from api.v1alpha1.cluster import TLS
from controllers.cluster.certificates.facts import CertificateFacts, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The user's Secret for one role.

    `authorities`: the Secrets in which its authority is looked for; the first that has a ca.crt
    counts, or the first of all.
    """

    role: Role
    field: str  # of spec.security.tls
    secret: str
    authorities: tuple[str, ...]
    issued: bool = False  # by cert-manager, on our order: a Certificate of the Secret's name

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of all Secrets that are read for it."""
        return (self.secret, *self.authorities)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What came of examining a source, without anything secret.

    `problem` says what keeps it from being used, with the remedy; empty when it can be, and then
    all the rest is there.
    """

    problem: str = ""
    missing: str = ""  # the name of its Secret, or of its authority's, that does not exist
    certificate: CertificateFacts | None = None
    authority: str = ""  # what status.authorities records of its ca.crt
    ends: datetime | None = None  # the first end, of the certificate or of one above it
    copied: bool = False  # the role's own Secret holds exactly this certificate and key


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What there is of a Certificate of cert-manager.

    `unread` says why nothing is known of it; `current`: it asks for what is wanted now.
    """

    unread: str = ""
    installed: bool = True  # whether Kubernetes knows the kind
    uid: str = ""  # empty: there is none
    controller: str = ""
    current: bool = False
    message: str = ""  # of its condition Ready, in cert-manager's words


def sources_of(cluster: str, tls: TLS) -> tuple[Source, ...]:
    """The sources that a spec names, in the order of roles; empty when all is the operator's."""
    found = []
    if tls.certificate_secret:
        server, authority = tls.certificate_secret, tls.ca_secret or tls.certificate_secret
        found.append(_source(Role.SERVER, "certificateSecret", server, authority))
        client = tls.client_certificate_secret
        field = "clientCertificateSecret" if client else "certificateSecret"
        found.append(_source(Role.CLIENT, field, client or server, authority))
    if tls.issuer_ref:
        ordered = {
            Role.SERVER: issued_server_name(cluster),
            Role.CLIENT: issued_client_name(cluster),
        }
        found += [
            replace(_source(role, "issuerRef", name, tls.ca_secret or name), issued=True)
            for role, name in ordered.items()
        ]
    if tls.operator_certificate_secret and found:
        operator, places = tls.operator_certificate_secret, found[0].authorities
        found.append(_source(Role.OPERATOR, "operatorCertificateSecret", operator, *places))
    if tls.peer_certificate_secret:
        peer = tls.peer_certificate_secret
        places = (peer, tls.ca_secret) if tls.ca_secret else (peer,)
        found.append(_source(Role.PEER, "peerCertificateSecret", peer, *places))
    return tuple(found)


def _source(role: Role, field: str, secret: str, *authorities: str) -> Source:
    return Source(role=role, field=field, secret=secret, authorities=authorities)
