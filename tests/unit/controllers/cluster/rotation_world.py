"""A cluster with TLS whose authorities are rotated, as far as trust goes: who is let in by whom.

Secrets, kubelet's copies of them, pods that read their trust once, applications that read theirs
whenever they feel like it, and the real operator in between: what it reads, plans and writes is its
own code.  Everything else happens in the order that a test says.
"""

import asyncio
import copy
import dataclasses
import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api.labels import SHOW_ANNOTATION, stateful_set_name
from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.act import perform
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER, Facts, Role
from controllers.cluster.certificates.parse import read_facts
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import SHOWN, to_be_shown
from controllers.cluster.happenings import happenings
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.outcome import Changed, Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.certificate_steps import (
    AnnounceCertificate,
    CopyCertificates,
    IssueCertificates,
)
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.rotation_waits import VOLUMES
from controllers.cluster.plan.steps import ApplyObjects, DeletePod, MoveLeader, Plan, Wait
from controllers.cluster.read_certificates import CertificateReader, ReadCertificates
from controllers.cluster.render.normal import hash_of
from controllers.cluster.render.tls import AUTHORITY_KEY, mounted_bundles
from controllers.cluster.status import next_status
from controllers.writer import Writer
from informers.errors import AlreadyExistsError, ConflictError, NotFoundError
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster.builders import NOW, live_of, member_id, pod, status_of
from tests.unit.controllers.cluster.certificate_builders import TLS, observed, secrets

GRACE = timedelta(minutes=60)
# By then a running kubelet has looked at every pod.
KUBELET = timedelta(minutes=2)
SECRET_OF = {Role.CLIENT_CA: "db-server-tls", Role.PEER_CA: "db-peer-tls"}
NO_ETCD: Any = None


class MemoryApi:
    """Secrets on a server that looks at uid and resourceVersion; every version is kept."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, list[tuple[datetime, Mapping[str, str]]]] = {}
        self.now = NOW
        self.dropped = 0
        self._applied: dict[str, Mapping[str, str]] = {}
        self._numbers = itertools.count(1)
        for secret in secrets().values():
            self._store(secret["metadata"]["name"], copy.deepcopy(secret))

    async def get(self, _resource, *, namespace, name, timeout_s=10):
        if name not in self.objects:
            raise NotFoundError(404, "NotFound", name)
        return copy.deepcopy(self.objects[name])

    async def create(self, _resource, body, *, namespace, timeout_s=10, **_):
        name = body["metadata"]["name"]
        if name in self.objects:
            raise AlreadyExistsError(409, "AlreadyExists", name)
        return self._store(name, {**body, "metadata": {**body["metadata"], "uid": f"uid-{name}"}})

    async def apply(self, _resource, body, *, name, **_):
        found = self._checked(name, body["metadata"])
        # Other managers' keys stay, ours that are no longer applied go.
        before = self._applied.get(name, {})
        self._applied[name] = body["data"]
        others = {key: value for key, value in found["data"].items() if key not in before}
        return self._store(name, {**found, "data": {**others, **body["data"]}})

    async def patch(self, _resource, body, *, name, **_):
        if name not in self.objects:  # the EtcdCluster: its annotation goes
            self.dropped += 1
            return {"metadata": {**body["metadata"], "name": name, "namespace": "prod"}}
        found = self._checked(name, body["metadata"])
        data = {**found["data"], **body["data"]}
        return self._store(name, {**found, "data": {k: v for k, v in data.items() if v}})

    def _checked(self, name, metadata):
        found = self.objects.get(name)
        version = metadata.get("resourceVersion")
        if found is None or metadata["uid"] != found["metadata"]["uid"]:
            raise ConflictError(409, "Conflict", "another uid")
        if version and version != found["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "another version")
        return found

    def _store(self, name, obj):
        version = str(next(self._numbers))
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}
        self.objects[name] = obj
        self.versions.setdefault(name, []).append((self.now, obj["data"]))
        return copy.deepcopy(obj)


@dataclasses.dataclass
class Process:
    """One member's pod: its template's keys, kubelet's copies, and what etcd read at its start."""

    uid: str
    revision: str
    keys: Mapping[str, str]  # by volume
    files: dict[str, tuple[int, Mapping[str, str]]]  # by Secret: version and data
    trusts: dict[Role, frozenset[str]] = dataclasses.field(default_factory=dict)


class World:
    """Three members, two applications and the operator."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.base = observed()
        self.status = self.base.status
        self.asked = ""
        self.leader = 0
        self.live = live_of(self.base)
        self.seen_generation = 1
        self.template = self._sts()["spec"]["template"]  # as its controller knows it
        self.reachable = True
        self.uids = itertools.count()
        self.pods: dict[int, Process | None] = {n: self._born() for n in range(3)}
        self.apps = [0, 0]  # the version of the client's Secret that each has
        self.announced: dict[str, str] = {}
        self.rules: list[str] = []
        self.events: list[str] = []
        self.restart_operator()

    # --- the operator

    def restart_operator(self) -> None:
        self.reader = CertificateReader(self.api)
        self.dials: Mapping[str, str] = self.api.versions["db-client-tls"][-1][1]

    def look(self) -> Observed:
        authorities = self.status.authorities
        who = tls_identity(dataclasses.replace(self.base, status=self.status))
        assert who is not None
        read = asyncio.run(
            self.reader.read(who, authorities, now=self.now, anew=self._is_preparing())
        )
        if read.tls is not None:
            self.dials = self._dialled(read)
        certificates = dataclasses.replace(read.certificates, shown=self._shown())
        running = {n for n, process in self.pods.items() if process is not None}
        statuses = {f"db-{n}": status_of(n, leader=member_id(self.leader)) for n in sorted(running)}
        etcd = dataclasses.replace(self.base.etcd, statuses=statuses)
        return dataclasses.replace(
            self.base,
            now=self.now,
            status=self.status,
            certificates=certificates,
            pods=tuple(self._pod(n) for n in sorted(running)),
            etcd=etcd,
            live=self.live,
            rotation_asked=self.asked,
        )

    def step(self, *, dies_after: int | None = None) -> Plan:
        """One reconcile. `dies_after` 0: before its status is written; else within a step that
        writes several Secrets, after so many.
        """
        seen = self.look()
        planned = plan(seen)
        self.rules.append(planned.rule)
        outcome = None
        if not isinstance(planned.step, Wait):
            outcome = self._act(planned.step, seen, dies_after)
        if dies_after is not None:
            self.restart_operator()
            return planned
        after = next_status(seen, planned, outcome)
        self.events += [told.reason for told in happenings(seen, planned, outcome, after)]
        self.status = after
        return planned

    def _act(self, step, seen, dies_after):
        match step:
            case ApplyObjects():
                self._apply(seen)
            case DeletePod(name=name):
                self.pods[int(name[-1])] = None
            case MoveLeader(target=target):
                self.leader = int(target[-1])
            case AnnounceCertificate(pods=pods, fingerprint=fingerprint):
                for name, _ in pods:
                    self.announced[self.pods[int(name[-1])].uid] = fingerprint
            case IssueCertificates(certificates=some) if dies_after:
                step = dataclasses.replace(step, certificates=some[:dies_after])
            case CopyCertificates(copies=some) if dies_after:
                step = dataclasses.replace(step, copies=some[:dies_after])
        writer = Writer(
            self.api, OwnWrites(clock=lambda: 0.0), "prod/db", remaining_s=lambda: float("inf")
        )
        if isinstance(step, ApplyObjects | DeletePod | MoveLeader | AnnounceCertificate):
            return Done()
        before = self.api.dropped
        outcome = asyncio.run(perform(step, seen, writer, NO_ETCD))
        assert not isinstance(outcome, Changed) or dies_after is not None, outcome
        if self.api.dropped > before:
            self.asked = ""
        return outcome

    def _is_preparing(self) -> bool:
        rotation = self.status.authorities.rotation
        return rotation is not None and rotation.phase == "Preparing"

    def _shown(self) -> dict[str, str]:
        role = to_be_shown(self.status.authorities, self.base.applied, self.now)
        if role is None or not self.reachable:
            return {}
        authority = next(a for a, leaf in SHOWN.items() if leaf is role)
        facts = {n: self._leaf(p, authority) for n, p in self.pods.items() if p is not None}
        return {f"db-{n}": leaf.certificate.fingerprint for n, leaf in facts.items()}

    def _dialled(self, _read: ReadCertificates) -> Mapping[str, str]:
        """What the operator comes with from now on, as a Secret holds it."""
        return self.api.versions["db-client-tls"][-1][1]

    # --- Kubernetes

    @property
    def now(self) -> datetime:
        return self.api.now

    def _sts(self):
        return self.live["StatefulSet", stateful_set_name("db")]

    def _apply(self, seen) -> None:
        generation = self._sts()["metadata"]["generation"] + 1
        self.live = live_of(seen)
        made = self._sts()
        made["metadata"]["generation"] = generation
        made["status"] = {"observedGeneration": generation - 1, "updateRevision": "db-older"}

    def controller_looks(self) -> None:
        """The StatefulSet controller takes notice of the newest template."""
        made = self._sts()
        self.template = made["spec"]["template"]
        revision = hash_of(self.template)
        generation = made["metadata"]["generation"]
        status = {"observedGeneration": generation, "updateRevision": revision}
        self.live = {**self.live, ("StatefulSet", "db"): {**made, "status": status}}

    def controller_makes(self, ordinal: int, *, stale: bool) -> None:
        """A pod that is missing comes back; from a copy of its Secrets that may be old."""
        if self.pods[ordinal] is None:
            self.pods[ordinal] = self._born(stale=stale)

    def _born(self, *, stale: bool = False) -> Process:
        keys = mounted_bundles(self.template["spec"])
        files = {}
        for name in SECRET_OF.values():
            versions = self.api.versions[name]
            number = max(0, len(versions) - (2 if stale else 1))
            files[name] = (number, versions[number][1])
        made = Process(f"pod-{next(self.uids)}", hash_of(self.template), keys, files)
        for authority, name in SECRET_OF.items():
            if self._key(made, authority) not in files[name][1]:  # kubelet fails, and tries again
                files[name] = (len(self.api.versions[name]) - 1, self.api.versions[name][-1][1])
        self._start(made)
        return made

    def restart(self, ordinal: int) -> None:
        """The container alone, with the files that are there."""
        process = self.pods[ordinal]
        if process is not None:
            self._start(process)

    def kubelet_looks(self, ordinal: int) -> None:
        """New files come into the pod, if what it mounts is among them."""
        process = self.pods[ordinal]
        if process is None:
            return
        for authority, name in SECRET_OF.items():
            versions = self.api.versions[name]
            assert self._key(process, authority) in versions[-1][1], "a mounted key is gone"
            process.files[name] = (len(versions) - 1, versions[-1][1])

    def _key(self, process: Process, authority: Role) -> str:
        return process.keys.get(VOLUMES[authority], AUTHORITY_KEY)

    def _start(self, process: Process) -> None:
        for authority, name in SECRET_OF.items():
            data = process.files[name][1]
            read = self._facts(
                {**data, AUTHORITY_KEY: data[self._key(process, authority)]}, authority
            )
            process.trusts[authority] = frozenset(read.trusts)

    def application_looks(self, number: int) -> None:
        self.apps[number] = len(self.api.versions["db-client-tls"]) - 1

    def time_passes(self, span: timedelta) -> None:
        """Whoever had to look within that time has looked."""
        self.api.now += span
        for number, version in enumerate(self.apps):
            self.apps[number] = max(version, self._known_since("db-client-tls", GRACE))
        for process in filter(None, self.pods.values()):
            for name in SECRET_OF.values():
                known = self._known_since(name, KUBELET)
                if known > process.files[name][0]:
                    process.files[name] = (known, self.api.versions[name][known][1])

    def _known_since(self, name: str, within: timedelta) -> int:
        versions = self.api.versions[name]
        return max(
            (n for n, (made, _) in enumerate(versions) if made + within <= self.now), default=0
        )

    # --- who is let in

    def cut_off(self) -> list[str]:
        """Everybody who is refused by somebody, in words; nobody ever should be."""
        running = {n: process for n, process in self.pods.items() if process is not None}
        found = []
        for a, one in running.items():
            for b, other in running.items():
                leaf = self._leaf(other, Role.PEER_CA)
                if leaf.certificate.issuer not in one.trusts[Role.PEER_CA]:
                    found.append(f"db-{a} does not trust db-{b}")
                if leaf.caller.issuer not in one.trusts[Role.PEER_CA]:
                    found.append(f"db-{a} does not let db-{b} in")
            gateway = self._leaf(one, Role.CLIENT_CA).certificate.issuer
            if gateway not in one.trusts[Role.CLIENT_CA]:
                found.append(f"db-{a} does not let its own gateway in")
        clients = {f"application {n}": self._client(v) for n, v in enumerate(self.apps)}
        clients["the operator"] = self._facts(self.dials, Role.CLIENT_CA, Role.CLIENT)
        for who, client in clients.items():
            for n, process in running.items():
                if self._leaf(process, Role.CLIENT_CA).certificate.issuer not in client.trusts:
                    found.append(f"{who} does not trust db-{n}")
                if client.certificate.issuer not in process.trusts[Role.CLIENT_CA]:
                    found.append(f"db-{n} does not let {who} in")
        return found

    def _client(self, version: int):
        return self._facts(
            self.api.versions["db-client-tls"][version][1], Role.CLIENT_CA, Role.CLIENT
        )

    def _leaf(self, process: Process, authority: Role):
        return self._facts(process.files[SECRET_OF[authority]][1], authority)

    def _facts(self, data, authority, leaf=None):
        """What is in a leaf, by every authority that there has ever been."""
        role = leaf or SHOWN[authority]
        key = (role, data["tls.crt"], data.get("ca.crt"))
        if key not in _known:
            for _, by in self.api.versions[secret_name("db", authority)]:
                found = read_facts({authority: self._secret(by), role: self._secret(data)})[role]
                if found.certificate.issuer:
                    _known[key] = found
        return _known[key]

    def _secret(self, data):
        return {"metadata": {"uid": "x"}, "data": data}

    def _pod(self, ordinal: int) -> Pod:
        process = self.pods[ordinal]
        assert process is not None
        return pod(
            ordinal,
            uid=process.uid,
            revision=process.revision,
            bundles=process.keys,
            annotations={SHOW_ANNOTATION: self.announced.get(process.uid, "")},
            created=self.now,
        )

    # --- the end

    @property
    def authorities(self) -> AuthorityStatus:
        assert self.status.authorities is not None
        return self.status.authorities

    def settle(self, steps: int = 400) -> None:
        """Everything goes its way until the plan is that there is nothing to do."""
        for _ in range(steps):
            planned = self.step()
            self.controller_looks()
            for n in range(3):
                self.controller_makes(n, stale=False)
            if isinstance(planned.step, Wait):
                if planned.step.settled:
                    return
                self.time_passes(timedelta(minutes=10))
            assert not self.cut_off()
        raise AssertionError(self.rules[-20:])


_known: dict[Any, Any] = {}
__all__ = ["AUTHORITIES", "GRACE", "ISSUER", "TLS", "Facts", "World"]
