"""Changes of a spec are found field by field, after defaults and by value."""

import pytest

from api.changes import Kind, changed_fields, changed_kinds, refused_changes, taken
from api.v1alpha1.cluster import ClusterSpec

LEAVE_OUT = "Leave it out, as it was."


def spec(**fields):
    return ClusterSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"size": 3, "paused": False, "security": {"tls": {}}}),
        (
            {"security": {"tls": {"enabled": True}}},
            {"security": {"tls": {"enabled": True, "autoTLS": True, "peerTLSEnabled": True}}},
        ),
        ({"version": "3.5.9"}, {"version": "v3.5.9"}),
        ({"storage": {"size": "1Gi"}}, {"storage": {"size": "1024Mi"}}),
        ({"resources": {"limits": {"cpu": 1}}}, {"resources": {"limits": {"cpu": "1000m"}}}),
        ({"options": {"extra": {"a": 1}}}, {"options": {"extra": {"a": "1"}}}),
        ({"clusterDomain": ""}, {}),
    ],
)
def test_two_ways_to_say_the_same_are_no_change(before, after):
    assert changed_fields(spec(**before), spec(**after)) == ()


@pytest.mark.parametrize(
    ("after", "path"),
    [
        ({"size": 5}, "spec.size"),
        ({"storage": {"storageClassName": ""}}, "spec.storage.storageClassName"),
        ({"resources": {"limits": {"cpu": 1}}}, "spec.resources.limits.cpu"),
        ({"options": {"extra": {"pre-vote": "true"}}}, "spec.options.extra.pre-vote"),
        ({"options": {"autoCompaction": {}}}, "spec.options.autoCompaction"),
        ({"podTemplate": {"spec": {"a": {"b": 1}}}}, "spec.podTemplate.spec.a"),
        ({"security": {"tls": {"caSecret": "x"}}}, "spec.security.tls.caSecret"),
    ],
)
def test_a_change_is_named_by_its_leaf(after, path):
    assert changed_fields(spec(), spec(**after)) == (path,)


@pytest.mark.parametrize(("before", "after"), [(1, True), ([1], [True]), (0, False), ([1], [1, 2])])
def test_json_values_that_python_confuses_are_told_apart(before, after):
    one, other = (spec(podTemplate={"spec": {"a": value}}) for value in (before, after))

    assert changed_fields(one, other) == ("spec.podTemplate.spec.a",)


def test_what_was_applied_survives_the_way_through_status():
    applied = spec(podTemplate={"spec": {"affinity": None, "x": {}}}, storage={"size": "1024Mi"})

    assert changed_fields(ClusterSpec.model_validate(applied.to_json()), applied) == ()


EDITS = {
    Kind.LIVE: {
        "paused": True,
        "size": 5,
        "storage": {
            "deletionPolicy": "Delete",
            "removedMemberPolicy": "Keep",
            "existingVolumes": "Adopt",
            "migrationPolicy": "Replace",
        },
        "maintenanceWindows": [{"schedule": "0 2 * * 6", "duration": "2h"}],
        "acceptOperatorChanges": True,
        "recovery": {"nodeLossSeconds": 60, "joinDeadlineSeconds": 60},
        "service": {"labels": {"a": "b"}},
        "security": {
            "tls": {
                "autoTLS": True,
                "rotationGracePeriod": "1h",
                "subjectAltNames": ["a.b"],
                "certificateDuration": "1h",
                "certificateSecret": "a",
                "caSecret": "b",
                "issuerRef": {"name": "i"},
                "peerCertificateSecret": "c",
                "clientCertificateSecret": "d",
            }
        },
    },
    Kind.TEMPLATE: {
        "options": {"snapshotCount": 7},
        "resources": {"limits": {"cpu": 1}},
        "podTemplate": {"metadata": {"labels": {"a": "b"}}},
        "placement": {"spread": "Required"},
    },
    Kind.IMAGE: {"version": "3.6.16", "repository": "mirror/etcd"},
    Kind.VOLUME: {"storage": {"size": "20Gi", "storageClassName": "fast"}},
    Kind.TLS: {
        "security": {"tls": {"enabled": True, "clientTLSEnabled": True, "peerTLSEnabled": False}}
    },
    Kind.FIXED: {"clusterDomain": "x"},
}


@pytest.mark.parametrize("kind", Kind)
def test_every_field_reaches_the_members_in_one_way(kind):
    after = spec(**EDITS[kind])

    assert changed_kinds(spec(), after) == {kind}
    assert taken(spec(), after, kind) == after
    assert taken(spec(), after, *(other for other in Kind if other is not kind)) == spec()


def test_a_part_of_an_edit_can_be_taken_alone():
    storage = {
        **EDITS[Kind.LIVE]["storage"],
        **EDITS[Kind.VOLUME]["storage"],
    }
    after = spec(**{**EDITS[Kind.LIVE], **EDITS[Kind.IMAGE], "storage": storage})

    assert taken(spec(), after, Kind.LIVE) == spec(**EDITS[Kind.LIVE])
    assert taken(spec(), after, Kind.VOLUME) == spec(**EDITS[Kind.VOLUME])


def claims(size, mode="ReadWriteOnce"):
    requests = {"resources": {"requests": {"storage": size}}, "accessModes": [mode]}
    return spec(storage={"volumeClaimTemplate": {"spec": requests}})


def test_a_size_in_the_claim_template_is_one_of_the_volumes():
    assert changed_kinds(claims("1Gi"), claims("2Gi")) == {Kind.VOLUME}
    assert taken(claims("1Gi"), claims("2Gi"), Kind.VOLUME) == claims("2Gi")
    assert taken(claims("1Gi"), claims("2Gi"), Kind.LIVE) == claims("1Gi")
    assert changed_kinds(claims("1Gi"), claims("1Gi", "ReadWriteMany")) == {Kind.FIXED}


@pytest.mark.parametrize(
    ("before", "after", "sentences"),
    [
        (
            {},
            {"clusterDomain": "x"},
            ["spec.clusterDomain cannot be changed on a running cluster. " + LEAVE_OUT],
        ),
        (
            {"clusterDomain": "x"},
            {"clusterDomain": "y", "version": "3.6.16"},
            ['spec.clusterDomain cannot be changed on a running cluster. Set it back to "x".'],
        ),
        ({"storage": {"size": "2Gi"}}, {"storage": {"size": "3Gi"}}, []),
    ],
)
def test_what_never_changes_says_the_way_back(before, after, sentences):
    errors = refused_changes(spec(**before), spec(**after), Kind.FIXED)

    assert [str(error) for error in errors] == sentences
