"""Several nodes as those see them who can pull a plug: power, cables, drains.

They are node-1, node-2, ... of `hack/node/node.py up --nodes 3`.
"""

import sys

from e2e.harness.kube import CHECKOUT, Ended, Kube, Object, kubectl, run
from e2e.harness.wait import until

PROGRAM = CHECKOUT / "hack/node/node.py"
ORDER_LIMIT_S = 60.0
# The grace of three-node clusters is 10 s (hack/node/config.py); the rest is a busy machine's.
NOTICED_WITHIN_S = 40.0
READY_WITHIN_S = 60.0


def is_ready(node: Object) -> bool:
    """The node is heard, and takes pods."""
    conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


async def _order(verb: str, name: str) -> None:
    ended = await run(
        sys.executable, PROGRAM, verb, name.removeprefix("node-"), limit_s=ORDER_LIMIT_S
    )
    assert ended.code == 0, f"{verb} {name}: {ended.err}"


class Nodes:
    """The cluster's nodes by name."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._touched: set[str] = set()

    async def all(self) -> dict[str, Object]:
        nodes = (await self._kube.call("GET", "/api/v1/nodes"))["items"]
        return {node["metadata"]["name"]: node for node in nodes}

    # --- faults, and their ends: each may be given twice

    async def stop(self, name: str) -> None:
        """Power failure: kubelet and pods are dead at once; what is on the disk stays."""
        self._touched.add(name)
        await _order("stop-node", name)

    async def start(self, name: str) -> None:
        await _order("start-node", name)

    async def cut(self, name: str) -> None:
        """No packet reaches the node or leaves it; inside it everything goes on."""
        self._touched.add(name)
        await _order("cut", name)

    async def heal(self, name: str) -> None:
        await _order("heal", name)

    async def drain(self, name: str, *, limit_s: int = 60) -> Ended:
        """What an administrator does before he works on a node. Code 0 when it is empty."""
        flags = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={limit_s}s")
        return await run(CHECKOUT / "hack/kubectl", "drain", name, *flags, limit_s=limit_s + 30.0)

    async def cordon(self, name: str) -> None:
        """From now on no new pod comes to the node."""
        await kubectl("cordon", name)

    async def uncordon(self, name: str) -> None:
        await kubectl("uncordon", name)

    async def mend(self) -> None:
        """Ends all faults, and waits until every node is Ready."""
        for name in self._touched:
            await self.start(name)
            await self.heal(name)
        for name, node in (await self.all()).items():
            if node["spec"].get("unschedulable"):
                await self.uncordon(name)

        async def all_ready() -> bool:
            return all(is_ready(node) for node in (await self.all()).values())

        await until("all nodes to be Ready", all_ready, within_s=READY_WITHIN_S)

    # --- what Kubernetes has noticed

    async def noticed(self, name: str) -> None:
        """Waits until Kubernetes takes the node for lost."""

        async def is_lost() -> bool:
            node = (await self.all())[name]
            return not is_ready(node)

        await until(f"{name} to be NotReady", is_lost, within_s=NOTICED_WITHIN_S)

    async def back(self, name: str) -> None:
        """Waits until Kubernetes sends pods to the node again. To be asked after `noticed`."""

        async def is_back() -> bool:
            node = (await self.all())[name]
            return is_ready(node)

        await until(f"{name} to be Ready", is_back, within_s=READY_WITHIN_S)
