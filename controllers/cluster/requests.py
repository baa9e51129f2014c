"""Reads the annotations that ask for something: a member's replacement, a restart of them all,
another certificate authority, a change of version without a backup.

Pure.  For a replacement the EtcdCluster's is a list of pod names, a pod's is `true`; a restart is
asked for by any new value on the EtcdCluster; the authorities are named.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from api.labels import (
    REPLACE_ANNOTATION,
    RESTART_ANNOTATION,
    ROTATE_ANNOTATION,
    UNSAVED_ANNOTATION,
)


def requested(cluster_metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The pods that the EtcdCluster's annotation names, in its order."""
    text = (cluster_metadata.get("annotations") or {}).get(REPLACE_ANNOTATION, "")
    return tuple(name.strip() for name in text.split(",") if name.strip())


def asked_to_replace(
    cluster_metadata: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]
) -> tuple[str, ...]:
    """All pods that an annotation asks to replace, those on the cluster first."""
    marked = (
        pod["metadata"]["name"]
        for pod in pods
        if (pod["metadata"].get("annotations") or {}).get(REPLACE_ANNOTATION) == "true"
    )
    return tuple(dict.fromkeys((*requested(cluster_metadata), *marked)))


def asked_to_restart(cluster_metadata: Mapping[str, Any]) -> str:
    """The value of the annotation, whatever it says: another value is another request."""
    return str((cluster_metadata.get("annotations") or {}).get(RESTART_ANNOTATION, ""))


def asked_to_rotate(cluster_metadata: Mapping[str, Any]) -> str:
    """Which authorities the annotation names: `client`, `peer`, `all`, or something unknown."""
    return str((cluster_metadata.get("annotations") or {}).get(ROTATE_ANNOTATION, "")).strip()


def asked_unsaved(cluster_metadata: Mapping[str, Any]) -> str:
    """The version that the annotation names."""
    return str((cluster_metadata.get("annotations") or {}).get(UNSAVED_ANNOTATION, "")).strip()
