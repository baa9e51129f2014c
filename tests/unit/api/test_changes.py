"""Changes of a spec are found field by field, after defaults and by value."""

import pytest

from api.changes import LIVE_FIELDS, changed_fields, unsupported_changes
from api.v1alpha1.cluster import ClusterSpec

LEAVE_OUT = "Leave it out, as it was."
NOT_YET = (
    'spec.placement.spread cannot be changed on a running cluster yet. Set it back to "Required".'
)


def spec(**fields):
    return ClusterSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"size": 3, "paused": False, "security": {"tls": {"enabled": False}}}),
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


def test_what_touches_no_member_works_on_a_running_cluster():
    after = spec(
        paused=True,
        size=5,
        storage={
            "deletionPolicy": "Delete",
            "removedMemberPolicy": "Keep",
            "existingVolumes": "Adopt",
            "migrationPolicy": "Replace",
        },
        maintenanceWindows=[{"schedule": "0 2 * * 6", "duration": "2h"}],
        acceptOperatorChanges=True,
        recovery={"nodeLossSeconds": 60, "joinDeadlineSeconds": 60},
    )

    assert set(changed_fields(spec(), after)) == LIVE_FIELDS
    assert unsupported_changes(spec(), after) == ()


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            {"placement": {"spread": "Required"}},
            {},
            NOT_YET,
        ),
        (
            {"storage": {"size": "2Gi"}},
            {"storage": {"size": "3Gi"}},
            'spec.storage.size cannot be changed on a running cluster yet. Set it back to "2Gi".',
        ),
        (
            {},
            {"clusterDomain": "x"},
            "spec.clusterDomain cannot be changed on a running cluster yet. " + LEAVE_OUT,
        ),
    ],
)
def test_an_unsupported_change_says_the_way_back(before, after, sentence):
    assert [str(error) for error in unsupported_changes(spec(**before), spec(**after))] == [
        sentence
    ]
