"""Says which changes to the members' pods are refused, field by field.

Called by validation. Pure. What the operator sets in the pod of a member so that the member is who
it is (image, command, ports, data, addresses) cannot be changed through spec.podTemplate;
everything else can. Whether the result is a valid pod is the API server's to say, in a dry run.
"""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.errors import FieldError, MergeError
from api.labels import (
    CLIENT_TLS_VOLUME,
    CONFIG_MOUNT_PATH,
    CONFIG_VOLUME,
    DATA_MOUNT_PATH,
    ETCD_CONTAINER,
    PEER_TLS_VOLUME,
    SERVER_TLS_VOLUME,
    TLS_MOUNT_PATH,
    is_data_volume_name,
)
from api.strategic_merge import merge_pod_template

_OWN: Final = "is set by the operator"

_REFUSED_IN_ETCD: Final[Mapping[str, str]] = {
    "image": "Set spec.repository and spec.version instead.",
    "command": "Set spec.options instead.",
    "args": "Set spec.options instead.",
    "ports": "Leave it out.",
    "volumeDevices": "Leave it out.",
}
_REFUSED_IN_POD: Final[Mapping[str, str]] = {
    "hostname": "Members are found by the names that the StatefulSet gives.",
    "subdomain": "Members are found by the names that the StatefulSet gives.",
    "setHostnameAsFQDN": "Members are found by the names that the StatefulSet gives.",
    "nodeName": "Use nodeSelector or affinity.",
    "ephemeralContainers": "Use `kubectl debug` on a pod.",
    "activeDeadlineSeconds": "Members run for ever.",
}
_OWN_VOLUMES: Final = (
    CONFIG_VOLUME,
    SERVER_TLS_VOLUME,
    PEER_TLS_VOLUME,
    CLIENT_TLS_VOLUME,
)
_OWN_MOUNTS: Final = (DATA_MOUNT_PATH, CONFIG_MOUNT_PATH, TLS_MOUNT_PATH)
_POD_NAME: Final = "POD_NAME"
_ETCD_VARIABLES: Final = "ETCD_"
_NO_EFFECT: Final = "would have no effect: etcd reads its options from a file and nothing else"


def pod_template_errors(template: Mapping[str, Any], path: str) -> tuple[FieldError, ...]:
    """Return what is wrong with the template: any JSON object with "metadata" and "spec".

    First whether it can be merged at all; only then what it contains, whose shape is known by
    then.
    """
    try:
        merge_pod_template({}, template, path=path)
    except MergeError as failure:
        return (failure.error,)
    return tuple(_pod_errors(template.get("spec") or {}, f"{path}.spec"))


def _pod_errors(pod: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for key, remedy in _REFUSED_IN_POD.items():
        if key in pod:
            yield FieldError(f"{path}.{key}", _OWN, remedy)
    if pod.get("restartPolicy", "Always") != "Always":
        yield FieldError(f"{path}.restartPolicy", "must be Always", "Leave it out.")
    yield from _null_errors(pod, ("containers", "volumes"), path)
    for index, volume in enumerate(pod.get("volumes") or ()):
        if _is_own_volume(volume["name"]):
            yield FieldError(f"{path}.volumes[{index}]", _OWN, "Give the volume another name.")
    for index, container in enumerate(pod.get("containers") or ()):
        if container["name"] == ETCD_CONTAINER:
            yield from _etcd_errors(container, f"{path}.containers[{index}]")


def _etcd_errors(container: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for key, remedy in _REFUSED_IN_ETCD.items():
        if key in container:
            yield FieldError(f"{path}.{key}", _OWN, remedy)
    yield from _null_errors(container, ("volumeMounts", "env"), path)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if _is_own_volume(mount.get("name")) or _overlaps_own_mount(mount["mountPath"]):
            yield FieldError(
                f"{path}.volumeMounts[{index}]",
                "is in the way of the mounts of etcd's data and configuration",
                "Mount another path.",
            )
    for index, variable in enumerate(container.get("env") or ()):
        name = str(variable["name"])
        if name == _POD_NAME:
            yield FieldError(f"{path}.env[{index}]", _OWN, "Give the variable another name.")
        elif name.startswith(_ETCD_VARIABLES):
            yield FieldError(f"{path}.env[{index}]", _NO_EFFECT, "Set spec.options instead.")


def _is_own_volume(name: object) -> bool:
    """Say whether a volume is ours by its name, whatever somebody wrote there."""
    return name in _OWN_VOLUMES or (isinstance(name, str) and is_data_volume_name(name))


def _null_errors(part: Mapping[str, Any], keys: tuple[str, ...], path: str) -> Iterator[FieldError]:
    for key in keys:
        if part.get(key, ()) is None:
            yield FieldError(f"{path}.{key}", "must be a list", "Leave it out.")


def _overlaps_own_mount(mount_path: object) -> bool:
    """Say whether a mount would hide one of ours, or lie inside it."""
    parts = _parts(str(mount_path))
    return any(
        parts[: len(own)] == own[: len(parts)] for own in (_parts(mount) for mount in _OWN_MOUNTS)
    )


def _parts(path: str) -> list[str]:
    return [part for part in posixpath.normpath(f"/{path}").split("/") if part]
