"""Several nodes on one machine do not get into each other's way, and are told apart."""

import ipaddress
import itertools
from pathlib import Path

import config
import host_config
import pytest
from lib import node_state
from lib.process import SetupError

ZONE = "topology.kubernetes.io/zone"


def test_every_node_has_a_name_an_address_and_a_zone_of_its_own():
    hosts = config.several(3)
    assert [host.name for host in hosts] == ["node-1", "node-2", "node-3"]
    assert len({host.ip for host in hosts} | {config.CONTROL_PLANE_IP}) == 4
    assert len({host.labels[ZONE] for host in hosts}) == 3


def test_ranges_of_pods_lie_in_the_clusters_and_do_not_overlap():
    ranges = [ipaddress.ip_network(host.pod_range) for host in config.several(5)]
    everything = ipaddress.ip_network(config.POD_RANGE)
    assert all(one.subnet_of(everything) for one in ranges)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(ranges, 2))


def test_kubelet_registers_itself_under_its_own_name_and_zone():
    flags = host_config.kubelet_flags(config.several(2)[1])
    assert "--hostname-override=node-2" in flags
    assert f"--node-labels={ZONE}=zone-2" in flags


def test_a_lease_is_renewed_several_times_before_its_node_is_given_up():
    grace_s = int(config.GRACE.removesuffix("s"))
    renewals_s = host_config.LEASE_S / 4
    assert grace_s / renewals_s >= 4


def test_one_node_has_the_grace_of_kubernetes():
    flags = config.controller_flags(quick_grace=False)["kube-controller-manager"]
    assert not any("grace" in flag for flag in flags)


def test_a_second_cluster_has_a_state_folder_in_the_first_ones(monkeypatch):
    monkeypatch.setenv("ETCD_OPERATOR_NODE", "three")
    second = node_state.current()
    monkeypatch.delenv("ETCD_OPERATOR_NODE")
    first = node_state.current()
    assert second.folder == first.folder / "three"
    assert second.identity != first.identity


@pytest.mark.parametrize("name", ["..", "a/b", "run", "logs", "Three"])
def test_a_name_that_is_no_folder_of_its_own_is_refused(monkeypatch, name: str):
    monkeypatch.setenv("ETCD_OPERATOR_NODE", name)
    with pytest.raises(SetupError, match="ETCD_OPERATOR_NODE"):
        node_state.current()


def test_states_of_two_clones_have_cgroups_of_their_own():
    one, other = node_state.State(Path("/a/.node")), node_state.State(Path("/b/.node"))
    assert one.cgroup != other.cgroup
