"""What the members' volumes are beside what a spec asks for: questions of the rules of volumes.

Pure.  A volume is judged by what was asked for, not by its capacity alone: storage may round up.
Only one that is bound can be resized (k8s.io/kubernetes pkg/apis/core/validation,
ValidatePersistentVolumeClaimUpdate).
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from api.changes import Kind, changed_fields, kind_of
from api.errors import FieldError
from api.labels import stateful_set_name
from api.quantity import parse_quantity
from api.v1alpha1.cluster import ClusterSpec, Storage
from api.volume_claims import claim_class, claim_size
from controllers.cluster.membership import ordinals_of
from controllers.cluster.observed import Claim, Observed
from controllers.cluster.render import live_claim_templates
from etcd.versions import parse_version, promotions_survive

# A new volume has to hold the database twice while it is copied, and etcd's log: five segments of
# 64 MB and their snapshots (server/embed/config.go, DefaultMaxWALs; wal.SegmentSizeBytes).
_COPIES: Final = 2
_LOG_BYTES: Final = 384 * 1024 * 1024
FEWEST_TO_MOVE: Final = 3
_ORPHANS: Final = "orphan"  # the finalizer under which the garbage collector sets pods free


def claims_of_members(observed: Observed) -> tuple[Claim, ...]:
    """The claims that members' data lies on."""
    claims = map(observed.claim, ordinals_of(observed.status))
    return tuple(claim for claim in claims if claim and not claim.terminating)


def must_move(claim: Claim, storage: Storage) -> bool:
    """Whether only another volume has this class, or so small a size.  Without a volume there is
    nothing to move: `is_outdated` is the question then.
    """
    return claim.bound and (_is_elsewhere(claim, storage) or _is_too_large(claim, storage))


def must_resize(claim: Claim, storage: Storage) -> bool:
    """Whether the same volume can have this size, and was not asked to yet.  A smaller one too, as
    long as it has not grown beyond that.
    """
    size = claim_size(storage)
    return claim.bound and claim.size not in {None, size} and not must_move(claim, storage)


def is_outdated(claim: Claim, storage: Storage) -> bool:
    """Whether it waits for a volume that nobody wants any more."""
    return not claim.bound and (
        _is_elsewhere(claim, storage) or claim.size not in {None, claim_size(storage)}
    )


def has_older_templates(observed: Observed) -> bool:
    """Whether the StatefulSet would make claims of another size or class than the spec's."""
    assert observed.applied is not None
    storage = observed.applied.storage
    templates = live_claim_templates(observed)
    named = claim_class(storage)
    return any(
        parse_quantity(claim["spec"]["resources"]["requests"]["storage"]) != claim_size(storage)
        or (named is not None and claim["spec"].get("storageClassName") != named)
        for claim in templates
    )


def is_released(observed: Observed) -> bool:
    """Whether the StatefulSet is on its way out, and leaves its pods."""
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    metadata = made.get("metadata", {})
    return "deletionTimestamp" in metadata and _ORPHANS in metadata.get("finalizers", ())


def is_being_renewed(observed: Observed) -> bool:
    """Whether it is to be made anew around its pods, or has gone without them."""
    if observed.applied is None:
        return False
    return has_older_templates(observed) or any(not pod.controlled for pod in observed.pods)


def too_small_for_data(observed: Observed, storage: Storage) -> str:
    """Why the members' data does not fit on volumes of this size; empty when it does."""
    largest = max((status.db_size for status in observed.etcd.statuses.values()), default=0)
    needed = _COPIES * largest + _LOG_BYTES
    if claim_size(storage).value >= needed:
        return ""
    return f"the largest database has {largest} bytes, which takes a volume of {needed}"


def refused_volumes(observed: Observed, wanted: ClusterSpec) -> Iterator[FieldError]:
    """What the members' volumes can't follow."""
    applied = observed.applied
    assert applied is not None
    fields = [path for path in changed_fields(applied, wanted) if kind_of(path) is Kind.VOLUME]
    if not fields:
        return
    before, after = claim_class(applied.storage), claim_class(wanted.storage)
    if after != before and not after:
        field = next(path for path in fields if path.endswith("storageClassName"))
        yield FieldError(
            field, "names no class that volumes could be moved to", f'Set it back to "{before}".'
        )
        return
    moving = [c.name for c in claims_of_members(observed) if must_move(c, wanted.storage)]
    if moving:
        yield from _refused_moves(observed, wanted, ", ".join(fields), ", ".join(moving))


def _refused_moves(
    observed: Observed, wanted: ClusterSpec, field: str, moving: str
) -> Iterator[FieldError]:
    if wanted.storage.migration_policy != "Replace":
        yield FieldError(
            field,
            f"can't be had of {moving}: a volume never gets smaller, and keeps its class",
            "Set storage.migrationPolicy to Replace, to have each member replaced by one on a new"
            " volume, or set it back.",
        )
    elif wanted.size < FEWEST_TO_MOVE:
        yield FieldError(
            field,
            f"needs new volumes for {moving}, and a member is only replaced where others are a"
            " quorum without it",
            "Set spec.size to 3 as well; afterwards it can be lowered again.",
        )
    elif not promotions_survive(parse_version(wanted.version)):
        yield FieldError(
            field,
            f"needs new members, and etcd {wanted.version} can lose the promotion of a learner",
            "Upgrade to 3.5.20 or newer first.",
        )
    elif problem := too_small_for_data(observed, wanted.storage):
        yield FieldError(field, f"is too small: {problem}", "Name a larger size.")


def _is_elsewhere(claim: Claim, storage: Storage) -> bool:
    named = claim_class(storage)
    return bool(named) and claim.storage_class not in {None, named}


def _is_too_large(claim: Claim, storage: Storage) -> bool:
    size = claim_size(storage)
    return claim.size is not None and claim.size > size and _capacity(claim) > size.value


def _capacity(claim: Claim) -> Decimal:
    return claim.capacity.value if claim.capacity else Decimal(0)
