"""PEM texts → gRPC credentials for dialling a member.

The texts come from Secrets and are kept out of every repr and log line.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTLS:
    """What a client of etcd needs, as PEM.

    ca: whom to trust, one or more certificates. cert and key: who we are; both or neither. With
    `--client-cert-auth` and authentication on, the certificate's CN is the user.
    Raises ValueError for anything that isn't PEM, so that gRPC doesn't fail at the first call.
    """

    ca: bytes = field(repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.cert is None) is not (self.key is None):
            raise ValueError("a client certificate needs its key, and the other way round")
        _require(self.ca, b"-----BEGIN CERTIFICATE-----", "the CA bundle")
        if self.cert is not None and self.key is not None:
            _require(self.cert, b"-----BEGIN CERTIFICATE-----", "the client certificate")
            _require(self.key, b"PRIVATE KEY-----", "the client key")

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca, private_key=self.key, certificate_chain=self.cert
        )


def _require(pem: bytes, mark: bytes, what: str) -> None:
    if mark not in pem:
        message = f"{what} is not PEM"
        raise ValueError(message)
