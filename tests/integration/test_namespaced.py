"""The operator with what install-namespaced.yaml grants in one namespace, and nothing elsewhere.

No controller manager and no nodes here: the tests make the pods that ask for a node's state.
"""

import re

import pytest

from tests.integration.running import (
    apply,
    create,
    exists,
    kubeconfig_of,
    make_namespace,
    objects_of,
    operator,
    until,
    wait_reason,
)

MANIFEST = "manifests/install-namespaced.yaml"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@pytest.fixture(scope="module")
def home(apiserver):
    """The operator's namespace, with its roles, named as the manifest's reader would name it."""
    name = make_namespace(apiserver)
    apply(apiserver, MANIFEST, instead_of="team-a", namespace=name)
    return name


@pytest.fixture(scope="module")
def confined(apiserver, home, tmp_path_factory):
    """The operator as the Deployment in the manifest runs it."""
    folder = tmp_path_factory.mktemp("confined")
    kubeconfig = kubeconfig_of(apiserver, home, folder)
    flags = ("--namespace", home, "--leader-elect", "--leader-elect-namespace", home)
    with operator(kubeconfig, folder, *flags) as started:
        until(started.is_ready, "readiness of the operator")
        yield started


def refused(running):
    """How often the API server said no, by verb and resource."""
    found = re.findall(
        r'^rest_client_requests_total\{code="403",resource="(\w+)",verb="(\w+)"\} (\S+)$',
        running.get(running.metrics_url),
        re.MULTILINE,
    )
    return {(verb, resource): float(count) for resource, verb, count in found}


def look_again(apiserver, path, value):
    annotate = {"metadata": {"annotations": {"look": value}}}
    apiserver.request("PATCH", path, annotate, content_type="application/merge-patch+json")


def may(apiserver, home, verb, resource, *, group="", namespace=None):
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{home}:etcd-operator",
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb,
                "resource": resource,
                "group": group,
                **({"namespace": namespace} if namespace else {}),
            },
        },
    }
    status, answer = apiserver.request("POST", REVIEWS, review)
    assert status == 201, answer
    return answer["status"]["allowed"]


@pytest.mark.parametrize(
    ("verb", "resource", "group"),
    [
        ("list", "etcdclusters", "etcd.etcd.io"),
        ("get", "secrets", ""),
        ("list", "pods", ""),
        ("create", "configmaps", ""),
    ],
)
def test_rights_end_with_the_namespace(apiserver, home, verb, resource, group):
    assert not may(apiserver, home, verb, resource, group=group)
    assert not may(apiserver, home, verb, resource, group=group, namespace="default")
    if (verb, resource) != ("get", "secrets"):
        assert may(apiserver, home, verb, resource, group=group, namespace=home)


@pytest.mark.parametrize("resource", ["nodes", "persistentvolumes", "namespaces"])
@pytest.mark.parametrize("verb", ["get", "list", "watch", "patch", "delete"])
def test_there_is_no_right_outside_of_namespaces(apiserver, home, verb, resource):
    assert not may(apiserver, home, verb, resource)


def test_cluster_with_certificates_is_made_and_nothing_is_refused(apiserver, confined, home):
    before = refused(confined)
    cluster = create(apiserver, home, name="made", size=3, security={"tls": {"enabled": True}})
    for what, path in objects_of(home, "made").items():
        until(lambda p=path: exists(apiserver, p), f"the {what} object")
    wait_reason(apiserver, cluster, "Creating")

    assert refused(confined) == before
    log = confined.log.read_text().splitlines()
    assert not [line for line in log if "forbidden: User" in line and '"effect"' not in line]


def test_namespace_can_be_asked_for_when_a_cluster_goes(apiserver, confined, home):
    cluster = create(apiserver, home, name="gone", size=3, storage={"deletionPolicy": "Delete"})
    until(lambda: exists(apiserver, objects_of(home, "gone")["set"]), "the StatefulSet")

    apiserver.request("DELETE", cluster)

    until(lambda: exists(apiserver, cluster) is None, "the end of the EtcdCluster")
    assert ("get", "namespaces") not in refused(confined)


def test_node_of_a_silent_pod_is_asked_for_once(apiserver, confined, home):
    cluster = create(apiserver, home, name="silent", size=1)
    made = until(lambda: exists(apiserver, objects_of(home, "silent")["set"]), "the StatefulSet")
    put_pod_on_a_node(apiserver, home, "silent-0", made)
    until(lambda: refused(confined), "the question for the node")

    for n in range(5):
        before = reconciles(confined)
        look_again(apiserver, cluster, str(n))
        until(lambda b=before: reconciles(confined) > b, "another reconcile")

    assert refused(confined) == {("get", "nodes"): 1.0}
    said = [line for line in confined.log.read_text().splitlines() if "forbidden: User" in line]
    assert len(said) == 1
    assert "no member is replaced because its node is lost" in said[0]


def put_pod_on_a_node(apiserver, namespace, name, stateful_set):
    """What the StatefulSet controller and the scheduler would have made."""
    template = stateful_set["spec"]["template"]
    container = template["spec"]["containers"][0]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": stateful_set["metadata"]["name"],
        "uid": stateful_set["metadata"]["uid"],
        "controller": True,
    }
    pod = {
        "metadata": {**template["metadata"], "name": name, "ownerReferences": [owner]},
        "spec": {
            "nodeName": "far-away",
            "automountServiceAccountToken": False,
            "containers": [{"name": container["name"], "image": container["image"]}],
        },
    }
    status, answer = apiserver.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert status == 201, answer


def reconciles(running):
    prefix = 'controller_runtime_reconcile_total{controller="etcdcluster"'
    lines = running.get(running.metrics_url).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(prefix))
