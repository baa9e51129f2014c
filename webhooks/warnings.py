"""A valid spec → what `kubectl` shows as a warning: allowed, and seldom meant.  Pure."""

from collections.abc import Iterator
from typing import Final

from api.quantity import parse_quantity
from api.v1alpha1.cluster import ClusterSpec

# etcd.io/docs, dev-guide/limit: "8GB is a suggested maximum size".
_LARGEST_ADVISED: Final = parse_quantity("8Gi")
_FLEETING: Final = {
    "emptyDir": "is gone with its pod",
    "ephemeral": "is gone with its pod",
    "hostPath": "stays behind on a node when its pod moves",
}


def spec_warnings(spec: ClusterSpec, path: str) -> tuple[str, ...]:
    """The warnings, each with the path of its field; `path` is where the spec stands."""
    return tuple(_warnings(spec, path))


def _warnings(spec: ClusterSpec, path: str) -> Iterator[str]:
    if spec.size == 1:
        yield f"{path}.size is 1: the cluster stops while its only member does; 3 survive one loss"
    quota = spec.options.quota_backend_bytes
    if quota is not None and quota > _LARGEST_ADVISED:
        yield (
            f"{path}.options.quotaBackendBytes is {quota}: etcd advises no more than"
            f" {_LARGEST_ADVISED}; larger databases start, move and compact slowly"
        )
    if spec.security.tls.enabled is False:
        yield (
            f"{path}.security.tls.enabled is false: clients and members speak plain text, and"
            " whoever reaches a member can read and change everything"
        )
    for index, volume in enumerate(spec.pod_template.spec.get("volumes") or ()):
        for kind, what in _FLEETING.items():
            if kind in volume:
                yield f"{path}.podTemplate.spec.volumes[{index}] is {kind}: what is in it {what}"
