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
from controllers.cluster.members import members_of
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.plan.template import is_behind, newest
from controllers.cluster.plan.version_steps import RefuseResize, ResizePod
from controllers.cluster.render.normal import holds

# How long a node may put it off, hoping for room, before the member is restarted instead.
_PATIENCE: Final = timedelta(minutes=1)


def resize(observed: Observed) -> ResizePod | RefuseResize | None:
    """New resources for one pod after the other; what its node can't give is noted on it."""
    revision, wanted = newest(observed), _wanted(observed)
    if revision is None:
        return None
    for view in members_of(observed):
        pod = view.pod
        if pod is None or pod.terminating:
            continue
        noted = pod.annotations.get(RESIZED_ANNOTATION) == revision
        if is_resizable(observed, pod) or (noted and not _has(pod, wanted)):
            return ResizePod(name=pod.name, uid=pod.uid, resources=wanted, revision=revision)
        if noted and _is_hopeless(observed, pod):
            return RefuseResize(name=pod.name, uid=pod.uid, revision=revision, why=pod.resizing)
    return None


def is_resizable(observed: Observed, pod: Pod) -> bool:
    """Whether only its resources differ from the newest template's, and are not refused yet."""
    if not is_behind(observed, pod) or not pod.running:
        return False
    if pod.annotations.get(NOT_RESIZED_ANNOTATION) == newest(observed):
        return False
    theirs: Mapping[str, str] = _template(observed).get("metadata", {}).get("annotations") or {}
    is_alike = all(pod.annotations.get(key) == value for key, value in theirs.items())
    return is_alike and TEMPLATE_HASH_ANNOTATION in theirs and not _has(pod, _wanted(observed))


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


def _is_hopeless(observed: Observed, pod: Pod) -> bool:
    """Its node says that it never can, or has put it off for long."""
    since = pod.resizing_since
    return pod.resize_failed or (since is not None and observed.now >= since + _PATIENCE)


def _template(observed: Observed) -> Mapping[str, Any]:
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    template: Mapping[str, Any] = made.get("spec", {}).get("template", {})
    return template


def _wanted(observed: Observed) -> Mapping[str, Any]:
    containers = _template(observed).get("spec", {}).get("containers", ())
    wanted = (c.get("resources") for c in containers if c["name"] == ETCD_CONTAINER)
    return next(wanted, None) or {}


def _has(pod: Pod, wanted: Mapping[str, Any]) -> bool:
    return holds(wanted, pod.resources)
