"""/metrics with TLS and Kubernetes' own word on who may read it, with real tokens."""

import ssl
import urllib.error
import urllib.request

import pytest

from tests.integration.running import (
    COLLECTIONS,
    NAMESPACE,
    apply,
    kubeconfig_of,
    make_namespace,
    operator,
    token_of,
    until,
)
from tests.unit.controllers.serving_pair import write_pair

GROUP = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def guarded(apiserver, tmp_path_factory):
    """An operator with the shipped rights that checks who reads its metrics."""
    for name in ("namespace", "rbac", "metrics-auth"):
        apply(apiserver, f"manifests/operator/{name}.yaml")
    folder = tmp_path_factory.mktemp("guarded")
    write_pair(folder, "metrics")
    kubeconfig = kubeconfig_of(apiserver, NAMESPACE, folder)
    flags = ("--metrics-cert-dir", str(folder), "--metrics-auth")
    with operator(kubeconfig, folder, *flags) as started:
        until(started.is_ready, "readiness of the operator")
        yield started


@pytest.fixture(scope="module")
def callers(apiserver):
    """The namespace of two service accounts, of which prometheus may read metrics."""
    namespace = make_namespace(apiserver)
    for name in ("prometheus", "shop"):
        body = {"metadata": {"name": name}}
        where = COLLECTIONS["ServiceAccount"].format(ns=namespace)
        status, answer = apiserver.request("POST", where, body)
        assert status == 201, answer
    binding = {
        "metadata": {"name": f"read-metrics-{namespace}"},
        "roleRef": {
            "apiGroup": GROUP,
            "kind": "ClusterRole",
            "name": "etcd-operator-metrics-reader",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": namespace}],
    }
    status, answer = apiserver.request("POST", COLLECTIONS["ClusterRoleBinding"], binding)
    assert status == 201, answer
    return namespace


def scrape(running, token=None):
    """The status and the text of an answer over TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = running.metrics_url.replace("http://", "https://")
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_reader_gets_the_metrics(apiserver, guarded, callers):
    status, text = scrape(guarded, token_of(apiserver, callers, "prometheus"))

    assert status == 200
    assert "rest_client_requests_total" in text


def test_holder_of_a_token_without_the_right_gets_403(apiserver, guarded, callers):
    assert scrape(guarded, token_of(apiserver, callers, "shop")) == (403, "")


@pytest.mark.parametrize("token", [None, "not-a-token"])
def test_who_shows_no_token_of_this_cluster_gets_401(guarded, token):
    assert scrape(guarded, token) == (401, "")


def test_plain_text_gets_nothing_and_no_token_is_logged(apiserver, guarded, callers):
    token = token_of(apiserver, callers, "prometheus")
    scrape(guarded, token)

    assert guarded.get(guarded.metrics_url) == ""
    assert token not in guarded.log.read_text()


def test_without_the_right_to_ask_nobody_gets_in(apiserver, tmp_path):
    namespace = make_namespace(apiserver)
    apply(
        apiserver,
        "manifests/install-namespaced.yaml",
        instead_of="team-a",
        namespace=namespace,
    )
    write_pair(tmp_path, "metrics")
    kubeconfig = kubeconfig_of(apiserver, namespace, tmp_path)
    flags = ("--namespace", namespace, "--metrics-cert-dir", str(tmp_path), "--metrics-auth")
    with operator(kubeconfig, tmp_path, *flags) as started:
        until(started.is_ready, "readiness of the operator")

        assert scrape(started, token_of(apiserver, namespace)) == (503, "")
        assert "manifests/operator/metrics-auth.yaml" in started.log.read_text()
