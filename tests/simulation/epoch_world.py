"""A world whose user restores in place, goes back, and says what becomes of old data.

There are claims, and an etcd on them, of several epochs (`epoch_model`); what must hold is in
`judge_epochs`.  At the end the members run on the recorded epoch, and what was asked for last has
been answered.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from typing_extensions import override

from api.labels import claim_place, volume_claim_name
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.restore_request import COMPLETED, PUT_BACK, RestoreRequest
from controllers.cluster.epochs import answers
from controllers.cluster.observed import Claim as SeenClaim
from controllers.cluster.observed import Observed
from controllers.cluster.observed import RestorePod as SeenRestorePod
from controllers.cluster.outcome import Changed, Done, Outcome
from controllers.cluster.plan.epoch_steps import DeleteEpoch, SwitchEpoch
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    DeleteSeedClaim,
    MakeRestorePod,
    MakeSeedClaim,
)
from controllers.cluster.plan.steps import Plan
from controllers.cluster.pods import of_epoch
from tests.simulation import judge_epochs
from tests.simulation.epoch_model import EpochKubernetes, RestorePod
from tests.simulation.etcd_model import EtcdModel
from tests.simulation.etcd_process import quorum
from tests.simulation.eyes import Eyes
from tests.simulation.hands import Hands
from tests.simulation.kubernetes_model import Claim
from tests.simulation.operator_model import NOWHERE, CutOff, OperatorModel
from tests.simulation.release import KEY
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import UID
from tests.unit.controllers.cluster.epoch_world import FOUND, REQUEST, answer

_FAILURES: Final[Mapping[str, tuple[Reason, str]]] = {
    "away": (Reason.STORE_UNAVAILABLE, "the store is away"),
    "vain": (Reason.STORE_FORBIDDEN, "403"),
}


class EpochWorld(World):
    """`request`: for which restore, by the annotation. `old_data`: what becomes of others."""

    kubernetes: EpochKubernetes

    def __init__(self, wanted: ClusterSpec, *, newest: bool = True) -> None:
        super().__init__(wanted, newest=newest)
        self.kubernetes = EpochKubernetes(self.etcd, owner=UID, newest=newest)
        self.kubernetes.on_mount = self._other_etcd
        eyes = _Eyes(self)
        self.operator = OperatorModel(self, eyes, _Hands(self, eyes))
        self.request: RestoreRequest | None = None
        self.old_data = ""
        self._requests = 0

    def _other_etcd(self, etcd: EtcdModel) -> None:
        self.etcd = etcd
        etcd.now = self.now
        # What was known of members is known of others.
        self.seen, self.restarted = set(), set()

    # ------------------------------------------------------------------ the user
    def ask(self) -> None:
        """Another EtcdRestore asks. It says at once what becomes of old data."""
        self._requests += 1
        named = {"uid": f"restore-{self._requests}", "asked_at": self.when()}
        self.request, self.old_data = REQUEST.model_copy(update=named), "Keep"

    def lose_quorum(self) -> None:
        """The volumes of a majority are gone, and nobody can bring them back."""
        voters = sorted(entry.ordinal for entry in self.etcd.voters())
        for ordinal in voters[: quorum(len(voters))]:
            claim = self.kubernetes.claims.get(ordinal)
            self.kill_pod(ordinal)
            if claim is not None:
                claim.lost, claim.log = True, None

    def is_lost(self) -> bool:
        """Whether no quorum of the current epoch has its data any more."""
        voters = self.etcd.voters()
        return len([v for v in voters if self._is_intact(v)]) < quorum(len(voters))

    # ------------------------------------------------------------------ at every step
    @override
    def judge(self, observed: Observed, plan: Plan) -> None:
        judge_epochs.before_act(self, observed, plan)
        # Who is stopped for other data is not looked after any more.
        if plan.rule not in {"stop_members", "drop_former_members"}:
            super().judge(observed, plan)

    @override
    def reconcile(self, cut: CutOff = NOWHERE, *, stale: bool = False) -> Plan:
        bootstrap = self.status.bootstrap
        plan = super().reconcile(cut, stale=stale)
        if bootstrap and self.status.bootstrap and bootstrap.epoch != self.status.bootstrap.epoch:
            self.cluster_id = self.status.cluster_id
        return plan

    # ------------------------------------------------------------------ the end of all faults
    @override
    def heal(self) -> None:
        self.kubernetes.backup = "data"
        if not self.spec.size:
            self.edit(size=1)
        super().heal()

    @override
    def _person_helps(self, plan: Plan) -> None:
        super()._person_helps(plan)
        is_under_way = self.status.next_epoch is not None or not self._is_answered()
        if not is_under_way and self.is_lost():
            self.ask()

    def _is_answered(self) -> bool:
        return self.request is None or answers(self.status, self.request)

    @override
    def is_settled(self, plan: Plan) -> bool:
        if not self._is_answered() or self.status.next_epoch is not None:
            return False
        over = self.status.restore is not None and self.status.restore.phase in {
            COMPLETED,
            PUT_BACK,
        }
        if over and self.old_data == "Discard" and self.status.set_aside:
            return False
        assert self.status.bootstrap is not None
        return self.kubernetes.mounted == self.status.bootstrap.epoch and super().is_settled(plan)


class _Eyes(Eyes):
    """Sees the claims of all epochs, and what the user asks for."""

    world: EpochWorld

    @override
    def observe(self, *, stale: bool = False) -> Observed:
        seen, world = super().observe(stale=stale), self.world
        claims, others = seen.claims, seen.other_claims
        if world.status.bootstrap is not None:
            claims, others = of_epoch(seen.claims, world.status.bootstrap.epoch)
        asked, pod = world.request, world.kubernetes.restoring
        is_open = asked is not None and not answers(world.status, asked)
        return dataclasses.replace(
            seen,
            claims=claims,
            other_claims=others,
            restore_pods=(_seen(pod),) if pod else (),
            restore_request=asked,
            requested_source=FOUND if is_open else None,
            old_data_asked=world.old_data,
            image="operator:1",
        )

    @override
    def _claims(self) -> tuple[SeenClaim, ...]:
        kubernetes = self.world.kubernetes
        known = kubernetes.claims
        found: list[SeenClaim] = []
        for number, epoch in kubernetes.epochs.items():
            kubernetes.claims = epoch.claims
            found += (_of(number, one) for one in super()._claims())
        kubernetes.claims = known
        return tuple(found)


class _Hands(Hands):
    """Takes the steps between epochs, with the preconditions of the real `act`."""

    world: EpochWorld

    @override
    def act(self, step: Any, observed: Observed, parts: int | None) -> Outcome:
        match step:
            case (
                MakeSeedClaim()
                | DeleteSeedClaim()
                | MakeRestorePod()
                | DeleteRestorePod()
                | SwitchEpoch()
                | DeleteEpoch()
            ):
                outcome = self._act_on_epochs(step, parts)
                self._eyes.look()
                return outcome
            case _:
                return super().act(step, observed, parts)

    def _act_on_epochs(self, step: Any, parts: int | None) -> Outcome:
        kubernetes = self.world.kubernetes
        match step:
            case SwitchEpoch():
                is_free = not kubernetes.pods and KEY not in kubernetes.live
                return Done() if is_free else Changed(what="somebody runs")
            case DeleteEpoch(claims=claims):
                for claim in self._claims_at(claims[:parts]):
                    claim.terminating = True
                return Done()
            case _:
                return Changed(what="it died before") if parts == 0 else self._prepare(step)

    def _prepare(self, step: Any) -> Outcome:
        kubernetes = self.world.kubernetes
        match step:
            case MakeSeedClaim(epoch=epoch, claim=body):
                kubernetes.make_seed(epoch, dict(body))
            case DeleteSeedClaim(name=name, uid=uid):
                for claim in self._claims_at(((name, uid),)):
                    claim.terminating = True
            case MakeRestorePod(epoch=epoch, claim=(name, uid)):
                if not list(self._claims_at(((name, uid),))):
                    return Changed(what=name)
                kubernetes.make_restore_pod(epoch, uid)
            case DeleteRestorePod(uid=uid):
                if kubernetes.restoring and kubernetes.restoring.uid == uid:
                    kubernetes.restoring.terminating = True
        return Done()

    @override
    def _claims_at(self, named: Iterable[tuple[str, str]]) -> Iterator[Claim]:
        for name, uid in named:
            claim = self.world.kubernetes.at(claim_place("db", name))
            if claim is not None and claim.uid == uid:
                yield claim


def _of(epoch: int, claim: SeenClaim) -> SeenClaim:
    name = volume_claim_name("db", claim.ordinal, epoch)
    return dataclasses.replace(claim, epoch=epoch, name=name)


def _seen(pod: RestorePod) -> SeenRestorePod:
    return SeenRestorePod(
        name=f"db-{pod.epoch}-restore",
        uid=pod.uid,
        epoch=pod.epoch,
        claim=pod.claim,
        terminating=pod.terminating,
        restored=answer() if pod.came == "data" else None,
        failure=_FAILURES.get(pod.came),
        in_vain=pod.came == "vain",
    )
