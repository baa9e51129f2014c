"""What admission refuses is what the reconciler refuses of the same edit, in the same words."""

import copy
import dataclasses

import pytest

from api.objects import ParsedCluster
from api.validation import parse_cluster
from controllers.cluster.observe import checked_spec
from controllers.cluster.plan.admission import refuse_edit
from controllers.cluster.pods import claims_from
from controllers.cluster.review import advice, refusals
from tests.unit.controllers.cluster import builders


class Claims:
    """A cache that holds these claims of the cluster."""

    def __init__(self, *claims):
        self._claims = claims

    def by_index(self, index, value):
        assert (index, value) == ("cluster-uid", builders.UID)
        return list(self._claims)


def claim(ordinal, size="10Gi", storage_class="fast"):
    return {
        "metadata": {
            "name": f"data-db-{ordinal}",
            "uid": f"claim-{ordinal}",
            "labels": {"etcd.etcd.io/cluster-uid": builders.UID},
        },
        "spec": {
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
        "status": {"phase": "Bound", "capacity": {"storage": size}},
    }


CLAIMS = Claims(*(claim(n) for n in range(3)))


# As it is recorded of a cluster that was made without TLS.
PLAIN = {"security": {"tls": {"enabled": False}}}


def stored(spec=None, *, formed=True, **status):
    """A cluster that runs this spec, as the API server holds it."""
    running = builders.spec(**{"size": 3, **PLAIN, **(spec or {})})
    bootstrap = builders.bootstrap(3, started=formed).to_json()
    return {
        "apiVersion": "etcd.etcd.io/v1alpha1",
        "kind": "EtcdCluster",
        "metadata": {"name": "db", "namespace": "prod", "uid": builders.UID, "generation": 1},
        "spec": running.to_json(),
        "status": {
            "appliedSpec": running.to_json(),
            "bootstrap": bootstrap,
            **({"clusterID": "cafe"} if formed else {}),
            **status,
        },
    }


def edited(obj, **spec):
    new = copy.deepcopy(obj)
    new["spec"].update(spec)
    parsed = parse_cluster(new)
    assert isinstance(parsed, ParsedCluster), parsed
    return parsed


def refused(obj, **spec):
    return refusals(edited(obj, **spec), obj, CLAIMS)


def message(errors):
    return "; ".join(map(str, errors))


STORAGE = {"storage": {"size": "10Gi", "storageClassName": "fast"}, **PLAIN}

EDITS = [
    {"version": "v3.6.16"},
    {"version": "v3.7.3"},
    {"version": "v3.5.99-rc.1"},
    {"options": {"extra": {"max-txn-opps": "1"}}},
    {"options": {"extra": {"initial-cluster-state": "new"}}},
    {"clusterDomain": "other.local"},
    {"storage": {"size": "5Gi", "storageClassName": "fast"}},
    {"storage": {"size": "10Gi", "storageClassName": "slow"}},
    {
        "storage": {"size": "10Gi", "storageClassName": "slow", "migrationPolicy": "Replace"},
        "size": 1,
    },
]


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edit_is_refused_in_the_reconcilers_words(edit):
    obj = stored(STORAGE)
    spec, spec_errors = checked_spec(edited(obj, **edit))
    seen = dataclasses.replace(
        builders.observed(spec_fields=STORAGE),
        spec=spec,
        spec_errors=spec_errors,
        claims=claims_from("db", map(claim, range(3))),
    )
    said = refuse_edit(seen)

    assert said is not None
    assert message(refused(obj, **edit)) == said.message


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"size": 5},
        {"size": 1},
        {"size": 0},
        {"paused": True},
        {"version": "v3.5.35"},
        {"version": "3.5.21"},
        {"options": {"snapshotCount": 7}},
        {"storage": {"size": "20Gi", "storageClassName": "fast"}},
        {"storage": {"size": "10Gi", "storageClassName": "slow", "migrationPolicy": "Replace"}},
        {"storage": {"deletionPolicy": "Delete", "storageClassName": "fast"}},
        {"security": {"tls": {"enabled": True}}},
        {"security": {"tls": {"enabled": True, "peerTLSEnabled": False}}},
    ],
    ids=str,
)
def test_an_edit_that_can_be_done_is_not_refused(edit):
    assert refused(stored(STORAGE), **edit) == ()


def test_a_new_cluster_has_nothing_to_be_compared_with():
    new = edited(stored(), version="v3.7.3", clusterDomain="other.local")

    assert refusals(new, None, CLAIMS) == ()


@pytest.mark.parametrize(
    "edit", [{"size": 5}, {"storage": {"size": "5Gi"}}, {"version": "v3.7.3"}], ids=str
)
def test_what_only_has_to_wait_until_the_cluster_has_formed_is_not_refused(edit):
    assert refused(stored(formed=False), **edit) == ()


def test_what_never_changes_is_refused_while_the_cluster_forms_too():
    [error] = refused(stored(formed=False), clusterDomain="other.local")

    assert error.field == "spec.clusterDomain"


def test_where_members_have_to_be_asked_for_the_way_back_it_is_left_to_the_reconciler():
    upgrade = {
        "from": "v3.6.16",
        "path": ["v3.7.0"],
        "repository": "quay.io/coreos/etcd",
        "since": "2026-01-01T00:00:00Z",
    }
    obj = stored({"version": "v3.7.0"}, upgrade=upgrade)

    assert refused(stored({"version": "v3.7.0"}), version="v3.6.16")
    assert refused(obj, version="v3.6.16") == ()
    assert refused(obj, version="v3.6.16", clusterDomain="other.local")


def test_an_older_patch_and_a_step_that_is_not_advised_are_told():
    newest, older = stored({"version": "v3.5.35"}), stored({"version": "v3.5.26"})

    assert advice(edited(newest), newest, CLAIMS) == ()
    assert advice(edited(older), None, CLAIMS)[0].startswith("spec.version is v3.5.26: v3.5.35 is")
    [step] = advice(edited(older, version="v3.6.16"), older, CLAIMS)
    assert step.startswith("etcd 3.5.32 or newer is advised before 3.6")
