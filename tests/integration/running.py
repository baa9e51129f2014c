"""Runs the operator as a process, as a service account with roles from our manifests, and waits."""

import base64
import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

from tests.integration.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "etcd-operator-system"
DEADLINE_S = 30

# Where each kind of the manifests lives; without those that need nodes.
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{ns}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
}


def until(condition, what, deadline_s=DEADLINE_S):
    """The condition's first truthy value; fails with what was waited for."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {deadline_s} s"
        time.sleep(0.05)
    return value


def apply(apiserver, path, *, instead_of=NAMESPACE, namespace=NAMESPACE):
    """Create what a manifest of ours has, in another namespace; what needs nodes is left out."""
    text = (ROOT / path).read_text().replace(f"namespace: {instead_of}", f"namespace: {namespace}")
    for obj in yaml.safe_load_all(text):
        if obj["kind"] in COLLECTIONS:
            where = COLLECTIONS[obj["kind"]].format(ns=namespace)
            status, answer = apiserver.request("POST", where, obj)
            assert status in {201, 409}, answer


def token_of(apiserver, namespace, account="etcd-operator"):
    """A token of a service account, good for an hour."""
    path = f"{COLLECTIONS['ServiceAccount'].format(ns=namespace)}/{account}/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    status, answer = apiserver.request("POST", path, request)
    assert status == 201, answer
    return answer["status"]["token"]


def kubeconfig_of(apiserver, namespace, folder):
    """A kubeconfig of the operator's service account in that namespace."""
    config = yaml.safe_load(apiserver.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token_of(apiserver, namespace)}
    written = folder / "kubeconfig"
    written.touch(mode=0o600)
    written.write_text(yaml.safe_dump(config))
    return written


class Operator:
    """A running `python -m operator run`; all that it prints is in `log`."""

    def __init__(self, process, log, metrics, health):
        self.process = process
        self.log = log
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        self.health_url = f"http://127.0.0.1:{health}"

    def get(self, url):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
        return ""

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.get(f"{self.health_url}/readyz")


@contextlib.contextmanager
def operator(kubeconfig, folder, *flags):
    metrics, health = free_port(), free_port()
    log = folder / f"operator-{metrics}.log"
    command = [sys.executable, "-m", "operator", "run", "--kubeconfig", str(kubeconfig)]
    command += ["--metrics-bind", f"127.0.0.1:{metrics}", "--health-bind", f"127.0.0.1:{health}"]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *flags], stdout=output, stderr=output, cwd=folder)
    try:
        yield Operator(process, log, metrics, health)
    finally:
        process.kill()
        process.wait(10)


def make_namespace(apiserver):
    """A new namespace's name. Without a controller manager it is never really deleted."""
    digest = base64.b32encode(os.urandom(5)).decode().lower().rstrip("=")
    name = f"test-{digest}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    status, answer = apiserver.request("POST", COLLECTIONS["Namespace"], body)
    assert status == 201, answer
    return name


def create(apiserver, namespace, kind="EtcdCluster", name="db", **spec):
    plural = kind.lower() + "s"
    if kind == "EtcdCluster":  # no kubelet here that would start members: fewer objects will do
        spec = {"security": {"tls": {"enabled": False}}} | spec
    path = f"/apis/etcd.etcd.io/v1alpha1/namespaces/{namespace}/{plural}"
    body = {
        "apiVersion": "etcd.etcd.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    status, answer = apiserver.request("POST", path, body)
    assert status == 201, answer
    return f"{path}/{name}"


def condition(apiserver, path, kind):
    _, obj = apiserver.request("GET", path)
    conditions = obj.get("status", {}).get("conditions", ())
    return next((c for c in conditions if c["type"] == kind), None)


def wait_reason(apiserver, path, reason):
    def there():
        found = condition(apiserver, path, "Ready")
        return found if found and found["reason"] == reason else None

    return until(there, f"Ready/{reason} of {path}")


def exists(apiserver, path):
    status, obj = apiserver.request("GET", path)
    return obj if status == 200 else None


def objects_of(namespace, name="db"):
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    networking = f"/apis/networking.k8s.io/v1/namespaces/{namespace}"
    return {
        "peer": f"{core}/services/{name}-peer",
        "client": f"{core}/services/{name}",
        "config": f"{core}/configmaps/{name}-config",
        "budget": f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{name}",
        "policy": f"{networking}/networkpolicies/{name}-members",
        "set": f"{apps}/statefulsets/{name}",
    }
