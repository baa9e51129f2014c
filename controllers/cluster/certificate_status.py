"""The certificates as status shows them, and what TLSReady says of them.

Pure.  Called by `status` and `conditions`.
"""

from datetime import datetime, timedelta
from typing import Final

from api.conditions import ConditionStatus
from api.labels import ROTATE_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import CertificateStatus
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION
from controllers.cluster.certificates.due import renew_after, rotate_after
from controllers.cluster.certificates.facts import (
    AUTHORITIES,
    ISSUER,
    LEAVES,
    CertificateFacts,
    Role,
)
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import signer_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan.certificates import certificate_trouble, tls_identity
from controllers.cluster.plan.rotation import unknown_request, wait_for_rotation
from controllers.cluster.plan.sources import running_out

# Less than this is left of a leaf of the usual life that is renewed in time.
_TOO_SHORT: Final[timedelta] = DEFAULT_CERTIFICATE_DURATION / 3


def certificates_of(observed: Observed) -> tuple[CertificateStatus, ...]:
    """Every certificate that was read; what was shown before where nothing could be read."""
    who = tls_identity(observed)
    if who is None:
        return ()
    if observed.certificates.unread:
        return observed.status.certificates
    copied = (one for one in who.sources if ISSUER[one.role] in who.given)
    sources = {source.role: source.secret for source in copied}
    return tuple(
        CertificateStatus(
            secret=secret_name(observed.name, role),
            source=sources.get(role, ""),
            not_after=secret.certificate.not_after,
            renew_after=_renewed_after(who, role, secret.certificate),
        )
        for role in (*AUTHORITIES, *LEAVES)
        if (secret := observed.certificates.facts.get(role)) and secret.certificate
    )


def tls_verdict(observed: Observed) -> tuple[ConditionStatus, Reason, str]:
    """What the condition TLSReady says."""
    who = tls_identity(observed)
    if who is None:
        if observed.spec is not None and observed.spec.security.tls.enabled:
            return "Unknown", Reason.UNKNOWN, "No spec with TLS has been accepted"
        return "False", Reason.TLS_DISABLED, "spec.security.tls.enabled is false"
    trouble = certificate_trouble(observed)
    if trouble is not None:
        status: ConditionStatus = "Unknown" if observed.certificates.unread else "False"
        return status, trouble.reason, trouble.message
    ending = running_out(observed, who)
    if ending is not None:
        source, ends = ending
        message = f"Secret {source.secret} ({source.field}), or an authority above it, ends at"
        return "False", Reason.CERTIFICATE_EXPIRING, f"{message} {_when(ends)}"
    return _verdict_on_own(observed, who)


def _verdict_on_own(observed: Observed, who: Holder) -> tuple[ConditionStatus, Reason, str]:
    """All is well now: how long it is going to be."""
    facts, recorded = observed.certificates.facts, observed.status.authorities
    assert recorded is not None
    ends = _first_end([facts[role].certificate for role in who.leaves])
    message = f"All certificates are valid until {_when(ends)}"
    if not who.own_leaves:
        return "True", Reason.CERTIFICATES_VALID, message + _rotation(observed)
    signers = [signer_of(role, facts, recorded) for role in who.own_authorities]
    authorities = f"the authorities until {_when(_first_end(signers))}"
    if _first_end(signers) < observed.now + _TOO_SHORT:
        told = f"No certificate can be valid for longer than its authority: {authorities}"
        return "False", Reason.AUTHORITY_EXPIRING, told
    made = [facts[role].certificate for role in who.own_leaves]
    renewed = min(renew_after(found, who.leaf_life) for found in made if found is not None)
    whose = "the operator's " if who.sources else ""
    message += f" and {whose}renewed after {_when(renewed)}; {authorities}{_rotation(observed)}"
    return "True", Reason.CERTIFICATES_VALID, message


def _renewed_after(who: Holder, role: Role, certificate: CertificateFacts) -> datetime | None:
    """None of what was copied."""
    if role in AUTHORITIES:
        return rotate_after(certificate)
    return renew_after(certificate, who.leaf_life) if role in who.own_leaves else None


def _rotation(observed: Observed) -> str:
    """What there is to say of a rotation, that is under way or was asked for in unknown words."""
    waits, unknown = wait_for_rotation(observed), unknown_request(observed)
    said = f". {waits.message}" if waits else ""
    if unknown:
        said += (
            f". The annotation {ROTATE_ANNOTATION} says {unknown!r}: set it to client, peer or all,"
            " and only to an authority that the operator made"
        )
    return said


def _first_end(certificates: list[CertificateFacts | None]) -> datetime:
    return min(found.not_after for found in certificates if found is not None)


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
