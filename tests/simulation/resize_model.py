"""Other resources for a pod that runs (KEP-1287): what server and kubelet make of a request.

The server stores a request or can't; kubelet gives what it asks for, puts it off, or says that its
node never can.  Until then the pod has what it had.  What asks for too little is ended.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from api.labels import NOT_RESIZED_ANNOTATION, RESIZED_ANNOTATION
from controllers.cluster.outcome import Changed, Done, Outcome
from controllers.cluster.plan.version_steps import RefuseResize, ResizePod
from tests.simulation.template_model import defaulted

if TYPE_CHECKING:
    from tests.simulation.kubernetes_model import KubernetesModel, Pod

GIVEN, DEFERRED, INFEASIBLE, UNSUPPORTED = "given", "Deferred", "Infeasible", "unsupported"
# Etcd does not live with this much.
TOO_LITTLE = "16Mi"


def act(
    step: ResizePod | RefuseResize, kubernetes: "KubernetesModel", parts: int | None
) -> Outcome:
    """Two writes: the note, then the request; a refusal is one."""
    pod = kubernetes.pods.get(int(step.name.rpartition("-")[2]))
    if pod is None or pod.uid != step.uid or parts == 0:
        return Done()
    if isinstance(step, RefuseResize):
        _refuse(pod, step.revision)
        return Done()
    pod.notes[RESIZED_ANNOTATION] = step.revision
    if parts is not None:
        return Done()
    if kubernetes.resizes == UNSUPPORTED:
        _refuse(pod, step.revision)
        return Changed(what=f"pod {step.name} can't be resized in place")
    _request(pod, step.resources, kubernetes)
    return Done()


def _refuse(pod: "Pod", revision: str) -> None:
    pod.notes[NOT_RESIZED_ANNOTATION] = revision
    pod.notes.pop(RESIZED_ANNOTATION, None)


def _request(pod: "Pod", resources: Mapping[str, Any], kubernetes: "KubernetesModel") -> None:
    """Merged into the pod: what it does not name stays as it was."""
    has = json.loads(pod.resources)
    merged = {kind: {**has.get(kind, {}), **resources.get(kind, {})} for kind in (*has, *resources)}
    wanted = json.dumps(defaulted(merged), sort_keys=True)
    if wanted != pod.resources:
        pod.resources, pod.answer = wanted, (kubernetes.resizes, kubernetes.now)


def look(pod: "Pod", resizes: str) -> None:
    """Kubelet's: it gives what it can by now."""
    if pod.answer is not None and resizes in {GIVEN, UNSUPPORTED}:
        pod.in_force, pod.answer = pod.resources, None


def starves(pod: "Pod") -> bool:
    return TOO_LITTLE in pod.in_force


def conditions(answer: tuple[str, float] | None, since: str) -> Iterator[dict[str, str]]:
    """What kubelet says to a request that is not in force yet."""
    if answer is None:
        return
    told = {"status": "True", "lastTransitionTime": since}
    if answer[0] in {DEFERRED, INFEASIBLE}:
        reason = {"reason": answer[0], "message": "no room"}
        yield {"type": "PodResizePending", **reason, **told}
    else:
        yield {"type": "PodResizeInProgress", **told}
