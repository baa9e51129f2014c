"""A StatefulSet that goes without its pods, as the garbage collector does it.

In two steps: it has a deletionTimestamp under the finalizer `orphan`, and its controller does
nothing more for it; then its pods have no owner, and it is gone.  The one that is made in its place
takes up the pods that are not on their way out.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.kubernetes_model import KubernetesModel

KEY = ("StatefulSet", "db")


def release(kubernetes: "KubernetesModel", uid: str) -> None:
    """Delete it with the propagation policy Orphan, if it still is this one."""
    made = kubernetes.live.get(KEY)
    if made is None or made["metadata"]["uid"] != uid:
        return
    going = {"deletionTimestamp": "2026-01-01T12:00:00Z", "finalizers": ["orphan"]}
    version = {"resourceVersion": kubernetes.uid()}
    kubernetes.live[KEY] = {**made, "metadata": {**made["metadata"], **going, **version}}


def is_going(made: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in made["metadata"]


def collect(kubernetes: "KubernetesModel") -> None:
    """The garbage collector's next step."""
    made = kubernetes.live.get(KEY)
    if made is None or not is_going(made):
        return
    uid = made["metadata"]["uid"]
    owned = [pod for pod in kubernetes.pods.values() if pod.owner == uid]
    for pod in owned:
        pod.owner = None
    if not owned:
        del kubernetes.live[KEY]
