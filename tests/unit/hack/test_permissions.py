"""What the two installations grant is one text, and the one for a namespace ends with it."""

from pathlib import Path

import pytest
import yaml
from lib.permissions import render_namespaced, rules_of

from controllers import resources
from informers.resource import Resource

ROOT = Path(__file__).resolve().parents[3]
RBAC = (ROOT / "manifests/operator/rbac.yaml").read_text()
OUTSIDE = {
    each.plural
    for each in vars(resources).values()
    if isinstance(each, Resource) and not each.namespaced
}


def documents(path):
    return list(yaml.safe_load_all((ROOT / "manifests" / path).read_text()))


def named(objects, kind, name):
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def test_role_of_one_namespace_has_the_rules_of_the_cluster_role():
    wide = named(documents("operator/rbac.yaml"), "ClusterRole", "etcd-operator")
    narrow = named(documents("install-namespaced.yaml"), "Role", "etcd-operator")

    assert narrow["rules"] == wide["rules"]


def test_manifest_for_one_namespace_has_nothing_outside_of_it():
    objects = documents("install-namespaced.yaml")

    assert {obj["metadata"]["namespace"] for obj in objects} == {"team-a"}
    assert {obj["kind"] for obj in objects} == {
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "Deployment",
        "Service",
    }
    bindings = [obj for obj in objects if obj["kind"] == "RoleBinding"]
    assert {s["namespace"] for obj in bindings for s in obj["subjects"]} == {"team-a"}
    assert {obj["roleRef"]["kind"] for obj in bindings} == {"Role"}


def test_operator_of_one_namespace_is_told_so():
    deployment = named(documents("install-namespaced.yaml"), "Deployment", "etcd-operator")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert "--namespace=$(POD_NAMESPACE)" in container["args"]
    # Its webhook would be an object outside of all namespaces.
    assert "webhook" not in str(deployment)


def test_what_lies_outside_of_namespaces_is_in_a_role_of_its_own():
    objects = [*documents("operator/rbac.yaml"), *documents("operator/webhook.yaml")]

    def granted(role):
        rules = named(objects, "ClusterRole", role)["rules"]
        return {resource for rule in rules for resource in rule["resources"]}

    # A Role may grant a namespace to itself; all else outside of namespaces it grants in vain.
    assert granted("etcd-operator") & OUTSIDE == {"namespaces"}
    apart = granted("etcd-operator-cluster-scope") | granted("etcd-operator-webhook")
    assert apart == OUTSIDE - {"namespaces"}


@pytest.mark.parametrize("path", ["operator/rbac.yaml", "install-namespaced.yaml"])
def test_no_rule_has_a_star_or_lists_secrets(path):
    rules = [r for o in documents(path) if "rules" in o for r in o["rules"]]

    for rule in rules:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        if "secrets" in rule["resources"]:
            assert not {"list", "watch", "delete"} & set(rule["verbs"])


def test_rule_without_a_reason_is_refused():
    bare = RBAC.replace("  # What that pod reports.\n", "")

    with pytest.raises(ValueError, match="pods/log"):
        rules_of(bare, "etcd-operator")


def test_deployment_that_is_started_otherwise_is_refused():
    with pytest.raises(ValueError, match="args"):
        render_namespaced(RBAC, "kind: Deployment\nmetadata: {name: x}\n")
