"""The certificates as status shows them, and what TLSReady says of them.

Pure.  Called by `status` and `conditions`.
"""

from datetime import datetime, timedelta
from typing import Final

from api.conditions import ConditionStatus
from api.labels import ROTATE_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import CertificateStatus
from controllers.cluster.certificates.due import LEAF_LIFE, renew_after, rotate_after
from controllers.cluster.certificates.facts import AUTHORITIES, LEAVES, CertificateFacts, Role
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import signer_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan.certificates import certificate_trouble, tls_identity
from controllers.cluster.plan.rotation import unknown_request, wait_for_rotation

# Less than this is left of a leaf that is renewed in time.
_TOO_SHORT: Final[timedelta] = LEAF_LIFE / 3


def certificates_of(observed: Observed) -> tuple[CertificateStatus, ...]:
    """Every certificate that was read; what was shown before where nothing could be read."""
    if observed.certificates.unread:
        return observed.status.certificates
    return tuple(
        CertificateStatus(
            secret=secret_name(observed.name, role),
            not_after=secret.certificate.not_after,
            renew_after=_renewed_after(role, secret.certificate),
        )
        for role in (*AUTHORITIES, *LEAVES)
        if (secret := observed.certificates.facts.get(role)) and secret.certificate
    )


def tls_verdict(observed: Observed) -> tuple[ConditionStatus, Reason, str]:
    """What the condition TLSReady says."""
    if tls_identity(observed) is None:
        if observed.spec is not None and observed.spec.security.tls.enabled:
            return "Unknown", Reason.UNKNOWN, "No spec with TLS has been accepted"
        return "False", Reason.TLS_DISABLED, "spec.security.tls.enabled is false"
    trouble = certificate_trouble(observed)
    if trouble is not None:
        status: ConditionStatus = "Unknown" if observed.certificates.unread else "False"
        return status, trouble.reason, trouble.message
    facts, recorded = observed.certificates.facts, observed.status.authorities
    assert recorded is not None
    leaves = [facts[role].certificate for role in LEAVES]
    first_authority = _first_end([signer_of(role, facts, recorded) for role in AUTHORITIES])
    ends = _first_end(leaves)
    authorities = f"the authorities until {first_authority:%Y-%m-%d %H:%M} UTC"
    if first_authority < observed.now + _TOO_SHORT:
        message = f"No certificate can be valid for longer than its authority: {authorities}"
        return "False", Reason.AUTHORITY_EXPIRING, message
    renewed = min(renew_after(found) for found in leaves if found is not None)
    message = (
        f"All certificates are valid until {ends:%Y-%m-%d %H:%M} UTC and renewed after"
        f" {renewed:%Y-%m-%d %H:%M} UTC; {authorities}{_rotation(observed)}"
    )
    return "True", Reason.CERTIFICATES_VALID, message


def _renewed_after(role: Role, certificate: CertificateFacts) -> datetime:
    return rotate_after(certificate) if role in AUTHORITIES else renew_after(certificate)


def _rotation(observed: Observed) -> str:
    """What there is to say of a rotation, that is under way or was asked for in unknown words."""
    waits, unknown = wait_for_rotation(observed), unknown_request(observed)
    said = f". {waits.message}" if waits else ""
    if unknown:
        said += (
            f". The annotation {ROTATE_ANNOTATION} says {unknown!r}: set it to client, peer or all"
        )
    return said


def _first_end(certificates: list[CertificateFacts | None]) -> datetime:
    return min(found.not_after for found in certificates if found is not None)
