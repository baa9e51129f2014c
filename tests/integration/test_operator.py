"""The operator as a process, against a real API server of the newest and the oldest Kubernetes.

It runs with its shipped RBAC and nothing more: as its own service account.  No controller manager
and no nodes here, so no pod ever starts; what needs pods is tested end to end.
"""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.integration.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "etcd-operator-system"
CLUSTERS = "/apis/etcd.etcd.io/v1alpha1/namespaces/{ns}/etcdclusters"
DEADLINE_S = 30

# Where each kind of the manifests lives; only those that install.yaml has beside the CRDs.
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


@pytest.fixture(scope="module")
def service_account(apiserver, tmp_path_factory):
    """A kubeconfig of the operator's own service account, with the shipped roles bound to it."""
    for name in ("namespace", "rbac"):
        for obj in yaml.safe_load_all((ROOT / f"manifests/operator/{name}.yaml").read_text()):
            path = COLLECTIONS[obj["kind"]].format(ns=NAMESPACE)
            status, answer = apiserver.request("POST", path, obj)
            assert status in {201, 409}, answer
    path = f"{COLLECTIONS['ServiceAccount'].format(ns=NAMESPACE)}/etcd-operator/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    status, answer = apiserver.request("POST", path, request)
    assert status == 201, answer
    config = yaml.safe_load(apiserver.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": answer["status"]["token"]}
    written = tmp_path_factory.mktemp("operator") / "kubeconfig"
    written.touch(mode=0o600)
    written.write_text(yaml.safe_dump(config))
    return written


class Operator:
    """A running `python -m operator run`, with its log in a file."""

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
        process = subprocess.Popen([*command, *flags], stderr=output, cwd=folder)
    try:
        yield Operator(process, log, metrics, health)
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def running(apiserver, service_account, tmp_path_factory):
    with operator(service_account, tmp_path_factory.mktemp("run")) as started:
        until(started.is_ready, "readiness of the operator")
        yield started


@pytest.fixture
def namespace(apiserver, request):
    """A namespace of the test's own. Without a controller manager it is never really deleted."""
    digest = base64.b32encode(os.urandom(5)).decode().lower().rstrip("=")
    name = f"test-{digest}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    status, answer = apiserver.request("POST", COLLECTIONS["Namespace"], body)
    assert status == 201, answer
    return name


def create(apiserver, namespace, kind="EtcdCluster", name="db", **spec):
    plural = kind.lower() + "s"
    path = f"/apis/etcd.etcd.io/v1alpha1/namespaces/{namespace}/{plural}"
    if kind == "EtcdCluster":  # no kubelet here that would start members: fewer objects will do
        spec = {"security": {"tls": {"enabled": False}}} | spec
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
    return {
        "peer": f"{core}/services/{name}-peer",
        "client": f"{core}/services/{name}",
        "config": f"{core}/configmaps/{name}-config",
        "budget": f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{name}",
        "set": f"{apps}/statefulsets/{name}",
    }


def test_objects_are_made_with_the_shipped_rights(apiserver, running, namespace):
    create(apiserver, namespace, size=3)

    for what, path in objects_of(namespace).items():
        until(lambda p=path: exists(apiserver, p), f"the {what} object")


def test_c12_c17_unchanged_objects_are_written_once(apiserver, running, namespace):
    path = create(apiserver, namespace, size=3)
    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")
    wait_reason(apiserver, path, "Creating")
    versions = {
        p: exists(apiserver, p)["metadata"]["resourceVersion"]
        for p in objects_of(namespace).values()
    }

    # An annotation of the user's makes the operator look again.
    annotate = {"metadata": {"annotations": {"look": "again"}}}
    apiserver.request("PATCH", path, annotate, content_type="application/merge-patch+json")
    before = reconciles(running)
    until(lambda: reconciles(running) > before + 1, "another reconcile")

    assert versions == {
        p: exists(apiserver, p)["metadata"]["resourceVersion"]
        for p in objects_of(namespace).values()
    }


def reconciles(running):
    prefix = 'controller_runtime_reconcile_total{controller="etcdcluster"'
    lines = [
        line for line in running.get(running.metrics_url).splitlines() if line.startswith(prefix)
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize("what", ["peer", "client", "config", "budget", "set"])
def test_deleted_object_comes_back(apiserver, running, namespace, what):
    create(apiserver, namespace, size=3)
    path = objects_of(namespace)[what]
    first = until(lambda: exists(apiserver, path), "the object")
    # Orphaned, because nobody is here to collect what hangs on it.
    apiserver.request("DELETE", path, {"propagationPolicy": "Background"})

    def another():
        obj = exists(apiserver, path)
        return obj and obj["metadata"]["uid"] != first["metadata"]["uid"]

    until(another, f"the return of the {what} object")


def test_edited_object_is_put_right(apiserver, running, namespace):
    create(apiserver, namespace, size=3)
    path = objects_of(namespace)["client"]
    until(lambda: exists(apiserver, path), "the Service")
    edit = {"spec": {"selector": {"app": "wrong"}}}
    apiserver.request("PATCH", path, edit, content_type="application/merge-patch+json")

    def right():
        selector = exists(apiserver, path)["spec"]["selector"]
        return selector.get("app.kubernetes.io/instance") == "db"

    until(right, "the correction of the selector")


def test_c11_c13_stranger_under_our_name_is_left_alone(apiserver, running, namespace):
    path = objects_of(namespace)["client"]
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db", "namespace": namespace},
        "spec": {"ports": [{"port": 80}]},
    }
    apiserver.request("POST", path.rpartition("/")[0], theirs)
    cluster = create(apiserver, namespace, size=3)

    found = wait_reason(apiserver, cluster, "NameConflict")

    assert "Service db" in found["message"]
    assert exists(apiserver, path)["spec"]["ports"][0]["port"] == 80
    assert exists(apiserver, objects_of(namespace)["set"]) is None


def leftover(apiserver, namespace, ordinal, record=""):
    """A claim that an earlier cluster left, with its record on it; returns its path."""
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"data-db-{ordinal}",
            "namespace": namespace,
            "labels": {"etcd.etcd.io/cluster-uid": "earlier"},
            "annotations": {"etcd.etcd.io/membership": record, "team": "a"},
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    status, answer = apiserver.request("POST", claims, claim)
    assert status == 201, answer
    return f"{claims}/data-db-{ordinal}"


def let_go(apiserver, path):
    """Nobody is here to take Kubernetes' own finalizer off."""
    free = {"metadata": {"finalizers": None}}
    apiserver.request("PATCH", path, free, content_type="application/merge-patch+json")


def test_leftover_volume_is_waited_for_and_goes_on_without(apiserver, running, namespace):
    claim = leftover(apiserver, namespace, 1)
    cluster = create(apiserver, namespace, size=3)
    found = wait_reason(apiserver, cluster, "LeftoverVolumes")
    assert "data-db-1" in found["message"]

    let_go(apiserver, claim)
    apiserver.request("DELETE", claim)

    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")


def test_leftover_volume_is_discarded_on_request(apiserver, running, namespace):
    claim = leftover(apiserver, namespace, 1)
    create(apiserver, namespace, size=3, storage={"existingVolumes": "Discard"})

    until(lambda: "deletionTimestamp" in exists(apiserver, claim)["metadata"], "the deletion")
    assert exists(apiserver, objects_of(namespace)["set"]) is None
    let_go(apiserver, claim)

    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")


def test_leftover_volumes_are_adopted_on_request(apiserver, running, namespace):
    record = {
        "clusterID": "cafe",
        "voters": [0, 1, 2],
        "namespace": namespace,
        "clusterDomain": "cluster.local",
        "scheme": "http",
        "version": "v3.5.21",
    }
    claims = [leftover(apiserver, namespace, n, json.dumps(record)) for n in range(3)]
    cluster = create(
        apiserver, namespace, size=5, version="v3.5.21", storage={"existingVolumes": "Adopt"}
    )
    made = until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")
    obj = exists(apiserver, cluster)

    assert obj["status"]["clusterID"] == "cafe"
    assert made["spec"]["replicas"] == 3
    files = exists(apiserver, objects_of(namespace)["config"])["data"]
    assert {yaml.safe_load(text)["initial-cluster-state"] for text in files.values()} == {
        "existing"
    }
    for claim in claims:
        metadata = exists(apiserver, claim)["metadata"]
        assert metadata["labels"]["etcd.etcd.io/cluster-uid"] == obj["metadata"]["uid"]
        assert metadata["annotations"]["team"] == "a"


def test_template_that_the_server_refuses_makes_nothing(apiserver, running, namespace):
    if apiserver.version == "old":
        pytest.skip(
            "a StatefulSet's pod template is not validated there: its pods are refused later"
        )
    template = {"spec": {"volumes": [{"name": "Not_A_Name", "emptyDir": {}}]}}
    cluster = create(apiserver, namespace, size=3, podTemplate=template)

    wait_reason(apiserver, cluster, "TemplateRefused")

    assert all(exists(apiserver, path) is None for path in objects_of(namespace).values())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param({"extra": {"no-such-option": "1"}}, "no-such-option", id="unknown"),
        pytest.param({"extra": {"data-dir": "/tmp"}}, "data-dir", id="ours"),
    ],
)
def test_option_is_refused_by_name(apiserver, running, namespace, options, name):
    cluster = create(apiserver, namespace, size=3, options=options)

    found = wait_reason(apiserver, cluster, "InvalidSpec")

    assert name in found["message"]


def test_tls_of_another_source_is_refused_by_name(apiserver, running, namespace):
    tls = {"enabled": True, "caSecret": "mine"}
    cluster = create(apiserver, namespace, size=3, security={"tls": tls})

    found = wait_reason(apiserver, cluster, "NotSupportedYet")

    assert "spec.security.tls.caSecret" in found["message"]


def secrets_of(apiserver, namespace):
    _, listed = apiserver.request("GET", f"/api/v1/namespaces/{namespace}/secrets")
    return {secret["metadata"]["name"]: secret for secret in listed["items"]}


def test_certificates_come_before_the_pods_with_the_shipped_rights(apiserver, running, namespace):
    cluster = create(apiserver, namespace, size=3, security={"tls": {"enabled": True}})
    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")
    made = secrets_of(apiserver, namespace)

    names = {"db-ca", "db-peer-ca", "db-server-tls", "db-peer-tls", "db-client-tls"}
    assert names <= made.keys()
    assert {made[name]["type"] for name in names} == {"kubernetes.io/tls"}
    ready = condition(apiserver, cluster, "TLSReady")
    assert (ready["status"], ready["reason"]) == ("True", "CertificatesValid")
    status = exists(apiserver, cluster)["status"]
    assert status["clientEndpoints"] == [f"https://db.{namespace}.svc.cluster.local:2379"]
    assert {one["secret"] for one in status["certificates"]} == names
    assert f'namespace="{namespace}",secret="db-ca"' in running.get(running.metrics_url)


def test_nothing_of_a_secret_is_in_logs_events_or_status(apiserver, running, namespace):
    cluster = create(apiserver, namespace, size=3, security={"tls": {"enabled": True}})
    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")
    _, events = apiserver.request("GET", f"/api/v1/namespaces/{namespace}/events")
    told = "\n".join([json.dumps(exists(apiserver, cluster)), json.dumps(events)])
    told += running.log.read_text() + running.get(running.metrics_url)

    assert "CertificateIssued" in told
    for name, secret in secrets_of(apiserver, namespace).items():
        if name.startswith("db-"):
            key = secret["data"]["tls.key"]
            lines = base64.b64decode(key).decode().splitlines()[1:-1]
            assert not [part for part in (key, *lines) if part in told]


def test_stranger_in_the_place_of_a_certificate_is_left_alone(apiserver, running, namespace):
    theirs = {"metadata": {"name": "db-ca", "namespace": namespace}, "stringData": {"a": "b"}}
    apiserver.request("POST", f"/api/v1/namespaces/{namespace}/secrets", theirs)
    cluster = create(apiserver, namespace, size=3, security={"tls": {"enabled": True}})

    assert "Secret db-ca" in wait_reason(apiserver, cluster, "NameConflict")["message"]
    assert secrets_of(apiserver, namespace)["db-ca"]["data"].keys() == {"a"}
    assert exists(apiserver, objects_of(namespace)["set"]) is None


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("EtcdRestore", {"backupName": "b", "clusterName": "db"}),
    ],
)
def test_kinds_that_are_not_carried_out_say_so(apiserver, running, namespace, kind, spec):
    path = create(apiserver, namespace, kind=kind, name="nightly", **spec)

    assert kind in wait_reason(apiserver, path, "NotSupportedYet")["message"]


def test_size_that_an_old_server_lets_through_is_refused_by_the_operator(
    apiserver, running, namespace
):
    if apiserver.knows_cel:
        pytest.skip("this server refuses it at once: see test_crds.py")
    cluster = create(apiserver, namespace, size=4)

    assert "spec.size" in wait_reason(apiserver, cluster, "InvalidSpec")["message"]


def test_deletion_with_policy_delete_lets_go_of_the_object(apiserver, running, namespace):
    storage = {"deletionPolicy": "Delete"}
    path = create(apiserver, namespace, size=3, storage=storage)
    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")
    assert exists(apiserver, path)["metadata"]["finalizers"] == ["etcd.etcd.io/cleanup"]

    apiserver.request("DELETE", path)

    until(lambda: exists(apiserver, path) is None, "the end of the EtcdCluster")
    assert exists(apiserver, objects_of(namespace)["set"]) is None


def test_metrics_tell_of_queue_requests_and_clusters(apiserver, running, namespace):
    create(apiserver, namespace, size=3)
    until(
        lambda: (
            f'etcd_operator_cluster_size{{name="db",namespace="{namespace}"}} 3.0'
            in running.get(running.metrics_url)
        ),
        "the cluster's gauge",
    )
    text = running.get(running.metrics_url)

    for family in (
        "workqueue_depth",
        "controller_runtime_reconcile_total",
        "rest_client_requests_total",
        "etcd_operator_cluster_condition",
        "event_loop_lag_seconds",
    ):
        assert family in text


def test_m2_sigterm_ends_it_within_ten_seconds_with_exit_code_0(
    apiserver, service_account, tmp_path
):
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/etcd-operator"
    flags = ("--leader-elect", "--leader-elect-namespace", NAMESPACE)
    with operator(service_account, tmp_path, *flags) as started:
        until(
            lambda: (exists(apiserver, lease) or {}).get("spec", {}).get("holderIdentity"),
            "leading",
        )
        started.process.send_signal(signal.SIGTERM)

        assert started.process.wait(10) == 0

    assert holder(apiserver, lease) == ""


def test_l8_operator_whose_lease_was_taken_exits_with_one(apiserver, service_account, tmp_path):
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/etcd-operator"
    flags = ("--leader-elect", "--leader-elect-namespace", NAMESPACE)
    with operator(service_account, tmp_path, *flags) as started:
        until(lambda: holder(apiserver, lease), "leading")
        hold(apiserver, lease, "thief")

        assert started.process.wait(10) == 1

    assert holder(apiserver, lease) == "thief"
    hold(apiserver, lease, "")


def hold(apiserver, lease, identity):
    patch = {"spec": {"holderIdentity": identity}}
    status, answer = apiserver.request(
        "PATCH", lease, patch, content_type="application/merge-patch+json"
    )
    assert status == 200, answer


def holder(apiserver, lease):
    found = exists(apiserver, lease)
    return found and found["spec"]["holderIdentity"]


def test_operator_restricted_to_a_namespace_looks_after_no_other(
    apiserver, service_account, tmp_path, namespace
):
    # The module's own operator looks after everything; this one is asked what it watches.
    with operator(service_account, tmp_path, "--namespace", namespace) as started:
        until(started.is_ready, "readiness")
        create(apiserver, namespace, name="own", size=1)
        until(
            lambda: (
                f'etcd_operator_cluster_size{{name="own",namespace="{namespace}"}}'
                in started.get(started.metrics_url)
            ),
            "the cluster of its namespace",
        )

        assert f'namespace="{NAMESPACE}"' not in started.get(started.metrics_url)
