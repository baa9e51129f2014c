"""Checks which fields of spec.security.tls go together.

Called by `cluster_rules`; pure.  What is in the Secrets is for the room that reads them.
"""

from collections.abc import Iterator

from api.errors import FieldError
from api.v1alpha1.cluster import TLS
from api.v1alpha1.tls_fields import SHORTEST_ISSUED_DURATION


def tls_errors(tls: TLS, path: str) -> Iterator[FieldError]:
    """Yield everything that is wrong with the encryption of a cluster."""
    if tls.enabled is False and not (tls.with_clients or tls.among_members):
        return
    server, peer, issuer = tls.certificate_secret, tls.peer_certificate_secret, tls.issuer_ref
    if tls.auto_tls is False and server is None and issuer is None:
        yield FieldError(
            f"{path}.autoTLS",
            "is false, and nobody else makes the members' certificates",
            "Set certificateSecret or issuerRef, or leave autoTLS out.",
        )
    if issuer is not None and server is not None:
        yield FieldError(
            f"{path}.issuerRef",
            "and certificateSecret are two sources of the same certificate",
            "Leave one of them out.",
        )
    if tls.client_certificate_secret is not None and server is None:
        yield FieldError(
            f"{path}.clientCertificateSecret",
            "needs certificateSecret beside it: other authorities sign only for themselves",
            "Set certificateSecret, or leave it out.",
        )
    yield from _operator_errors(tls, path)
    if tls.ca_secret is not None and server is None and peer is None and issuer is None:
        yield FieldError(
            f"{path}.caSecret",
            "is the authority of certificateSecret, which is not set",
            "Set certificateSecret, or leave it out.",
        )
    if peer is not None and peer == (tls.client_certificate_secret or server):
        yield FieldError(
            f"{path}.peerCertificateSecret",
            "must not be the Secret that clients use: whoever has it is a member",
            "Give the members a certificate of their own, or leave it out.",
        )
    yield from _duration_errors(tls, f"{path}.certificateDuration")


def _operator_errors(tls: TLS, path: str) -> Iterator[FieldError]:
    operator, server = tls.operator_certificate_secret, tls.certificate_secret
    if operator is None:
        return
    if server is None and tls.issuer_ref is None:
        yield FieldError(
            f"{path}.operatorCertificateSecret",
            "needs certificateSecret or issuerRef beside it: else the operator makes its own",
            "Set one of them, or leave it out.",
        )
    if operator in {server, tls.client_certificate_secret}:
        yield FieldError(
            f"{path}.operatorCertificateSecret",
            "must not be the Secret that clients use: whoever has it is root",
            "Give the operator a certificate of its own.",
        )


def undecided_errors(said: TLS, decided: TLS, path: str) -> Iterator[FieldError]:
    """Yield what is wrong where `enabled` is left out: who names certificates wants TLS, and a
    cluster in plain text would quietly go on without. Said to be off, they wait for it to be on.
    """
    names_some = said.certificate_secret or said.issuer_ref or said.peer_certificate_secret
    if said.enabled is None and names_some and not (decided.with_clients or decided.among_members):
        yield FieldError(
            f"{path}.enabled",
            "is left out, certificates are named, and the cluster speaks plain text",
            "Set it to true to switch TLS on, or to false to leave it off.",
        )


def _duration_errors(tls: TLS, path: str) -> Iterator[FieldError]:
    if tls.certificate_duration is None:
        return
    if tls.certificate_secret is not None and tls.peer_certificate_secret is not None:
        yield FieldError(
            path,
            "is for certificates that the operator or cert-manager makes, and all of them are"
            " yours",
            "Leave it out.",
        )
    if tls.issuer_ref is not None and tls.certificate_life < SHORTEST_ISSUED_DURATION:
        yield FieldError(path, "must be at least 1h with issuerRef", "cert-manager takes no less.")
