"""What must hold of volumes in every world, beside the invariants of `judge`.

1. A pod on the newest template is deleted only when its member is to be replaced: growth, and a new
   StatefulSet, restart nobody.
2. A healthy member is moved to another volume only with the policy Replace, when every other voter
   is healthy, and when the data fits: when that is decided, and when its member leaves.
3. The StatefulSet goes only without its pods, and not while one ends that it is to make anew, as
   long as the cluster is not deleted.
4. Claims are resized only to the size that is wanted, and none whose member is to move.
5. Nobody becomes a voter on a volume that is smaller than the data.
"""

from typing import TYPE_CHECKING, TypeGuard

from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import JoiningMember
from api.volume_claims import claim_class, claim_size
from controllers.cluster.observed import Observed
from controllers.cluster.plan.steps import (
    DeletePod,
    DeleteStatefulSet,
    Plan,
    PromoteLearner,
    RecordMembership,
    RecordSpec,
    RemoveMember,
)
from controllers.cluster.plan.template import is_behind
from controllers.cluster.plan.volume_steps import ReleaseStatefulSet, ResizeClaims, VolumeTrial
from tests.simulation.etcd_process import Broken

if TYPE_CHECKING:
    from tests.simulation.world import World

_LOG_BYTES = 384 * 2**20


def before_act(world: "World", observed: Observed, plan: Plan) -> None:
    match plan.step:
        case DeletePod(name=name, uid=uid):
            _may_be_deleted(world, observed, _ordinal(name), uid)
        case RecordMembership(joining=joining) if observed.status.joining is None:
            if _moves(joining):
                _may_move(world, observed, joining.ordinal)
        case RemoveMember(id=member):
            _may_leave(world, observed, member)
        case PromoteLearner(id=member):
            _may_vote(world, member)
        case _:
            _before_volumes(world, observed, plan)


def _before_volumes(world: "World", observed: Observed, plan: Plan) -> None:
    match plan.step:
        case ReleaseStatefulSet():
            ends = [pod.name for pod in observed.pods if pod.terminating]
            if ends:
                raise Broken(f"nobody makes {ends} anew that end just now")
        case DeleteStatefulSet():
            if world.deleting_since is None:
                raise Broken("the StatefulSet is deleted with its pods")
        case ResizeClaims():
            assert observed.applied is not None
            _may_be_resized(world, plan.step, observed.applied)
        case RecordSpec(trial=VolumeTrial(resize=ResizeClaims() as resize)):
            assert observed.spec is not None
            _may_be_resized(world, resize, observed.spec)
        case _:
            pass


def _may_be_resized(world: "World", step: ResizeClaims, spec: ClusterSpec) -> None:
    if step.size != claim_size(spec.storage).text:
        raise Broken(f"claims are resized to {step.size}, which nobody asked for")
    for name, uid in step.claims:
        claim = world.kubernetes.claims.get(_ordinal(name))
        named = claim_class(spec.storage)
        if claim and claim.uid == uid and named not in {None, claim.volume.storage_class}:
            raise Broken(f"{name} is resized, and its member is to move to another class")


def _may_be_deleted(world: "World", observed: Observed, ordinal: int, uid: str) -> None:
    pod, seen = world.kubernetes.pods.get(ordinal), observed.pod(ordinal)
    if pod is None or pod.uid != uid or not world.status.cluster_id or seen is None:
        return
    joining = observed.status.joining
    replaced = joining is not None and joining.ordinal == ordinal
    if pod.process is not None and not replaced and not is_behind(observed, seen):
        raise Broken(f"the pod of member {ordinal} is deleted, and nothing is wrong with it")


def _moves(joining: JoiningMember | None) -> TypeGuard[JoiningMember]:
    return joining is not None and joining.reason == Reason.VOLUME_MIGRATION


def _may_leave(world: "World", observed: Observed, member: int) -> None:
    """The member that moves, not a learner in its place that is taken back."""
    joining, entry = observed.status.joining, world.etcd.entries.get(member)
    if _moves(joining) and entry and not entry.learner and entry.ordinal == joining.ordinal:
        _may_move(world, observed, joining.ordinal)


def _may_move(world: "World", observed: Observed, ordinal: int) -> None:
    assert observed.applied is not None
    storage = observed.applied.storage
    if storage.migration_policy != "Replace":
        raise Broken(f"member {ordinal} is to move, and the policy is {storage.migration_policy}")
    etcd = world.etcd
    sick = {entry.ordinal for entry in etcd.voters() if entry.id not in etcd.healthy_voters()}
    gone = set(observed.status.voter_ordinals) - {entry.ordinal for entry in etcd.voters()}
    if (sick | gone) - {ordinal}:
        raise Broken(f"member {ordinal} is to move while {sorted(sick | gone)} are not well")
    if claim_size(storage).whole < 2 * etcd.db_size + _LOG_BYTES:
        raise Broken(f"member {ordinal} is to move to a volume that is too small for its data")


def _may_vote(world: "World", member: int) -> None:
    entry = world.etcd.entries.get(member)
    claim = world.kubernetes.claims.get(entry.ordinal) if entry else None
    if claim is not None and claim.volume.capacity < world.etcd.db_size:
        raise Broken(f"member {member:x} is to vote on a volume that is too small")


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])
