"""Which members are to move to other volumes, and whether the next one can: questions of the rules
that begin a move (`volumes`) and that take it back (`joining`).
"""

from controllers.cluster.members import ViewOfMember, voters
from controllers.cluster.observed import Observed
from controllers.cluster.plan.claims import (
    FEWEST_TO_MOVE,
    has_older_templates,
    must_move,
    too_small_for_data,
)
from controllers.cluster.plan.template import is_rolled_out


def moving(observed: Observed) -> tuple[ViewOfMember, ...]:
    """The voters whose volumes have to be others, but who is to leave anyway."""
    applied = observed.applied
    if applied is None or applied.storage.migration_policy != "Replace":
        return ()
    return tuple(
        view
        for view in voters(observed)
        if view.ordinal < applied.size
        and (claim := observed.claim(view.ordinal)) is not None
        and not claim.terminating
        and must_move(claim, applied.storage)
    )


def can_move(observed: Observed) -> bool:
    """Whether all are well, and a new volume would be the right one."""
    assert observed.applied is not None
    return (
        len(voters(observed)) >= FEWEST_TO_MOVE
        and is_rolled_out(observed)
        and observed.status.upgrade is None
        and not has_older_templates(observed)
        and not too_small_for_data(observed, observed.applied.storage)
    )
