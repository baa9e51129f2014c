"""What a user installs: manifests/install.yaml, and the names in it."""

import json

import yaml

from e2e.harness.kube import CHECKOUT, Object, kubectl

NAMESPACE = "etcd-operator-system"
NAME = "etcd-operator"
CONTAINER = "operator"
FILE = CHECKOUT / "manifests/install.yaml"


WEBHOOK = "ValidatingWebhookConfiguration"


async def install() -> None:
    """Everything but what has the API server ask the operator: conditions can only say something
    of objects that were let in, and most stories are about what they say.
    """
    await _install_all_but(WEBHOOK)


async def install_all_but_the_deployment() -> None:
    """Kinds and roles, for an operator that runs elsewhere."""
    await _install_all_but(WEBHOOK, "Deployment")


async def ask_about(namespace: str) -> None:
    """Has the API server ask the operator about what is written in this namespace."""
    [configuration] = [one for one in _objects() if one["kind"] == WEBHOOK]
    for webhook in configuration["webhooks"]:
        label = {"kubernetes.io/metadata.name": namespace}
        webhook["namespaceSelector"] = {"matchLabels": label}
    await _apply(json.dumps(configuration))


async def ask_about_nothing() -> None:
    await kubectl("delete", WEBHOOK, NAME, "--ignore-not-found")


def _objects() -> list[Object]:
    return [one for one in yaml.safe_load_all(FILE.read_text()) if one]


async def _install_all_but(*kinds: str) -> None:
    await ask_about_nothing()
    kept = [one for one in _objects() if one["kind"] not in kinds]
    await _apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": kept}))
    kind = "crd/etcdclusters.etcd.etcd.io"
    await kubectl("wait", "--for=condition=Established", kind, "--timeout=30s")


async def _apply(text: str) -> None:
    await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
