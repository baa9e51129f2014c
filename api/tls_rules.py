"""Checks which fields of spec.security.tls go together.

Called by `cluster_rules`; pure.  What is in the Secrets is for the room that reads them.
"""

from collections.abc import Iterator

from api.errors import FieldError
from api.v1alpha1.cluster import TLS


def tls_errors(tls: TLS, path: str) -> Iterator[FieldError]:
    """Yield everything that is wrong with the encryption of a cluster."""
    if tls.enabled is False:
        return
    server, peer = tls.certificate_secret, tls.peer_certificate_secret
    if tls.auto_tls is False and server is None:
        yield FieldError(
            f"{path}.autoTLS",
            "is false, and nobody else makes the members' certificates",
            "Set certificateSecret, or leave autoTLS out.",
        )
    if tls.client_certificate_secret is not None and server is None:
        yield FieldError(
            f"{path}.clientCertificateSecret",
            "needs certificateSecret beside it: the operator's own authority signs only for itself",
            "Set certificateSecret, or leave it out.",
        )
    if tls.ca_secret is not None and server is None and peer is None:
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
    if tls.certificate_duration is not None and server is not None and peer is not None:
        yield FieldError(
            f"{path}.certificateDuration",
            "is for certificates that the operator makes, and all of them are yours",
            "Leave it out.",
        )
