"""Copies the user's certificates into the Secrets that the members mount.

Called by `act`.  Between plan and act the user may write anything into a Secret: it is read and
examined once more, and copied only if it still holds the certificate that was found fit.
"""

from collections.abc import Mapping
from typing import Any

from controllers.cluster.act_certificates import write_secret
from controllers.cluster.certificates.issue import secret_body
from controllers.cluster.certificates.sources import Source
from controllers.cluster.certificates.validate import Secrets, examine
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome
from controllers.cluster.plan.certificate_steps import CopyCertificates
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.sources import recorded_authority
from controllers.resources import SECRETS
from controllers.writer import Writer
from informers.errors import NotFoundError


async def copy_certificates(step: CopyCertificates, observed: Observed, writer: Writer) -> Outcome:
    """Take the step. Raises KubeError; after one that failed, or a cancellation, the copies before
    it are written, and the next plan names the others.
    """
    who = tls_identity(observed)
    assert who is not None
    sources = {source.role: source for source in who.sources}
    for wanted in step.copies:
        source = sources[wanted.role]
        examined = examine(source, await _read(source, observed, writer), who, observed.now)
        certificate = examined.facts.certificate
        is_same = certificate is not None and certificate.fingerprint == wanted.fingerprint
        if not is_same or examined.facts.authority != recorded_authority(observed, wanted.role):
            return Changed(what=f"Secret {wanted.source}")
        body = secret_body(who, wanted.role, examined.data)
        refused = await write_secret(wanted.secret, wanted.uid, body, writer)
        if refused is not None:
            return refused
    return Done()


async def _read(source: Source, observed: Observed, writer: Writer) -> Secrets:
    found = {name: await _get(name, observed, writer) for name in source.secrets}
    return {name: secret for name, secret in found.items() if secret is not None}


async def _get(name: str, observed: Observed, writer: Writer) -> Mapping[str, Any] | None:
    try:
        return await writer.api.get(SECRETS, namespace=observed.namespace, name=name)
    except NotFoundError:
        return None  # examining says so
