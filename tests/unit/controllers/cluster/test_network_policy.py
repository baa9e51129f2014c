"""Who may connect to which port, as a network that enforces the rendered policy would decide."""

import copy
import dataclasses
from pathlib import Path

import pytest
import yaml

from api.labels import backup_labels
from api.v1alpha1.network_policy import NetworkPolicy
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import ApplyObjects, DeleteUnwanted, RecordSpec
from controllers.cluster.render.policy import network_policy
from tests.unit.controllers.cluster.builders import WHO, accepted, observed, spec

KEY = ("NetworkPolicy", "db-members")
MEMBER = {
    "app.kubernetes.io/name": "etcd",
    "app.kubernetes.io/instance": "db",
    "app.kubernetes.io/managed-by": "etcd-operator",
}
OPERATOR = {"app.kubernetes.io/name": "etcd-operator"}
BARE = {"spec": {"containers": [{"name": "etcd", "ports": [{"containerPort": 2380}]}]}}
CLIENT_PORT, PEER_PORT, METRICS_PORT = 2379, 2380, 2381
PEER = {"protocol": "TCP", "port": PEER_PORT}


def rendered(template=BARE, *, clients=(), operator_namespace="system", **fields):
    wanted = NetworkPolicy.model_validate({"clients": list(clients), **fields})
    return network_policy(
        WHO, wanted, template, unless_said=True, operator_namespace=operator_namespace
    )


def admits(policy, labels, port, *, namespace="prod", protocol="TCP"):
    """Whether a pod may connect; of selectors only what the tests use is understood."""
    at = {"protocol": protocol, "port": port}
    return any(
        at in rule["ports"]
        and ("from" not in rule or any(_means(p, labels, namespace) for p in rule["from"]))
        for rule in policy["spec"]["ingress"]
    )


def _means(peer, labels, namespace):
    pods = peer.get("podSelector", {}).get("matchLabels", {})
    place = peer.get("namespaceSelector")
    named = {"kubernetes.io/metadata.name": namespace}
    here = namespace == "prod" if place is None else _has(named, place.get("matchLabels", {}))
    return "ipBlock" not in peer and here and _has(labels, pods)


def _has(labels, wanted):
    return wanted.items() <= labels.items()


def test_peer_port_is_for_members_of_this_cluster_only():
    policy = rendered()
    other = {**MEMBER, "app.kubernetes.io/instance": "other"}

    assert policy["spec"]["podSelector"] == {"matchLabels": MEMBER}
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert admits(policy, MEMBER, PEER_PORT)
    assert not admits(policy, other, PEER_PORT)
    assert not admits(policy, {}, PEER_PORT)
    assert not admits(policy, MEMBER, PEER_PORT, namespace="other")


@pytest.mark.parametrize("port", [CLIENT_PORT, METRICS_PORT])
def test_other_ports_are_open_unless_clients_are_named(port):
    assert admits(rendered(), {}, port, namespace="anywhere")


@pytest.mark.parametrize("port", [CLIENT_PORT, METRICS_PORT])
def test_named_clients_and_members_alone_get_in(port):
    app = {"podSelector": {"matchLabels": {"app": "shop"}}}
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "prom"}}}
    policy = rendered(clients=[app, monitoring])

    assert admits(policy, {"app": "shop"}, port)
    assert not admits(policy, {"app": "shop"}, port, namespace="other")
    assert not admits(policy, {"app": "else"}, port)
    assert admits(policy, {}, port, namespace="prom")
    assert admits(policy, MEMBER, port)
    assert not admits(policy, {"app": "shop"}, PEER_PORT)


@pytest.mark.parametrize("clients", [[], [{"podSelector": {}}]])
def test_operator_sees_at_both_ports_which_certificate_a_member_shows(clients):
    policy = rendered(clients=clients)

    assert admits(policy, OPERATOR, CLIENT_PORT, namespace="system")
    assert admits(policy, OPERATOR, PEER_PORT, namespace="system")
    assert not admits(policy, OPERATOR, PEER_PORT, namespace="elsewhere")
    assert not admits(policy, {}, PEER_PORT, namespace="system")


def test_operator_is_known_by_its_namespace_and_its_label():
    policy = rendered(clients=[{"podSelector": {}}])

    assert not admits(policy, OPERATOR, CLIENT_PORT, namespace="elsewhere")
    assert not admits(policy, {}, CLIENT_PORT, namespace="system")


@pytest.mark.parametrize("clients", [[], [{"podSelector": {}}]])
def test_operator_outside_needs_no_entry(clients):
    policy = rendered(clients=clients, operator_namespace="")

    assert "namespaceSelector" not in str(policy)


def test_backups_reach_the_client_port_of_a_cluster_with_named_clients():
    policy = rendered(clients=[{"podSelector": {"matchLabels": {"app": "shop"}}}])

    assert admits(policy, backup_labels("db"), CLIENT_PORT)
    assert not admits(policy, backup_labels("db"), METRICS_PORT)
    assert not admits(policy, backup_labels("other"), CLIENT_PORT)


@pytest.mark.parametrize("clients", [[], [{"podSelector": {"matchLabels": {"app": "shop"}}}]])
def test_ports_of_containers_beside_etcd_stay_open(clients):
    beside = {"name": "exporter", "ports": [{"containerPort": 9090}, {"containerPort": 9090}]}
    dns = {"name": "dns", "ports": [{"containerPort": 53, "protocol": "UDP"}]}
    containers = [*BARE["spec"]["containers"], beside]
    policy = rendered(
        {"spec": {"containers": containers, "initContainers": [dns]}}, clients=clients
    )

    assert admits(policy, {}, 9090)
    assert admits(policy, {}, 53, protocol="UDP")
    assert not admits(policy, {}, PEER_PORT)


@pytest.mark.parametrize(
    ("unless_said", "said", "made"),
    [
        pytest.param(True, None, True, id="new-cluster"),
        pytest.param(False, None, False, id="cluster-of-an-earlier-operator"),
        pytest.param(False, True, True, id="asked-for"),
        pytest.param(True, False, False, id="switched-off"),
    ],
)
def test_cluster_of_an_earlier_operator_gets_none_unasked(unless_said, said, made):
    wanted = NetworkPolicy(enabled=said)
    policy = network_policy(WHO, wanted, BARE, unless_said=unless_said, operator_namespace="")

    assert (policy is not None) is made


def with_policy(of, change):
    live = copy.deepcopy(dict(of.live))
    change(live[KEY]["spec"]["ingress"])
    return dataclasses.replace(of, live=live)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rules: rules[1]["ports"].append(PEER), id="port-opened"),
        pytest.param(lambda rules: rules[1]["ports"].pop(), id="port-closed"),
        pytest.param(lambda rules: rules[0].pop("from"), id="opened-to-all"),
        pytest.param(lambda rules: rules[1].update({"from": [{"podSelector": {}}]}), id="narrowed"),
        pytest.param(lambda rules: rules.append({}), id="rule-added"),
    ],
)
def test_edited_policy_is_put_right(change):
    step = plan(with_policy(observed(), change)).step

    assert isinstance(step, ApplyObjects)
    assert [obj["kind"] for obj in step.objects] == ["NetworkPolicy"]


def test_policy_that_is_switched_off_is_deleted():
    off = {"security": {"networkPolicy": {"enabled": False}}}
    live = observed().live

    step = plan(dataclasses.replace(observed(spec_fields=off), live=live)).step

    uid = live[KEY]["metadata"]["uid"]
    assert step == DeleteUnwanted(kind="NetworkPolicy", name="db-members", uid=uid)
    ending = copy.deepcopy(dict(live))
    ending[KEY]["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    assert plan(dataclasses.replace(observed(spec_fields=off), live=ending)).step.settled


def test_clients_are_changed_live():
    named = spec(size=3, security={"networkPolicy": {"clients": [{"podSelector": {}}]}})

    step = plan(dataclasses.replace(observed(), spec=named)).step

    assert isinstance(step, RecordSpec)
    assert step.dry_run is None


def test_bootstrap_of_an_earlier_operator_says_nothing_of_policies():
    before = accepted()
    earlier = before.status.bootstrap.model_copy(update={"network_policy": False})
    status = before.status.model_copy(update={"bootstrap": earlier})

    step = plan(dataclasses.replace(before, status=status)).step

    assert "NetworkPolicy" not in {obj["kind"] for obj in step.objects}


@pytest.mark.parametrize("path", ["operator/deployment.yaml", "install-namespaced.yaml"])
def test_operators_pods_have_the_labels_that_the_policy_means(path):
    text = (Path(__file__).resolve().parents[4] / "manifests" / path).read_text()
    (deployment,) = [o for o in yaml.safe_load_all(text) if o["kind"] == "Deployment"]

    assert _has(deployment["spec"]["template"]["metadata"]["labels"], OPERATOR)
