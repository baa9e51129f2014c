"""What must hold in every world, whoever fails: checked against the world itself, not against what
the operator believes.

1. The plan is pure, and one is always made.
2. The recorded voters are 0..n-1; the cluster's ID is latched once and never changes.
3. One change of membership at a time: nobody is added or removed while another is half-way in; who
   is recorded as a voter is one, and serves where the next one follows at once.
4. No step of ours takes a healthy voter away, or its pod, where the others are no quorum then.
5. A voter is given up only when its data is lost or wrong, its node is, or somebody asked for it;
   or to move it to another volume (`judge_volumes`).
6. A volume is discarded only when no member of etcd's list that has started lives on it.
7. No file says `new` once the cluster has formed, and none but those of who joins is open.
8. Nobody becomes a voter on a volume that another member lived on, from a file that is open, or
   before the claims name those who vote already.
That acknowledged writes survive is checked by etcd's model, at each election and each first start.
"""

from typing import TYPE_CHECKING, Any

from api.reasons import Reason
from controllers.cluster import plan as planner
from controllers.cluster.claim_record import ClaimRecord
from controllers.cluster.membership import replaces, voters_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan.steps import (
    AddLearner,
    ApplyObjects,
    DeletePod,
    DiscardClaim,
    Plan,
    PromoteLearner,
    RecordMembership,
    RemoveMember,
)
from tests.simulation import judge_volumes
from tests.simulation.etcd_process import Broken, quorum, read_file
from tests.simulation.kubernetes_model import is_open
from tests.simulation.template_model import template_of

if TYPE_CHECKING:
    from tests.simulation.world import World

_STATEFUL_SET = ("StatefulSet", "db")


def plan_made(world: "World", observed: Observed, plan: Plan) -> None:
    world.steps += 1
    if world.steps % 16 == 0 and planner.plan(observed) != plan:
        raise Broken("the same observation gives another plan")
    voters = voters_of(observed.status)
    if voters != tuple(range(len(voters))):
        raise Broken(f"recorded voters have gaps: {voters}")
    recorded = observed.status.cluster_id
    if world.cluster_id and recorded != world.cluster_id:
        raise Broken(f"the recorded cluster changed to {recorded}")
    world.cluster_id = recorded


def before_act(world: "World", observed: Observed, plan: Plan) -> None:
    judge_volumes.before_act(world, observed, plan)
    match plan.step:
        case AddLearner(name=name):
            _nobody_else_joins(world, _ordinal(name))
        case RemoveMember(id=member):
            _may_leave(world, observed, member)
        case PromoteLearner(id=member):
            _may_vote(world, member)
            _claims_keep_up(world, observed)
        case DiscardClaim(name=name, uid=uid):
            _may_be_discarded(world, _ordinal(name), uid)
        case DeletePod(name=name, uid=uid):
            _may_be_deleted(world, _ordinal(name), uid)
        case ApplyObjects(objects=objects):
            for obj in objects:
                _may_be_applied(world, observed, obj)
        case RecordMembership():
            _may_be_recorded(world, observed, plan.step)
        case _:
            pass


def _nobody_else_joins(world: "World", ordinal: int) -> None:
    others = [e for e in world.etcd.entries.values() if e.learner and e.ordinal != ordinal]
    if any(entry.id not in world.etcd.by_hand for entry in others):
        raise Broken("two changes of membership at once")


def _claims_keep_up(world: "World", observed: Observed) -> None:
    """Before one more votes, the claims name those who vote already."""
    joining, voters = observed.status.joining, voters_of(observed.status)
    if joining is None or replaces(joining):
        return
    for seen in observed.claims:
        claim = world.kubernetes.claims.get(seen.ordinal)
        if claim is None or claim.uid != seen.uid or seen.terminating or seen.ordinal not in voters:
            continue
        record = ClaimRecord.parse(claim.membership)
        if record is None or record.voters != voters:
            raise Broken(f"the claims fall behind: {claim.membership} while {voters} vote")


def _may_leave(world: "World", observed: Observed, member: int) -> None:
    entry = world.etcd.entries.get(member)
    if entry is None or entry.learner:
        return
    _nobody_else_joins(world, entry.ordinal)
    joining = observed.status.joining
    replaced = joining is not None and joining.old_id == f"{member:x}"
    if not replaced and not is_lost(world, entry.ordinal):
        _is_one_too_many(world, observed, entry.ordinal)
    rest = world.etcd.healthy_voters() - {member}
    if len(rest) < quorum(len(world.etcd.voters()) - 1):
        raise Broken(f"removing member {entry.ordinal} loses the quorum of the others")


def _is_one_too_many(world: "World", observed: Observed, ordinal: int) -> None:
    size = observed.applied.size if observed.applied else 0
    if not size or ordinal < size:
        raise Broken(f"member {ordinal} of {size} is removed though nothing is wrong with it")


def _may_vote(world: "World", member: int) -> None:
    entry = world.etcd.entries.get(member)
    if entry is None or not entry.learner:
        return
    claim = world.kubernetes.claims.get(entry.ordinal)
    if claim is not None and claim.ids - {member}:
        raise Broken(f"member {entry.ordinal} is to vote on a volume of {claim.ids}")
    if is_open(world.kubernetes.files(), entry.ordinal):
        raise Broken(f"member {entry.ordinal} is to vote, and its file is still open")


def _may_be_discarded(world: "World", ordinal: int, uid: str) -> None:
    claim = world.kubernetes.claims.get(ordinal)
    if claim is None or claim.uid != uid or claim.log is None:
        return
    entry = world.etcd.entries.get(claim.log.id)
    if entry is not None and (entry.published or not entry.learner):
        raise Broken(f"the volume of member {ordinal} is discarded, which is in etcd's list")


def _may_be_deleted(world: "World", ordinal: int, uid: str) -> None:
    pod = world.kubernetes.pods.get(ordinal)
    if is_outdated(world, ordinal) and not _others_matter(world, ordinal):
        return
    if pod is not None and pod.uid == uid and world.status.cluster_id:
        _keeps_quorum_without(world, {ordinal}, "deleting its pod")


def _others_matter(world: "World", ordinal: int) -> bool:
    """Not to an only voter, whose restart is a short outage; nor where there has been no leader for
    so long that nobody is ready: what is newer may be what helps.
    """
    pod = world.kubernetes.pods[ordinal]
    ready = pod.process is not None and world.etcd.is_ready(pod.process.log.id)
    return ready and len(world.etcd.voters()) > 1


def is_outdated(world: "World", ordinal: int) -> bool:
    """Whether a pod is not what one that was made now would be, by its template or by resources
    that it asks for since.
    """
    pod, made = world.kubernetes.pods.get(ordinal), world.kubernetes.live.get(_STATEFUL_SET)
    if pod is None or made is None:
        return False
    newest = template_of(made)
    return pod.template != newest or pod.resources != newest.resources


def _keeps_quorum_without(world: "World", ordinals: set[int], what: str) -> None:
    etcd = world.etcd
    healthy = etcd.healthy_voters()
    rest = {member for member in healthy if etcd.entries[member].ordinal not in ordinals}
    if rest != healthy and len(rest) < quorum(len(etcd.voters())) <= len(healthy):
        raise Broken(f"{what} takes away the quorum: {sorted(ordinals)}")


def _may_be_applied(world: "World", observed: Observed, obj: Any) -> None:
    if not observed.status.cluster_id:
        return
    if obj["kind"] == "StatefulSet" and observed.applied and observed.applied.size:
        going = {n for n in world.kubernetes.pods if n >= obj["spec"]["replicas"]}
        _keeps_quorum_without(world, going, "scaling the StatefulSet")
    if obj["kind"] == "ConfigMap":
        for name, text in obj["data"].items():
            _may_be_mounted(observed, name, text)


def _may_be_mounted(observed: Observed, name: str, text: str) -> None:
    file, ordinal = read_file(text), _ordinal(name.rpartition("-")[0])
    if file.state == "new":
        raise Broken(f"{name} says `new` though the cluster has formed")
    if file.listed == {ordinal}:
        return
    joining = observed.status.joining
    first = observed.status.bootstrap.members if observed.status.bootstrap else ()
    late = any(member.ordinal == ordinal and not member.started for member in first)
    joins = joining is not None and joining.ordinal == ordinal and not joining.started
    if not late and not joins and ordinal in voters_of(observed.status):
        raise Broken(f"{name} is open though its member has started")


def _may_be_recorded(world: "World", observed: Observed, step: RecordMembership) -> None:
    joining, before = step.joining, observed.status.joining
    for ordinal in set(step.voters) - set(voters_of(observed.status)):
        _votes(world, ordinal, is_well=joining is not None)
    if joining is None or before is not None or joining.ordinal not in step.voters:
        return
    if joining.reason != Reason.VOLUME_MIGRATION and not is_lost(world, joining.ordinal):
        raise Broken(f"member {joining.ordinal} is to be replaced though its data is good")


def _votes(world: "World", ordinal: int, *, is_well: bool) -> None:
    """`is_well`: the next member is decided on at once."""
    entry = world.etcd.at(ordinal)
    if entry is None or entry.learner:
        raise Broken(f"member {ordinal} is recorded as a voter, and is none")
    if is_well and entry.id not in world.etcd.healthy_voters():
        raise Broken(f"one more follows member {ordinal}, which is down")


def is_lost(world: "World", ordinal: int) -> bool:
    """The truth about a voter: whether there is a ground to replace it."""
    kubernetes, etcd = world.kubernetes, world.etcd
    entry, claim = etcd.at(ordinal), kubernetes.claims.get(ordinal)
    if entry is None or claim is None or claim.log is None or ordinal in world.ever_asked:
        return True
    wrong = claim.lost or claim.terminating or claim.log.corrupt or claim.log.id != entry.id
    silent_since = kubernetes.silent.get(claim.node, world.now)
    patience = world.spec.recovery.node_loss_seconds
    return (
        wrong
        or entry.id in etcd.alarms
        or claim.node in kubernetes.gone
        or world.now - silent_since >= patience
    )


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])
