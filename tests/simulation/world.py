"""One EtcdCluster `db`, everything that exists because of it, everybody who acts on it, and time.

The world is made of three models: etcd, Kubernetes and the operator.  Here are the clock, the user
and the end of all trouble; what goes wrong is in `faults`.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from api.errors import FieldError
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.observed import Observed
from controllers.cluster.options import option_errors
from controllers.cluster.plan.steps import Plan, Wait
from controllers.cluster.render.pods import with_restart
from etcd.cluster import Member
from etcd.ids import MemberID
from tests.simulation import judge, judge_resources, judge_versions
from tests.simulation.etcd_model import EtcdModel
from tests.simulation.etcd_process import Broken, Refused
from tests.simulation.faults import Faults
from tests.simulation.judge_resources import is_alike
from tests.simulation.kubernetes_model import SYNC_S, KubernetesModel, foreign_log
from tests.simulation.operator_model import NOWHERE, CutOff, OperatorModel
from tests.simulation.template_model import template_of
from tests.unit.controllers.cluster.builders import NOW, UID

if TYPE_CHECKING:
    from controllers.cluster.certificates.facts import Role

_REFUSALS = frozenset({Reason.VERSION_REFUSED, Reason.NOT_SUPPORTED_YET, Reason.INVALID_SPEC})
_DISTRUSTS = frozenset(
    {Reason.ROLLOUT_BLOCKED, Reason.EMPTY_DATA_DIRECTORY, Reason.MEMBER_WITHDRAWN}
)
_FOR_A_PERSON = frozenset({Reason.LEFTOVER_VOLUMES, Reason.STATUS_LOST})
_TAKEN_BACK = ("version", "repository", "options", "pod_template")
# The ordinals of members that a person added under URLs that are none of ours.
_STRANGER = 70


class World(Faults):
    """`now`: seconds since the beginning.  `newest`: of Kubernetes' versions."""

    def __init__(self, wanted: ClusterSpec, *, newest: bool = True) -> None:
        self.spec = wanted
        self.generation = 1
        self.status = ClusterStatus()
        self.finalizers: tuple[str, ...] = ()
        self.deleting_since: datetime | None = None
        self.namespace_terminating = False
        self.gone = False
        self.invalid: tuple[FieldError, ...] = ()
        self.unfit: tuple[FieldError, ...] = ()  # options that its version does not have
        self.foreign: tuple[str, ...] = ()
        self.etcd = EtcdModel()
        self.kubernetes = KubernetesModel(self.etcd, owner=UID, newest=newest)
        self.operator = OperatorModel(self)
        self.ever_asked: set[int] = set()
        self.annotation: set[int] = set()  # on the EtcdCluster
        self.restart_asked = ""  # by another one
        self.recorded_versions = {wanted.version}
        self.restarted: set[int] = set()  # healthy voters that the operator restarts
        self.cluster_id = ""
        self.steps = 0
        self.older_operator = False  # has accepted the spec
        self.now = 0.0
        self.seen: set[int] = set()  # IDs of voters that the operator has seen since they started
        self.secrets: set[Role] = set()  # those with certificates that are there

    # ------------------------------------------------------------------ time and everybody's work
    def when(self, at: float | None = None) -> datetime:
        return NOW + timedelta(seconds=self.now if at is None else at)

    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.etcd.now = self.kubernetes.now = self.now

    def reconcile(self, cut: CutOff = NOWHERE, *, stale: bool = False) -> Plan:
        plan = self.operator.reconcile(cut, stale=stale)
        if isinstance(plan.step, Wait) and self.etcd.has_quorum():
            self.seen |= {entry.id for entry in self.etcd.voters() if entry.published}
        return plan

    def judge(self, observed: Observed, plan: Plan) -> None:
        """Before a step is taken. Raises Broken."""
        judge.before_act(self, observed, plan)
        judge_versions.before_act(self, observed, plan)
        judge_resources.before_act(self, observed, plan)

    def everybody_works(self, pick: int = 0) -> None:
        self.kubernetes_works()
        self.etcd.tick(pick)
        judge_versions.after_anything(self)
        if self.deleting_since is not None and not self.finalizers:
            self._is_collected()

    def kubernetes_works(self, *, stale: bool = False) -> None:
        self.kubernetes.work(stale=stale)
        judge_versions.after_anything(self)

    def _is_collected(self) -> None:
        """Without a finalizer the EtcdCluster is gone, and what it owns follows: not the claims."""
        self.gone = True
        self.kubernetes.live.clear()
        for ordinal in list(self.kubernetes.pods):
            self.kubernetes.end_pod(ordinal)

    def files_arrive(self) -> None:
        """So much time passes that every kubelet has the newest files."""
        self.time_passes(SYNC_S)
        self.everybody_works()
        self.reconcile()

    def members(self) -> tuple[Member, ...]:
        """Etcd's list, as a member shows it."""
        entries = (entry for _, entry in sorted(self.etcd.entries.items()))
        return tuple(
            _member(e.id, e.ordinal, e.learner, e.started, e.published, e.named) for e in entries
        )

    # ------------------------------------------------------------------ the user
    def edit(self, **fields: object) -> None:
        """Another spec: `size=5`, `paused=True`."""
        self.spec = self.spec.model_copy(update=fields)
        self.unfit = option_errors(self.spec)
        self.generation += 1

    def take_edit_back(self) -> None:
        """The spec says again what the members were made from, but for their number."""
        applied = ClusterSpec.model_validate(self.status.applied_spec)
        self.edit(**{name: getattr(applied, name) for name in _TAKEN_BACK})

    def break_spec(self, *, broken: bool) -> None:
        """The spec says what the operator has to refuse, or no longer does."""
        self.invalid = (FieldError("spec.options", "is not an option"),) if broken else ()

    def delete(self) -> None:
        """`kubectl delete`: the object stays as long as it has a finalizer."""
        self.deleting_since = self.deleting_since or self.when()

    def create_again(self, policy: str) -> None:
        """Another EtcdCluster of the same name, over the volumes that the last one left.

        It has the last one's uid, which nobody looks at but in the claims' label.
        """
        self._is_collected()
        self.gone, self.deleting_since, self.finalizers = False, None, ()
        self.status, self.cluster_id = ClusterStatus(), ""
        for claim in self.kubernetes.claims.values():
            claim.owner = "earlier"
        self._obey(policy)

    def lose_status(self, policy: str) -> None:
        """The EtcdCluster was restored from a backup that has no status."""
        self.status, self.cluster_id = ClusterStatus(), ""
        self._obey(policy)

    def _obey(self, policy: str) -> None:
        storage = self.spec.storage.model_copy(update={"existing_volumes": policy})
        self.edit(storage=storage)
        if policy == "Discard":
            self._begin_anew()

    def _begin_anew(self) -> None:
        """What is on the volumes is of another cluster from now on."""
        self.etcd = self.kubernetes.etcd = EtcdModel(now=self.now)
        for ordinal, claim in self.kubernetes.claims.items():
            claim.log = foreign_log(ordinal)

    def ask_to_replace(self, ordinal: int, *, on_pod: bool) -> None:
        pod = self.kubernetes.pods.get(ordinal)
        self.ever_asked.add(ordinal)
        if on_pod and pod is not None:
            pod.asked = True
        else:
            self.annotation.add(ordinal)

    def asked(self) -> tuple[str, ...]:
        marked = {n for n, pod in self.kubernetes.pods.items() if pod.asked}
        return tuple(f"db-{n}" for n in sorted(self.annotation | marked))

    def was_made_otherwise(self, plan: Plan) -> None:
        """An older version of the operator made something else of the spec that it accepted."""
        rendered = self.status.rendered
        if not self.older_operator or plan.rule != "accept_spec" or rendered is None:
            return
        template = rendered.pod_template
        older = {**template, "spec": {**template["spec"], "terminationGracePeriodSeconds": 20}}
        made = rendered.model_copy(update={"pod_template": with_restart(older, "")})
        self.status = self.status.model_copy(update={"rendered": made})

    def drop_request(self, name: str) -> None:
        ordinal = int(name.rpartition("-")[2])
        self.annotation.discard(ordinal)
        if ordinal in self.kubernetes.pods:
            self.kubernetes.pods[ordinal].asked = False

    def remove_by_hand(self, ordinal: int) -> bool:
        """`etcdctl member remove`, of a voter only while the others are well without it."""
        entry = self.etcd.at(ordinal)
        if entry is None or not self.etcd.has_quorum():
            return False
        if not entry.learner and not self.bears(entry, removed=True):
            return False
        try:
            self.etcd.remove(entry.id)
        except Refused:
            return False
        return True

    def add_by_hand(self, ordinal: int) -> bool:
        """`etcdctl member add --learner` of somebody whom nobody will ever start."""
        try:
            self.etcd.by_hand.add(self.etcd.add_learner(_STRANGER + ordinal))
        except Refused:
            return False
        return True

    # ------------------------------------------------------------------ the end of all faults
    def heal(self) -> None:
        self.kubernetes.revive()
        self.kubernetes.image_missing = self.kubernetes.full = self.etcd.slow = False
        self.etcd.compacting = self.etcd.version.unsure = False
        self.kubernetes.registry.missing, self.kubernetes.registry.instead = False, ""
        for pod in self.kubernetes.pods.values():
            pod.image_missing = False
        self.invalid, self.foreign = (), ()
        self.edit(paused=False)

    def _person_helps(self, plan: Plan) -> None:
        """Decides about leftovers, takes away the members that a person has added, and takes back
        the request to replace an only member, or an edit that is refused; asks for the replacement
        of who has no data on a template that nobody knows to be good.
        """
        told = {plan.step.reason} if isinstance(plan.step, Wait) else set()
        told |= {condition.reason for condition in self.status.conditions}
        if told & _REFUSALS:
            self.take_edit_back()
        if told & _DISTRUSTS and self.status.joining is None:
            for entry in self.etcd.voters():
                claim = self.kubernetes.claims.get(entry.ordinal)
                if claim is not None and claim.log is None and len(self.etcd.voters()) > 1:
                    self.ask_to_replace(entry.ordinal, on_pod=False)
        if plan.rule == "wait_to_honour" and self.spec.size == 1:
            self.annotation.clear()
            for pod in self.kubernetes.pods.values():
                pod.asked = False
        if isinstance(plan.step, Wait) and plan.step.reason in _FOR_A_PERSON:
            self._obey("Adopt")
        for entry in list(self.etcd.entries.values()):
            if entry.id in self.etcd.by_hand and self.etcd.has_quorum():
                self.etcd.remove(entry.id)

    def settle(self, rounds: int = 600) -> None:
        """Let everybody work until all is as the spec says. Raises Broken after `rounds`."""
        self.heal()
        plan, same = self.reconcile(), 0
        for _ in range(rounds):
            before, plan = plan, self.reconcile()
            if self.is_settled(plan):
                return
            self._person_helps(plan)
            self.everybody_works()
            same = same + 1 if plan == before else 0
            self.time_passes(self._pause_s(plan, same))
        raise Broken(f"not settled after {rounds} rounds: {plan.rule}: {plan.step}")

    def _pause_s(self, plan: Plan, same: int) -> float:
        """Two seconds; where nothing moves for long, until the moment that the plan names."""
        if same < 8:
            return 2.0
        until = plan.step.not_before if isinstance(plan.step, Wait) else None
        return max(2.0, (until - self.when()).total_seconds() + 1) if until else 60.0

    def is_settled(self, plan: Plan) -> bool:
        if self.gone:
            return True
        if not isinstance(plan.step, Wait) or not plan.step.settled:
            return False
        if not self.spec.size:
            return not self.kubernetes.pods
        wanted = set(range(self.spec.size))
        voting = {self.etcd.entries[m].ordinal for m in self.etcd.healthy_voters()}
        everyone = {entry.ordinal for entry in self.etcd.entries.values()}
        if not wanted == voting == everyone == set(self.kubernetes.claims):
            return False
        if self.etcd.alarms or self.etcd.version.downgrade is not None:
            return False
        return self._is_rolled_out()

    def _is_rolled_out(self) -> bool:
        """Whether every pod is made from the newest template, which names what the spec does."""
        newest = template_of(self.kubernetes.live["StatefulSet", "db"])
        alike = all(
            is_alike(pod, newest) and pod.in_force == pod.resources == newest.resources
            for pod in self.kubernetes.pods.values()
        )
        return alike and newest.image == f"{self.spec.repository}:{self.spec.version}"


@lru_cache(maxsize=4096)
def _member(
    member: int,
    ordinal: int,
    learner: bool,
    started: bool,
    published: bool,
    named: frozenset[str],
) -> Member:
    stranger = ordinal >= _STRANGER
    host = "stranger" if stranger else f"db-{ordinal}.db-peer.prod.svc.cluster.local"
    return Member(
        id=MemberID(member),
        name=f"db-{ordinal}" if started else "",
        peer_urls=tuple(f"{scheme}://{host}:2380" for scheme in sorted(named)),
        client_urls=(f"http://{host}:2379",) if published else (),
        is_learner=learner,
    )
