"""A cluster of three whose TLS is switched while it runs: who can call whom, and who is served.

Members are what their pods are: how they listen and what they can call by is read from the very
configuration file that each was started from, and under which URLs they are called from etcd's
list.  Secrets are on a server of their own; what the operator reads, plans and writes is its own
code.  Everything else happens in the order that a test says.
"""

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import yaml

from api.v1alpha1.cluster import TLS, ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus, TLSChange
from controllers.cluster.act import perform
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.happenings import happenings
from controllers.cluster.listeners import made_with
from controllers.cluster.observed import Etcd, Observed, Pod
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.certificate_steps import IssueCertificates
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.steps import (
    AnnotateClaims,
    ApplyObjects,
    DeletePod,
    MoveLeader,
    Plan,
    Wait,
)
from controllers.cluster.plan.switching_steps import NameMember
from controllers.cluster.read_certificates import CertificateReader, read_certificates
from controllers.cluster.render import rendering
from controllers.cluster.render.identity import identity_of
from controllers.cluster.render.normal import hash_of
from controllers.cluster.status import next_status
from controllers.writer import Writer
from etcd.cluster import Member
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster import builders
from tests.unit.controllers.cluster.builders import (
    CLUSTER_ID,
    UID,
    live_of,
    member_id,
    pod,
    status_of,
)
from tests.unit.controllers.cluster.certificate_builders import RECORDED
from tests.unit.controllers.cluster.rotation_world import MemoryApi

SIZE = 3
GRACE = timedelta(minutes=60)
NO_ETCD: Any = None


def tls_of_spec(*, client: bool, peer: bool) -> dict[str, Any]:
    return {"enabled": client, "clientTLSEnabled": client, "peerTLSEnabled": peer}


class Trusted:
    """What the operator dials each cluster with."""

    def __init__(self) -> None:
        self.held: dict[str, object] = {}

    def trust(self, key: str, tls: object) -> None:
        if tls is None:
            self.held.pop(key, None)
        else:
            self.held[key] = tls

    def trusts(self, key: str) -> bool:
        return key in self.held


@dataclasses.dataclass
class Process:
    """One member's pod; `serves` and the others are from the file that etcd was started from."""

    uid: str
    revision: str
    file: str
    serves: frozenset[str]  # schemes of the client port
    listens: str  # scheme of the peer port
    calls_by_tls: bool


class World:
    """Three members, applications and the operator."""

    def __init__(self, *, client: bool = False, peer: bool = False, **named: Any) -> None:
        """`named`: further fields of spec.security.tls, as the Secrets of the user."""
        self.named = named
        self.spec = self._wanted(client=client, peer=peer)
        self.generation = 1
        self.api = MemoryApi()
        if not client and not peer:
            self.api.objects.clear()
        self.base, self.status = self._begun()
        self.live = live_of(dataclasses.replace(self.base, status=self.status))
        self.claims = builders.annotated(dataclasses.replace(self.base, status=self.status))
        self.leader = 0
        self.urls = {n: set(self._who().peer_urls(n)) for n in range(SIZE)}
        self.uids = itertools.count()
        self.pods: dict[int, Process | None] = dict.fromkeys(range(SIZE))
        self.controller_looks()
        for n in range(SIZE):
            self.controller_makes(n)
        self.apps = [self._who().listeners.client[0]] * 2  # the scheme that each uses
        self.offered = self._offer()
        self.offered_since = self.now
        self.plans: list[Plan] = []
        self.told: list[str] = []
        self.phases: list[str] = []
        self.starts = dict.fromkeys(range(SIZE), 0)
        self.restart_operator()

    def _wanted(self, *, client: bool, peer: bool) -> ClusterSpec:
        tls = tls_of_spec(client=client, peer=peer) | self.named
        return builders.spec(size=SIZE, security={"tls": tls})

    def _begun(self) -> tuple[Observed, ClusterStatus]:
        tls: TLS = self.spec.security.tls
        made = builders.bootstrap(SIZE).model_copy(update=made_with(tls))
        who = identity_of("prod", "db", UID, made)
        status = ClusterStatus(
            applied_spec=self.spec.to_json(),
            rendered=rendering(who, self.spec),
            bootstrap=made,
            cluster_id=f"{CLUSTER_ID:x}",
            client_endpoints=who.client_endpoints(),
            authorities=RECORDED if tls.with_clients or tls.among_members else None,
        )
        return dataclasses.replace(builders.observed(SIZE), spec=self.spec), status

    def _who(self):
        bootstrap = self.status.bootstrap
        assert bootstrap is not None
        return identity_of("prod", "db", UID, bootstrap, self.status.tls)

    # --- the user

    def wish(self, *, client: bool, peer: bool) -> None:
        self.spec = self._wanted(client=client, peer=peer)
        self.generation += 1

    def put(self, secret: Mapping[str, Any]) -> None:
        """The user writes a Secret."""
        self.api.objects[secret["metadata"]["name"]] = dict(secret)

    # --- the operator

    def restart_operator(self) -> None:
        self.reader = CertificateReader(self.api)
        self.channels: Any = Trusted()

    def look(self) -> Observed:
        applied = ClusterSpec.model_validate(self.status.applied_spec)
        running = {n: process for n, process in self.pods.items() if process is not None}
        seen = dataclasses.replace(
            self.base,
            now=self.now,
            generation=self.generation,
            spec=self.spec,
            applied=applied,
            status=self.status,
            live=self.live,
            claims=self.claims,
            pods=tuple(self._pod(n, process) for n, process in sorted(running.items())),
            etcd=self._etcd(set(running)),
        )
        return dataclasses.replace(seen, certificates=self._certificates(seen))

    def _certificates(self, seen: Observed):
        who = tls_identity(seen)
        reading = read_certificates(
            self.reader,
            self.channels,
            who or Holder.of(self._who(), self.spec.security.tls),
            seen.status,
            seen.pods,
            now=self.now,
        )
        return asyncio.run(reading)

    def _etcd(self, running: set[int]) -> Etcd:
        if len(running) < SIZE // 2 + 1:
            return Etcd(error="no member knows a leader")
        if self.leader not in running:
            self.leader = min(running)
        leader = member_id(self.leader)
        members = (
            Member(
                id=member_id(n),
                name=f"db-{n}",
                peer_urls=tuple(sorted(self.urls[n])),
                client_urls=(self._who().client_url(n),),
                is_learner=False,
            )
            for n in range(SIZE)
        )
        statuses = {f"db-{n}": status_of(n, leader=leader) for n in sorted(running)}
        return Etcd(cluster_id=CLUSTER_ID, members=tuple(members), statuses=statuses)

    def step(self, *, dies: str = "") -> Plan:
        """One reconcile. `dies`: "before" it acts, "after" that, or "within" a step of several
        writes; its status is not written then.
        """
        seen = self.look()
        planned = plan(seen)
        self.plans.append(planned)
        outcome = None
        if not isinstance(planned.step, Wait) and dies != "before":
            outcome = self._act(planned.step, seen, cut=dies == "within")
        if dies:
            self.restart_operator()
            return planned
        after = next_status(seen, planned, outcome)
        self.told += [str(one.message) for one in happenings(seen, planned, outcome, after)]
        self.status = after
        if self._offer() != self.offered:
            self.offered, self.offered_since = self._offer(), self.now
        if self.phase and self.phases[-1:] != [self.phase]:
            self.phases.append(self.phase)
        return planned

    def _act(self, step: Any, seen: Observed, *, cut: bool) -> Any:
        match step:
            case ApplyObjects(objects=objects):
                self._apply(objects[:1] if cut else objects, seen)
            case DeletePod(name=name):
                self.pods[int(name[-1])] = None
            case MoveLeader(target=target):
                self.leader = int(target[-1])
            case NameMember(name=name, peer_urls=urls):
                self.urls[int(name[-1])] = set(urls)
            case AnnotateClaims(record=record):
                self.claims = tuple(
                    dataclasses.replace(one, membership=record) for one in self.claims
                )
            case _:
                return self._perform(step, seen, cut=cut)
        return Done()

    def _perform(self, step: Any, seen: Observed, *, cut: bool) -> Any:
        if cut and isinstance(step, IssueCertificates):
            step = dataclasses.replace(step, certificates=step.certificates[:1])
        writer = Writer(
            self.api, OwnWrites(clock=lambda: 0.0), "prod/db", remaining_s=lambda: float("inf")
        )
        return asyncio.run(perform(step, seen, writer, NO_ETCD))

    def _apply(self, objects: tuple[Any, ...], seen: Observed) -> None:
        wanted = live_of(seen)
        for desired in objects:
            key = desired["kind"], desired["metadata"]["name"]
            old, made = self.live[key], wanted[key]
            if key[0] == "StatefulSet":
                made["metadata"]["generation"] = old["metadata"]["generation"] + 1
                made["status"] = old["status"]
            self.live = {**self.live, key: made}

    # --- Kubernetes

    @property
    def now(self) -> datetime:
        return self.api.now

    @property
    def template(self) -> Any:
        return self.live["StatefulSet", "db"]["spec"]["template"]

    def controller_looks(self) -> None:
        """The StatefulSet controller takes notice of the newest template."""
        made = self.live["StatefulSet", "db"]
        generation = made["metadata"]["generation"]
        status = {"observedGeneration": generation, "updateRevision": hash_of(self.template)}
        self.live = {**self.live, ("StatefulSet", "db"): {**made, "status": status}}

    def controller_makes(self, ordinal: int) -> None:
        """A pod that is missing comes back, made of the newest template; without its file, or a
        Secret that it mounts, it does not start.
        """
        if self.pods[ordinal] is not None:
            return
        template = self.template
        argument = template["spec"]["containers"][0]["args"][0]
        name = argument.rpartition("/")[2].replace("$(POD_NAME)", f"db-{ordinal}")
        text = self.live["ConfigMap", "db-config"]["data"].get(name)
        if text is None or not self._mounts(template):
            return
        self.pods[ordinal] = self._started(ordinal, hash_of(template), argument, text)

    def restart(self, ordinal: int) -> None:
        """The container alone."""
        process = self.pods[ordinal]
        if process is None:
            return
        name = process.file.rpartition("/")[2].replace("$(POD_NAME)", f"db-{ordinal}")
        text = self.live["ConfigMap", "db-config"]["data"].get(name)
        assert text is not None, "a file that a pod starts from is gone"
        again = self._started(ordinal, process.revision, process.file, text)
        self.pods[ordinal] = dataclasses.replace(again, uid=process.uid)

    def _started(self, ordinal: int, revision: str, file: str, text: str) -> Process:
        keys = yaml.safe_load(text)
        if hasattr(self, "starts"):
            self.starts[ordinal] += 1
        return Process(
            uid=f"pod-{next(self.uids)}",
            revision=revision,
            file=file,
            serves=frozenset(map(scheme_of, keys["listen-client-urls"].split(","))),
            listens=scheme_of(keys["listen-peer-urls"]),
            calls_by_tls="peer-transport-security" in keys,
        )

    def _mounts(self, template: Any) -> bool:
        """Whether the Secrets are there, with the keys that are asked for."""
        for volume in template["spec"]["volumes"]:
            wanted = volume.get("secret")
            if wanted is None:
                continue
            data = self.api.objects.get(wanted["secretName"], {}).get("data")
            if data is None or not {one["key"] for one in wanted.get("items") or ()} <= data.keys():
                return False
        return True

    def _pod(self, ordinal: int, process: Process) -> Pod:
        return pod(
            ordinal,
            uid=process.uid,
            revision=process.revision,
            config_file=process.file,
            created=self.now,
        )

    # --- applications

    def _offer(self) -> tuple[tuple[str, ...], str]:
        """What applications are told: the schemes of the endpoints, and the one to go over to."""
        wanted = "https" if self.change is not None and self.change.enabled else "http"
        return tuple(map(scheme_of, self.status.client_endpoints)), wanted

    def application_looks(self, number: int) -> None:
        """It takes the URL that everybody is to go over to, as the event says."""
        schemes, wanted = self._offer()
        self.apps[number] = wanted if wanted in schemes else schemes[0]

    def time_passes(self, span: timedelta) -> None:
        """Whoever had to look within that time has looked."""
        self.api.now += span
        if self.now >= self.offered_since + GRACE:
            for number in range(len(self.apps)):
                self.application_looks(number)

    # --- what must hold

    def cut_off(self) -> list[str]:
        """Everybody who can't reach a member that runs, in words; nobody ever should be."""
        running = {n: process for n, process in self.pods.items() if process is not None}
        found = [
            f"db-{a} can't call db-{b}"
            for a, one in running.items()
            for b, other in running.items()
            if a != b and not self._reaches(one, b, other)
        ]
        for n, process in running.items():
            if self._who().listeners.client[0] not in process.serves:
                found.append(f"db-{n} does not serve the operator")
            found += [
                f"db-{n} does not serve {url}"
                for url in self.status.client_endpoints
                if scheme_of(url) not in process.serves
            ]
            found += [
                f"db-{n} does not serve application {number}"
                for number, used in enumerate(self.apps)
                if used not in process.serves
            ]
        return found

    def _reaches(self, one: Process, ordinal: int, other: Process) -> bool:
        schemes = set(map(scheme_of, self.urls[ordinal]))
        return other.listens in schemes and (other.listens == "http" or one.calls_by_tls)

    # --- the way things go

    def goes_on(self) -> Plan:
        """One round in which nothing goes wrong."""
        planned = self.step()
        self.controller_looks()
        for n in range(SIZE):
            self.controller_makes(n)
        return planned

    def until(self, phase: str, *, steps: int = 300) -> None:
        """Everything goes its way until a phase is recorded: "peer Preparing"."""
        for _ in range(steps):
            if self.phase == phase:
                return
            self.round()
        raise AssertionError((self.phases, self.plans[-5:]))

    def settle(self, steps: int = 400) -> None:
        """Everything goes its way until there is nothing to do."""
        for _ in range(steps):
            planned = self.round()
            if isinstance(planned.step, Wait) and planned.step.settled:
                return
            assert not self.cut_off(), self.cut_off()
        raise AssertionError((self.phases, self.plans[-5:]))

    def round(self) -> Plan:
        """The same, and time passes where the operator waits."""
        planned = self.goes_on()
        if isinstance(planned.step, Wait):
            self.time_passes(GRACE if planned.step.not_before else timedelta(minutes=1))
        return planned

    @property
    def change(self) -> TLSChange | None:
        return self.status.tls.change if self.status.tls else None

    @property
    def phase(self) -> str:
        return f"{self.change.listener} {self.change.phase}" if self.change else ""


def scheme_of(url: str) -> str:
    return url.partition("://")[0]
