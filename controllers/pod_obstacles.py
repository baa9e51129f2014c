"""What keeps a pod from starting, as kubelet and the scheduler write it into the pod's status.

Pure. The words shown to the user are theirs.
"""

from collections.abc import Mapping
from typing import Any, Final

from api.reasons import Reason

# kubelet's waiting reasons (pkg/kubelet/images/types.go, pkg/kubelet/kuberuntime) that a user must
# mend.
_IMAGE_REASONS: Final = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
    }
)
_CONFIG_REASONS: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)


def obstacle_of(status: Mapping[str, Any]) -> tuple[Reason, str] | None:
    """The reason and the words; None when nothing is known to keep it from starting."""
    conditions = status.get("conditions", ())
    scheduled: Mapping[str, Any] = next(
        (c for c in conditions if c.get("type") == "PodScheduled"), {}
    )
    # A node was found, and the attempt to bind to it failed: the scheduler tries again by itself.
    is_in_between = scheduled.get("reason") == "SchedulerError"
    if scheduled.get("status") == "False" and not is_in_between:
        return Reason.POD_UNSCHEDULABLE, scheduled.get("message", "")
    for container in [
        *status.get("initContainerStatuses", ()),
        *status.get("containerStatuses", ()),
    ]:
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in _IMAGE_REASONS:
            return Reason.IMAGE_PULL_FAILED, _words(waiting)
        if waiting.get("reason") in _CONFIG_REASONS:
            return Reason.CONTAINER_CONFIG_ERROR, _words(waiting)
    return None


def _words(waiting: Mapping[str, Any]) -> str:
    return f"{waiting.get('reason')}: {waiting.get('message', 'no message')}"
