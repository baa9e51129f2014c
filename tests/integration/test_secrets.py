"""Nothing secret is in what the operator prints or writes, whatever goes wrong with its Secrets.

All of it: its output with every detail, events, status and all other objects, metrics, checks.
"""

import base64
import json
import secrets

import pytest
import yaml

from tests.integration.key_material import leaked
from tests.integration.running import (
    NAMESPACE,
    apply,
    create,
    exists,
    kubeconfig_of,
    make_namespace,
    objects_of,
    operator,
    until,
)

ROLES = ("ca", "peer-ca", "server-tls", "peer-tls", "client-tls")
MERGE_PATCH = "application/merge-patch+json"
# Everything that an operator could write something to, but Secrets.
WRITTEN = (
    "/api/v1/namespaces/{ns}/events",
    "/api/v1/namespaces/{ns}/configmaps",
    "/api/v1/namespaces/{ns}/services",
    "/api/v1/namespaces/{ns}/pods",
    "/apis/apps/v1/namespaces/{ns}/statefulsets",
    "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets",
    "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies",
    "/apis/etcd.etcd.io/v1alpha1/namespaces/{ns}/etcdclusters",
)


@pytest.fixture(scope="module")
def talkative(apiserver, tmp_path_factory):
    """An operator that says all that it can, and dials pods by their addresses."""
    for name in ("namespace", "rbac"):
        apply(apiserver, f"manifests/operator/{name}.yaml")
    folder = tmp_path_factory.mktemp("talkative")
    kubeconfig = kubeconfig_of(apiserver, NAMESPACE, folder)
    flags = ("--log-level", "debug", "--etcd-dialer", "direct")
    with operator(kubeconfig, folder, *flags) as started:
        until(started.is_ready, "readiness of the operator")
        yield started


class Cluster:
    """A cluster with TLS whose objects are there, and whose members run nowhere."""

    def __init__(self, apiserver, name):
        self._apiserver = apiserver
        self.namespace = make_namespace(apiserver)
        self.name = name
        self.path = create(
            apiserver, self.namespace, name=name, size=3, security={"tls": {"enabled": True}}
        )
        made = objects_of(self.namespace, name)["set"]
        self.stateful_set = until(lambda: exists(apiserver, made), "the StatefulSet")

    def secret_path(self, role):
        return f"/api/v1/namespaces/{self.namespace}/secrets/{self.name}-{role}"

    def secret(self, role):
        return exists(self._apiserver, self.secret_path(role))

    def put(self, role, **data):
        """Write over entries of a Secret, given as bytes."""
        encoded = {key.replace("_", "."): base64.b64encode(v).decode() for key, v in data.items()}
        status, answer = self._apiserver.request(
            "PATCH", self.secret_path(role), {"data": encoded}, content_type=MERGE_PATCH
        )
        assert status == 200, answer

    def key(self, role):
        return base64.b64decode(self.secret(role)["data"]["tls.key"])

    def look_again(self, value):
        """A pod that waits makes the operator read Secrets anew at each look."""
        body = {"metadata": {"annotations": {"look": value}}}
        self._apiserver.request("PATCH", self.path, body, content_type=MERGE_PATCH)

    def make_pod(self):
        """What the StatefulSet controller would have made of the first member: it waits."""
        template = self.stateful_set["spec"]["template"]
        container = template["spec"]["containers"][0]
        owner = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "name": self.name,
            "uid": self.stateful_set["metadata"]["uid"],
            "controller": True,
        }
        name = f"{self.name}-0"
        pod = {
            "metadata": {**template["metadata"], "name": name, "ownerReferences": [owner]},
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [{"name": container["name"], "image": container["image"]}],
            },
        }
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        status, answer = self._apiserver.request("POST", pods, pod)
        assert status == 201, answer
        return f"{pods}/{name}"

    def start_pod(self, address):
        """The same with what kubelet would have said of it: it runs at that address."""
        path = self.make_pod()
        container = {
            "name": "etcd",
            "ready": False,
            "started": True,
            "restartCount": 0,
            "image": "etcd",
            "imageID": "",
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }
        running = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "containerStatuses": [container],
        }
        status, answer = self._apiserver.request(
            "PATCH", f"{path}/status", {"status": running}, content_type=MERGE_PATCH
        )
        assert status == 200, answer

    def written(self):
        paths = (path.format(ns=self.namespace) for path in WRITTEN)
        return "\n".join(json.dumps(exists(self._apiserver, path)) for path in paths)


def told(running, cluster):
    """All that the operator has printed and written so far."""
    checks = ("healthz", "readyz")
    answers = [running.get(f"{running.health_url}/{check}?verbose") for check in checks]
    return "\n".join(
        [
            running.log.read_text(errors="replace"),
            running.get(running.metrics_url),
            *answers,
            cluster.written(),
        ]
    )


def assert_nothing_is_told(running, cluster, keys):
    text = told(running, cluster)
    assert cluster.namespace in text
    for role, key in keys.items():
        assert leaked(text, key) == [], f"the key of {role}"


@pytest.fixture
def cluster(apiserver, talkative):
    return Cluster(apiserver, "db")


def test_detector_finds_each_form_of_a_key(cluster):
    secret = cluster.secret("server-tls")
    pem = cluster.key("server-tls")

    assert leaked(json.dumps(secret), pem)
    assert leaked(pem.decode(), pem)
    assert leaked(json.dumps({"note": pem.decode()}), pem)
    assert leaked(repr(pem), pem)
    assert not leaked(pem.decode(), cluster.key("ca"))
    certificate = base64.b64decode(secret["data"]["tls.crt"]).decode()
    assert not leaked(certificate + secret["data"]["tls.crt"], pem)


def test_bringing_a_cluster_up_tells_no_key(talkative, cluster):
    keys = {role: cluster.key(role) for role in ROLES}
    cluster.start_pod("127.0.0.1")
    dialled = "etcd_operator_etcd_calls_total{"
    until(lambda: dialled in talkative.get(talkative.metrics_url), "an attempt to dial the member")

    assert_nothing_is_told(talkative, cluster, keys)


def cut(key):
    return key[: len(key) // 2]


SPOILT = [
    pytest.param("server-tls", lambda own, _: {"tls_key": cut(own)}, id="half-a-key"),
    pytest.param("peer-tls", lambda _, other: {"tls_key": other}, id="key-of-another"),
    pytest.param("server-tls", lambda own, _: {"tls_crt": own}, id="key-as-the-certificate"),
    pytest.param("client-tls", lambda own, _: {"tls_crt": own, "ca_crt": own}, id="key-as-all"),
    pytest.param("client-tls", lambda own, _: {"ca_crt": cut(own)}, id="half-a-key-as-the-ca"),
    pytest.param("ca", lambda _, other: {"tls_key": other}, id="other-key-of-the-authority"),
    pytest.param("ca", lambda own, _: {"tls_crt": own}, id="key-as-the-authority"),
    pytest.param("peer-ca", lambda own, _: {"tls_key": cut(own)}, id="half-a-key-of-the-authority"),
]


@pytest.mark.parametrize(("role", "spoil"), SPOILT)
def test_spoilt_secret_is_told_of_without_its_content(apiserver, talkative, cluster, role, spoil):
    keys = {name: cluster.key(name) for name in ROLES}
    canary = f"canary-{secrets.token_hex(12)}"
    cluster.make_pod()
    cluster.put(role, note=canary.encode(), **spoil(keys[role], keys["peer-ca"]))
    cluster.look_again("now")

    until(lambda: mended_or_told(apiserver, cluster, role, keys), "an answer to what was spoilt")
    assert_nothing_is_told(talkative, cluster, keys)
    assert canary not in told(talkative, cluster)
    assert base64.b64encode(canary.encode()).decode()[:16] not in told(talkative, cluster)


def mended_or_told(apiserver, cluster, role, keys):
    """A leaf is made anew; of an authority TLSReady says that it is lost."""
    if role.endswith("ca"):
        conditions = exists(apiserver, cluster.path)["status"]["conditions"]
        (found,) = [c for c in conditions if c["type"] == "TLSReady"]
        return found["status"] == "False" and found["reason"] == "CertificateAuthorityLost"
    return cluster.key(role) != keys[role] and b"PRIVATE" in cluster.key(role)


def test_refused_write_of_a_secret_tells_nothing(apiserver, talkative, cluster):
    keys = {role: cluster.key(role) for role in ROLES}
    cluster.put("server-tls", tls_key=cut(keys["server-tls"]))
    frozen = {"immutable": True}
    apiserver.request("PATCH", cluster.secret_path("server-tls"), frozen, content_type=MERGE_PATCH)
    cluster.make_pod()
    cluster.look_again("now")

    until(lambda: "can't be written" in told(talkative, cluster), "the refusal")
    assert_nothing_is_told(talkative, cluster, keys)


def test_operators_own_token_is_not_told(talkative, cluster):
    config = yaml.safe_load((talkative.log.parent / "kubeconfig").read_text())
    token = config["users"][0]["user"]["token"]
    signature = token.rpartition(".")[2]

    assert signature[:24] not in told(talkative, cluster)
