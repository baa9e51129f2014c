"""Settings: flags over environment over defaults, and what the operator finds out by itself."""

import pytest
from pydantic import ValidationError

from cli.environment import discover_cluster_domain
from cli.settings import Settings


def test_flag_wins_over_environment_wins_over_default(monkeypatch):
    monkeypatch.setenv("OPERATOR_WORKERS", "16")

    assert Settings().workers == 16
    assert Settings(workers=4).workers == 4
    assert Settings().log_level == "info"


def test_the_webhook_is_off_unless_it_is_asked_for():
    assert Settings().webhook_bind == "0"
    with pytest.raises(ValueError, match="not host:port"):
        Settings(webhook_bind="everywhere")


def test_namespaces_in_the_environment_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("OPERATOR_NAMESPACE", "a, b")

    assert Settings().namespace == ("a", "b")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"metrics_auth": True}, "metrics_auth"),
        ({"metrics_cert_dir": "/tls", "metrics_bind": ":8081"}, "health_bind"),
        ({"metrics_cert_dir": "/tls", "health_bind": ":8080"}, "health_bind"),
    ],
)
def test_metrics_settings_that_contradict_each_other_are_refused_by_name(given, field):
    with pytest.raises(ValidationError) as caught:
        Settings(**given)

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_metrics_with_tls_may_be_all_that_is_served():
    settings = Settings(metrics_cert_dir="/tls", metrics_auth=True, health_bind="0")

    assert settings.metrics_auth


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("search prod.svc.k8s.example svc.k8s.example k8s.example\n", "k8s.example"),
        (
            "nameserver 10.0.0.1\nsearch default.svc.cluster.local svc.cluster.local\n",
            "cluster.local",
        ),
        ("nameserver 10.0.0.1\n", "cluster.local"),
        ("search corp.example\n", "cluster.local"),
    ],
)
def test_domain_is_read_from_what_kubelet_wrote(tmp_path, monkeypatch, text, domain):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    file = tmp_path / "resolv.conf"
    file.write_text(text)

    assert discover_cluster_domain(file) == domain


def test_outside_of_a_pod_the_machines_own_search_list_says_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    file = tmp_path / "resolv.conf"
    file.write_text("search office.svc.corp.example\n")

    assert discover_cluster_domain(file) == "cluster.local"
