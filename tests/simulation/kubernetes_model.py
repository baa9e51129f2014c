"""What Kubernetes does with our objects, as far as an operator can be surprised by it.

Modelled: the StatefulSet controller (Parallel, OnDelete: a pod that is made anew follows the newest
revision of the template; claims are made with the pod and never deleted), the scheduler (a claim
ties its pod to a node, a claim that goes takes no new pod, and without a volume none starts),
kubelet (starts etcd from its own copy of the ConfigMap, which may be old; restarts it), claims that
end only after their last pod, nodes that fall silent or are gone, PersistentVolumes that are kept,
the pod that tries out an image.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from etcd.versions import parse_version
from tests.simulation import resize_model
from tests.simulation.etcd_model import EtcdModel
from tests.simulation.etcd_process import (
    CLUSTER_ID,
    REMOVED,
    Broken,
    Ending,
    Log,
    Process,
    read_file,
)
from tests.simulation.release import KEY, collect, is_going
from tests.simulation.shown import ShownClaim, ShownPod, ShownProbe
from tests.simulation.storage_model import StorageModel, Volume
from tests.simulation.template_model import ProbePod, Registry, Template, template_of

# Kubelet brings a mounted ConfigMap up to date at least this often (syncFrequency and cache TTL).
SYNC_S = 90.0


@dataclass(slots=True)
class Claim:
    """A PersistentVolumeClaim with its volume. `ids`: all members that ever lived on it."""

    uid: str
    owner: str | None
    volume: Volume
    log: Log | None = None
    node: str = ""
    terminating: bool = False
    lost: bool = False
    membership: str = ""  # the annotation
    ids: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Pod:
    """A pod. `template`: what it was made from; `node`: empty, pending.

    `resources` are those of its spec, `in_force` those that it has; `answer`: how kubelet answers
    the request for others, and since when.
    """

    uid: str
    ordinal: int
    template: Template
    owner: str | None  # the uid of its StatefulSet; None: orphaned
    created: float
    node: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    synced: float = 0.0
    process: Process | None = None
    ending: Ending | None = None
    restarts: int = 0
    terminating: bool = False
    image_missing: bool = False
    closed_for: str = ""  # annotation: the member whose closed file kubelet was told of
    asked: bool = False  # annotated for replacement
    notes: dict[str, str] = field(default_factory=dict)  # annotations about its resources
    resources: str = ""
    in_force: str = ""
    answer: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        self.resources = self.in_force = self.template.resources


@dataclass
class KubernetesModel:
    """The objects of one EtcdCluster `db`, and everybody but us who acts on them.

    `newest`: a claim that is missing is made also for a pod that waits for it already.
    """

    etcd: EtcdModel
    live: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    pods: dict[int, Pod] = field(default_factory=dict)
    claims: dict[int, Claim] = field(default_factory=dict)
    silent: dict[str, float] = field(default_factory=dict)  # nodes, and since when
    gone: set[str] = field(default_factory=set)
    kept: int = 0  # volumes that outlived their claim
    registry: Registry = field(default_factory=Registry)
    probe: ProbePod | None = None
    image_missing: bool = False
    resizes: str = resize_model.GIVEN  # how requests for other resources are answered
    full: bool = False  # no node takes another pod
    now: float = 0.0
    owner: str = ""
    newest: bool = True
    storage: StorageModel = field(default_factory=StorageModel)
    _old_files: Mapping[str, str] = field(default_factory=dict)
    _replaced: float = 0.0
    _uids: int = 0
    _nodes: int = 0

    def uid(self) -> str:
        self._uids += 1
        return f"u{self._uids}"

    # ------------------------------------------------------------------ objects
    def store(self, obj: dict[str, Any]) -> None:
        """What the API server holds after an apply."""
        key = (obj["kind"], obj["metadata"]["name"])
        old = self.live.get(key)
        metadata = {
            **obj["metadata"],
            "uid": old["metadata"]["uid"] if old else self.uid(),
            "generation": _generation(old, obj),
            "resourceVersion": self.uid(),
            **_end_of(old),
        }
        if key == KEY and old and _claim_templates(old) != _claim_templates(obj):
            raise Broken("the claim templates of a StatefulSet are to be changed in place")
        stored = {**obj, "metadata": metadata, "status": old.get("status", {}) if old else {}}
        if key[0] == "ConfigMap":
            self._old_files, self._replaced = self.files(), self.now
        self.live[key] = stored

    def files(self) -> Mapping[str, str]:
        config_map = self.live.get(("ConfigMap", "db-config"))
        return config_map["data"] if config_map else {}

    def old_files(self) -> Mapping[str, str]:
        """What a kubelet may still believe to be the files."""
        return self._old_files if self.now - self._replaced < SYNC_S else self.files()

    def delete_object(self, kind: str, *, orphan: bool = False) -> None:
        """Delete all of a kind; the pods of a StatefulSet follow it unless they are orphaned."""
        for key in [key for key in self.live if key[0] == kind]:
            del self.live[key]
        if kind == "StatefulSet" and orphan:
            for pod in self.pods.values():
                pod.owner = None

    # ------------------------------------------------------------------ controllers
    def work(self, *, stale: bool = False) -> None:
        """One round of everybody: ends what ends, makes what is missing, runs what can run."""
        collect(self)
        self.end_pods()
        self.end_claims()
        self.make_pods()
        self.schedule(stale=stale)
        self.run()
        self.try_out()

    def end_pods(self) -> None:
        """Kubelet ends what is deleted; on a lost node nobody does, until the node itself is gone.

        Deleted are pods beyond the StatefulSet's replicas, and those of one that is gone.
        """
        stateful_set = self.live.get(("StatefulSet", "db"))
        owner = stateful_set["metadata"]["uid"] if stateful_set else None
        works = stateful_set and not is_going(stateful_set)
        for ordinal, pod in list(self.pods.items()):
            if works and pod.owner is None and not pod.terminating:
                pod.owner = owner
            surplus = works and ordinal >= stateful_set["spec"]["replicas"]
            if surplus or pod.owner not in {None, owner}:
                pod.terminating = True
            if pod.node in self.gone or (pod.terminating and pod.node not in self.silent):
                self.end_pod(ordinal)

    def end_pod(self, ordinal: int) -> None:
        pod = self.pods.pop(ordinal, None)
        if pod is not None:
            self.stop(pod)

    def end_claims(self) -> None:
        """The finalizer pvc-protection holds a claim while a scheduled pod uses it."""
        for ordinal, claim in list(self.claims.items()):
            pod = self.pods.get(ordinal)
            if claim.terminating and (pod is None or not pod.node):
                del self.claims[ordinal]

    def make_pods(self) -> None:
        stateful_set = self.live.get(("StatefulSet", "db"))
        if stateful_set is None or is_going(stateful_set):
            return
        owner, template = stateful_set["metadata"]["uid"], template_of(stateful_set)
        self._tell_revision(stateful_set, template)
        for ordinal in range(stateful_set["spec"]["replicas"]):
            if ordinal not in self.claims and (self.newest or ordinal not in self.pods):
                volume = self.storage.claimed(_claim_templates(stateful_set)[0])
                self.claims[ordinal] = Claim(uid=self.uid(), owner=self.owner, volume=volume)
            if ordinal not in self.pods:
                self.pods[ordinal] = Pod(self.uid(), ordinal, template, owner, self.now)

    def _tell_revision(self, stateful_set: dict[str, Any], template: Template) -> None:
        """The controller has seen the newest template: its status says so."""
        generation = stateful_set["metadata"]["generation"]
        status = {"observedGeneration": generation, "updateRevision": template.revision}
        if stateful_set["status"] != status:
            metadata = {**stateful_set["metadata"], "resourceVersion": self.uid()}
            told = {**stateful_set, "metadata": metadata, "status": status}
            self.live["StatefulSet", "db"] = told

    def try_out(self) -> None:
        if self.probe is not None and self.probe.terminating:
            self.probe = None
        if self.probe is not None and not self.full:
            self.registry.run(self.probe)

    def schedule(self, *, stale: bool = False) -> None:
        for ordinal, pod in self.pods.items():
            claim = self.claims.get(ordinal)
            if pod.node or pod.terminating or self.full:
                continue
            if claim is None or claim.terminating or claim.lost or claim.node in self.gone:
                continue
            if claim.node in self.silent or not self.storage.provides(claim.volume):
                continue
            pod.node = claim.node = claim.node or self._next_node()
            pod.files = dict(self.old_files() if stale else self.files())
            # A copy that is old now is as old as it may get in half of the time.
            pod.synced = self.now - SYNC_S / 2
            pod.image_missing = self.image_missing

    def _next_node(self) -> str:
        self._nodes += 1
        return f"node-{self._nodes}"

    # ------------------------------------------------------------------ kubelet
    def run(self) -> None:
        for ordinal, pod in self.pods.items():
            if not pod.node or pod.node in self.silent or pod.terminating:
                continue
            if self.now - pod.synced >= SYNC_S:
                self.sync(pod)
            if pod.process and pod.process.log.id in self.etcd.removed and self._told(pod):
                self.crash(ordinal, REMOVED)
            resize_model.look(pod, self.resizes)
            if resize_model.starves(pod):
                self.crash(ordinal, Ending(137, "OOMKilled"))
            elif pod.process is None and not pod.image_missing:
                self._start(pod)
            if pod.process is not None:
                self.storage.grow(self.claims[ordinal].volume, self.now)

    def _told(self, pod: Pod) -> bool:
        """Whether a removed member has heard of it: from any other that still serves."""
        assert pod.process is not None
        return not pod.process.cut and any(p is not pod.process for p in self.etcd.reachable())

    def sync(self, pod: Pod) -> None:
        pod.files, pod.synced = self.files(), self.now

    def _start(self, pod: Pod) -> None:
        text = pod.files.get(f"db-{pod.ordinal}-{pod.template.file}")
        claim = self.claims.get(pod.ordinal)
        if claim is None:
            return
        if text is None:
            pod.ending, pod.restarts = (
                Ending(1, "open: no such file or directory"),
                pod.restarts + 1,
            )
            return
        file, version = read_file(text), parse_version(pod.template.version)
        came_of_it = self.etcd.start(pod.ordinal, file, claim.log, version)
        if isinstance(came_of_it, Ending):
            pod.ending, pod.restarts = came_of_it, pod.restarts + 1
            return
        claim.log = came_of_it
        claim.ids.add(came_of_it.id)
        pod.process = self.etcd.serve(pod.ordinal, file, came_of_it, version)

    def touch(self, pod: Pod) -> None:
        """The pod was changed: kubelet looks at its ConfigMap when it comes to it next."""
        pod.synced = self.now - SYNC_S

    def stop(self, pod: Pod) -> None:
        if pod.process is not None:
            self.etcd.stop(pod.process)
            pod.process = None

    def crash(self, ordinal: int, ending: Ending) -> None:
        pod = self.pods.get(ordinal)
        if pod is not None and pod.process is not None:
            self.stop(pod)
            pod.ending, pod.restarts = ending, pod.restarts + 1

    # ------------------------------------------------------------------ nodes
    def silence(self, node: str) -> None:
        """The node no longer reports: its pods are not ready, whatever they do."""
        self.silent[node] = self.now
        self._cut(node, cut=True)

    def lose(self, node: str) -> None:
        """The node is gone for good, and the volumes on it."""
        self.silent.pop(node, None)
        self.gone.add(node)
        self._cut(node, cut=True)

    def revive(self) -> None:
        for node in list(self.silent):
            del self.silent[node]
            self._cut(node, cut=False)

    def _cut(self, node: str, *, cut: bool) -> None:
        for pod in self.pods.values():
            if pod.node == node and pod.process is not None:
                pod.process.cut = cut

    # ------------------------------------------------------------------ as the API server shows it
    def pods_shown(self) -> Iterator[ShownPod]:
        return (self._shown_pod(self.pods[n]) for n in sorted(self.pods))

    def _shown_pod(self, pod: Pod) -> ShownPod:
        return ShownPod(
            uid=pod.uid,
            ordinal=pod.ordinal,
            template=pod.template,
            created=pod.created,
            node=pod.node,
            ready=self._is_ready(pod),
            running=pod.process is not None,
            terminating=pod.terminating,
            controlled=pod.owner is not None,
            pending="" if pod.node else self._why_pending(pod),
            image_missing=pod.image_missing,
            ending=pod.ending,
            restarts=pod.restarts,
            closed_for=pod.closed_for,
            notes=tuple(sorted(pod.notes.items())),
            resources=pod.resources,
            answer=pod.answer,
        )

    def probe_shown(self) -> ShownProbe | None:
        probe = self.probe
        if probe is None:
            return None
        return ShownProbe(
            uid=probe.uid,
            image=probe.image,
            created=probe.created,
            missing=probe.missing,
            ended=probe.printed is not None,
            terminating=probe.terminating,
        )

    def _is_ready(self, pod: Pod) -> bool:
        if pod.process is None or pod.node in self.silent or self.now < pod.process.looked_at:
            return False
        return self.etcd.is_ready(pod.process.log.id)

    def _why_pending(self, pod: Pod) -> str:
        claim = self.claims.get(pod.ordinal)
        if claim is None:
            return f'persistentvolumeclaim "data-db-{pod.ordinal}" not found'
        return "persistentvolumeclaim is being deleted" if claim.terminating else "no node"

    def claims_shown(self) -> Iterator[ShownClaim]:
        return (self._shown_claim(n, self.claims[n]) for n in sorted(self.claims))

    def _shown_claim(self, ordinal: int, claim: Claim) -> ShownClaim:
        return ShownClaim(
            uid=claim.uid,
            ordinal=ordinal,
            owner=claim.owner,
            terminating=claim.terminating,
            lost=claim.lost,
            size=claim.volume.size,
            capacity=claim.volume.capacity,
            storage_class=claim.volume.storage_class,
            membership=claim.membership,
        )


def is_open(files: Mapping[str, str], ordinal: int) -> bool:
    """Whether one of the files would let this member start without its data."""
    own = (text for name, text in files.items() if name.startswith(f"db-{ordinal}-"))
    return any(read_file(text).listed != {ordinal} for text in own)


def foreign_log(ordinal: int) -> Log:
    """The data of a member of some other cluster."""
    return Log(id=0xF00 + ordinal, cluster_id=CLUSTER_ID ^ 0xFF)


def _claim_templates(stateful_set: Mapping[str, Any]) -> list[Any]:
    templates: list[Any] = stateful_set["spec"]["volumeClaimTemplates"]
    return templates


def _end_of(old: Mapping[str, Any] | None) -> dict[str, Any]:
    """That an object is on its way out outlives every update."""
    metadata = old["metadata"] if old else {}
    return {key: metadata[key] for key in ("deletionTimestamp", "finalizers") if key in metadata}


def _generation(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> int:
    """It counts the changes of an object's spec."""
    if old is None:
        return 1
    generation: int = old["metadata"]["generation"]
    return generation + (old.get("spec") != new.get("spec"))
