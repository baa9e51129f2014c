"""Questions that several rules ask about the recorded cluster.

Pure.  "Accepted" is the spec that a dry run has passed and that status holds; "formed" means that
etcd itself has told the cluster's ID.
"""

from api.changes import changed_fields, unsupported_changes
from api.errors import FieldError
from controllers.cluster.observed import Observed, derived

# What a bootstrap in progress is made from: members that wrote their first log can't be told
# otherwise.
_FIXED_BY_BOOTSTRAP = ("spec.storage", "spec.clusterDomain")


def is_formed(observed: Observed) -> bool:
    """Whether etcd has told the cluster's ID: members hold data from then on."""
    return bool(observed.status.cluster_id)


@derived
def pending_edit(observed: Observed) -> tuple[FieldError, ...]:
    """The changes since the accepted spec that can't be brought to a running cluster."""
    if observed.applied is None or observed.spec is None or observed.spec == observed.applied:
        return ()
    return unsupported_changes(observed.applied, observed.spec)


def waiting_edit(observed: Observed) -> bool:
    """Whether the spec asks for something else than the accepted one, all of which can be done."""
    if observed.applied is None or observed.spec is None or not is_formed(observed):
        return False
    return (
        observed.spec != observed.applied
        and bool(changed_fields(observed.applied, observed.spec))
        and not pending_edit(observed)
    )


def fixed_by_bootstrap(changes: tuple[FieldError, ...]) -> tuple[FieldError, ...]:
    """Those of the changes that a bootstrap in progress can't take any more either."""
    return tuple(change for change in changes if change.field.startswith(_FIXED_BY_BOOTSTRAP))


def too_early(observed: Observed) -> tuple[FieldError, ...]:
    """What a running cluster can take, but not one that is only forming: another size."""
    applied, spec = observed.applied, observed.spec
    if applied is None or spec is None or is_formed(observed) or applied.size == spec.size:
        return ()
    remedy = f"It takes effect once the {applied.size} first members have formed a cluster."
    return (FieldError("spec.size", "cannot be changed before the cluster has formed", remedy),)
