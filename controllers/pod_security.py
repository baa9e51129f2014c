"""What the restricted pod security standard demands, for every pod of the operator's.  Pure."""

from typing import Any, Final

# The user of the operator's image, and nobody's on the node.
_USER_ID: Final = 65532


def pod_security_context() -> dict[str, Any]:
    """The `securityContext` of a pod: no root, and volumes that belong to its group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER_ID,
        "runAsGroup": _USER_ID,
        "fsGroup": _USER_ID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security_context() -> dict[str, Any]:
    """The `securityContext` of a container: it writes to its volumes alone."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
