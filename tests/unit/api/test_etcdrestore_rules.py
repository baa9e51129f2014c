"""What an EtcdRestore may ask for, and what it may ask for only with a second word."""

import pytest

from api.etcdrestore_rules import etcdrestore_not_supported_yet, unconfirmed_errors
from api.objects import ParsedRestore
from api.v1alpha1.restore import RestoreSpec
from api.validation import parse_restore
from tests.unit.api.manifests import cluster

ASKED = {"backupName": "nightly", "clusterName": "restored"}
CONFIRM = "etcd.etcd.io/confirm-skip-hash-check"


def spec(**fields):
    return RestoreSpec.model_validate(ASKED | fields)


@pytest.mark.parametrize("restore_type", ["New", "Replace"])
def test_a_new_cluster_and_the_place_of_an_old_one_can_both_be_asked_for(restore_type):
    assert etcdrestore_not_supported_yet(spec(restoreType=restore_type)) == ()


@pytest.mark.parametrize("confirmed", ["", "true", "again2", "Again"])
def test_skipping_the_hash_check_is_refused_until_the_own_name_confirms_it(confirmed):
    asked = spec(skipHashCheck=True)

    (error,) = unconfirmed_errors("again", asked, confirmed=confirmed)

    assert error.field == "spec.skipHashCheck"
    assert "what is damaged is served" in str(error)
    assert f"set the annotation {CONFIRM} to again; otherwise leave it out" in str(error)
    assert unconfirmed_errors("again", asked, confirmed="again") == ()


def test_who_checks_hashes_has_nothing_to_confirm():
    assert unconfirmed_errors("again", spec(), confirmed="") == ()


@pytest.mark.parametrize(
    ("annotations", "confirmed"),
    [(None, ""), ({}, ""), ({CONFIRM: " demo\n"}, "demo"), ({"other": "demo"}, "")],
)
def test_the_confirmation_is_read_from_its_annotation(annotations, confirmed):
    obj = {**cluster(ASKED), "kind": "EtcdRestore"}
    obj["metadata"] |= {"annotations": annotations}

    parsed = parse_restore(obj)

    assert isinstance(parsed, ParsedRestore)
    assert parsed.confirmed == confirmed
