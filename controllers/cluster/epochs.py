"""Questions about the epochs of a cluster's data: the current one, the next, those set aside.

Pure.  An epoch is a beginning of the cluster's data (`status.bootstrap.epoch`); each has volume
claims of its own.  Used by the planner and by `status`.
"""

from api.v1alpha1.cluster_status import BootstrapStatus, ClusterStatus, OtherEpoch
from api.v1alpha1.restore_request import SWITCHING, RestoreRequest
from controllers.cluster.membership import voters_of
from controllers.cluster.observed import Claim, Observed


def is_switching(status: ClusterStatus) -> bool:
    """Whether members stop, or start, because the cluster's data become others."""
    return status.restore is not None and status.restore.phase == SWITCHING


def answers(status: ClusterStatus, request: RestoreRequest) -> bool:
    """Whether what status says of a restore is about this very request."""
    answer = status.restore
    return answer is not None and (answer.uid, answer.attempt) == (request.uid, request.attempt)


def bootstrap_of(status: ClusterStatus, epoch: int) -> BootstrapStatus | None:
    """The record of the current epoch, or of the next one; None for any other."""
    for bootstrap in (status.bootstrap, status.next_epoch.bootstrap if status.next_epoch else None):
        if bootstrap is not None and bootstrap.epoch == epoch:
            return bootstrap
    return None


def next_number(observed: Observed) -> int:
    """The number of the next epoch: one that no epoch, and no claim of ours, ever had."""
    status = observed.status
    known = {
        observed.epoch,
        status.last_epoch or 0,
        *(one.epoch for one in status.set_aside),
        *(claim.epoch for claim in observed.own_claims),
    }
    return max(known) + 1


def claims_of_epoch(observed: Observed, epoch: int) -> tuple[Claim, ...]:
    """Our claims of an epoch that is not the current one."""
    return tuple(claim for claim in observed.other_claims if claim.epoch == epoch)


def former(observed: Observed) -> OtherEpoch:
    """The current epoch as it is set aside: exactly as it is, so that it can be gone on with."""
    status, applied = observed.status, observed.applied
    assert status.bootstrap is not None
    assert applied is not None
    return OtherEpoch(
        epoch=observed.epoch,
        since=observed.now.replace(microsecond=0),
        claims=tuple(claim.name for claim in observed.claims if claim.cluster_uid == observed.uid),
        size=applied.size,
        version=applied.version,
        cluster_id=status.cluster_id,
        voter_ordinals=voters_of(status),
        joining=status.joining,
        bootstrap=status.bootstrap,
    )
