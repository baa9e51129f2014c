"""One EtcdCluster as its owner handles it: apply, look at conditions, ask etcd itself."""

import contextlib
import time

from e2e.harness.etcd import Etcd, Member
from e2e.harness.kube import Kube, Object, apply, kubectl
from e2e.harness.wait import UnavailableError, until

FORMED_WITHIN_S = 120.0
API_VERSION = "etcd.etcd.io/v1alpha1"


def manifest(kind: str, namespace: str, name: str, spec: Object) -> Object:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def condition(obj: Object | None, kind: str) -> Object:
    """A condition of an object; empty when it has none of that type."""
    conditions = ((obj or {}).get("status") or {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


class EtcdCluster:
    """A cluster by name. Nothing is remembered: every answer is what the API server says now."""

    def __init__(self, kube: Kube, namespace: str, name: str = "db") -> None:
        self.kube = kube
        self.namespace = namespace
        self.name = name

    # --- what its owner does

    async def apply(self, **spec: object) -> None:
        """Applies it; in plain text, unless it says otherwise, as most stories need no more."""
        spec = {"security": {"tls": {"enabled": False}}} | spec
        ended = await apply(manifest("EtcdCluster", self.namespace, self.name, spec))
        assert ended.code == 0, ended.err

    async def edit(self, **spec: object) -> None:
        """Changes some fields of the spec; None takes one out."""
        await self.kube.patch("EtcdCluster", self.namespace, self.name, {"spec": spec})

    async def delete(self) -> None:
        await self.kube.delete("EtcdCluster", self.namespace, self.name)

    # --- what Kubernetes says

    async def get(self) -> Object:
        found = await self.kube.get("EtcdCluster", self.namespace, self.name)
        assert found is not None, f"EtcdCluster {self.name} is gone"
        return found

    async def status(self) -> Object:
        found: Object = (await self.get()).get("status", {})
        return found

    async def pod(self, name: str) -> Object | None:
        return await self.kube.get("Pod", self.namespace, name)

    async def pods(self) -> dict[str, Object]:
        """By name."""
        labels = f"app.kubernetes.io/name=etcd,app.kubernetes.io/instance={self.name}"
        pods = await self.kube.list("Pod", self.namespace, labels)
        return {pod["metadata"]["name"]: pod for pod in pods}

    async def claims(self) -> list[str]:
        """The names of its volume claims, those of earlier clusters of its name included."""
        claims = await self.kube.list("PersistentVolumeClaim", self.namespace)
        names = [claim["metadata"]["name"] for claim in claims]
        return sorted(name for name in names if name.startswith(f"data-{self.name}-"))

    # --- waiting

    async def ready(self, within_s: float = FORMED_WITHIN_S) -> float:
        """Waits until it is Ready for the spec as it is now; returns the seconds that it took."""
        began = time.monotonic()

        async def is_ready() -> bool:
            cluster = await self.get()
            generation = cluster["metadata"]["generation"]
            ready = condition(cluster, "Ready")
            return ready.get("status") == "True" and ready["observedGeneration"] == generation

        await until(f"EtcdCluster {self.name} to be Ready", is_ready, within_s=within_s)
        return time.monotonic() - began

    async def shows(
        self, reason: str, *, kind: str = "Ready", status: str = "False", within_s: float = 60.0
    ) -> str:
        """Waits until a condition says so of the spec as it is now; returns its message."""

        async def message() -> str | None:
            cluster = await self.get()
            seen = condition(cluster, kind)
            if (seen.get("reason"), seen.get("status")) != (reason, status):
                return None
            is_new = seen["observedGeneration"] == cluster["metadata"]["generation"]
            return str(seen["message"]) if is_new else None

        wanted = f"EtcdCluster {self.name} to be {kind}={status}/{reason}"
        found = await until(wanted, message, within_s=within_s)
        assert found is not None
        return found

    async def gone(self, within_s: float = 60.0) -> None:
        async def is_gone() -> bool:
            found = await self.kube.get("EtcdCluster", self.namespace, self.name)
            return found is None and not await self.pods()

        await until(f"EtcdCluster {self.name} and its pods to be gone", is_gone, within_s=within_s)

    async def gone_to_sleep(self, within_s: float = 60.0) -> None:
        async def no_pods() -> bool:
            return not await self.pods()

        await until(f"the pods of {self.name} to end", no_pods, within_s=within_s)

    async def tells(self, reason: str, *, of: str = "", within_s: float = 20.0) -> str:
        """Waits for an event about the cluster with this reason that speaks `of` something; returns
        its message.
        """

        async def message() -> str | None:
            for event in await self.kube.list("Event", self.namespace):
                about = event["involvedObject"]
                who = (about["kind"], about["name"], event["reason"])
                if who == ("EtcdCluster", self.name, reason) and of in event["message"]:
                    return str(event["message"])
            return None

        found = await until(f"an event {reason} of {self.name}", message, within_s=within_s)
        assert found is not None
        return found

    # --- what etcd says

    def etcd(self, pod: str | None = None) -> Etcd:
        """Etcd as one member shows it: the first, when none is named."""
        return Etcd(self.kube, self.namespace, pod or f"{self.name}-0")

    async def members(self) -> dict[str, Member]:
        """By name, from whichever member answers first."""

        async def answer() -> dict[str, Member]:
            for pod in await self.pods():
                with contextlib.suppress(UnavailableError):
                    return await self.etcd(pod).members()
            return {}

        return await until(f"members of {self.name}", answer, within_s=30.0)

    async def ids(self) -> dict[str, str]:
        """Member IDs by name."""
        return {member.name: member.id for member in (await self.members()).values()}

    async def leader(self) -> str:
        """The name of the member that leads."""
        ids = await self.ids()

        async def leader() -> str | None:
            led_by = {await self.etcd(name).leader_id() for name in ids}
            return next((name for name, each in ids.items() if {each} == led_by), None)

        found = await until(f"{self.name} to agree on a leader", leader, within_s=30.0)
        assert found is not None
        return found

    async def etcdctl(self, pod: str, *arguments: str) -> str:
        """What `kubectl exec POD -c etcd -- etcdctl ...` prints."""
        command = ("exec", "-n", self.namespace, pod, "-c", "etcd", "--", "etcdctl", *arguments)
        return await kubectl(*command)
