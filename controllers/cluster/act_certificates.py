"""Makes keys and certificates, and writes them into their Secrets.

Called by `act`, which turns a conflict into `Changed`.  What must never happen: an authority that
is written over while anybody needs it, or a certificate of one that the members don't trust.  So an
authority is only created, the next one comes beside it, and before one signs it is read from the
server and compared with what is recorded.
Nothing of a Secret's data goes into a log, an error or an outcome.

Not through the writer, which waits for an echo in a cache: Secrets are in none.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from api.labels import FIELD_MANAGER, ROTATE_ANNOTATION, SHOW_ANNOTATION
from api.reasons import Reason
from controllers.cluster.act_pods import hint
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER, Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.issue import (
    authority_from,
    authority_secret,
    kept_data,
    leaf_data,
    leaf_secret,
    new_authority,
    next_authority,
    succeeded,
    trust_data,
)
from controllers.cluster.certificates.parse import (
    authorities_in,
    bundles_in,
    decoded,
    read_facts,
)
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import SHOWN, trust_of
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome, Rejected, first_failure
from controllers.cluster.plan.certificate_steps import (
    AnnounceCertificate,
    DropRotationRequest,
    IssueCertificates,
    MakeNextAuthority,
    ReplaceAuthority,
    WantedCertificate,
)
from controllers.cluster.plan.certificates import tls_identity
from controllers.resources import CLUSTERS, SECRETS
from controllers.writer import Writer, is_final, namespace_is_going
from informers.errors import AlreadyExistsError, NotFoundError, StatusError

# What is written into Secrets, or about them.
SecretStep = (
    IssueCertificates
    | MakeNextAuthority
    | ReplaceAuthority
    | AnnounceCertificate
    | DropRotationRequest
)


async def perform_on_certificates(step: SecretStep, observed: Observed, writer: Writer) -> Outcome:
    """Take the step. Raises KubeError; after one that failed, or a cancellation, the Secrets before
    it are written, and the next plan names the others.
    """
    match step:
        case IssueCertificates():
            return await _issue(step, observed, writer)
        case MakeNextAuthority():
            return await _make_next(step, observed, writer)
        case ReplaceAuthority():
            return await _replace(step, observed, writer)
        case AnnounceCertificate(pods=pods, fingerprint=fingerprint):
            note = {SHOW_ANNOTATION: fingerprint}
            return first_failure(
                [await hint(name, uid, note, observed, writer) for name, uid in pods]
            )
        case DropRotationRequest():
            return await _drop_request(step, observed, writer)
        case _:
            assert_never(step)


async def _issue(step: IssueCertificates, observed: Observed, writer: Writer) -> Outcome:
    """All of them, whatever becomes of one: a Secret that can't be written must not cost another
    its renewal.
    """
    outcomes = [await _issue_one(wanted, observed, writer) for wanted in step.certificates]
    return first_failure(outcomes)


async def _issue_one(wanted: WantedCertificate, observed: Observed, writer: Writer) -> Outcome:
    who = tls_identity(observed)
    assert who is not None
    if wanted.role in AUTHORITIES:
        body: Mapping[str, Any] | None = _new_authority(wanted, who)
    else:
        body = await _leaf(wanted, who, observed, writer)
    if body is None:
        return Changed(what=f"what Secret {wanted.secret} is to be made from")
    return await write_secret(wanted.secret, wanted.uid, body, writer)


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


async def _leaf(
    wanted: WantedCertificate, who: Holder, observed: Observed, writer: Writer
) -> dict[str, Any] | None:
    """A leaf's Secret, from what is on the server now; None when that is not what it was when this
    was planned.
    """
    role, authorities = wanted.role, observed.status.authorities
    assert authorities is not None
    old = await _get(wanted.secret, observed, writer) if wanted.uid else None
    if wanted.uid and old is None:
        return None
    try:
        if wanted.keeps and old is not None:
            data = kept_data(role, old)
        else:
            source = await _get(secret_name(who.name, ISSUER[role]), observed, writer)
            wanted_signer = trust_of(authorities, ISSUER[role]).signer
            signer = authority_from(source, wanted_signer) if source is not None else None
            if signer is None:
                return None
            data = leaf_data(
                who,
                role,
                signer,
                key=_new_key(),
                serials=(x509.random_serial_number(), x509.random_serial_number()),
                life=(wanted.not_before, wanted.not_after),
            )
        return await with_trust(role, data, old, observed, writer)
    except (ValueError, KeyError):
        return None


async def with_trust(
    role: Role,
    data: Mapping[str, bytes],
    old: Mapping[str, Any] | None,
    observed: Observed,
    writer: Writer,
) -> dict[str, Any]:
    """A leaf's Secret with these certificates, and with whom its owner is to trust.

    `old`: what is there. While an authority is replaced, pods may mount any bundle that is in it:
    all stay. Raises KeyError for an authority that is nowhere to be found.
    """
    who, authorities = tls_identity(observed), observed.status.authorities
    assert who is not None
    assert authorities is not None
    names = [secret_name(who.name, one) for one in (ISSUER[role], SHOWN[ISSUER[role]])]
    for source in who.sources:
        names += source.authorities if ISSUER[source.role] is ISSUER[role] else ()
    found = [await _get(name, observed, writer) for name in dict.fromkeys(names)]
    known = [one for secret in (old, *found) if secret for one in authorities_in(secret)]
    keys = bundles_in(old) if old and authorities.rotation else {}
    stay = {key: decoded(old, key) for key in keys} if old else {}
    body = leaf_secret(who, role, {**data, **stay, **trust_data(role, authorities, known)})
    if old is not None:
        version = {"resourceVersion": old["metadata"]["resourceVersion"]}
        body = {**body, "metadata": {**body["metadata"], **version}}
    return body


async def _make_next(step: MakeNextAuthority, observed: Observed, writer: Writer) -> Outcome:
    """Under the resourceVersion it was read at: two operators make one."""
    secret = await _get(step.secret, observed, writer)
    if secret is None or authority_from(secret, step.after) is None:
        return Changed(what=f"the authority in Secret {step.secret}")
    if read_facts({step.role: secret})[step.role].next is not None:
        return Done()
    authority = new_authority(
        observed.name,
        step.role,
        _new_key(),
        x509.random_serial_number(),
        (step.not_before, step.not_after),
    )
    return await _patch(step.secret, secret, next_authority(authority), observed, writer)


async def _replace(step: ReplaceAuthority, observed: Observed, writer: Writer) -> Outcome:
    secret = await _get(step.secret, observed, writer)
    authority = authority_from(secret, step.by) if secret is not None else None
    if secret is None or authority is None:
        return Changed(what=f"the next authority in Secret {step.secret}")
    found = read_facts({step.role: secret})[step.role]
    if found.next is None and found.certificate and found.certificate.fingerprint == step.by:
        return Done()
    return await _patch(step.secret, secret, succeeded(authority), observed, writer)


async def _drop_request(step: DropRotationRequest, observed: Observed, writer: Writer) -> Outcome:
    """What was asked meanwhile stays: the patch is of the EtcdCluster as it was observed."""
    metadata = {
        "annotations": {ROTATE_ANNOTATION: None},
        "resourceVersion": observed.resource_version,
        "uid": observed.uid,
    }
    await writer.patch(CLUSTERS, observed.namespace, observed.name, {"metadata": metadata})
    return Done()


async def _get(name: str, observed: Observed, writer: Writer) -> Mapping[str, Any] | None:
    try:
        return await writer.api.get(SECRETS, namespace=observed.namespace, name=name)
    except NotFoundError:
        return None


async def _patch(
    name: str,
    secret: Mapping[str, Any],
    data: Mapping[str, str | None],
    observed: Observed,
    writer: Writer,
) -> Outcome:
    metadata = {key: secret["metadata"][key] for key in ("uid", "resourceVersion")}
    try:
        await writer.api.patch(
            SECRETS,
            {"metadata": metadata, "data": data},
            namespace=observed.namespace,
            name=name,
            field_manager=FIELD_MANAGER,
            timeout_s=writer.timeout_s(),
        )
    except StatusError as error:
        return _refused(name, error)
    return Done()


async def write_secret(name: str, uid: str, body: Mapping[str, Any], writer: Writer) -> Outcome:
    """Write it: anew, or over the one with this uid. Raises KubeError."""
    try:
        await _send(name, uid, body, writer)
    except AlreadyExistsError:
        return Changed(what=f"Secret {name} exists")
    except StatusError as error:
        return _refused(name, error)
    return Done()


def _refused(name: str, error: StatusError) -> Rejected:
    """What is said of a refusal that stays one; raises any other."""
    if not is_final(error) or namespace_is_going(error):
        raise error
    return Rejected(
        reason=Reason.NOT_ALLOWED,
        message=f"Secret {name} can't be written: {error.message}",
        name=name,
    )


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
