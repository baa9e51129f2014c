"""The certificates as status shows them, and what TLSReady says of them.

Pure.  Called by `status` and `conditions`.
"""

from datetime import datetime, timedelta
from typing import Final

from api.conditions import ConditionStatus
from api.reasons import Reason
from api.v1alpha1.cluster_status import CertificateStatus
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION
from controllers.cluster.certificates.due import renew_after
from controllers.cluster.certificates.facts import AUTHORITIES, LEAVES, Facts, Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.observed import Observed
from controllers.cluster.plan.certificates import certificate_trouble, tls_identity
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
    sources = {source.role: source.secret for source in who.sources}
    return tuple(
        CertificateStatus(
            secret=secret_name(observed.name, role),
            source=sources.get(role, ""),
            not_after=secret.certificate.not_after,
            renew_after=renew_after(secret.certificate, who.leaf_life)
            if role in who.own_leaves
            else None,
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
    facts = observed.certificates.facts
    message = f"All certificates are valid until {_when(_first_end(facts, LEAVES))}"
    if not who.own_leaves:
        return "True", Reason.CERTIFICATES_VALID, message
    authorities = _first_end(facts, who.own_authorities)
    until = f"the authorities until {_when(authorities)}"
    if authorities < observed.now + _TOO_SHORT:
        told = f"No certificate can be valid for longer than its authority: {until}"
        return "False", Reason.AUTHORITY_EXPIRING, told
    made = [facts[role].certificate for role in who.own_leaves]
    renewed = min(renew_after(found, who.leaf_life) for found in made if found is not None)
    whose = "" if len(who.own_leaves) == len(LEAVES) else "the operator's "
    message = f"{message} and {whose}renewed after {_when(renewed)}; {until}"
    return "True", Reason.CERTIFICATES_VALID, message


def _first_end(facts: Facts, roles: tuple[Role, ...]) -> datetime:
    found = [facts[role].certificate for role in roles]
    return min(one.not_after for one in found if one is not None)


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
