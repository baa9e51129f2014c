"""What the operator sees: the value that the real `observe` would make of the world.

From what the API server shows, through the real parsers of pods and claims, and from what etcd
answers.  The caches may be older than the world, but never older than the operator's last write.
"""

import dataclasses
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from api.labels import FIRST_EPOCH, ClaimPlace
from api.v1alpha1.cluster import ClusterSpec
from controllers.cluster.certificates.facts import Facts, Role
from controllers.cluster.listeners import listeners_of
from controllers.cluster.observed import (
    Certificates,
    Claim,
    Etcd,
    LostNode,
    Observed,
    Pod,
    Probe,
)
from controllers.cluster.pods import claim_from, pod_from, probe_from
from etcd.cluster import Member
from etcd.ids import ClusterID, MemberID
from etcd.maintenance import Alarm, AlarmKind, Downgrade, Status
from tests.simulation.etcd_process import CLUSTER_ID, Process
from tests.simulation.shown import ShownClaim, ShownPod
from tests.unit.controllers.cluster.builders import NOW, status_of, unborn
from tests.unit.controllers.cluster.certificate_builders import facts

if TYPE_CHECKING:
    from tests.simulation.world import World


class Eyes:
    """Looks at one world; keeps nothing but the caches."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._base = unborn(spec=world.spec)
        self._cache: tuple[tuple[Pod, ...], tuple[Claim, ...]] = ((), ())

    def observe(self, *, stale: bool = False) -> Observed:
        world = self.world
        if not stale:
            self.look()
        pods, claims = self._cache
        if world.status.applied_spec is None:
            claims = self._claims()
        return dataclasses.replace(
            self._base,
            now=world.when(),
            generation=world.generation,
            spec=None if world.invalid or world.unfit else world.spec,
            spec_errors=(*world.invalid, *world.unfit),
            deletes_data=world.spec.storage.deletion_policy == "Delete",
            status=world.status,
            applied=_spec_of(world.status.applied_spec),
            finalizers=world.finalizers,
            deleting_since=world.deleting_since,
            namespace_terminating=world.namespace_terminating,
            foreign=world.foreign,
            live=dict(world.kubernetes.live),
            pods=pods,
            claims=claims,
            probe=self._probe(),
            restart_asked=world.restart_asked,
            etcd=self._etcd(pods),
            nodes_lost=self._nodes_lost(pods),
            asked_to_replace=world.asked(),
            certificates=_certificates(frozenset(world.secrets)),
        )

    def look(self) -> None:
        pods = tuple(map(_pod_from, self.world.kubernetes.pods_shown()))
        self._cache = (pods, self._claims())

    def _claims(self) -> tuple[Claim, ...]:
        return tuple(map(_claim_from, self.world.kubernetes.claims_shown()))

    def _probe(self) -> Probe | None:
        kubernetes = self.world.kubernetes
        shown = kubernetes.probe_shown()
        if shown is None or kubernetes.probe is None:
            return None
        return probe_from(shown.to_object(), kubernetes.probe.printed or "")

    def _nodes_lost(self, pods: tuple[Pod, ...]) -> tuple[LostNode, ...]:
        """Of members that are not ready: of the node that they run on, or last ran on."""
        kubernetes, found = self.world.kubernetes, []
        last = {member.name: member.node for member in self.world.status.members}
        nodes = last | {pod.name: pod.node for pod in pods if pod.node}
        ready = {pod.name for pod in pods if pod.ready and pod.running}
        for node in sorted({node or "" for name, node in nodes.items() if name not in ready}):
            if node in kubernetes.gone:
                found.append(LostNode(name=node, since=NOW, certain=True, why="is gone"))
            elif node in kubernetes.silent:
                since = self.world.when(kubernetes.silent[node])
                found.append(LostNode(name=node, since=since, certain=False, why="is silent"))
        return tuple(found)

    def _etcd(self, pods: tuple[Pod, ...]) -> Etcd:
        """What `ask_etcd` would be told."""
        if self.world.status.bootstrap is None:
            return Etcd(error="the cluster has not been started")
        statuses = {}
        for pod in pods:
            process = self._process(pod)
            if process is not None:
                statuses[pod.name] = self._status(process)
        ours = self.world.status.cluster_id
        asked = [
            name
            for name, status in statuses.items()
            if status.leader and not status.is_learner and ours in {"", f"{status.cluster_id:x}"}
        ]
        asked.sort(key=lambda name: not statuses[name].is_leader)
        if not asked:
            error = "no member knows a leader" if statuses else "no member answers"
            return Etcd(error=error, statuses=statuses)
        return self._listed(statuses[asked[0]], statuses)

    def _process(self, pod: Pod) -> Process | None:
        """Who answers at the address that the cache knows."""
        running = self.world.kubernetes.pods.get(pod.ordinal)
        if running is None or running.uid != pod.uid or not pod.running or running.process is None:
            return None
        return (
            None if running.process.cut or not self._is_served(running.process) else running.process
        )

    def _is_served(self, process: Process) -> bool:
        """Whether it answers in the way in which the operator calls."""
        status = self.world.status
        assert status.bootstrap is not None
        return listeners_of(status.bootstrap, status.tls).client[0] in process.ways.serves

    def _status(self, process: Process) -> Status:
        etcd, log = self.world.etcd, process.log
        foreign = log.cluster_id != CLUSTER_ID
        entry = etcd.entries.get(log.id)
        leader = log.id if foreign else etcd.leader if etcd.has_quorum() and entry else None
        target = etcd.version.told_downgrade(process)
        return status_of(
            process.ordinal,
            member_id=MemberID(log.id),
            cluster_id=ClusterID(log.cluster_id),
            leader=None if leader is None else MemberID(leader),
            version=str(process.version),
            storage_version=etcd.version.told_form(process, self.world.now),
            downgrade=Downgrade(target_version=target) if target else None,
            db_size=etcd.db_size,
            raft_index=etcd.acked if entry else log.index,
            raft_applied_index=log.index,
            is_learner=entry is not None and entry.learner,
        )

    def _listed(self, asked: Status, statuses: Mapping[str, Status]) -> Etcd:
        world = self.world
        if asked.cluster_id != CLUSTER_ID:
            alone = Member(
                id=asked.member_id,
                name="other",
                peer_urls=("http://other:2380",),
                client_urls=("http://other:2379",),
                is_learner=False,
            )
            return Etcd(cluster_id=asked.cluster_id, members=(alone,), statuses=statuses)
        return Etcd(
            cluster_id=ClusterID(CLUSTER_ID),
            members=world.members(),
            statuses=statuses,
            alarms=tuple(
                Alarm(member_id=MemberID(member), kind=AlarmKind.CORRUPT)
                for member in sorted(world.etcd.alarms)
            ),
        )


@lru_cache(maxsize=1024)
def _certificates(there: frozenset[Role]) -> Certificates:
    """What is in the Secrets that are there: as the operator makes them, always the same."""
    return Certificates(facts={role: one for role, one in _facts().items() if role in there})


@cache
def _facts() -> Facts:
    return facts()


@lru_cache(maxsize=65536)
def _pod_from(shown: ShownPod) -> Pod:
    return pod_from(shown.to_object(), ordinal=shown.ordinal)


@lru_cache(maxsize=65536)
def _claim_from(shown: ShownClaim) -> Claim:
    return claim_from(shown.to_object(), ClaimPlace(FIRST_EPOCH, shown.ordinal))


def _spec_of(recorded: Mapping[str, Any] | None) -> ClusterSpec | None:
    return None if recorded is None else _spec_from(json.dumps(recorded))


@lru_cache(maxsize=1024)
def _spec_from(text: str) -> ClusterSpec:
    return ClusterSpec.model_validate(json.loads(text))
