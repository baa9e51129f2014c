"""Asks the API server for the nodes of pods that are not well: gone, out of service, or silent.

Called by `observe`.  Read-only, and only in trouble: a healthy cluster asks for no node.  Where the
right to read nodes is missing (an installation for one namespace only), nothing is known, and no
member is ever replaced for its node's sake.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.observed import LostNode, Pod
from controllers.cluster_scope import ClusterScope, NotAllowed
from controllers.resources import NODES

# Set by whoever knows that the node is off (KEP-2268, non-graceful node shutdown).
_OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
_LONG_AGO: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


async def lost_nodes(
    outside: ClusterScope, pods: Iterable[Pod], status: ClusterStatus
) -> tuple[LostNode, ...]:
    """The lost ones among the nodes of members that are not ready. Raises KubeError.

    A pod that was made anew and finds no node is looked for on its last one, as status has it.
    """
    placed = {pod.name: pod for pod in pods if pod.node}
    well = {name for name, pod in placed.items() if pod.ready and pod.running}
    last = {member.name: member.node for member in status.members if member.node}
    nodes = last | {name: pod.node for name, pod in placed.items()}
    names = sorted({node for name, node in nodes.items() if node and name not in well})
    found = [await _lost(outside, name) for name in names]
    return tuple(node for node in found if node is not None)


async def _lost(outside: ClusterScope, name: str) -> LostNode | None:
    match await outside.get(NODES, name):
        case None:
            return LostNode(name=name, since=_LONG_AGO, certain=True, why="is gone")
        case NotAllowed():
            return None
        case node:
            return lost_from(node)


def lost_from(node: Mapping[str, Any]) -> LostNode | None:
    """What a Node object says of it; None while its kubelet reports that it is well."""
    name = node["metadata"]["name"]
    taints = node.get("spec", {}).get("taints") or ()
    if any(taint["key"] == _OUT_OF_SERVICE for taint in taints):
        return LostNode(name=name, since=_LONG_AGO, certain=True, why="is out of service")
    conditions = node.get("status", {}).get("conditions") or ()
    ready = next((c for c in conditions if c.get("type") == "Ready"), None)
    if ready is None or ready["status"] == "True":
        return None
    # Unknown: the controller heard nothing from kubelet. False is kubelet's own word: it lives.
    if ready["status"] != "Unknown":
        return None
    since = datetime.fromisoformat(ready["lastTransitionTime"])
    return LostNode(
        name=name, since=since, certain=False, why=f"has been silent since {since:%H:%M:%S} UTC"
    )
