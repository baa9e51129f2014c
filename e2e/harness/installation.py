"""The operator as it is installed: a Deployment in the cluster, in its own namespace."""

import asyncio
from pathlib import Path

from e2e.harness import manifest, node, rights
from e2e.harness.kube import KUBECTL, Ended, Kube, Object, kubectl, run
from e2e.harness.manifest import CONTAINER, NAME, NAMESPACE
from e2e.harness.process import QUIET, OperatorProcess
from e2e.harness.wait import until

STARTED_WITHIN_S = 180.0
LAST_LINES = 150


class Installation:
    """The operator's Deployment, its pods, and the Lease that says who leads."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._is_installed = False

    async def start(self) -> None:
        """What a user does; then waits until it runs and leads."""
        if not self._is_installed:
            # A pod of an earlier run has an older image under the same tag.
            await self.stop()
            await manifest.install()
            self._is_installed = True
        await self.scale(1)

    async def stop(self) -> None:
        """Also of those on their way out nothing is left."""
        if await self._kube.get("Deployment", NAMESPACE, NAME) is None:
            return
        await self.scale(0)

        async def is_gone() -> bool:
            return not await self._kube.list("Pod", NAMESPACE, f"app.kubernetes.io/name={NAME}")

        await until("the operator's pod to be gone", is_gone, within_s=30.0)

    async def at_work(self) -> None:
        await self.leader()

    async def pods(self) -> dict[str, Object]:
        """Those that are not on their way out, by name."""
        pods = await self._kube.list("Pod", NAMESPACE, f"app.kubernetes.io/name={NAME}")
        return {
            pod["metadata"]["name"]: pod
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
        }

    async def scale(self, replicas: int) -> None:
        """Waits until so many are available, and, with any, until one of them leads."""
        await self._kube.patch("Deployment", NAMESPACE, NAME, {"spec": {"replicas": replicas}})

        async def is_so() -> bool:
            found = await self._kube.get("Deployment", NAMESPACE, NAME)
            assert found is not None
            status = found.get("status", {})
            available = status.get("availableReplicas", 0)
            all_there = available == replicas == status.get("replicas", 0)
            is_new = status.get("observedGeneration") == found["metadata"]["generation"]
            return is_new and all_there and len(await self.pods()) == replicas

        await until(f"{replicas} operators to be available", is_so, within_s=STARTED_WITHIN_S)
        if replicas:
            await self.leader()

    async def holder(self) -> str:
        """What the Lease says now; empty when nobody holds it."""
        lease = await self._kube.get("Lease", NAMESPACE, NAME)
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

    async def leader(self, *, other_than: str = "", within_s: float = 45.0) -> str:
        """Waits until one of the running pods holds the Lease; returns that pod's name."""

        async def leader() -> str | None:
            holder, pods = await self.holder(), await self.pods()
            names = [name for name in pods if name in holder and name != other_than]
            return names[0] if names else None

        found = await until("an operator to lead", leader, within_s=within_s)
        assert found is not None
        return found

    async def send(self, signal: str, pod: str) -> None:
        """A signal to the operator's process in that pod."""
        await node.signal((await self.pods())[pod], CONTAINER, signal)

    async def kill(self) -> None:
        """No farewell: the process is killed, and its pod replaced at once by a new one."""
        leader = await self.leader()
        await self.send("KILL", leader)
        await self._kube.delete("Pod", NAMESPACE, leader, grace_s=0)

    async def logs(self) -> str:
        """What all its pods have logged, those of containers that were restarted included."""
        texts = []
        for name, pod in (await self.pods()).items():
            texts.append(await kubectl("logs", "-n", NAMESPACE, name))
            if any(s["restartCount"] for s in pod["status"].get("containerStatuses", [])):
                texts.append(await kubectl("logs", "-n", NAMESPACE, name, "--previous"))
        return "".join(texts)

    async def metrics(self) -> str:
        """Of the pod that its Service leads to."""
        service = f"/api/v1/namespaces/{NAMESPACE}/services/etcd-operator-metrics:8080"
        return await self._kube.text("GET", f"{service}/proxy/metrics")

    async def explain(self) -> str:
        selector = (f"-lapp.kubernetes.io/name={NAME}", f"--tail={LAST_LINES}")
        shown = (
            ("get", "pods,leases", "-o", "wide"),
            ("logs", *selector, "--prefix"),
            ("logs", *selector, "--previous"),
        )
        commands = [run(KUBECTL, *words, "-n", NAMESPACE, limit_s=20.0) for words in shown]
        ended = await asyncio.gather(*commands, return_exceptions=True)
        return "\n".join(e.out + e.err if isinstance(e, Ended) else repr(e) for e in ended)

    async def process(
        self, folder: Path, namespace: str, *, may_forward: bool = True
    ) -> OperatorProcess:
        """Inside the node's network, where pods are routable and nobody forwards ports."""
        kubeconfig = rights.kubeconfig_of(self._kube, {"token": await rights.token()})
        file = rights.write(folder / "kubeconfig", kubeconfig)
        flags = ("--namespace", namespace, "--etcd-dialer", "direct", *QUIET)
        return OperatorProcess(folder / "operator.log", file, *flags, prefix=node.inside())
