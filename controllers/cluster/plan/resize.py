"""Rules that give members other resources in place, where that is all that a new template changes.

The server (Kubernetes 1.33 on, KEP-1287) or the node may refuse; that is noted on the pod, and its
member is restarted in its turn like for any other change.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from api.labels import (
    ETCD_CONTAINER,
    NOT_RESIZED_ANNOTATION,
    RESIZED_ANNOTATION,
    TEMPLATE_HASH_ANNOTATION,
    stateful_set_name,
)
from controllers.cluster.members import ViewOfMember, members_of, voters
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.plan.template import is_behind, newest
from controllers.cluster.plan.version_steps import RefuseResize, ResizePod
from controllers.cluster.render.normal import holds

# How long a node may put it off, hoping for room, before the member is restarted instead.
_PATIENCE: Final = timedelta(minutes=1)


def resize(observed: Observed) -> ResizePod | RefuseResize | None:
    """New resources for one pod after the other, who is unwell first; what its node can't give is
    noted on it.
    """
    revision, wanted = newest(observed), _wanted(observed)
    if revision is None:
        return None
    for view in sorted(members_of(observed), key=lambda view: view.healthy):
        pod = view.pod
        if pod is None or pod.terminating:
            continue
        noted = pod.annotations.get(RESIZED_ANNOTATION) == revision
        begun = noted and not _has(pod, wanted)
        if begun or (is_resizable(observed, pod) and _is_next(observed, view)):
            return ResizePod(name=pod.name, uid=pod.uid, resources=wanted, revision=revision)
        if noted and _is_hopeless(observed, pod):
            return RefuseResize(name=pod.name, uid=pod.uid, revision=revision, why=pod.resizing)
    return None


def is_resizable(observed: Observed, pod: Pod) -> bool:
    """Whether only its resources differ from the newest template's, and can be changed in place."""
    refused = pod.annotations.get(NOT_RESIZED_ANNOTATION)
    # One that was refused others has them in its spec, whatever template is the newest now.
    if not pod.running or not (is_behind(observed, pod) or refused):
        return False
    if refused == newest(observed) or _restarts_its_container(observed):
        return False
    theirs: Mapping[str, str] = _template(observed).get("metadata", {}).get("annotations") or {}
    is_alike = all(pod.annotations.get(key) == value for key, value in theirs.items())
    wanted = _wanted(observed)
    return (
        is_alike
        and TEMPLATE_HASH_ANNOTATION in theirs
        and not _has(pod, wanted)
        and not _loses_any(pod, wanted)
    )


def resizing(observed: Observed) -> tuple[str, ...]:
    """The members whose new resources are not in force yet, each with kubelet's words."""
    revision = newest(observed)
    return tuple(
        f"{pod.name} ({pod.resizing})"
        for view in members_of(observed)
        if (pod := view.pod) is not None
        and pod.resizing
        and pod.annotations.get(RESIZED_ANNOTATION) == revision
    )


def _is_next(observed: Observed, view: ViewOfMember) -> bool:
    """Whether what is too little for one member, and ends it, would still leave the others."""
    others = [other for other in voters(observed) if other.ordinal != view.ordinal]
    return not view.healthy or (not resizing(observed) and all(other.healthy for other in others))


def _is_hopeless(observed: Observed, pod: Pod) -> bool:
    """Its node says that it never can, or has put it off for long."""
    since = pod.resizing_since
    return pod.resize_failed or (since is not None and observed.now >= since + _PATIENCE)


def _template(observed: Observed) -> Mapping[str, Any]:
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    template: Mapping[str, Any] = made.get("spec", {}).get("template", {})
    return template


def _etcd_container(observed: Observed) -> Mapping[str, Any]:
    containers = _template(observed).get("spec", {}).get("containers", ())
    return next((c for c in containers if c["name"] == ETCD_CONTAINER), {})


def _restarts_its_container(observed: Observed) -> bool:
    """Whether the template has a change of resources restart etcd: then in its turn."""
    policies = _etcd_container(observed).get("resizePolicy") or ()
    return any(policy.get("restartPolicy") == "RestartContainer" for policy in policies)


def _wanted(observed: Observed) -> Mapping[str, Any]:
    """The resources as a new pod gets them: what is limited and not requested is requested in full
    (k8s.io/kubernetes pkg/apis/core/v1/defaults.go, SetDefaults_Pod).
    """
    resources: Mapping[str, Any] = _etcd_container(observed).get("resources") or {}
    limits = resources.get("limits") or {}
    if not limits:
        return resources
    return {**resources, "requests": {**limits, **(resources.get("requests") or {})}}


def _has(pod: Pod, wanted: Mapping[str, Any]) -> bool:
    return holds(wanted, pod.resources)


def _loses_any(pod: Pod, wanted: Mapping[str, Any]) -> bool:
    """Whether it requests or is limited in what the template no longer names: no server takes that
    away in place.
    """
    return any(
        (pod.resources.get(kind) or {}).keys() - (wanted.get(kind) or {}).keys()
        for kind in ("requests", "limits")
    )
