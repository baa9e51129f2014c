"""The steps towards certificates.  Part of `steps.Action`.

Pure data, under the same rules as those in `steps`; nothing secret is in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from typing_extensions import override

from api.v1alpha1.cluster_status import AuthorityStatus, Rendering
from controllers.cluster.certificates.facts import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCertificate:
    """One Secret to be made, or made anew where `uid` names the one that is there.

    `keeps`: the certificates in it stay, and only whom its owner trusts is written.
    """

    role: Role
    secret: str
    uid: str
    not_before: datetime
    not_after: datetime
    why: str
    keeps: bool = False


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
class RecordRotation:
    """Record the next phase of a rotation: what follows from it is done after that.

    `rendered`: with it members are to be restarted, to trust what this template mounts.
    """

    authorities: AuthorityStatus
    why: str
    rendered: Rendering | None = None

    @override
    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeNextAuthority:
    """Make the authority that is to come after the one with this fingerprint, beside it in its
    Secret; one that came up meanwhile stays.
    """

    role: Role
    secret: str
    after: str
    not_before: datetime
    not_after: datetime

    @override
    def __str__(self) -> str:
        return f"Make the next authority in Secret {self.secret}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceAuthority:
    """Put the next authority in the place of the old one, whose key goes; then record it."""

    role: Role
    secret: str
    by: str  # its fingerprint
    then: AuthorityStatus

    @override
    def __str__(self) -> str:
        return f"Drop the old authority from Secret {self.secret}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceCertificate:
    """Note on pods which certificate they are to show: kubelet looks at their files at once then,
    and not within a minute and a half.
    """

    pods: tuple[tuple[str, str], ...]  # names and uids
    fingerprint: str

    @override
    def __str__(self) -> str:
        return f"Have kubelet bring new certificates to {', '.join(name for name, _ in self.pods)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRotationRequest:
    """Take the annotation away that asked for a rotation, which is recorded by now."""

    asked: str

    @override
    def __str__(self) -> str:
        return f"Acknowledge the request to rotate ({self.asked})"


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


CertificateStep = (
    IssueCertificates
    | RecordAuthorities
    | RecordRotation
    | MakeNextAuthority
    | ReplaceAuthority
    | AnnounceCertificate
    | DropRotationRequest
    | CopyCertificates
    | OrderCertificates
)


def names_of(step: object) -> tuple[str, ...]:
    """The Secrets, or Certificates, that a step writes; none for a step that writes no such."""
    match step:
        case IssueCertificates(certificates=certificates):
            return tuple(one.secret for one in certificates)
        case CopyCertificates(copies=copies):
            return tuple(one.secret for one in copies)
        case OrderCertificates(orders=orders):
            return tuple(one.certificate for one in orders)
        case MakeNextAuthority(secret=secret) | ReplaceAuthority(secret=secret):
            return (secret,)
        case _:
            return ()
