"""Which nodes are asked for, and what their answers mean."""

from datetime import UTC, datetime

import pytest

from api.v1alpha1.cluster_status import ClusterStatus, MemberStatus
from controllers.cluster.lost_nodes import lost_from, lost_nodes
from controllers.cluster.requests import asked_to_replace
from controllers.cluster_scope import ClusterScope
from tests.unit.controllers.cluster.builders import pod
from tests.unit.informers.api_faults import answer_status


def node(status="True", *, taint=None, since="2026-01-01T11:50:00Z"):
    return {
        "metadata": {"name": "n1"},
        "spec": {"taints": [{"key": taint, "effect": "NoExecute"}] if taint else []},
        "status": {
            "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": since}]
        },
    }


@pytest.mark.parametrize("status", ["True", "False"])
def test_node_whose_kubelet_speaks_is_not_lost(status):
    assert lost_from(node(status)) is None


def test_silent_node_is_lost_since_it_fell_silent():
    found = lost_from(node("Unknown"))

    assert (found.certain, found.since) == (False, datetime(2026, 1, 1, 11, 50, tzinfo=UTC))


def test_node_out_of_service_is_lost_for_certain():
    assert lost_from(node(taint="node.kubernetes.io/out-of-service")).certain


@pytest.mark.looptime
async def test_no_node_is_asked_for_while_all_is_well(api, server):
    status = ClusterStatus(members=(MemberStatus(name="db-0", node="n1"),))

    assert await lost_nodes(ClusterScope(api), [pod(0, node="n1")], status) == ()
    assert server.seen("get") == []


@pytest.mark.looptime
async def test_node_that_is_gone_is_found_by_what_status_remembers(api):
    status = ClusterStatus(members=(MemberStatus(name="db-0", node="n1"),))

    pods = [pod(0, node=None, ready=False, running=False)]
    (lost,) = await lost_nodes(ClusterScope(api), pods, status)

    assert (lost.name, lost.certain) == ("n1", True)


@pytest.mark.looptime
async def test_without_the_right_to_read_nodes_none_is_lost(api, server):
    server.script("get", answer_status(403, "Forbidden", "nodes is forbidden"))

    assert await lost_nodes(ClusterScope(api), [pod(0, ready=False)], ClusterStatus()) == ()


def test_requests_come_from_the_cluster_and_from_pods():
    cluster = {"annotations": {"etcd.etcd.io/replace": "db-2, db-0,"}}
    pods = [
        {"metadata": {"name": "db-1", "annotations": {"etcd.etcd.io/replace": "true"}}},
        {"metadata": {"name": "db-0", "annotations": {"etcd.etcd.io/replace": "false"}}},
    ]

    assert asked_to_replace(cluster, pods) == ("db-2", "db-0", "db-1")
