"""Users with the rights of the operator's shipped role, and their kubeconfigs."""

import json
from pathlib import Path

from e2e.harness.kube import Kube, Object, apply, kubectl
from e2e.harness.manifest import NAME, NAMESPACE

FORWARDER = "etcd-operator-outside"


async def token(*bound_to: str) -> str:
    """A token of the operator's service account, good for an hour; `bound_to` are further flags."""
    arguments = ("-n", NAMESPACE, NAME, "--duration=1h", *bound_to)
    return (await kubectl("create", "token", *arguments)).strip()


async def grant_port_forwards(namespace: str) -> None:
    """What an operator outside needs beyond the shipped role, in one namespace."""
    rule = {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}
    await _apply("ClusterRole", None, {"rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": FORWARDER}
    subject = {"kind": "ServiceAccount", "namespace": NAMESPACE, "name": NAME}
    await _apply("RoleBinding", namespace, {"roleRef": reference, "subjects": [subject]})


async def _apply(kind: str, namespace: str | None, body: Object) -> None:
    metadata = {"name": FORWARDER} | ({"namespace": namespace} if namespace else {})
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata}
    ended = await apply(head | body)
    assert ended.code == 0, ended.err


def kubeconfig_of(kube: Kube, user: Object, **cluster: object) -> Object:
    """One context, `it`; `cluster` overrides where and how the API server is reached."""
    reached = {"server": kube.server, "certificate-authority-data": kube.authority} | cluster
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": reached}],
        "users": [{"name": "it", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }


def write(file: Path, kubeconfig: Object) -> Path:
    file.write_text(json.dumps(kubeconfig))
    return file
