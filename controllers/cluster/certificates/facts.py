"""What is in the cluster's Secrets, without anything secret: the input of every decision.

Pure data, made by `parse` and a part of `Observed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a Secret of ours is for."""

    CLIENT_CA = "client-ca"
    PEER_CA = "peer-ca"
    SERVER = "server"
    PEER = "peer"
    CLIENT = "client"
    OPERATOR = "operator"


AUTHORITIES: Final = (Role.CLIENT_CA, Role.PEER_CA)
LEAVES: Final = (Role.SERVER, Role.PEER, Role.CLIENT, Role.OPERATOR)
ISSUER: Final = {
    Role.SERVER: Role.CLIENT_CA,
    Role.PEER: Role.PEER_CA,
    Role.CLIENT: Role.CLIENT_CA,
    Role.OPERATOR: Role.CLIENT_CA,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """One certificate."""

    fingerprint: str  # SHA-256, in hexadecimal
    common_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    serves: bool
    calls: bool
    is_authority: bool
    not_before: datetime
    not_after: datetime
    issuer: str  # the fingerprint of the authority of ours that signed it; empty: another one


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFacts:
    """One Secret. `problem` says in a few words why it can't be used; empty when it can."""

    uid: str
    controller: str  # the uid of its controller; empty without one
    problem: str = ""
    certificate: CertificateFacts | None = None
    caller: CertificateFacts | None = None  # the second certificate of the members' Secret
    trusts: tuple[str, ...] = ()  # fingerprints of what is in ca.crt
    next: CertificateFacts | None = None  # of an authority's Secret: the one that comes after it
    # Of a leaf's Secret: the same as `trusts`, by the keys that members mount in place of ca.crt.
    bundles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Facts = Mapping[Role, SecretFacts]
