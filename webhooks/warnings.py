"""A valid spec → what `kubectl` shows as a warning: allowed, and seldom meant.  Pure."""

from collections.abc import Iterator
from typing import Final

from api.quantity import parse_quantity
from api.v1alpha1.cluster import TLS, ClusterSpec
from api.v1alpha1.restore import RestoreSpec

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


def restore_warnings(spec: RestoreSpec) -> tuple[str, ...]:
    """The warnings about an EtcdRestore, but for its cluster template."""
    if not spec.skip_hash_check:
        return ()
    warning = (
        "spec.skipHashCheck is true: a backup whose hash is wrong is restored, and what is damaged"
        " is served"
    )
    return (warning,)


def _warnings(spec: ClusterSpec, path: str) -> Iterator[str]:
    if spec.size == 1:
        yield f"{path}.size is 1: the cluster stops while its only member does; 3 survive one loss"
    quota = spec.options.quota_backend_bytes
    if quota is not None and quota > _LARGEST_ADVISED:
        yield (
            f"{path}.options.quotaBackendBytes is {quota}: etcd advises no more than"
            f" {_LARGEST_ADVISED}; larger databases start, move and compact slowly"
        )
    yield from _plain_text(spec.security.tls, f"{path}.security.tls")
    for index, volume in enumerate(spec.pod_template.spec.get("volumes") or ()):
        for kind, what in _FLEETING.items():
            if kind in volume:
                yield f"{path}.podTemplate.spec.volumes[{index}] is {kind}: what is in it {what}"


def _plain_text(tls: TLS, path: str) -> Iterator[str]:
    """An undecided field is decided in favour of TLS, or of what the cluster has."""
    if tls.enabled is None:
        return
    if not tls.with_clients and not tls.among_members:
        yield (
            f"{path}.enabled is false: clients and members speak plain text, and whoever reaches a"
            " member can read and change everything"
        )
    elif not tls.with_clients:
        yield (
            f"{path}.clientTLSEnabled is false: clients speak plain text, and whoever reaches a"
            " member can read and change everything"
        )
    elif not tls.among_members:
        yield (
            f"{path}.peerTLSEnabled is false: members speak plain text among themselves, and"
            " whoever reaches one can read everything and pass for another"
        )
