"""The metadata that every object of a cluster carries."""

from collections.abc import Mapping
from typing import Any

from api.labels import API_VERSION, object_labels
from controllers.cluster.render.identity import Identity


def metadata(
    identity: Identity,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Name, labels and the controller reference; what the user adds comes below what is ours."""
    meta: dict[str, Any] = {
        "name": name,
        "namespace": identity.namespace,
        "labels": {**(labels or {}), **object_labels(identity.name, identity.uid)},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "EtcdCluster",
                "name": identity.name,
                "uid": identity.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if annotations:
        meta["annotations"] = dict(annotations)
    return meta
