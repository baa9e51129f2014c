"""Makes keys and certificates, and writes them into their Secrets.

Called by `act`, which turns a conflict into `Changed`.  What must never happen: an authority that
is written over, or a certificate of an authority that the members don't trust.  So an authority is
only created, and before it signs it is read from the server and compared with what is recorded.
Nothing of a Secret's data goes into a log, an error or an outcome.

Not through the writer, which waits for an echo in a cache: Secrets are in none.
"""

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from api.labels import FIELD_MANAGER
from api.reasons import Reason
from controllers.cluster.certificates.due import recorded
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.issue import (
    Authority,
    authority_from,
    authority_secret,
    leaf_secret,
    new_authority,
)
from controllers.cluster.certificates.parse import fingerprint
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome, Rejected
from controllers.cluster.plan.certificate_steps import IssueCertificates, WantedCertificate
from controllers.cluster.plan.certificates import tls_identity
from controllers.resources import SECRETS
from controllers.writer import Writer, is_final, namespace_is_going
from informers.errors import AlreadyExistsError, NotFoundError, StatusError


async def issue_certificates(
    step: IssueCertificates, observed: Observed, writer: Writer
) -> Outcome:
    """Take the step. Raises KubeError; after one that failed, or a cancellation, the Secrets before
    it are written, and the next plan names the others.
    """
    who = tls_identity(observed)
    assert who is not None
    for wanted in step.certificates:
        if wanted.role in AUTHORITIES:
            body = _new_authority(wanted, who)
        else:
            authority = await _authority(wanted, who, observed, writer)
            if authority is None:
                return Changed(what=f"the authority that is to sign {wanted.secret}")
            body = leaf_secret(
                who,
                wanted.role,
                authority,
                key=_new_key(),
                serials=(x509.random_serial_number(), x509.random_serial_number()),
                life=(wanted.not_before, wanted.not_after),
            )
        refused = await write_secret(wanted.secret, wanted.uid, body, writer)
        if refused is not None:
            return refused
    return Done()


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _new_authority(wanted: WantedCertificate, who: Holder) -> Mapping[str, Any]:
    authority = new_authority(
        who.name,
        wanted.role,
        _new_key(),
        x509.random_serial_number(),
        (wanted.not_before, wanted.not_after),
    )
    return authority_secret(who, wanted.role, authority)


async def _authority(
    wanted: WantedCertificate, who: Holder, observed: Observed, writer: Writer
) -> Authority | None:
    """The authority that signs, as it is now; None when it is not the one that is recorded."""
    role, authorities = ISSUER[wanted.role], observed.status.authorities
    name = secret_name(who.name, role)
    try:
        secret = await writer.api.get(SECRETS, namespace=observed.namespace, name=name)
        authority = authority_from(secret)
    except (NotFoundError, ValueError):
        return None
    same = authorities and fingerprint(authority.certificate) == recorded(authorities, role)
    return authority if same else None


async def write_secret(
    name: str, uid: str, body: Mapping[str, Any], writer: Writer
) -> Outcome | None:
    """None when it is written: anew, or over the one with this uid. Raises KubeError."""
    try:
        await _send(name, uid, body, writer)
    except AlreadyExistsError:
        return Changed(what=f"Secret {name} exists")
    except StatusError as error:
        if not is_final(error) or namespace_is_going(error):
            raise
        message = f"Secret {name} can't be written: {error.message}"
        return Rejected(reason=Reason.NOT_ALLOWED, message=message)
    return None


async def _send(name: str, uid: str, body: Mapping[str, Any], writer: Writer) -> None:
    namespace, timeout_s = body["metadata"]["namespace"], writer.timeout_s()
    if not uid:
        await writer.api.create(SECRETS, body, namespace=namespace, timeout_s=timeout_s)
        return
    await writer.api.apply(
        SECRETS,
        {**body, "metadata": {**body["metadata"], "uid": uid}},
        namespace=namespace,
        name=name,
        field_manager=FIELD_MANAGER,
        force=True,
        timeout_s=timeout_s,
    )
