"""A model of what the operator acts on, small enough to be searched by the thousand.

Modelled: the API server's objects and their resourceVersions as far as our writes need them, the
StatefulSet controller (makes missing pods from the newest template, OnDelete), kubelet (starts etcd
once the file that the pod names is there, with a stale copy of the ConfigMap at times), and etcd's
own rules of a first start: `new` needs a quorum of the named members, a log on the volume makes
etcd ignore its file's membership, and without one `existing` with only itself exits.

Not modelled: learners and changes of membership, versions, time.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import yaml

from api.labels import FINALIZER
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.observed import Claim, Etcd, Observed, Pod
from controllers.cluster.outcome import Done
from controllers.cluster.plan import Plan, plan
from controllers.cluster.plan.steps import (
    ApplyObjects,
    DeleteClaims,
    DeletePod,
    DeleteStatefulSet,
    SetFinalizer,
    Wait,
)
from controllers.cluster.render import identity
from controllers.cluster.render.normal import stamped
from controllers.cluster.status import next_status
from etcd.cluster import Member
from etcd.ids import ClusterID, MemberID
from tests.unit.controllers.cluster.builders import CLUSTER_ID, UID, status_of, unborn


@dataclass
class Volume:
    """A member's disk: which identity its log holds, None when it is empty."""

    uid: str
    owner: str
    log: int | None = None


@dataclass
class RunningPod:
    uid: str
    template: str  # the config file suffix that its template names
    files: dict[str, str]  # the copy of the ConfigMap that kubelet mounted
    serves: bool = False
    failed: bool = False


class World:
    """One EtcdCluster `db` in namespace `prod`, and everything that exists because of it."""

    def __init__(self, wanted: ClusterSpec) -> None:
        self.spec = wanted
        self.status = ClusterStatus()
        self.finalizers: tuple[str, ...] = ()
        self.deleted = False
        self.gone = False
        self.live: dict[tuple[str, str], dict[str, Any]] = {}
        self.pods: dict[int, RunningPod] = {}
        self.volumes: dict[int, Volume] = {}
        self.members: dict[int, bool] = {}  # ordinal -> has published its client URL
        self.formed_token: str | None = None
        self.lost_data: set[int] = set()
        self.uids = 0

    # ------------------------------------------------------------------ what the operator sees
    def observe(self) -> Observed:
        base = unborn(spec=self.spec)
        return dataclasses.replace(
            base,
            status=self.status,
            applied=self._applied(),
            finalizers=self.finalizers,
            deleting_since=base.now if self.deleted else None,
            live=dict(self.live),
            pods=tuple(self._pod(n) for n in sorted(self.pods)),
            claims=tuple(self._claim(n) for n in sorted(self.volumes)),
            etcd=self._etcd(),
        )

    def _applied(self) -> ClusterSpec | None:
        recorded = self.status.applied_spec
        return None if recorded is None else ClusterSpec.model_validate(recorded)

    def _pod(self, ordinal: int) -> Pod:
        pod = self.pods[ordinal]
        return Pod(
            name=f"db-{ordinal}",
            ordinal=ordinal,
            uid=pod.uid,
            ip="10.0.0.1",
            node="node",
            running=not pod.failed,
            ready=pod.serves and self._has_quorum(),
            terminating=False,
            revision=pod.template,
            config_file=f"db-{ordinal}-{pod.template}",
            restarts=0,
            problem=None,
        )

    def _claim(self, ordinal: int) -> Claim:
        volume = self.volumes[ordinal]
        return Claim(
            name=f"data-db-{ordinal}",
            ordinal=ordinal,
            uid=volume.uid,
            cluster_uid=volume.owner,
            terminating=False,
        )

    def _etcd(self) -> Etcd:
        serving = [n for n, pod in self.pods.items() if pod.serves]
        leader = MemberID(0xA0 + min(serving)) if self._has_quorum() else None
        statuses = {f"db-{n}": status_of(n, leader=leader) for n in serving}
        if leader is None or self.status.bootstrap is None:
            return Etcd(error="no member knows a leader", statuses=statuses)
        who = identity(unborn(spec=self.spec), self.status.bootstrap)
        members = tuple(
            Member(
                id=MemberID(0xA0 + n),
                name=f"db-{n}",
                peer_urls=(who.peer_url(n),),
                client_urls=(who.client_url(n),) if published else (),
                is_learner=False,
            )
            for n, published in sorted(self.members.items())
        )
        return Etcd(cluster_id=ClusterID(CLUSTER_ID), members=members, statuses=statuses)

    def _has_quorum(self) -> bool:
        serving = sum(pod.serves for pod in self.pods.values())
        return bool(self.members) and serving > len(self.members) // 2

    # ------------------------------------------------------------------ what the operator does
    def reconcile(self, *, dies_before_act: bool, dies_before_status: bool) -> Plan:
        """One reconcile, cut off where it is told to be."""
        observed = self.observe()
        made = plan(observed)
        if dies_before_act:
            return made
        if not isinstance(made.step, Wait):
            self._act(made)
        if not dies_before_status and not self.gone:
            self.status = next_status(observed, made, Done())
        return made

    def _act(self, made: Plan) -> None:
        match made.step:
            case ApplyObjects(objects=objects):
                for desired in objects:
                    self._apply(desired)
            case DeletePod(name=name):
                self.pods.pop(int(name.rpartition("-")[2]), None)
            case SetFinalizer(present=present):
                self.finalizers = (FINALIZER,) if present else ()
                self.gone = self.deleted and not present
            case DeleteStatefulSet():
                self.live.pop(("StatefulSet", "db"), None)
                self.pods.clear()
            case DeleteClaims(claims=claims):
                for name, _ in claims:
                    del self.volumes[int(name.rpartition("-")[2])]
            case _:
                pass

    def _apply(self, desired: dict[str, Any]) -> None:
        sent = stamped(desired)
        key = (sent["kind"], sent["metadata"]["name"])
        obj = {**sent, "metadata": {**sent["metadata"], "uid": f"uid-{key}", "generation": 1}}
        if key[0] == "StatefulSet":
            obj["status"] = {"observedGeneration": 1, "updateRevision": _suffix(obj)}
        self.live[key] = obj

    # ------------------------------------------------------------------ what the rest does
    def make_pods(self, *, stale: dict[str, str] | None = None) -> None:
        """The StatefulSet controller and the provisioner; kubelet mounts its copy of the files."""
        stateful_set = self.live.get(("StatefulSet", "db"))
        if stateful_set is None:
            return
        config = self.live.get(("ConfigMap", "db-config"), {"data": {}})["data"]
        for ordinal in range(stateful_set["spec"]["replicas"]):
            self.volumes.setdefault(ordinal, Volume(uid=self._uid(), owner=UID))
            if ordinal not in self.pods:
                files = dict(config if stale is None else stale)
                self.pods[ordinal] = RunningPod(self._uid(), _suffix(stateful_set), files)

    def refresh_files(self) -> None:
        """Kubelet's periodic sync of mounted ConfigMaps."""
        config = self.live.get(("ConfigMap", "db-config"))
        if config is not None:
            for pod in self.pods.values():
                pod.files = dict(config["data"])

    def start_processes(self) -> None:
        """Every container that does not serve starts its etcd; those that can, do."""
        starting = {n: pod for n, pod in self.pods.items() if not pod.serves}
        joining: dict[tuple[str, int], list[int]] = {}
        for ordinal, pod in starting.items():
            text = pod.files.get(f"db-{ordinal}-{pod.template}")
            file = yaml.safe_load(text) if text else None
            self._start(ordinal, pod, file, joining)
        for (token, size), ordinals in joining.items():
            self._form(token, size, ordinals)

    def _start(
        self,
        ordinal: int,
        pod: RunningPod,
        file: dict[str, Any] | None,
        joining: dict[tuple[str, int], list[int]],
    ) -> None:
        pod.failed = False
        listed = file["initial-cluster"].count("=") if file else 0
        if file is None:
            pod.failed = True
        elif self.volumes[ordinal].log is not None:
            pod.serves = ordinal in self.members
        elif file["initial-cluster-state"] == "new":
            if self.members.get(ordinal):
                pod.failed = True  # "has already been bootstrapped"
            else:
                joining.setdefault((file["initial-cluster-token"], listed), []).append(ordinal)
        elif listed == len(self.members) and ordinal in self.members:
            self._join(ordinal, pod)
        else:
            pod.failed = True

    def _form(self, token: str, size: int, ordinals: list[int]) -> None:
        """A static bootstrap: the log is written at once, the cluster lives from a quorum on."""
        assert self.formed_token in {None, token}, "a second bootstrap under another token"
        self.formed_token = token
        self.members = self.members or dict.fromkeys(range(size), False)
        for ordinal in ordinals:
            self._join(ordinal, self.pods[ordinal])

    def _join(self, ordinal: int, pod: RunningPod) -> None:
        assert ordinal not in self.lost_data, f"member {ordinal} votes again without its data"
        self.volumes[ordinal].log = ordinal
        pod.serves = True

    def publish(self) -> None:
        """Members that serve with quorum tell their client URL."""
        if self._has_quorum():
            for ordinal, pod in self.pods.items():
                if pod.serves:
                    self.members[ordinal] = True

    # ------------------------------------------------------------------ what goes wrong
    def kill_pod(self, ordinal: int) -> None:
        self.pods.pop(ordinal, None)

    def crash(self, ordinal: int) -> None:
        if ordinal in self.pods:
            self.pods[ordinal].serves = False

    def empty_volume(self, ordinal: int) -> None:
        """The data directory is emptied and the process ends; only counts if it ever published."""
        if ordinal in self.volumes and self.members.get(ordinal):
            self.volumes[ordinal].log = None
            self.lost_data.add(ordinal)
            self.kill_pod(ordinal)

    def delete_object(self, kind: str) -> None:
        for key in [key for key in self.live if key[0] == kind]:
            del self.live[key]

    def _uid(self) -> str:
        self.uids += 1
        return f"u{self.uids}"


def _suffix(stateful_set: dict[str, Any]) -> str:
    args = stateful_set["spec"]["template"]["spec"]["containers"][0]["args"][0]
    return args.rpartition("-")[2]
