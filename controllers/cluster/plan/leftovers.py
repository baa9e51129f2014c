"""Rules about volumes that are there before their cluster is: refuse, discard, or adopt them.

spec.storage.existingVolumes is obeyed until the first spec is accepted, and never read again.  What
must never happen: a new cluster over old data, or old data under members that are not theirs.
"""

from collections.abc import Iterator

from api.labels import MEMBERSHIP_ANNOTATION, pod_name, volume_claim_name
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapMember, BootstrapStatus
from api.version import parse_version
from controllers.cluster.claim_record import ClaimRecord, record_of
from controllers.cluster.listeners import made_with, scheme
from controllers.cluster.membership import replaces
from controllers.cluster.observed import Claim, Observed
from controllers.cluster.plan.steps import (
    AcceptSpec,
    AdoptClaims,
    AnnotateClaims,
    DiscardLeftovers,
    Wait,
)
from controllers.cluster.pods import of_epoch
from controllers.cluster.render import rendered_for, stateful_set_for

_FIELD = "spec.storage.existingVolumes"


def adopt(observed: Observed) -> AdoptClaims | AcceptSpec | Wait | None:
    """Adopt: make the claims ours, then record the cluster that they belong to as formed.

    Its members start from closed files, which their data makes them ignore; spec.size is reached
    afterwards.  A crash in between is gone on from: claims that are ours already are adopted too,
    which also mends a status that was lost.  Of several epochs' claims those of the newest one are
    taken that are all there; the others stay as they are.
    """
    if not _obeys(observed, "Adopt") or not observed.claims:
        return None
    assert observed.spec is not None
    claims = _newest_complete(observed)
    record = _record_on(claims)
    reason = next(_against(observed, observed.spec, record, claims), "")
    if reason or record is None:
        return _leftover_wait(f"The volumes can't be adopted: {reason}")
    foreign = _to_take_over(observed, record, claims)
    if foreign:
        return AdoptClaims(claims=_named(foreign))
    return _resume(observed, observed.spec, record, epoch=claims[0].epoch)


def wait_for_lost_status(observed: Observed) -> Wait | None:
    """No bootstrap is recorded, yet volumes of this very cluster exist: status was lost.

    A new bootstrap here could start an empty cluster beside, or over, the old one's data.
    """
    ours = [claim.name for claim in observed.claims if claim.cluster_uid == observed.uid]
    if observed.applied is not None or not ours:
        return None
    return Wait(
        reason=Reason.STATUS_LOST,
        message=f"{', '.join(ours)} hold data of this cluster but its status records no bootstrap:"
        f" set {_FIELD} to Adopt to go on from what the claims record, or restore the status from a"
        " backup of the EtcdCluster object; nothing is started until then",
        recheck_s=30.0,
    )


def discard(observed: Observed) -> DiscardLeftovers | Wait | None:
    """Discard: delete every claim under our names, and wait until they are gone."""
    if not _obeys(observed, "Discard") or not observed.claims:
        return None
    present = [claim for claim in observed.claims if not claim.terminating]
    if present:
        return DiscardLeftovers(claims=_named(present))
    return Wait(
        reason=Reason.CREATING,
        message=f"{_names(observed.claims)} are being deleted; waiting until they are gone, which"
        " needs the end of the pods that use them",
        recheck_s=2.0,
    )


def refuse(observed: Observed) -> Wait | None:
    """Refuse: claims under our names that another cluster left behind are never started on."""
    if observed.applied is not None or not observed.claims:
        return None
    return _leftover_wait(
        f"PersistentVolumeClaim {_names(observed.claims)} left by an earlier cluster: set {_FIELD}"
        " to Adopt to go on with the data or to Discard to delete it, or choose another name"
    )


def annotate_claims(observed: Observed) -> AnnotateClaims | None:
    """Keep the record on the voters' claims as status has it.

    The claim of a member that joins is left out until it votes: its data isn't whole yet.
    """
    record = record_of(observed)
    if record is None:
        return None
    joining, text = observed.status.joining, record.text
    stale = [
        claim
        for claim in observed.claims
        if claim.cluster_uid == observed.uid
        and claim.ordinal in record.voters
        and (joining is None or claim.ordinal != joining.ordinal)
        and not claim.terminating
        and claim.membership != text
    ]
    return AnnotateClaims(claims=_named(stale), record=text) if stale else None


def annotate_before_vote(observed: Observed) -> AnnotateClaims | None:
    """The same while one more member starts, before it votes: the record on the claims is never
    more than one change behind.
    """
    joining = observed.status.joining
    if joining is None or not joining.id or replaces(joining):
        return None
    return annotate_claims(observed)


def _obeys(observed: Observed, policy: str) -> bool:
    """Whether the field is still read, and says this."""
    if observed.applied is not None or observed.spec is None:
        return False
    return observed.spec.storage.existing_volumes == policy


def _newest_complete(observed: Observed) -> tuple[Claim, ...]:
    """The claims of the newest epoch that are all there by their own record; if none are, all."""
    for epoch in sorted({claim.epoch for claim in observed.claims}, reverse=True):
        claims, _ = of_epoch(observed.claims, epoch)
        record = _record_on(claims)
        if record is not None and not any(_against_claims(observed, record, claims)):
            return claims
    return observed.claims


def _record_on(claims: tuple[Claim, ...]) -> ClaimRecord | None:
    """The first record that can be read; whether the others agree is checked against it."""
    records = (ClaimRecord.parse(claim.membership) for claim in claims)
    return next((record for record in records if record is not None), None)


def _against(
    observed: Observed, spec: ClusterSpec, record: ClaimRecord | None, claims: tuple[Claim, ...]
) -> Iterator[str]:
    """What speaks against adopting, and what would help."""
    if record is None:
        yield (
            f"{_names(claims)} carry no record of their cluster (annotation"
            f" {MEMBERSHIP_ANNOTATION}), which this operator writes once a cluster has formed; set"
            f" {_FIELD} to Discard to delete them, or choose another name"
        )
        return
    yield from _against_claims(observed, record, claims)
    wanted = scheme(tls=spec.security.tls.among_members)
    if record.scheme != wanted:
        yield (
            f"their members' peer URLs begin with {record.scheme}, and this cluster's would begin"
            f" with {wanted}: set spec.security.tls.enabled or peerTLSEnabled accordingly"
        )
    if record.namespace != observed.namespace:
        yield (
            f"their members' peer URLs are in namespace {record.namespace}: make the EtcdCluster"
            " there, or restore a backup here"
        )
    domain = spec.cluster_domain or observed.cluster_domain
    if record.cluster_domain != domain:
        yield (
            f"their members' peer URLs are in the cluster domain {record.cluster_domain}, and this"
            f" cluster's would be in {domain}: set spec.clusterDomain, or restore a backup"
        )
    if parse_version(record.version).minor_version != spec.etcd_version.minor_version:
        yield (
            f"etcd {record.version} wrote them: set spec.version to the same minor version, and"
            " change it when the cluster runs"
        )


def _against_claims(
    observed: Observed, record: ClaimRecord, claims: tuple[Claim, ...]
) -> Iterator[str]:
    epoch = next(claim.epoch for claim in claims if ClaimRecord.parse(claim.membership) == record)
    by_ordinal = {claim.ordinal: claim for claim in claims if claim.epoch == epoch}
    missing = [
        volume_claim_name(observed.name, n, epoch) for n in record.voters if n not in by_ordinal
    ]
    if missing:
        yield f"{', '.join(missing)} of their cluster {record.cluster_id} are missing: restore them"
        return
    voters = [by_ordinal[n] for n in record.voters]
    gone = [claim for claim in voters if claim.terminating or claim.lost]
    if gone:
        yield f"{_names(gone)} are being deleted, or have lost their volumes"
    other = [claim for claim in voters if ClaimRecord.parse(claim.membership) != record]
    if other:
        yield (
            f"{_names(other)} carry no record of cluster {record.cluster_id}, or not the one that"
            f" the others carry (annotation {MEMBERSHIP_ANNOTATION}): make them alike if you know"
            " that their data is of one cluster"
        )


def _to_take_over(
    observed: Observed, record: ClaimRecord, claims: tuple[Claim, ...]
) -> list[Claim]:
    """The voters' claims, and before them those that the same cluster left beyond its voters.

    The latter are discarded later, as spec.storage.removedMemberPolicy says: what they hold is not
    a voter's, and a new member must not start on it.
    """
    foreign = [claim for claim in claims if claim.cluster_uid != observed.uid]
    voters = [claim for claim in foreign if claim.ordinal in record.voters]
    earlier = {claim.cluster_uid for claim in voters} - {None}
    beyond = [
        claim
        for claim in foreign
        if claim.ordinal not in record.voters and claim.cluster_uid in earlier
    ]
    return [*beyond, *voters]


def _resume(
    observed: Observed, spec: ClusterSpec, record: ClaimRecord, *, epoch: int
) -> AcceptSpec:
    bootstrap = BootstrapStatus(
        token=f"{observed.uid}-{epoch}",
        epoch=epoch,
        size=len(record.voters),
        cluster_domain=record.cluster_domain,
        **made_with(spec.security.tls),
        network_policy=True,
        closed=True,
        members=tuple(
            BootstrapMember(name=pod_name(observed.name, n), ordinal=n, started=True)
            for n in record.voters
        ),
    )
    rendered = rendered_for(observed, spec, bootstrap)
    return AcceptSpec(
        spec=spec.to_json(),
        rendered=rendered,
        bootstrap=bootstrap,
        dry_run=stateful_set_for(observed, spec, bootstrap, rendered, size=bootstrap.size),
        adopted=record.cluster_id,
    )


def _leftover_wait(message: str) -> Wait:
    return Wait(reason=Reason.LEFTOVER_VOLUMES, message=message, recheck_s=10.0)


def _named(claims: list[Claim]) -> tuple[tuple[str, str], ...]:
    return tuple((claim.name, claim.uid) for claim in claims)


def _names(claims: tuple[Claim, ...] | list[Claim]) -> str:
    return ", ".join(claim.name for claim in claims)
