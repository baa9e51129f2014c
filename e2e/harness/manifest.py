"""What a user installs: manifests/install.yaml, and the names in it."""

import json

import yaml

from e2e.harness.kube import CHECKOUT, kubectl

NAMESPACE = "etcd-operator-system"
NAME = "etcd-operator"
CONTAINER = "operator"
FILE = CHECKOUT / "manifests/install.yaml"


async def install() -> None:
    await _install(FILE.read_text())


async def install_all_but_the_deployment() -> None:
    """Kinds and roles, for an operator that runs elsewhere."""
    objects = [one for one in yaml.safe_load_all(FILE.read_text()) if one]
    kept = [one for one in objects if one["kind"] != "Deployment"]
    await _install(json.dumps({"apiVersion": "v1", "kind": "List", "items": kept}))


async def _install(text: str) -> None:
    await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    kind = "crd/etcdclusters.etcd.etcd.io"
    await kubectl("wait", "--for=condition=Established", kind, "--timeout=30s")
