"""The steps towards certificates.  Part of `steps.Action`.

Pure data, under the same rules as those in `steps`; nothing secret is in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from typing_extensions import override

from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.certificates.facts import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCertificate:
    """One Secret to be made, or made anew where `uid` names the one that is there."""

    role: Role
    secret: str
    uid: str
    not_before: datetime
    not_after: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCertificates:
    """Make keys and certificates, and write them into their Secrets.

    An authority is only ever created: one that came up meanwhile stays.  A leaf is signed by the
    authority whose fingerprint is recorded, or not at all.
    """

    certificates: tuple[WantedCertificate, ...]

    @override
    def __str__(self) -> str:
        return "Issue " + "; ".join(f"{one.secret}: {one.why}" for one in self.certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAuthorities:
    """Record which authorities the members trust, before anything is signed by them."""

    authorities: AuthorityStatus

    @override
    def __str__(self) -> str:
        return "Record the cluster's certificate authorities"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCopy:
    """One Secret to be filled from a Secret of the user's, which was found fit.

    `uid` names the one that is there; empty where there is none.
    """

    role: Role
    source: str
    secret: str
    uid: str
    fingerprint: str  # of the certificate that was found fit
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCertificates:
    """Examine the user's Secrets once more, as they are now, and copy what is in them."""

    copies: tuple[WantedCopy, ...]

    @override
    def __str__(self) -> str:
        return "Copy " + "; ".join(f"{one.source} to {one.secret}" for one in self.copies)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOrder:
    """A Certificate of cert-manager to be made, or to be changed where `uid` names one."""

    certificate: str
    uid: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCertificates:
    """Apply Certificates of cert-manager."""

    orders: tuple[WantedOrder, ...]

    @override
    def __str__(self) -> str:
        return "Order from cert-manager " + ", ".join(one.certificate for one in self.orders)


CertificateStep = IssueCertificates | RecordAuthorities | CopyCertificates | OrderCertificates
