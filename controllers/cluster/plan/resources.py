"""The resources of the members' container, as the newest template names them and as pods have them.

Pure; questions that rolling and resizing share.
"""

from collections.abc import Mapping
from typing import Any

from api.labels import ETCD_CONTAINER, NOT_RESIZED_ANNOTATION, stateful_set_name
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.render.normal import holds


def template_of(observed: Observed) -> Mapping[str, Any]:
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    template: Mapping[str, Any] = made.get("spec", {}).get("template", {})
    return template


def etcd_container(observed: Observed) -> Mapping[str, Any]:
    containers = template_of(observed).get("spec", {}).get("containers", ())
    return next((c for c in containers if c["name"] == ETCD_CONTAINER), {})


def wanted_resources(observed: Observed) -> Mapping[str, Any]:
    """The resources as a new pod gets them: what is limited and not requested is requested in full
    (k8s.io/kubernetes pkg/apis/core/v1/defaults.go, SetDefaults_Pod).
    """
    resources: Mapping[str, Any] = etcd_container(observed).get("resources") or {}
    limits = resources.get("limits") or {}
    if not limits:
        return resources
    return {**resources, "requests": {**limits, **(resources.get("requests") or {})}}


def has_resources(pod: Pod, wanted: Mapping[str, Any]) -> bool:
    return holds(wanted, pod.resources)


def loses_any(pod: Pod, wanted: Mapping[str, Any]) -> bool:
    """Whether it requests or is limited in what the template no longer names: no server takes that
    away in place.
    """
    return any(
        (pod.resources.get(kind) or {}).keys() - (wanted.get(kind) or {}).keys()
        for kind in ("requests", "limits")
    )


def keeps_refused(observed: Observed, pod: Pod, revision: str) -> bool:
    """Whether it was refused the resources of this template, or those of another are still in its
    spec: its label may name this one all the same, when it made the pod and was gone meanwhile.
    """
    refused = pod.annotations.get(NOT_RESIZED_ANNOTATION)
    if refused in {None, revision}:
        return refused is not None
    wanted = wanted_resources(observed)
    return not has_resources(pod, wanted) or loses_any(pod, wanted)
