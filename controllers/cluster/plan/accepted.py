"""Questions that several rules ask about the recorded cluster and about an edit of its spec.

Pure.  "Accepted" is the spec that status holds; "formed" means that etcd itself has told the
cluster's ID.  An edit is taken up as a whole or not at all; its parts reach the members in their
own ways, and some of them later than others.
"""

from datetime import timedelta
from typing import Final

from api.changes import Kind, changed_fields, changed_kinds, kind_of, refused_changes
from api.errors import FieldError
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import RefusedEdit
from controllers.cluster.observed import Observed, derived
from controllers.cluster.plan.claims import refused_volumes
from controllers.cluster.plan.sources import refused_sources
from controllers.cluster.plan.versions import refused_version

# A refusal of the API server may pass without an event for us: a quota, an admission webhook.
_TRIED_AGAIN_AFTER: Final = timedelta(minutes=1)


def is_formed(observed: Observed) -> bool:
    """Whether etcd has told the cluster's ID: members hold data from then on."""
    return bool(observed.status.cluster_id)


def is_being_restored(observed: Observed) -> bool:
    """Whether the cluster begins from a backup, and has no data yet: nothing of it exists but a
    volume that is being filled.
    """
    bootstrap = observed.status.bootstrap
    if bootstrap is None or bootstrap.restore is None or is_formed(observed):
        return False
    return not bootstrap.restore.done


@derived
def edit(observed: Observed) -> ClusterSpec | None:
    """The spec while it asks for something else than the accepted one; None when it does not."""
    applied, spec = observed.applied, observed.spec
    if applied is None or spec is None or spec == applied or not changed_fields(applied, spec):
        return None
    return spec


@derived
def edited_kinds(observed: Observed) -> frozenset[Kind]:
    """The kinds of the fields that differ from the accepted spec."""
    wanted = edit(observed)
    if wanted is None or observed.applied is None:
        return frozenset()
    return changed_kinds(observed.applied, wanted)


@derived
def refused_edit(observed: Observed) -> tuple[FieldError, ...]:
    """What keeps an edit from being taken up, as far as that can be said without asking anyone."""
    wanted, applied = edit(observed), observed.applied
    if wanted is None or applied is None:
        return ()
    if is_formed(observed):
        return (
            *refused_changes(applied, wanted, Kind.FIXED),
            *refused_volumes(observed, wanted),
            *refused_version(observed),
        )
    sources = refused_sources(observed, applied.security.tls, wanted.security.tls)
    return (*too_early(observed), *fixed_by_bootstrap(observed), *sources)


def refused_for_good(observed: Observed) -> tuple[FieldError, ...]:
    """Of that, what neither time nor a member's word can change.

    Until the cluster has formed, and while its version changes, what can be reached changes too.
    """
    errors = refused_edit(observed)
    if is_formed(observed) and observed.status.upgrade is None:
        return errors
    return tuple(e for e in errors if kind_of(e.field.split(",")[0]) is Kind.FIXED)


def accepted_edit(observed: Observed) -> ClusterSpec | None:
    """The edit of a formed cluster that can be done, part by part; None when there is none."""
    wanted = edit(observed)
    if wanted is None or not is_formed(observed) or refused_edit(observed):
        return None
    return wanted


def refused_by_server(observed: Observed) -> RefusedEdit | None:
    """The server's refusal of this very edit, while it is too early to try again."""
    refused = observed.status.refused_edit
    if refused is None or refused.generation != observed.generation:
        return None
    return refused if observed.now < refused.time + _TRIED_AGAIN_AFTER else None


def fixed_by_bootstrap(observed: Observed) -> tuple[FieldError, ...]:
    """What a bootstrap in progress can't take any more: members that wrote their first log can't be
    told otherwise.
    """
    applied, wanted = observed.applied, edit(observed)
    if applied is None or wanted is None:
        return ()
    errors = refused_changes(
        applied,
        wanted,
        Kind.FIXED,
        Kind.VOLUME,
        Kind.TLS,
        problem="cannot be changed while the cluster forms",
    )
    if not is_being_restored(observed):
        return errors
    return tuple(error for error in errors if not _mends_a_restore(error))


def _mends_a_restore(error: FieldError) -> bool:
    """Whether it can still be told otherwise where no member has ever started: which backup it is,
    and on which volume.
    """
    return error.field.startswith("spec.bootstrap.") or kind_of(error.field) is Kind.VOLUME


def too_early(observed: Observed) -> tuple[FieldError, ...]:
    """What a running cluster can take, but not one that is only forming: another size."""
    applied, spec = observed.applied, observed.spec
    if applied is None or spec is None or is_formed(observed) or applied.size == spec.size:
        return ()
    if spec.size and is_being_restored(observed):
        return ()  # it begins with one member anyway
    remedy = f"It takes effect once the {applied.size} first members have formed a cluster."
    return (FieldError("spec.size", "cannot be changed before the cluster has formed", remedy),)
