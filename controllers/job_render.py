"""The Job that works with the operator's own image, for backups and restores. Pure.

Names come from the object, and from what the Job is for: whenever they are asked for, they are the
same.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from controllers.backup.order import GIVE_UP, USAGE
from controllers.backup.pod import CONTAINER

# The Job waits 10, 20, 40 seconds before it tries again.
_RETRIES: Final = 3
# The largest database that etcd recommends (8 GiB) at half a megabyte a second.
_DEADLINE: Final = timedelta(hours=6)
# The result is in the object's status by then; until it is, pod and log can be looked at.
_KEPT: Final = timedelta(days=1)
_LONGEST_NAME: Final = 63
_UID_LENGTH: Final = 8


def agent_job_name(name: str, uid: str, what_for: str) -> str:
    """The Job's name: of this very object. A pod's host name has no dots."""
    end = f"-{uid[:_UID_LENGTH]}-{what_for}"
    return name.replace(".", "-")[: _LONGEST_NAME - len(end)].rstrip("-") + end


def agent_job(
    name: str,
    namespace: str,
    *,
    labels: dict[str, str],
    owner: dict[str, Any],
    pod: dict[str, Any],
    failures: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The Job; it goes with its owner. failures: more rules of its podFailurePolicy."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {
            "backoffLimit": _RETRIES,
            "activeDeadlineSeconds": int(_DEADLINE.total_seconds()),
            "ttlSecondsAfterFinished": int(_KEPT.total_seconds()),
            # From Kubernetes 1.26 on; before, what can't succeed is tried again in vain.
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": [USAGE, GIVE_UP],
                        },
                    },
                    # A drained node is nobody's failure.
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    *failures,
                ]
            },
            "template": {
                "metadata": {"labels": labels},
                "spec": pod,
            },
        },
    }
