"""A platform engineer installs the operator from one manifest, and it keeps to what it may do."""

import json

import pytest

from e2e.harness.cluster import EtcdCluster
from e2e.harness.installation import Installation
from e2e.harness.kube import Kube, kubectl
from e2e.harness.manifest import CONTAINER, NAMESPACE
from e2e.harness.operator import Operator


@pytest.mark.inside_only("looks at the operator's pod")
async def test_the_operator_runs_from_its_image_with_restricted_pod_security(
    kube: Kube, installation: Installation
) -> None:
    namespace = await kube.get("Namespace", None, NAMESPACE)
    assert namespace is not None
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in (await installation.pods()).values():
        container = next(c for c in pod["spec"]["containers"] if c["name"] == CONTAINER)
        assert container["image"].startswith("ghcr.io/etcd-operator/etcd-operator:")
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


@pytest.mark.inside_only("outside it has the rights of its user")
async def test_the_operator_may_not_list_secrets_or_change_roles(
    installation: Installation,
) -> None:
    who = f"--as=system:serviceaccount:{NAMESPACE}:etcd-operator"
    rules = await kubectl("auth", "can-i", "--list", who)
    assert "etcdclusters.etcd.etcd.io" in rules
    for resource in ("roles", "clusterroles", "pods/exec", "pods/portforward"):
        assert f"\n{resource} " not in rules
        assert f"\n{resource}." not in rules
    secrets = next(line for line in rules.splitlines() if line.startswith("secrets "))
    assert secrets.endswith("[get create patch]"), "each by its name, and none deleted"
    nodes = next(line for line in rules.splitlines() if line.startswith("nodes "))
    assert nodes.endswith("[get]"), "whether a silent member's node is gone, and no more"


@pytest.mark.essential
async def test_a_healthy_cluster_costs_the_operator_no_refusal_and_no_stack_trace(
    db: EtcdCluster, operator: Operator
) -> None:
    lines = (await operator.logs()).splitlines()
    assert lines, "the operator logs nothing"
    assert not [line for line in lines if "forbidden: User" in line or "Traceback" in line]
    for line in lines:
        assert isinstance(json.loads(line), dict), f"not a JSON object: {line}"


async def test_the_operator_can_be_scraped_for_metrics(db: EtcdCluster, operator: Operator) -> None:
    metrics = await operator.metrics()
    mine = [line for line in metrics.splitlines() if f'namespace="{db.namespace}"' in line]
    assert [line for line in mine if line.startswith("etcd_operator_cluster_has_quorum{")]
    for name in ("workqueue_depth", "controller_runtime_reconcile_total", "event_loop_lag_seconds"):
        assert f"\n{name}" in metrics


async def test_kubectl_shows_what_a_user_wants_to_see(db: EtcdCluster) -> None:
    table = await kubectl("get", "-n", db.namespace, "etcd")
    header, row = table.splitlines()
    assert {"NAME", "READY", "VERSION", "AGE"} <= set(header.split()), header
    assert row.split()[0] == db.name
    assert "v3.5.21" in row
    assert "etcdcluster" in await kubectl("get", "-n", db.namespace, "etcd", "-o", "name")
    explained = await kubectl("explain", "etcdcluster.spec.storage.deletionPolicy")
    assert "Retain" in explained
