"""Services, the ConfigMap that carries the files, and the PodDisruptionBudget.  Pure."""

from collections.abc import Mapping
from typing import Any

from api.labels import (
    client_service_name,
    config_map_name,
    disruption_budget_name,
    peer_service_name,
    selector_labels,
)
from api.v1alpha1.cluster import Service
from controllers.cluster.membership import quorum
from controllers.cluster.render.identity import CLIENT_PORT, METRICS_PORT, PEER_PORT, Identity
from controllers.cluster.render.meta import metadata


def peer_service(identity: Identity) -> dict[str, Any]:
    """Headless: gives each pod its name, from before it is ready, since members meet by name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(identity, peer_service_name(identity.name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector_labels(identity.name),
            "ports": [
                _port("client", CLIENT_PORT),
                _port("peer", PEER_PORT),
                _port("metrics", METRICS_PORT),
            ],
        },
    }


def client_service(identity: Identity, custom: Service) -> dict[str, Any]:
    """Where clients go: ready members only, which learners never are."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(
            identity,
            client_service_name(identity.name),
            labels=custom.labels,
            annotations=custom.annotations,
        ),
        "spec": {
            "type": custom.type,
            "selector": selector_labels(identity.name),
            "ports": [_port("client", CLIENT_PORT)],
        },
    }


def config_map(identity: Identity, files: Mapping[str, str]) -> dict[str, Any]:
    """The members' configuration files."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(identity, config_map_name(identity.name)),
        "data": dict(files),
    }


def disruption_budget(identity: Identity, *, voters: int, target: int) -> dict[str, Any] | None:
    """Evictions leave a quorum, of who votes now and of who is to: also while that changes.

    None below three members, where it would only block the drain of a node, and while none runs.
    """
    size = max(voters, target) if voters else 0
    if size < 3:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(identity, disruption_budget_name(identity.name)),
        # unhealthyPodEvictionPolicy stays at its default, IfHealthyBudget: servers before 1.26
        # don't know the field and would refuse the whole object.
        "spec": {
            "minAvailable": quorum(size),
            "selector": {"matchLabels": selector_labels(identity.name)},
        },
    }


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}
