"""Names of a cluster's objects: they fit, and no two clusters can have the same one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import labels

cluster_names = st.from_regex(re.compile(r"[a-z]([-a-z0-9]{0,43}[a-z0-9])?"), fullmatch=True)
valid_names = cluster_names.filter(lambda name: not name.endswith(labels.RESERVED_SUFFIXES))


def services_of(cluster):
    return {labels.client_service_name(cluster), labels.peer_service_name(cluster)}


@given(valid_names, valid_names)
def test_two_clusters_never_share_a_service(one, other):
    assert one == other or not services_of(one) & services_of(other)


@given(valid_names, st.integers(0, 8))
def test_names_fit_into_labels_and_dns(cluster, ordinal):
    # The controller's label on a pod is the StatefulSet's name, a dash and ten characters.
    assert len(labels.stateful_set_name(cluster)) + 11 <= 63
    assert len(labels.peer_service_name(cluster)) <= 63
    assert len(labels.pod_name(cluster, ordinal)) <= 63


@given(valid_names, st.integers(0, 8))
def test_a_pods_ordinal_reads_back(cluster, ordinal):
    assert labels.pod_ordinal(cluster, labels.pod_name(cluster, ordinal)) == ordinal


@pytest.mark.parametrize(
    "name", ["other-0", "demo", "demo-", "demo-x", "demo-00", "demo-0-1", "-1"]
)
def test_other_names_have_no_ordinal(name):
    assert labels.pod_ordinal("demo", name) is None


epochs = st.integers(1, 10**8)


@given(valid_names, st.integers(0, 8), epochs)
def test_a_claim_says_whose_it_is_in_which_epoch(cluster, ordinal, epoch):
    name = labels.volume_claim_name(cluster, ordinal, epoch)

    assert labels.claim_place(cluster, name) == (epoch, ordinal)
    assert labels.is_data_volume_name(labels.data_volume_name(epoch))


@given(valid_names, valid_names, st.integers(0, 8), epochs)
def test_no_two_clusters_share_a_claim(one, other, ordinal, epoch):
    name = labels.volume_claim_name(one, ordinal, epoch)

    assert one == other or labels.claim_place(other, name) is None


def test_claims_of_the_first_epoch_are_named_as_they_always_were():
    assert labels.volume_claim_name("demo", 0, 1) == "data-demo-0"
    assert labels.volume_claim_name("demo", 0, 2) == "data-2-demo-0"


@pytest.mark.parametrize(
    "name",
    [
        *("data-demo", "data-demo-", "data-demo-00", "data-other-0", "dat-demo-0", "demo-0"),
        *("data-1-demo-0", "data-02-demo-0", "data-0-demo-0", "data-x-demo-0", "data-2-3-demo-0"),
    ],
)
def test_other_names_are_no_claims_of_the_cluster(name):
    assert labels.claim_place("demo", name) is None


def test_the_selector_is_part_of_every_objects_labels():
    selector = labels.selector_labels("demo")

    assert selector.items() <= labels.object_labels("demo", "uid").items()
    assert labels.pod_selector("demo") == (
        "app.kubernetes.io/instance=demo,app.kubernetes.io/managed-by=etcd-operator,"
        "app.kubernetes.io/name=etcd"
    )
