"""Secrets that a spec names and that are not there are warned of, once, and refuse nothing."""

import pytest

from tests.unit.api.manifests import cluster
from tests.unit.webhooks.requests import ScriptedRules, review
from webhooks.judge import judge
from webhooks.review import read_review

TLS = {"enabled": True, "certificateSecret": "web", "caSecret": "ours"}
USERS = [{"name": "alice", "passwordSecret": {"name": "alice", "key": "password"}}]
S3 = {"bucket": "b", "accessKeySecret": "keys", "secretKeySecret": "keys"}
BACKUP = {"clusterName": "db", "storageType": "S3", "s3": S3, "encryption": {"keySecret": "key"}}
RESTORE = {
    "clusterName": "db",
    "store": {"storageType": "S3", "s3": S3, "path": "1-1/nightly"},
    "clusterTemplate": {"size": 3, "security": {"tls": TLS}},
}


async def warnings(obj, stored=None, *, missing=()):
    rules = ScriptedRules(missing=frozenset(missing))
    verdict = await judge(read_review(review(obj, stored)), rules)
    assert verdict.allowed, verdict.message
    found = [each for each in verdict.warnings if "names Secret" in each]
    return found, [asked for asked in rules.asked if isinstance(asked, tuple)]


@pytest.mark.parametrize(
    ("obj", "paths"),
    [
        (
            cluster({"security": {"tls": TLS}}),
            {"spec.security.tls.certificateSecret": "web", "spec.security.tls.caSecret": "ours"},
        ),
        (
            cluster({"security": {"auth": {"enabled": True, "users": USERS}}}),
            {"spec.security.auth.users[0].passwordSecret": "alice"},
        ),
        (
            {**cluster(BACKUP), "kind": "EtcdBackup"},
            {
                "spec.s3.accessKeySecret": "keys",
                "spec.s3.secretKeySecret": "keys",
                "spec.encryption.keySecret": "key",
            },
        ),
        (
            {**cluster(RESTORE), "kind": "EtcdRestore"},
            {
                "spec.store.s3.accessKeySecret": "keys",
                "spec.store.s3.secretKeySecret": "keys",
                "spec.clusterTemplate.security.tls.certificateSecret": "web",
                "spec.clusterTemplate.security.tls.caSecret": "ours",
            },
        ),
    ],
    ids=["certificates", "passwords", "backup", "restore"],
)
async def test_each_field_that_names_a_missing_secret_is_warned_of(obj, paths):
    found, asked = await warnings(obj, missing={*paths.values()})

    assert found == [
        f"{path} names Secret {name}, which is not there: it is waited for"
        for path, name in paths.items()
    ]
    assert asked == [(obj["metadata"].get("namespace", ""), frozenset(paths.values()))]


async def test_those_that_are_there_are_not_warned_of():
    found, _ = await warnings(cluster({"security": {"tls": TLS}}), missing={"ours"})

    assert [each.split()[0] for each in found] == ["spec.security.tls.caSecret"]


async def test_only_what_an_edit_begins_to_name_is_asked_for():
    stored = cluster({"security": {"tls": {"enabled": True, "certificateSecret": "web"}}})
    found, asked = await warnings(cluster({"security": {"tls": TLS}}), stored, missing={"web"})

    assert not found
    assert [names for _, names in asked] == [frozenset({"ours"})]


async def test_nothing_is_asked_where_none_is_named():
    spec = {"podTemplate": {"spec": {"volumes": [{"name": "a", "secret": {"secretName": "b"}}]}}}

    assert await warnings(cluster(spec), missing={"b"}) == ([], [])


async def test_of_many_only_some_are_looked_for():
    users = [{"name": f"u{n}", "passwordSecret": {"name": f"s{n}", "key": "p"}} for n in range(50)]
    spec = {"security": {"auth": {"enabled": True, "users": users}}}
    _, asked = await warnings(cluster(spec))

    assert [len(names) for _, names in asked] == [20]
