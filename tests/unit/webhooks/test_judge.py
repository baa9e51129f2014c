"""What is refused, what always passes, and what is only warned of."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import FieldError
from tests.unit.api.manifests import cluster, refused_manifests, samples
from tests.unit.webhooks.requests import ScriptedRules, review, started
from tests.unit.webhooks.test_review import JSON
from webhooks.judge import judge
from webhooks.review import read_review

ENCRYPTED = {"security": {"tls": {"enabled": True}}}
REFUSED = FieldError("spec.version", "can't be reached", "Set another.")


async def verdict(obj=None, stored=None, rules=None, **fields):
    return await judge(read_review(review(obj, stored, **fields)), rules or ScriptedRules())


@pytest.mark.parametrize("refused", refused_manifests(), ids=str)
async def test_what_the_operator_would_not_take_is_refused_by_its_field(refused):
    found = await verdict(refused.manifest)

    assert not found.allowed
    assert refused.error in found.message


@pytest.mark.parametrize("manifest", samples(), ids=lambda m: m["kind"])
async def test_samples_are_allowed(manifest):
    assert (await verdict(manifest)).allowed


@pytest.mark.parametrize(
    ("kind", "spec", "field"),
    [
        ("EtcdBackup", {"clusterName": "db", "storageType": "S3"}, "spec.s3"),
        ("EtcdBackup", {"clusterName": "db", "storageType": "S3", "s3": {}}, "spec.s3.bucket"),
        (
            "EtcdBackup",
            {"clusterName": "db", "storageType": "S3", "s3": {"bucket": "b"}, "encryption": {}},
            "spec.encryption.keySecret",
        ),
        ("EtcdRestore", {"backupName": "b"}, "spec.clusterName"),
        (
            "EtcdRestore",
            {"backupName": "b", "clusterName": "db", "clusterTemplate": {"version": "v3.4.1"}},
            "spec.clusterTemplate.version",
        ),
    ],
)
async def test_backups_and_restores_are_validated(kind, spec, field):
    found = await verdict({**cluster(spec), "kind": kind})

    assert field in found.message


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("clusterNamespace", "other", "spec.clusterNamespace"),
        ("continuous", {"enabled": True}, "spec.continuous.enabled"),
        ("local", None, "spec.local"),
    ],
)
async def test_backups_that_can_not_be_taken_yet_are_refused(field, value, named):
    spec = {"clusterName": "db", "storageType": "Local", "local": {"claimName": "c"}}
    stored = {**cluster(spec), "kind": "EtcdBackup"}
    asked = {**cluster(spec | {field: value}), "kind": "EtcdBackup"}

    assert named in (await verdict(asked)).message
    assert named in (await verdict(asked, stored)).message
    assert (await verdict(stored)).allowed


RESTORE = {"backupName": "b", "clusterName": "restored"}
IN_STORE = {
    "storageType": "S3",
    "s3": {"bucket": "b"},
    "path": "abc-1/once-0123abcd",
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"backupName": None}, "spec must name either"),
        ({"store": IN_STORE}, "spec must name either"),
        ({"backupName": None, "store": IN_STORE | {"path": "x"}}, "spec.store.path"),
        ({"backupName": None, "store": IN_STORE | {"s3": None}}, "spec.store.s3"),
        ({"clusterName": "Re.stored"}, "spec.clusterName"),
        ({"clusterName": "restored-ca"}, "spec.clusterName"),
        ({"oldData": "Discard"}, "spec.oldData"),
        ({"restoreType": "Replace", "clusterTemplate": {"size": 3}}, "spec.clusterTemplate"),
        ({"clusterTemplate": {"size": 0}}, "spec.clusterTemplate.size"),
        ({"clusterTemplate": {"paused": True}}, "spec.clusterTemplate.paused"),
        ({"dataDir": "/data"}, "spec.dataDir"),
        ({"walDir": "/var/lib/etcd/wal"}, "spec.walDir"),
        ({"skipHashCheck": True}, "spec.skipHashCheck"),
        ({"revision": 5, "pointInTime": "2026-03-01T12:00:00Z"}, "revision and pointInTime"),
    ],
)
async def test_restores_that_can_not_be_carried_out_are_refused(changes, named):
    stored = {**cluster(RESTORE), "kind": "EtcdRestore"}
    asked = {**cluster(RESTORE | changes), "kind": "EtcdRestore"}

    assert named in (await verdict(asked)).message
    assert named in (await verdict(asked, stored)).message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"backupNamespace": "other"},
        {"backupName": None, "store": IN_STORE},
        {"clusterTemplate": {"size": 3}},
        {"bumpRevision": 1000},
        {"dataDir": "/var/lib/etcd/data", "walDir": "/var/lib/etcd/data/member/wal"},
    ],
    ids=str,
)
async def test_restores_that_can_be_carried_out_are_allowed(changes):
    assert (await verdict({**cluster(RESTORE | changes), "kind": "EtcdRestore"})).allowed


async def test_what_only_the_running_operator_knows_is_refused_in_its_words():
    found = await verdict(cluster({"size": 3}), rules=ScriptedRules(refused=(REFUSED,) * 2))

    assert found.message == "; ".join([str(REFUSED)] * 2)


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
@pytest.mark.parametrize(
    "fields",
    [
        {"subResource": "status"},
        {"subResource": "scale"},
        {"kind": {"group": "etcd.etcd.io", "kind": "Other"}},
        {"kind": {"group": "apps", "kind": "EtcdCluster"}},
    ],
    ids=str,
)
async def test_what_is_not_ours_to_judge_passes_unseen(operation, fields):
    rules = ScriptedRules(refused=(REFUSED,))
    found = await verdict(
        cluster({"size": 2}), cluster({"size": 1}), rules, operation=operation, **fields
    )

    assert found.allowed
    assert not rules.asked


async def test_an_operation_that_we_are_not_called_for_passes():
    assert (await verdict(cluster({"size": 2}), operation="CONNECT")).allowed


async def test_edits_of_what_is_being_deleted_pass():
    deleting = cluster({"size": 2})
    deleting["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": []}

    assert (await verdict(deleting, cluster({"size": 1}))).allowed


async def test_an_edit_that_leaves_the_spec_alone_passes_unseen():
    rules = ScriptedRules(refused=(REFUSED,))
    stored, edited = cluster({"size": 2}), cluster({"size": 2})
    edited["metadata"]["finalizers"] = ["etcd.etcd.io/cleanup"]

    found = await verdict(edited, stored, rules)

    assert found.allowed
    assert not found.warnings
    assert not rules.asked


async def test_an_edit_is_not_refused_for_what_was_wrong_before():
    wrong = {"version": "v3.4.1"}
    hostname = {"podTemplate": {"spec": {"hostname": "mine"}}}

    assert (await verdict(cluster({**wrong, "paused": True}), cluster(wrong))).allowed
    worse = await verdict(cluster({**wrong, **hostname}), cluster(wrong))
    assert worse.message.startswith("spec.podTemplate.spec.hostname")
    assert "spec.version" not in worse.message


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"size": 1}, "spec.size is 1"),
        ({"options": {"quotaBackendBytes": "9Gi"}}, "spec.options.quotaBackendBytes is 9Gi"),
        ({"security": {"tls": {"enabled": False}}}, "spec.security.tls.enabled is false"),
        (
            {"podTemplate": {"spec": {"volumes": [{"name": "a", "emptyDir": {}}]}}},
            "spec.podTemplate.spec.volumes[0] is emptyDir",
        ),
        (
            {"podTemplate": {"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/a"}}]}}},
            "spec.podTemplate.spec.volumes[0] is hostPath",
        ),
    ],
    ids=str,
)
async def test_a_pitfall_is_warned_of_when_it_comes_and_not_again(spec, word):
    harmless = {"size": 3, **ENCRYPTED}
    risky = cluster({**harmless, **spec})

    for found in (await verdict(risky), await verdict(risky, cluster(harmless))):
        assert found.allowed
        assert [warning for warning in found.warnings if warning.startswith(word)]
    later = cluster({**harmless, **spec, "paused": True})
    assert not (await verdict(later, risky)).warnings


async def test_what_is_fine_is_not_warned_of():
    spec = {"size": 3, "options": {"quotaBackendBytes": "8Gi"}, **ENCRYPTED}

    assert not (await verdict(cluster(spec))).warnings


async def test_a_restores_template_is_warned_of_too():
    spec = {"backupName": "b", "clusterName": "db", "clusterTemplate": {"size": 1, **ENCRYPTED}}
    found = await verdict({**cluster(spec), "kind": "EtcdRestore"})

    assert [warning.split(" is ")[0] for warning in found.warnings] == ["spec.clusterTemplate.size"]


async def test_advice_of_the_running_operator_is_passed_on():
    assert "a step" in (await verdict(cluster(), rules=ScriptedRules(advised=("a step",)))).warnings


DELETES = {"storage": {"deletionPolicy": "Delete"}}
CONFIRMED = {"annotations": {"etcd.etcd.io/confirm-deletion": "demo"}}


async def test_a_deletion_that_takes_data_along_needs_a_word_of_confirmation():
    found = await verdict(stored=started(DELETES))

    assert not found.allowed
    assert not found.is_invalid
    command = "kubectl annotate -n default etcdcluster demo etcd.etcd.io/confirm-deletion=demo"
    assert found.message.startswith("spec.storage.deletionPolicy is Delete")
    assert command in found.message


@pytest.mark.parametrize(
    "stored",
    [
        started({}),
        started({"storage": {"deletionPolicy": "Retain"}}),
        cluster(DELETES),
        started(DELETES, **CONFIRMED),
        started({**DELETES, "size": 2}, **CONFIRMED),
        started(DELETES, deletionTimestamp="2026-01-01T00:00:00Z"),
        {**started(DELETES), "kind": "EtcdBackup"},
    ],
    ids=["default", "kept", "no members yet", "confirmed", "invalid", "going", "backup"],
)
async def test_other_deletions_pass(stored):
    assert (await verdict(stored=stored)).allowed


@pytest.mark.parametrize(
    "stored",
    [
        started({**DELETES, "size": 2}),
        started(DELETES, annotations={"etcd.etcd.io/confirm-deletion": "another"}),
        started(DELETES, annotations={"etcd.etcd.io/confirm-deletion": ""}),
    ],
    ids=["invalid", "other name", "empty"],
)
async def test_a_deletion_is_not_confirmed_by_less(stored):
    assert not (await verdict(stored=stored)).allowed


async def test_a_namespace_that_goes_takes_its_clusters_along():
    rules = ScriptedRules(ending=True)

    assert (await verdict(stored=started(DELETES), rules=rules)).allowed
    assert rules.asked == ["default"]


@given(JSON, JSON, st.sampled_from(["EtcdCluster", "EtcdBackup", "EtcdRestore"]))
async def test_any_spec_and_any_metadata_get_a_verdict(spec, metadata, kind):
    obj = {"kind": kind, "spec": spec, "metadata": metadata, "status": spec}
    for stored in (None, {**obj, "spec": {}}):
        await verdict(json.loads(json.dumps(obj)), stored)
    await verdict(stored=obj)


@pytest.mark.parametrize("depth", [50, 200, 900])
async def test_a_deeply_nested_object_is_refused_and_no_defect(depth):
    nested = json.loads('{"a":' * depth + "1" + "}" * depth)
    for spec in (
        {"podTemplate": {"spec": {"affinity": nested}}},
        {"storage": {"volumeClaimTemplate": {"spec": {"selector": nested}}}},
    ):
        await verdict(cluster(spec), cluster())
