"""What the operator does: the effect that the real `act` would have on the world.

With the same preconditions: uids, the number of voters, who started.  A step of several writes can
be cut off after some of them.  After a write to pods or claims the operator's caches are new, as
its own writes are waited for.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from api.labels import FINALIZER
from api.reasons import Reason
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, NotYet, Outcome, Rejected
from controllers.cluster.plan.certificate_steps import IssueCertificates
from controllers.cluster.plan.steps import (
    AddLearner,
    AdoptClaims,
    AnnotateClaims,
    ApplyObjects,
    DeleteClaims,
    DeletePod,
    DeleteStatefulSet,
    DeleteUnwanted,
    DisarmAlarm,
    DiscardClaim,
    DiscardLeftovers,
    DropRequest,
    MoveLeader,
    PromoteLearner,
    RecordSpec,
    RefreshFiles,
    RemoveMember,
    SetFinalizer,
)
from controllers.cluster.plan.switching_steps import NameMember
from controllers.cluster.plan.version_steps import (
    DeleteProbe,
    MakeProbe,
    RefuseResize,
    ResizePod,
)
from controllers.cluster.plan.volume_steps import ReleaseStatefulSet, ResizeClaims, VolumeTrial
from controllers.cluster.render.normal import stamped
from tests.simulation import hands_on_volumes, resize_model
from tests.simulation.etcd_process import Refused
from tests.simulation.kubernetes_model import Claim
from tests.simulation.release import release
from tests.simulation.template_model import ProbePod
from tests.simulation.version_hands import VersionStep, act_on_version
from tests.simulation.ways import scheme_of

if TYPE_CHECKING:
    from tests.simulation.eyes import Eyes
    from tests.simulation.world import World

EtcdStep = AddLearner | PromoteLearner | MoveLeader | NameMember | RemoveMember | DisarmAlarm
ClaimStep = AnnotateClaims | AdoptClaims | DeleteClaims | DiscardLeftovers


class Hands:
    """Acts on one world."""

    def __init__(self, world: "World", eyes: "Eyes") -> None:
        self.world = world
        self._eyes = eyes

    def act(self, step: Any, observed: Observed, parts: int | None) -> Outcome:
        """Take the step; `parts`: only so many of its writes, and the last thing it does."""
        match step:
            case _ if isinstance(step, EtcdStep):
                return self._act_in_etcd(step, observed)
            case _ if isinstance(step, VersionStep):
                if not self._leader_is_known(observed):
                    return Changed(what="no member leads any more")
                return act_on_version(step, self.world.etcd, parts)
            case MakeProbe() | DeleteProbe() | ResizePod() | RefuseResize():
                return self._act_on_pod(step, parts)
            case DiscardClaim():
                return self._discard(step, observed, parts)
            case AnnotateClaims() | AdoptClaims() | DeleteClaims() | DiscardLeftovers():
                self._act_on_claims(step, parts)
            case RecordSpec(trial=VolumeTrial() as trial):
                return hands_on_volumes.try_volumes(self.world.kubernetes, trial)
            case ResizeClaims():
                refused = hands_on_volumes.resize(self.world.kubernetes, step, parts)
                self._eyes.look()
                return refused or Done()
            case ReleaseStatefulSet(uid=uid):
                release(self.world.kubernetes, uid)
            case _:
                self._act_in_kubernetes(step, parts)
        self._eyes.look()
        return Done()

    def _act_on_claims(self, step: ClaimStep, parts: int | None) -> None:
        for claim in self._claims_at(step.claims[:parts]):
            match step:
                case AnnotateClaims(record=record):
                    claim.membership = record
                case AdoptClaims():
                    claim.owner = self.world.kubernetes.owner
                case DeleteClaims() | DiscardLeftovers():
                    claim.terminating = True

    def _act_in_kubernetes(self, step: Any, parts: int | None) -> None:
        kubernetes, world = self.world.kubernetes, self.world
        match step:
            case ApplyObjects(objects=objects):
                for desired in objects[:parts]:
                    kubernetes.store(stamped(desired))
            case DeletePod(name=name, uid=uid, force=force):
                self._delete_pod(_ordinal(name), uid, force=force)
            case RefreshFiles():
                self._refresh_files(step)
            case DropRequest(name=name):
                world.drop_request(name)
            case DeleteUnwanted(kind=kind):
                kubernetes.delete_object(kind)
            case DeleteStatefulSet():
                kubernetes.delete_object("StatefulSet")
            case IssueCertificates(certificates=wanted):
                world.secrets |= {one.role for one in wanted[:parts]}
            case SetFinalizer(present=present):
                world.finalizers = (FINALIZER,) if present else ()

    def _refresh_files(self, step: RefreshFiles) -> None:
        pod = self.world.kubernetes.pods.get(_ordinal(step.name))
        if pod is not None and pod.uid == step.uid:
            pod.closed_for = step.member
            self.world.kubernetes.touch(pod)

    def _act_on_pod(
        self, step: MakeProbe | DeleteProbe | ResizePod | RefuseResize, parts: int | None
    ) -> Outcome:
        outcome: Outcome = Done()
        match step:
            case MakeProbe() | DeleteProbe():
                self._try_out(step)
            case ResizePod() | RefuseResize():
                outcome = resize_model.act(step, self.world.kubernetes, parts)
        self._eyes.look()
        return outcome

    def _try_out(self, step: MakeProbe | DeleteProbe) -> None:
        kubernetes = self.world.kubernetes
        probe = kubernetes.probe
        match step:
            case MakeProbe(pod=pod) if probe is None:
                image = pod["spec"]["containers"][0]["image"]
                kubernetes.probe = ProbePod(kubernetes.uid(), image, kubernetes.now)
            case DeleteProbe(uid=uid) if probe is not None and probe.uid == uid:
                probe.terminating = True

    def _delete_pod(self, ordinal: int, uid: str, *, force: bool) -> None:
        pod = self.world.kubernetes.pods.get(ordinal)
        if pod is None or pod.uid != uid:
            return
        pod.terminating = True
        if force:
            self.world.kubernetes.end_pod(ordinal)

    def _claims_at(self, named: Iterable[tuple[str, str]]) -> Iterator[Claim]:
        """Those that still are who they were."""
        for name, uid in named:
            claim = self.world.kubernetes.claims.get(_ordinal(name))
            if claim is not None and claim.uid == uid:
                yield claim

    def _discard(self, step: DiscardClaim, observed: Observed, parts: int | None) -> Outcome:
        etcd, kubernetes = self.world.etcd, self.world.kubernetes
        ordinal = _ordinal(step.name)
        if not self._leader_is_known(observed):
            return Changed(what="no member leads any more")
        entry = etcd.at(ordinal)
        if entry is not None and entry.published:
            return Changed(what=f"{step.name} belongs to a member that has started")
        claim = kubernetes.claims.get(ordinal)
        if claim is None or claim.uid != step.uid:
            return Done()
        if step.keep_volume:
            kubernetes.kept += 1
        if parts is None:
            claim.terminating = True
            self._eyes.look()
        return Done()

    def _leader_is_known(self, observed: Observed) -> bool:
        return self.world.etcd.has_quorum() and any(
            status.is_leader for status in observed.etcd.statuses.values()
        )

    def _act_in_etcd(self, step: Any, observed: Observed) -> Outcome:
        etcd = self.world.etcd
        if not self._leader_is_known(observed):
            return Changed(what="no member leads any more")
        try:
            match step:
                case AddLearner(name=name):
                    return self._add_learner(step, _ordinal(name))
                case PromoteLearner(id=member):
                    etcd.promote(member)
                case MoveLeader(target_id=target):
                    etcd.move_leader(target)
                case RemoveMember(id=member, voters=voters):
                    if len(etcd.voters()) != voters:
                        return Changed(what="etcd's member list")
                    etcd.remove(member)
                case NameMember(id=member, peer_urls=urls):
                    etcd.name(member, frozenset(map(scheme_of, urls)))
                case DisarmAlarm(id=member):
                    etcd.disarm(member)
        except Refused as error:
            return NotYet(message=f"etcd answers: {error}") if error.now else Done()
        return Done()

    def _add_learner(self, step: AddLearner, ordinal: int) -> Outcome:
        claim = self.world.kubernetes.claims.get(ordinal)
        if claim is not None and claim.uid != step.old_claim:
            if claim.owner == self.world.kubernetes.owner:
                return Changed(what=f"volume claim {step.claim}")
            return Rejected(reason=Reason.LEFTOVER_VOLUMES, message=f"{step.claim} is not ours")
        self.world.etcd.add_learner(ordinal, frozenset(map(scheme_of, step.peer_urls)))
        return Done()


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])
