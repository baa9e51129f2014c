"""Copies the user's certificates into the Secrets that the members mount, and orders some.

Called by `act`.  Between plan and act the user may write anything into a Secret: it is read and
examined once more, and copied only if it still holds the certificate that was found fit.
"""

from collections.abc import Mapping
from typing import Any

from api.labels import FIELD_MANAGER
from api.reasons import Reason
from controllers.cluster.act_certificates import (
    SecretStep,
    perform_on_certificates,
    with_trust,
    write_secret,
)
from controllers.cluster.certificates.sources import Source
from controllers.cluster.certificates.validate import Secrets, examine
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome, Rejected, first_failure
from controllers.cluster.plan.certificate_steps import (
    CopyCertificates,
    OrderCertificates,
    WantedCopy,
    WantedOrder,
)
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.sources import signing_authority
from controllers.cluster.render.tls import AUTHORITY_KEY
from controllers.resources import CERTIFICATES, SECRETS
from controllers.writer import Writer, namespace_is_going
from informers.errors import ConflictError, NotFoundError, StatusError

SourceStep = CopyCertificates | OrderCertificates


async def perform_on_secrets(
    step: SecretStep | SourceStep, observed: Observed, writer: Writer
) -> Outcome:
    """Take the step. Raises KubeError; after one that failed, or a cancellation, what comes before
    it is written, and the next plan names the rest.
    """
    if isinstance(step, OrderCertificates):
        return await _order(step, writer)
    if isinstance(step, CopyCertificates):
        return await _copy(step, observed, writer)
    return await perform_on_certificates(step, observed, writer)


async def _copy(step: CopyCertificates, observed: Observed, writer: Writer) -> Outcome:
    """All of them, whatever becomes of one."""
    return first_failure([await _copy_one(wanted, observed, writer) for wanted in step.copies])


async def _copy_one(wanted: WantedCopy, observed: Observed, writer: Writer) -> Outcome:
    who = tls_identity(observed)
    assert who is not None
    source = next(source for source in who.sources if source.role == wanted.role)
    examined = examine(source, await _read(source, observed, writer), who, observed.now)
    certificate = examined.facts.certificate
    is_same = certificate is not None and certificate.fingerprint == wanted.fingerprint
    if not is_same or examined.facts.authority != signing_authority(observed, wanted.role):
        return Changed(what=f"Secret {wanted.source}")
    old = await _get(wanted.secret, observed, writer) if wanted.uid else None
    data = {key: value for key, value in examined.data.items() if key != AUTHORITY_KEY}
    try:
        body = await with_trust(wanted.role, data, old, observed, writer)
    except KeyError:
        return Changed(what=f"the authority of Secret {wanted.source}")
    return await write_secret(wanted.secret, wanted.uid, body, writer)


async def _order(step: OrderCertificates, writer: Writer) -> Outcome:
    """All of them, whatever becomes of one."""
    return first_failure([await _order_one(order, writer) for order in step.orders])


async def _order_one(order: WantedOrder, writer: Writer) -> Outcome:
    """A Certificate that came up meanwhile is a conflict.  Every other refusal is an outcome:
    cert-manager's webhook may be down, and the cluster is cared for nevertheless.
    """
    meta = order.body["metadata"]
    uid = {"uid": order.uid} if order.uid else {}
    try:
        await writer.api.apply(
            CERTIFICATES,
            {**order.body, "metadata": {**meta, **uid}},
            namespace=meta["namespace"],
            name=order.certificate,
            field_manager=FIELD_MANAGER,
            force=bool(order.uid),
            timeout_s=writer.timeout_s(),
        )
    except ConflictError:
        raise
    except StatusError as error:
        if namespace_is_going(error):
            raise
        message = f"Certificate {order.certificate} can't be written: {error.message}"
        return Rejected(reason=Reason.NOT_ALLOWED, message=message, name=order.certificate)
    return Done()


async def _read(source: Source, observed: Observed, writer: Writer) -> Secrets:
    found = {name: await _get(name, observed, writer) for name in source.secrets}
    return {name: secret for name, secret in found.items() if secret is not None}


async def _get(name: str, observed: Observed, writer: Writer) -> Mapping[str, Any] | None:
    try:
        return await writer.api.get(SECRETS, namespace=observed.namespace, name=name)
    except NotFoundError:
        return None  # examining says so
