"""Rules that bring the members' volumes to the size and the class that the spec names.

A larger size reaches volumes where they are: the claims first, then the StatefulSet, which is made
anew around its running pods because its claim templates can't be changed.  Another class, or a
smaller size, takes other volumes: member after member is replaced by one on a new volume, the
leader last.  What must never happen: a volume given up for this while some other member is not
well.
"""

from api.changes import Kind, taken
from api.labels import FINALIZER, stateful_set_name
from api.reasons import Reason
from api.v1alpha1.cluster import Storage
from api.volume_claims import claim_class, claim_size
from controllers.cluster.members import strangers, voters
from controllers.cluster.membership import voters_of
from controllers.cluster.observed import Claim, Observed
from controllers.cluster.plan.accepted import accepted_edit, edited_kinds, refused_by_server
from controllers.cluster.plan.claims import (
    claims_of_members,
    has_older_templates,
    is_released,
    must_move,
    must_resize,
    too_small_for_data,
)
from controllers.cluster.plan.edits import may_restart
from controllers.cluster.plan.joining import in_place_of, unknown_members
from controllers.cluster.plan.moving import can_move, moving
from controllers.cluster.plan.steps import RecordMembership, RecordSpec, Wait
from controllers.cluster.plan.volume_steps import ReleaseStatefulSet, ResizeClaims, VolumeTrial


def accept_volumes(observed: Observed) -> RecordSpec | None:
    """Another size or class, once the server has said that it would take it."""
    wanted, applied = accepted_edit(observed), observed.applied
    if wanted is None or applied is None or Kind.VOLUME not in edited_kinds(observed):
        return None
    moves = any(must_move(claim, wanted.storage) for claim in claims_of_members(observed))
    if refused_by_server(observed) or (moves and not may_restart(observed)):
        return None
    named = claim_class(wanted.storage)
    changed = named if named and named != claim_class(applied.storage) else ""
    return RecordSpec(
        spec=taken(applied, wanted, Kind.VOLUME).to_json(),
        trial=VolumeTrial(resize=_resize(observed, wanted.storage), storage_class=changed),
        why="Accept the new spec: the members move to new volumes, one after the other"
        if moves
        else f"Accept the new spec: volumes of {claim_size(wanted.storage)}",
    )


def resize_claims(observed: Observed) -> ResizeClaims | None:
    """The volumes in use; without quorum too, since a full disk may be what it is lost by."""
    if observed.applied is None or refused_by_server(observed):
        return None
    return _resize(observed, observed.applied.storage)


def release_stateful_set(observed: Observed) -> ReleaseStatefulSet | None:
    """Its claim templates are older than the spec, and claims made from now on are to follow it.

    A pod that ends just now would be missing until the StatefulSet is back: that is waited for.
    The finalizer is there by now (`deletion.keep_finalizer`): the pods will have no owner.
    """
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)))
    if made is None or observed.applied is None or "deletionTimestamp" in made["metadata"]:
        return None
    if FINALIZER not in observed.finalizers or any(pod.terminating for pod in observed.pods):
        return None
    if not has_older_templates(observed):
        return None
    return ReleaseStatefulSet(name=made["metadata"]["name"], uid=made["metadata"]["uid"])


def wait_for_release(observed: Observed) -> Wait | None:
    """Nobody is restarted while there is no StatefulSet that would make the pod anew."""
    if not is_released(observed):
        return None
    return Wait(
        reason=Reason.RECONCILING,
        message=f"StatefulSet {observed.name} is made anew around its running pods",
        recheck_s=0.5,
    )


def migrate(observed: Observed) -> RecordMembership | Wait | None:
    """The next member moves to a new volume: when all are well, the leader last."""
    waiting = moving(observed)
    if not waiting or not can_move(observed):
        return None
    others = strangers(observed)
    if others:
        return unknown_members(others)
    view = min(waiting, key=lambda view: (view.role == "leader", -view.ordinal))
    return RecordMembership(
        voters=voters_of(observed.status),
        joining=in_place_of(observed, view, Reason.VOLUME_MIGRATION),
        why=f"Move {view.name} to {_described(observed)}",
    )


def wait_to_migrate(observed: Observed) -> Wait | None:
    """Members are to move, and can't just now, or one is on its way."""
    joining = observed.status.joining
    if joining is not None and joining.reason == Reason.VOLUME_MIGRATION:
        return Wait(
            reason=Reason.VOLUME_MIGRATION,
            message=f"{joining.name} moves to {_described(observed)}",
            recheck_s=1.0,
        )
    waiting = moving(observed)
    if not waiting or observed.applied is None:
        return None
    down = [f"{v.name} ({v.reason})" for v in voters(observed) if not v.healthy]
    why = (
        ", ".join(down)
        or too_small_for_data(observed, observed.applied.storage)
        or "three members that run the newest template"
    )
    return Wait(
        reason=Reason.VOLUME_MIGRATION,
        message=f"{', '.join(v.name for v in waiting)} are to move to {_described(observed)};"
        f" waiting for: {why}",
        recheck_s=1.0,
    )


def wait_for_size(observed: Observed) -> Wait | None:
    """The storage has not given what was asked for."""
    small = [claim for claim in claims_of_members(observed) if _is_growing(claim)]
    if not small:
        return None
    named = ", ".join(f"{c.name} ({c.resizing or f'has {c.capacity}'})" for c in small)
    return Wait(
        reason=Reason.VOLUME_RESIZING,
        message=f"Waiting for the storage to bring {named} to {small[0].size}",
        recheck_s=10.0,
    )


def that_differ(observed: Observed) -> tuple[str, ...]:
    """The claims that are not what the spec names, and stay so by its migration policy."""
    applied = observed.applied
    if applied is None or applied.storage.migration_policy == "Replace":
        return ()
    claims = claims_of_members(observed)
    return tuple(claim.name for claim in claims if must_move(claim, applied.storage))


def _resize(observed: Observed, storage: Storage) -> ResizeClaims | None:
    claims = [claim for claim in claims_of_members(observed) if must_resize(claim, storage)]
    if not claims:
        return None
    return ResizeClaims(
        claims=tuple((claim.name, claim.uid) for claim in claims), size=claim_size(storage).text
    )


def _is_growing(claim: Claim) -> bool:
    return (
        claim.bound
        and claim.size is not None
        and claim.capacity is not None
        and claim.capacity < claim.size
    )


def _described(observed: Observed) -> str:
    assert observed.applied is not None
    storage = observed.applied.storage
    named = claim_class(storage)
    return f"a new volume of {claim_size(storage)}" + (f", class {named}" if named else "")
