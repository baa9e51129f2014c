"""A user tunes etcd, its pods and its Service, and finds in force what was asked for."""

import pytest

from e2e.harness.cluster import EtcdCluster
from e2e.harness.etcd import encode
from e2e.harness.wait import UnavailableError

OPTIONS = {
    "quotaBackendBytes": "1Gi",
    "autoCompaction": {"mode": "revision", "retention": 1000},
    "extra": {"max-txn-ops": "3"},
}
TEMPLATE = {
    "metadata": {"annotations": {"team": "storage"}},
    "spec": {
        "priorityClassName": "system-cluster-critical",
        "containers": [
            {"name": "etcd", "env": [{"name": "GOMAXPROCS", "value": "1"}]},
            {
                "name": "sidecar",
                "image": "registry.k8s.io/pause:3.10.1",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            },
        ],
    },
}


async def test_options_template_resources_and_service_are_in_force(cluster: EtcdCluster) -> None:
    await cluster.apply(
        size=1,
        options=OPTIONS,
        podTemplate=TEMPLATE,
        resources={"requests": {"memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        service={"type": "NodePort", "annotations": {"for": "clients"}},
    )
    await cluster.ready()

    pod = await cluster.pod("db-0")
    service = await cluster.kube.get("Service", cluster.namespace, "db")
    assert pod is not None
    assert service is not None
    assert pod["metadata"]["annotations"]["team"] == "storage"
    containers = {container["name"]: container for container in pod["spec"]["containers"]}
    assert set(containers) == {"etcd", "sidecar"}
    assert {"name": "GOMAXPROCS", "value": "1"} in containers["etcd"]["env"]
    assert containers["etcd"]["resources"]["limits"]["memory"] == "512Mi"
    assert pod["spec"]["priorityClassName"] == "system-cluster-critical"
    assert service["spec"]["type"] == "NodePort"
    assert service["metadata"]["annotations"]["for"] == "clients"

    url = f"/api/v1/namespaces/{cluster.namespace}/pods/db-0:2381/proxy/metrics"
    metrics = await cluster.kube.text("GET", url)
    assert f"\netcd_server_quota_backend_bytes {float(2**30):.9e}" in metrics
    put = [{"requestPut": {"key": encode(f"k{n}"), "value": encode("v")}} for n in range(4)]
    await cluster.etcd().call("kv/txn", {"success": put[:3]})
    with pytest.raises(UnavailableError, match="too many operations"):
        await cluster.etcd().call("kv/txn", {"success": put})
