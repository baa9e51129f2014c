"""The operator as a process, against a real API server of the newest and the oldest Kubernetes.

It runs with its shipped RBAC and nothing more: as its own service account.  No controller manager
and no nodes here, so no pod ever starts; what needs pods is tested end to end.
"""

import base64
import json
import signal
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.integration.running import (
    NAMESPACE,
    apply,
    condition,
    create,
    exists,
    kubeconfig_of,
    make_namespace,
    objects_of,
    operator,
    until,
    wait_reason,
)
from tests.unit.controllers.cluster import user_certificates as user

CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# As much of cert-manager's kind as the operator uses.
CERTIFICATE_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "certificates.cert-manager.io"},
    "spec": {
        "group": "cert-manager.io",
        "names": {"kind": "Certificate", "plural": "certificates"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}


@pytest.fixture(scope="module")
def service_account(apiserver, tmp_path_factory):
    """A kubeconfig of the operator's own service account, with the shipped roles bound to it."""
    for name in ("namespace", "rbac"):
        apply(apiserver, f"manifests/operator/{name}.yaml")
    return kubeconfig_of(apiserver, NAMESPACE, tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def running(apiserver, service_account, tmp_path_factory):
    with operator(service_account, tmp_path_factory.mktemp("run")) as started:
        until(started.is_ready, "readiness of the operator")
        yield started


@pytest.fixture
def namespace(apiserver):
    """A namespace of the test's own."""
    return make_namespace(apiserver)


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

    look_again(apiserver, running, path)

    assert versions == {
        p: exists(apiserver, p)["metadata"]["resourceVersion"]
        for p in objects_of(namespace).values()
    }


def look_again(apiserver, running, path):
    """Wait until the operator has looked at the cluster anew, for an annotation of the user's."""
    annotate = {"metadata": {"annotations": {"look": "again"}}}
    apiserver.request("PATCH", path, annotate, content_type="application/merge-patch+json")
    before = reconciles(running)
    until(lambda: reconciles(running) > before + 1, "another reconcile")


def reconciles(running):
    prefix = 'controller_runtime_reconcile_total{controller="etcdcluster"'
    lines = [
        line for line in running.get(running.metrics_url).splitlines() if line.startswith(prefix)
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize("what", ["peer", "client", "config", "budget", "policy", "set"])
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


def edit(apiserver, path, **spec):
    status, answer = apiserver.request(
        "PATCH", path, {"spec": spec}, content_type="application/merge-patch+json"
    )
    assert status == 200, answer


def test_policy_that_somebody_opens_is_put_right(apiserver, running, namespace):
    create(apiserver, namespace, size=3)
    path = objects_of(namespace)["policy"]
    made = until(lambda: exists(apiserver, path), "the NetworkPolicy")["spec"]
    edit(apiserver, path, ingress=[*made["ingress"], {}])

    until(lambda: exists(apiserver, path)["spec"] == made, "the correction of the NetworkPolicy")


# Everything that a NetworkPolicyPeer can say; some empty parts the server does not give back.
CLIENTS = [
    {"podSelector": {}},
    {"podSelector": {"matchLabels": {}, "matchExpressions": []}},
    {"podSelector": {"matchLabels": {"app.example.com/name": "shop", "empty": ""}}},
    {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
    {
        "podSelector": {"matchLabels": {"app": "shop"}},
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "team", "operator": "In", "values": ["a", "b"]},
                {"key": "gone", "operator": "DoesNotExist", "values": []},
                {"key": "kind", "operator": "NotIn", "values": ["x"]},
            ]
        },
    },
    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.1/32"]}},
    {"ipBlock": {"cidr": "fd00::/8", "except": []}},
    {"ipBlock": {"cidr": "0.0.0.0/0"}},
]


def test_clients_that_are_accepted_are_applied_once(apiserver, running, namespace):
    policy = {"clients": CLIENTS}
    cluster = create(apiserver, namespace, size=3, security={"networkPolicy": policy})
    path = objects_of(namespace)["policy"]
    made = until(lambda: exists(apiserver, path), "the NetworkPolicy")
    wait_reason(apiserver, cluster, "Creating")
    version = made["metadata"]["resourceVersion"]
    assert len(made["spec"]["ingress"][1]["from"]) == len(CLIENTS)

    look_again(apiserver, running, cluster)

    assert exists(apiserver, path)["metadata"]["resourceVersion"] == version


def test_policy_goes_when_it_is_switched_off(apiserver, running, namespace):
    cluster = create(apiserver, namespace, size=3)
    path = objects_of(namespace)["policy"]
    until(lambda: exists(apiserver, path), "the NetworkPolicy")
    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")

    edit(apiserver, cluster, security={"networkPolicy": {"enabled": False}})

    until(lambda: exists(apiserver, path) is None, "the end of the NetworkPolicy")


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


def secrets_of(apiserver, namespace):
    _, listed = apiserver.request("GET", f"/api/v1/namespaces/{namespace}/secrets")
    return {secret["metadata"]["name"]: secret for secret in listed["items"]}


def test_certificates_come_before_the_pods_with_the_shipped_rights(apiserver, running, namespace):
    cluster = create(apiserver, namespace, size=3, security={"tls": {"enabled": True}})
    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")
    made = secrets_of(apiserver, namespace)

    authorities = {"db-ca", "db-peer-ca"}
    names = authorities | {f"db-{who}-tls" for who in ("server", "peer", "client", "operator")}
    assert names <= made.keys()
    assert {made[name]["type"] for name in names} == {"kubernetes.io/tls"}
    ready = condition(apiserver, cluster, "TLSReady")
    assert (ready["status"], ready["reason"]) == ("True", "CertificatesValid")
    status = exists(apiserver, cluster)["status"]
    assert status["clientEndpoints"] == [f"https://db.{namespace}.svc.cluster.local:2379"]
    assert {one["secret"] for one in status["certificates"]} == names
    assert f'namespace="{namespace}",secret="db-ca"' in running.get(running.metrics_url)


def test_certificates_are_ordered_from_cert_manager(apiserver, running, namespace):
    """The test plays the issuer; before, Kubernetes does not know the kind."""
    tls = {"enabled": True, "issuerRef": {"name": "corporate"}}
    cluster = create(apiserver, namespace, size=3, security={"tls": tls})
    found = wait_reason(apiserver, cluster, "CertManagerMissing")
    assert "install cert-manager" in found["message"]
    status, answer = apiserver.request("POST", CRDS_PATH, CERTIFICATE_CRD)
    assert status in {201, 409}, answer

    ordered = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates/db-server-issued"
    web = until(lambda: exists(apiserver, ordered), "the Certificate")["spec"]
    assert web["issuerRef"]["name"] == "corporate"
    found = wait_reason(apiserver, cluster, "CertificatesPending")
    assert "cert-manager has not issued Certificate db-server-issued yet" in found["message"]
    now = datetime.now(UTC)  # noqa: TID251 - as the operator sees it
    life = {"since": now - timedelta(hours=1)}
    server = user.made("web", by=user.root(), names=web["dnsNames"], **life)
    client = user.made("app", by=user.root(), **life)
    for name, made in (("db-server-issued", server), ("db-client-issued", client)):
        issued = user.pair(name, made, user.root())
        issued = {**issued, "metadata": {"name": name}}
        answer = apiserver.request("POST", f"/api/v1/namespaces/{namespace}/secrets", issued)
        assert answer[0] == 201, answer
    until(lambda: exists(apiserver, objects_of(namespace)["set"]), "the StatefulSet")
    stored = secrets_of(apiserver, namespace)
    assert base64.b64decode(stored["db-server-tls"]["data"]["tls.crt"]) == server.pem
    assert base64.b64decode(stored["db-client-tls"]["data"]["tls.crt"]) == client.pem
    assert "db-ca" not in stored
    until(
        lambda: condition(apiserver, cluster, "TLSReady")["reason"] == "CertificatesValid",
        "TLSReady",
    )


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
