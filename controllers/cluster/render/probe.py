"""The pod that tries out another image before a member runs it: it prints its version and ends.

Pure.  It is made like a member's pod as far as pulling and starting the image goes (pull secrets,
node selector, tolerations, security, what the user's podTemplate adds), and has neither data nor
options.
"""

from collections.abc import Mapping
from typing import Any, Final

from api.labels import ETCD_CONTAINER, probe_labels, probe_name
from controllers.cluster.render.identity import Identity
from controllers.cluster.render.meta import metadata

# Of the members' pod: what decides whether and where the image can be pulled and started.
_POD_FIELDS: Final = (
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "runtimeClassName",
    "schedulerName",
    "priorityClassName",
    "serviceAccountName",
    "automountServiceAccountToken",
    "enableServiceLinks",
    "securityContext",
)
_CONTAINER_FIELDS: Final = ("imagePullPolicy", "securityContext", "terminationMessagePolicy")
# Long enough for a slow registry; the planner gives it up earlier where it has a problem.
_DEADLINE_S: Final = 900


def probe_pod(identity: Identity, template: Mapping[str, Any], image: str) -> dict[str, Any]:
    """The pod; `template` is the members' pod template."""
    spec = template["spec"]
    container = next(c for c in spec["containers"] if c["name"] == ETCD_CONTAINER)
    affinity = spec.get("affinity") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **metadata(identity, probe_name(identity.name)),
            "labels": probe_labels(identity.name, identity.uid),
        },
        "spec": {
            **{key: spec[key] for key in _POD_FIELDS if key in spec},
            # Beside a member is as good as anywhere.
            **(
                {"affinity": {"nodeAffinity": affinity["nodeAffinity"]}}
                if "nodeAffinity" in affinity
                else {}
            ),
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _DEADLINE_S,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    **{key: container[key] for key in _CONTAINER_FIELDS if key in container},
                    "name": ETCD_CONTAINER,
                    "image": image,
                    "command": ["/usr/local/bin/etcd", "--version"],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "500m", "memory": "128Mi"},
                    },
                }
            ],
        },
    }
