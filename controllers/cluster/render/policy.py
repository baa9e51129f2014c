"""The NetworkPolicy of the members.  Pure.

Policies only add up: this one opens what it names, and by selecting the members' pods closes all
else to whoever no other policy lets in.  So it also names the ports of containers that the user put
beside etcd.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.labels import (
    ETCD_CONTAINER,
    NAME_LABEL,
    backup_labels,
    network_policy_name,
    selector_labels,
)
from api.v1alpha1.network_policy import NetworkPolicy
from controllers.cluster.render.identity import CLIENT_PORT, METRICS_PORT, PEER_PORT, Identity
from controllers.cluster.render.meta import metadata

# The label of the operator's pods in manifests/operator/deployment.yaml.
OPERATOR_NAME: Final = "etcd-operator"
# Kubernetes itself puts it on every namespace (k8s.io/api core/v1 LabelMetadataName).
_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"


def network_policy(
    identity: Identity,
    wanted: NetworkPolicy,
    pod_template: Mapping[str, Any],
    *,
    unless_said: bool,
    operator_namespace: str,
) -> dict[str, Any] | None:
    """The peer port for members and the operator, the others for everybody or for named clients.

    None where it is switched off. `unless_said`: whether it is on where the spec says nothing.
    `operator_namespace`: of the operator's pods; empty where it is no pod of this cluster, and
    comes through the API server.
    """
    if not (unless_said if wanted.enabled is None else wanted.enabled):
        return None
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(identity, network_policy_name(identity.name)),
        "spec": {
            "podSelector": {"matchLabels": selector_labels(identity.name)},
            "policyTypes": ["Ingress"],
            "ingress": list(_ingress(identity, wanted, pod_template, operator_namespace)),
        },
    }


def _ingress(
    identity: Identity,
    wanted: NetworkPolicy,
    pod_template: Mapping[str, Any],
    operator_namespace: str,
) -> Iterator[dict[str, Any]]:
    members = {"podSelector": {"matchLabels": selector_labels(identity.name)}}
    yield {"from": [members], "ports": _tcp(CLIENT_PORT, PEER_PORT, METRICS_PORT)}
    if operator_namespace:
        # While an authority is replaced it sees at both ports which certificate a member shows.
        yield {"from": [_operator(operator_namespace)], "ports": _tcp(CLIENT_PORT, PEER_PORT)}
    open_to_all = list(_ports_beside(pod_template))
    if wanted.clients:
        clients = [client.to_json() for client in wanted.clients]
        yield {"from": clients, "ports": _tcp(CLIENT_PORT, METRICS_PORT)}
        backups = {"podSelector": {"matchLabels": backup_labels(identity.name)}}
        yield {"from": [backups], "ports": _tcp(CLIENT_PORT)}
    else:
        open_to_all = [*_tcp(CLIENT_PORT, METRICS_PORT), *open_to_all]
    if open_to_all:
        yield {"ports": open_to_all}


def _operator(namespace: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: namespace}},
        "podSelector": {"matchLabels": {NAME_LABEL: OPERATOR_NAME}},
    }


def _ports_beside(pod_template: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The ports that containers beside etcd declare, each once."""
    spec = pod_template["spec"]
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    declared = {
        (port["containerPort"], port.get("protocol") or "TCP")
        for container in containers
        if container["name"] != ETCD_CONTAINER
        for port in container.get("ports") or ()
    }
    for number, protocol in sorted(declared):
        yield {"protocol": protocol, "port": number}


def _tcp(*numbers: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number} for number in numbers]
