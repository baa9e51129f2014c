"""Reads the annotation that asks for a member's replacement: on the cluster or on the pod.

Pure.  On the EtcdCluster it is a list of pod names, on a pod it is `true`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from api.labels import REPLACE_ANNOTATION


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
