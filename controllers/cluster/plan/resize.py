"""Rules that give members other resources in place, where that is all that a new template changes.

The server (Kubernetes 1.33 on, KEP-1287) or the node may refuse; that is noted on the pod, and its
member is restarted in its turn like for any other change.
"""

from datetime import timedelta
from typing import Final

from api.labels import (
    NOT_RESIZED_ANNOTATION,
    RESIZED_ANNOTATION,
    TEMPLATE_HASH_ANNOTATION,
)
from controllers.cluster.members import ViewOfMember, members_of, voters
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.plan.resources import (
    etcd_container,
    has_resources,
    loses_any,
    template_of,
    wanted_resources,
)
from controllers.cluster.plan.template import is_behind, newest
from controllers.cluster.plan.version_steps import RefuseResize, ResizePod

# How long a node may put it off, hoping for room, before the member is restarted instead.
_PATIENCE: Final = timedelta(minutes=1)


def resize(observed: Observed) -> ResizePod | RefuseResize | None:
    """New resources for one pod after the other, who is unwell first; what its node can't give is
    noted on it.
    """
    revision, wanted = newest(observed), wanted_resources(observed)
    if revision is None:
        return None
    for view in sorted(members_of(observed), key=lambda view: view.healthy):
        pod = view.pod
        if pod is None or pod.terminating:
            continue
        noted = pod.annotations.get(RESIZED_ANNOTATION) == revision
        begun = noted and not has_resources(pod, wanted)
        if begun or (is_resizable(observed, pod) and _is_next(observed, view)):
            return ResizePod(name=pod.name, uid=pod.uid, resources=wanted, revision=revision)
        if noted and _is_hopeless(observed, pod):
            return RefuseResize(name=pod.name, uid=pod.uid, revision=revision, why=pod.resizing)
    return None


def is_resizable(observed: Observed, pod: Pod) -> bool:
    """Whether only its resources differ from the newest template's, and can be changed in place."""
    refused = pod.annotations.get(NOT_RESIZED_ANNOTATION)
    if not pod.running or not is_behind(observed, pod):
        return False
    if refused == newest(observed) or _restarts_its_container(observed):
        return False
    theirs = template_of(observed).get("metadata", {}).get("annotations") or {}
    is_alike = all(pod.annotations.get(key) == value for key, value in theirs.items())
    wanted = wanted_resources(observed)
    return (
        is_alike
        and TEMPLATE_HASH_ANNOTATION in theirs
        and not has_resources(pod, wanted)
        and not loses_any(pod, wanted)
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


def _restarts_its_container(observed: Observed) -> bool:
    """Whether the template has a change of resources restart etcd: then in its turn."""
    policies = etcd_container(observed).get("resizePolicy") or ()
    return any(policy.get("restartPolicy") == "RestartContainer" for policy in policies)
