"""Reads the annotations that ask for something: a member's replacement, a restart of them all,
another certificate authority, a change of version without a backup, other data.

Pure.  For a replacement the EtcdCluster's is a list of pod names, a pod's is `true`; a restart is
asked for by any new value on the EtcdCluster; the authorities are named.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from api.labels import (
    OLD_DATA_ANNOTATION,
    REPLACE_ANNOTATION,
    RESTART_ANNOTATION,
    RESTORE_ANNOTATION,
    ROTATE_ANNOTATION,
    SKIP_HASH_CHECK_ANNOTATION,
    UNSAVED_ANNOTATION,
)
from api.v1alpha1.restore_request import RestoreRequest, read_request


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


def asked_to_restore(cluster_metadata: Mapping[str, Any]) -> RestoreRequest | None:
    """Which backup the cluster is to begin anew from; None where nobody asks, or nobody can read
    what was asked.
    """
    text = (cluster_metadata.get("annotations") or {}).get(RESTORE_ANNOTATION, "")
    return read_request(text) if text else None


def old_data_asked(cluster_metadata: Mapping[str, Any]) -> str:
    """What is to become of the data that the cluster had before: Keep, Discard, PutBack, or
    something unknown.
    """
    return str((cluster_metadata.get("annotations") or {}).get(OLD_DATA_ANNOTATION, "")).strip()


def asked_unsaved(cluster_metadata: Mapping[str, Any]) -> str:
    """The version that the annotation names."""
    return str((cluster_metadata.get("annotations") or {}).get(UNSAVED_ANNOTATION, "")).strip()


def skips_hash_check(cluster_metadata: Mapping[str, Any]) -> bool:
    """Whether the EtcdRestore that made the cluster may take a backup whose hash is wrong."""
    annotations = cluster_metadata.get("annotations") or {}
    return str(annotations.get(SKIP_HASH_CHECK_ANNOTATION, "")).strip() == "true"
