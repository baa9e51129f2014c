"""What a cluster may be told to begin from, and what becomes of that when it has."""

import pytest

from api.objects import ParsedCluster
from api.validation import parse_cluster, validate_cluster
from tests.unit.api.manifests import cluster

S3 = {
    "storageType": "S3",
    "s3": {"bucket": "b", "accessKeySecret": "keys", "secretKeySecret": "keys"},
    "path": "00000000deadbeef-1/nightly-0a1b2c3d",
}


def begins_from(source, **fields):
    return cluster({"bootstrap": {"restoreFrom": source}}, **fields)


@pytest.mark.parametrize(
    "source",
    [
        {"backupName": "nightly"},
        {"backupName": "nightly", "backupNamespace": "other", "bumpRevision": 1000},
        {"store": S3},
        {"store": {**S3, "encryption": {"keySecret": "key"}}},
        {"backupName": "", "store": {**S3, "path": f"{S3['path']}/"}},
    ],
)
def test_one_source_is_taken(source):
    parsed = parse_cluster(begins_from(source))

    assert isinstance(parsed, ParsedCluster)


@pytest.mark.parametrize(
    ("source", "field", "words"),
    [
        ({}, "", "must name either"),
        ({"backupName": "nightly", "store": S3}, "", "must name either"),
        ({"store": S3, "backupNamespace": "other"}, ".backupNamespace", "none is named"),
        ({"store": {**S3, "s3": None}}, ".store.s3", "is required"),
        ({"store": {**S3, "path": "nightly"}}, ".store.path", "<cluster ID>-<epoch>/<name>"),
        ({"store": {**S3, "path": "../a"}}, ".store.path", "names with '/'"),
        ({"store": {**S3, "storageType": "Local", "s3": None}}, ".store.local", "is required"),
        ({"store": {**S3, "gcs": {"bucket": "b"}}}, ".store.gcs", "storageType is S3"),
        ({"store": {**S3, "encryption": {"keySecret": ""}}}, ".store.encryption.keySecret", "name"),
        (
            {"backupName": "a", "revision": 5, "pointInTime": "2026-01-01T00:00:00Z"},
            "",
            "at most one",
        ),
        (
            {"backupName": "a", "pointInTime": "2026-01-01T00:00:00.5Z"},
            ".pointInTime",
            "fraction of a second",
        ),
        ({"backupName": "a", "bumpRevision": -1}, ".bumpRevision", "at least 0"),
        ({"backupName": "a", "bumpRevision": 1 << 61}, ".bumpRevision", "at most"),
    ],
)
def test_what_names_no_backup_is_refused_by_its_field(source, field, words):
    (error,) = validate_cluster(begins_from(source))

    assert error.field == f"spec.bootstrap.restoreFrom{field}"
    assert words in str(error)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({}, ""),
        ({"revision": 5}, "revision 5"),
        ({"pointInTime": "2026-01-01T01:00:00+01:00"}, "2026-01-01T00:00:00Z"),
    ],
)
def test_points_between_two_backups_can_be_asked_for(target, words):
    parsed = parse_cluster(begins_from({"backupName": "nightly", **target}))

    assert parsed.spec.bootstrap.restore_from.target == words


def test_what_a_cluster_began_from_may_be_left_out_later():
    made = begins_from({"backupName": "nightly"})["spec"]
    parsed = parse_cluster(cluster({}, status={"appliedSpec": made}))

    assert parsed.spec.bootstrap.restore_from.backup_name == "nightly"


def test_what_a_spec_says_anew_is_an_edit():
    made = begins_from({"backupName": "nightly"})["spec"]
    parsed = parse_cluster(begins_from({"backupName": "other"}, status={"appliedSpec": made}))

    assert parsed.spec.bootstrap.restore_from.backup_name == "other"
