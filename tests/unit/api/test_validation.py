"""Any JSON becomes a typed object or a list of what is wrong, field by field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.objects import Invalid, ParsedBackup, ParsedCluster, ParsedRestore
from api.quantity import parse_quantity
from api.validation import (
    MAX_ERRORS,
    parse_backup,
    parse_cluster,
    parse_restore,
    validate_cluster,
)
from tests.unit.api.manifests import (
    cluster,
    refused_manifests,
    replaced_operators_manifests,
    samples,
)

PARSERS = {"EtcdCluster": parse_cluster, "EtcdBackup": parse_backup, "EtcdRestore": parse_restore}
PARSED = (ParsedCluster, ParsedBackup, ParsedRestore)

EVERYTHING = cluster(
    {
        "size": 3,
        "version": "3.6.16",
        "repository": "quay.io/coreos/etcd",
        "storage": {
            "size": "1Gi",
            "storageClassName": "fast",
            "volumeClaimTemplate": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"accessModes": ["ReadWriteOnce"]},
            },
            "deletionPolicy": "Delete",
            "migrationPolicy": "Replace",
        },
        "security": {"tls": {"enabled": False, "caSecret": ""}},
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": 2}},
        "options": {
            "quotaBackendBytes": "2Gi",
            "autoCompaction": {"mode": "revision", "retention": 5},
            "extra": {"max-txn-ops": "256"},
        },
        "podTemplate": {
            "metadata": {"annotations": {"a": "b"}},
            "spec": {
                "volumes": [{"name": "v"}],
                "containers": [
                    {
                        "name": "etcd",
                        "env": [{"name": "A", "value": "1"}],
                        "volumeMounts": [{"mountPath": "/x", "name": "v"}],
                    }
                ],
            },
        },
        "maintenanceWindows": [
            {"schedule": "0 2 * * 6", "duration": "2h", "timeZone": "Europe/Berlin"},
            {"schedule": "*/30 22-23 * * MON-FRI", "duration": "10m"},
        ],
        "acceptOperatorChanges": True,
        "service": {"type": "NodePort", "labels": {"a": "b"}},
        "clusterDomain": "cluster.local",
    },
    status={
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "ClusterReady",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
        "members": [{"name": "demo-0", "id": "1f", "peerURL": "http://x:2380", "dbSize": 20480}],
        "bootstrap": {"token": "t", "epoch": 1, "size": 3, "members": []},
        "voterOrdinals": [0, 1, 2],
    },
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def paths(value, path=()):
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else ()
    for key, child in enumerate(value) if isinstance(value, list) else children:
        yield from paths(child, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@given(json_values)
def test_any_json_gives_a_value_or_errors(obj):
    for parse in PARSERS.values():
        parsed = parse(obj)

        assert isinstance(parsed, PARSED) or parsed.errors


@given(st.sampled_from(list(paths(EVERYTHING))), json_values)
def test_a_good_object_with_any_json_at_any_place_gives_a_value_or_errors(path, value):
    parsed = parse_cluster(replaced(EVERYTHING, path, value))

    if isinstance(parsed, Invalid):
        assert parsed.errors
        assert all(error.field.startswith(str(path[0])) for error in parsed.errors)


def test_every_field_at_once_is_accepted():
    parsed = parse_cluster(EVERYTHING)

    assert isinstance(parsed, ParsedCluster)
    assert parsed.identity.key == "default/demo"
    assert parsed.status.members[0].peer_url == "http://x:2380"


def test_what_is_written_reads_back():
    parsed = parse_cluster(EVERYTHING)
    again = parse_cluster(
        {**EVERYTHING, "spec": parsed.spec.to_json(), "status": parsed.status.to_json()}
    )

    assert again == parsed


@pytest.mark.parametrize("refused", refused_manifests(), ids=str)
def test_a_wrong_field_is_named(refused):
    assert [error.field for error in validate_cluster(refused.manifest)] == [refused.error]


@pytest.mark.parametrize(
    "manifest",
    [*replaced_operators_manifests(), *samples()],
    ids=lambda manifest: manifest["metadata"]["name"],
)
def test_manifests_of_the_replaced_operator_are_valid(manifest):
    assert isinstance(PARSERS[manifest["kind"]](manifest), PARSED)


def test_defaults_are_filled_in():
    spec = parse_cluster(cluster()).spec

    assert (spec.size, spec.version) == (3, "v3.5.21")
    assert spec.storage.size == parse_quantity("10Gi")
    assert spec.storage.deletion_policy == "Retain"
    assert spec.storage.migration_policy == "Refuse"
    assert spec.maintenance_windows == ()
    assert spec.accept_operator_changes is False
    assert spec.security.tls.enabled is True


@pytest.mark.parametrize(("scheme", "enabled"), [("http", False), ("https", True)])
def test_a_cluster_keeps_the_tls_that_it_was_made_with(scheme, enabled):
    bootstrap = {"token": "a", "epoch": 1, "size": 1, "clusterDomain": "x", "members": []}
    status = {"bootstrap": {**bootstrap, "scheme": scheme}}
    parsed = parse_cluster(cluster(status=status))

    assert parsed.spec.security.tls.enabled is enabled


def test_null_means_absent():
    parsed = parse_cluster(cluster({"size": None, "storage": {"size": None}, "version": None}))

    assert parsed.spec == parse_cluster(cluster()).spec


def test_unknown_fields_are_ignored():
    assert validate_cluster(cluster({"seize": 2, "storage": {"cleanup": True}})) == ()


def test_an_error_says_what_to_do_instead():
    (error,) = validate_cluster(cluster({"options": {"extra": {"snapshot-count": "5"}}}))

    assert str(error) == (
        "spec.options.extra.snapshot-count has a field of its own."
        " Set spec.options.snapshotCount instead."
    )


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        (
            {"schedule": "0 25 * * *"},
            "schedule must be a cron expression of five fields, such as 0 2 * * 6 (bad hour)",
        ),
        ({"duration": "0s"}, "duration must be more than 0 and at most 7d, such as 2h"),
        (
            {"timeZone": "Mars/Olympus"},
            "timeZone must be the IANA name of a time zone, such as UTC or Europe/Berlin",
        ),
    ],
)
def test_an_error_in_a_window_names_it_and_says_what_is_right(window, sentence):
    good = {"schedule": "0 2 * * 6", "duration": "2h"}
    (error,) = validate_cluster(cluster({"maintenanceWindows": [good, {**good, **window}]}))

    assert str(error) == f"spec.maintenanceWindows[1].{sentence}"


def test_several_errors_are_given_at_once():
    errors = validate_cluster(cluster({"size": 2, "version": "x"}, name="A"))

    assert [error.field for error in errors] == ["spec.size", "spec.version", "metadata.name"]


def test_the_number_of_errors_is_limited():
    labels = {f"bad key {number}": "x" for number in range(MAX_ERRORS + 5)}

    assert len(validate_cluster(cluster({"service": {"labels": labels}}))) == MAX_ERRORS


def test_an_invalid_object_keeps_identity_and_status():
    parsed = parse_cluster(cluster({"size": 2}, status={"clusterID": "abc"}))

    assert isinstance(parsed, Invalid)
    assert parsed.identity.uid == "u-1"
    assert parsed.status.cluster_id == "abc"
    assert parsed.message.startswith("spec.size must be 0, 1, 3, 5, 7 or 9")


def test_a_malformed_status_is_named():
    parsed = parse_cluster(cluster(status={"bootstrap": {"token": 5}}))

    assert [error.field for error in parsed.errors] == [
        "status.bootstrap.token",
        "status.bootstrap.epoch",
        "status.bootstrap.size",
    ]
    assert parsed.status.bootstrap is None


@pytest.mark.parametrize(
    ("storage", "policy"),
    [
        ({"deletionPolicy": "Delete"}, "Delete"),
        ({"deletionPolicy": "SnapshotThenDelete"}, "SnapshotThenDelete"),
        ({"deletionPolicy": "delete"}, "Retain"),
        ({"deletionPolicy": ["Delete"]}, "Retain"),
        ("Delete", "Retain"),
        ({}, "Retain"),
    ],
)
def test_an_invalid_object_deletes_data_only_when_it_says_so(storage, policy):
    assert parse_cluster(cluster({"size": 2, "storage": storage})).deletion_policy == policy


def test_deletion_is_seen():
    obj = cluster()
    obj["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a"]}
    identity = parse_cluster(obj).identity

    assert identity.is_deleting
    assert identity.finalizers == ("a",)


def test_addresses_are_read_in_their_canonical_form():
    """As certificates are read: else a renewal would be due again and again."""
    names = ["FD00:0::7", "10.1.2.3", "*.example.org"]
    spec = parse_cluster(cluster({"security": {"tls": {"subjectAltNames": names}}})).spec

    assert spec.security.tls.subject_alt_names == ("fd00::7", "10.1.2.3", "*.example.org")


@pytest.mark.parametrize(
    "tls",
    [
        {"clientTLSEnabled": False, "enabled": True},
        {"peerTLSEnabled": False, "enabled": True},
        {"clientTLSEnabled": True, "enabled": False},
        {"peerTLSEnabled": True, "enabled": False},
        {"certificateSecret": "a", "enabled": False},
        {"issuerRef": {"name": "a"}, "enabled": False},
        {"peerCertificateSecret": "a", "enabled": False},
        {"subjectAltNames": ["a.b"], "enabled": False},
        {"certificateDuration": "1h", "enabled": False},
    ],
)
def test_halves_of_tls_and_certificates_that_wait_for_it_are_supported(tls):
    assert validate_cluster(cluster({"security": {"tls": tls}})) == ()


@pytest.mark.parametrize(
    ("tls", "supported"),
    [
        ({"certificateSecret": "a"}, False),
        ({"issuerRef": {"name": "a"}}, False),
        ({"certificateSecret": "a", "operatorCertificateSecret": "b"}, True),
        ({"issuerRef": {"name": "a"}, "operatorCertificateSecret": "b"}, True),
        ({"peerCertificateSecret": "a"}, True),
    ],
)
def test_users_need_a_certificate_by_which_the_operator_is_root(tls, supported):
    security = {"tls": {"enabled": True, **tls}, "auth": {"enabled": True}}
    errors = validate_cluster(cluster({"security": security}))

    assert [e.field for e in errors] == ([] if supported else ["spec.security.auth.enabled"])


@pytest.mark.parametrize(
    "tls",
    [
        {},
        {"enabled": False},
        {"autoTLS": True},
        {"clientTLSEnabled": True, "peerTLSEnabled": True},
        {"enabled": False, "clientTLSEnabled": False, "caSecret": "", "autoTLS": False},
        {"enabled": True},
        {"enabled": True, "autoTLS": True, "clientTLSEnabled": True, "peerTLSEnabled": None},
        {"enabled": True, "autoTLS": False, "certificateSecret": "a", "caSecret": "b"},
        {"enabled": True, "certificateSecret": "a", "clientCertificateSecret": "b"},
        {"enabled": True, "peerCertificateSecret": "a", "caSecret": "b"},
        {"enabled": True, "autoTLS": False, "issuerRef": {"name": "a"}, "caSecret": "b"},
    ],
)
def test_all_or_no_tls_is_supported(tls):
    assert validate_cluster(cluster({"security": {"tls": tls}})) == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"clusterName": "a"}, "spec.storageType"),
        ({"clusterName": "a", "storageType": "FTP"}, "spec.storageType"),
        ({"clusterName": "a", "storageType": "S3"}, "spec.s3"),
        ({"clusterName": "a", "storageType": "S3", "s3": {"bucket": ""}}, "spec.s3.bucket"),
        ({"clusterName": "a", "storageType": "GCS", "schedule": "daily"}, "spec.schedule"),
        (
            {"clusterName": "a", "storageType": "GCS", "retentionPolicy": {"maxAge": "a month"}},
            "spec.retentionPolicy.maxAge",
        ),
    ],
)
def test_a_wrong_backup_is_refused(spec, field):
    parsed = parse_backup({"metadata": {"name": "b"}, "spec": spec})

    assert [error.field for error in parsed.errors] == [field]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"clusterName": "a"}, "spec"),
        ({"clusterName": "a", "backupName": "b", "restoreType": "Copy"}, "spec.restoreType"),
        ({"clusterName": "a.b", "backupName": "b"}, "spec.clusterName"),
        ({"clusterName": "a-peer", "backupName": "b"}, "spec.clusterName"),
        ({"clusterName": "a", "backupName": "b", "oldData": "Discard"}, "spec.oldData"),
        ({"clusterName": "a", "backupName": "b", "oldData": "Burn"}, "spec.oldData"),
        (
            {
                "clusterName": "a",
                "backupName": "b",
                "restoreType": "Replace",
                "clusterTemplate": {"size": 3},
            },
            "spec.clusterTemplate",
        ),
        (
            {"clusterName": "a", "backupName": "b", "clusterTemplate": {"size": 0}},
            "spec.clusterTemplate.size",
        ),
        (
            {"clusterName": "a", "backupName": "b", "clusterTemplate": {"paused": True}},
            "spec.clusterTemplate.paused",
        ),
        (
            {
                "clusterName": "a",
                "backupName": "b",
                "clusterTemplate": {"bootstrap": {"restoreFrom": {"backupName": "c"}}},
            },
            "spec.clusterTemplate.bootstrap",
        ),
        ({"clusterName": "a", "backupName": "b", "bumpRevision": -1}, "spec.bumpRevision"),
        (
            {
                "clusterName": "a",
                "backupName": "b",
                "revision": 3,
                "pointInTime": "2026-03-01T12:00:00Z",
            },
            "spec",
        ),
        (
            {"clusterName": "a", "backupName": "b", "clusterTemplate": {"size": 2}},
            "spec.clusterTemplate.size",
        ),
        (
            {"clusterName": "a", "backupName": "b", "clusterTemplate": {"version": "3.4.0"}},
            "spec.clusterTemplate.version",
        ),
    ],
)
def test_a_wrong_restore_is_refused(spec, field):
    parsed = parse_restore({"metadata": {"name": "r"}, "spec": spec})

    assert [error.field for error in parsed.errors] == [field]
