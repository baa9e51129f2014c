"""Who belongs to a cluster by its own record, and who of them has a pod and which file.

Pure.  The record is `status.voterOrdinals` and `status.joining`: objects follow it, and etcd's list
is brought in line with it.  Used by the planner, by `render` and by `status`, so that all of them
mean the same.  The ordinals of the voters have no gaps: growth appends the next one, shrinking
takes the highest away, a replacement keeps its own.
"""

from dataclasses import dataclass

from api.v1alpha1.cluster_status import ClusterStatus, JoiningMember
from controllers.cluster.observed import Observed

# Why a member joins when it replaces none; any other reason of `status.joining` is a loss.
SCALE_OUT = "ScaleOut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The record in the form that files are made from: small, hashable, nothing that just moves.

    `formed`: it has data, nobody may make it anew.  `late` are first members that never started;
    `listed` are all that etcd listed when `opened`, the joining member, was added.
    """

    formed: bool
    ordinals: tuple[int, ...]
    late: tuple[int, ...]
    opened: int | None
    listed: tuple[int, ...]


def voters_of(status: ClusterStatus) -> tuple[int, ...]:
    """The ordinals of the voters; from the bootstrap where no change was recorded yet."""
    if status.voter_ordinals or status.bootstrap is None:
        return status.voter_ordinals
    return tuple(member.ordinal for member in status.bootstrap.members)


def late_of(status: ClusterStatus) -> tuple[int, ...]:
    """The first members that have never started and may still do so from an open file."""
    members = status.bootstrap.members if status.bootstrap else ()
    voters = voters_of(status)
    return tuple(m.ordinal for m in members if not m.started and m.ordinal in voters)


def ordinals_of(status: ClusterStatus) -> tuple[int, ...]:
    """Everyone who has, or is to have, a pod: the voters, and who joins once etcd has listed it."""
    voters, joining = voters_of(status), status.joining
    if joining is None or not joining.id or joining.ordinal in voters:
        return voters
    return (*voters, joining.ordinal)


def membership_of(status: ClusterStatus) -> Membership:
    """The record as files are made from it."""
    joining = status.joining
    opened = joining if joining and joining.id and not joining.started else None
    return Membership(
        formed=bool(status.cluster_id) or _begins_with_data(status),
        ordinals=ordinals_of(status),
        late=late_of(status),
        opened=opened.ordinal if opened else None,
        listed=opened.listed if opened else (),
    )


def _begins_with_data(status: ClusterStatus) -> bool:
    """Whether its first member has a log before it first starts: it is never told to make one."""
    return status.bootstrap is not None and status.bootstrap.restore is not None


def is_asleep(observed: Observed) -> bool:
    """Whether no pod is to run: size 0, with nobody half-way in, as far as that can be mended."""
    if observed.applied is None or observed.applied.size or not observed.status.cluster_id:
        return False
    return observed.status.joining is None or observed.etcd.members is None


def replaces(joining: JoiningMember) -> bool:
    """Whether the joining member takes the place of a lost one."""
    return joining.reason != SCALE_OUT


def quorum(voters: int) -> int:
    """How many of so many voters decide."""
    return voters // 2 + 1
