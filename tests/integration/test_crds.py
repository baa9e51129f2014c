"""A real API server takes our CRDs, keeps what it should and refuses what it should.

Which manifests are refused, and by whom, is in tests/unit/api/refused_manifests.yaml; the unit
tests show that the operator refuses all of them.
"""

import re
import uuid

import pytest

from api.crd import KINDS
from api.labels import pod_selector
from api.v1alpha1.cluster_status import ClusterStatus
from tests.unit.api.manifests import (
    cluster,
    refused_manifests,
    replaced_operators_manifests,
    samples,
)

NAMESPACE = "/apis/etcd.etcd.io/v1alpha1/namespaces/default"
CLUSTERS = f"{NAMESPACE}/etcdclusters"
MERGE_PATCH = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
TIME = "2026-01-02T03:04:05Z"

BOOTSTRAP = {
    "token": "u-1",
    "epoch": 1,
    "size": 1,
    "clusterDomain": "cluster.local",
    "scheme": "https",
    "networkPolicy": True,
    "closed": True,
    "members": [{"name": "demo-0", "ordinal": 0, "id": "8e", "started": True}],
}
RESTORE = {
    "source": "EtcdBackup nightly",
    "store": {"storageType": "Local", "local": {"claimName": "backups"}, "path": "a-1/nightly"},
    "bumpRevision": 1_000_000_000,
    "skipHashCheck": True,
    "since": TIME,
    "claim": "c-9",
    "attempts": 1,
    "failure": "StoreUnavailable",
    "message": "m",
    "failedPod": "p-1",
    "stalled": False,
    "notBefore": TIME,
    "generation": 1,
    "done": False,
}

FULL_STATUS = {
    "observedGeneration": 1,
    "phase": "Running",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 1,
            "lastTransitionTime": TIME,
            "reason": "ClusterReady",
            "message": "",
        }
    ],
    "members": [
        {
            "name": "demo-0",
            "id": "8e9e05c52164694d",
            "peerURL": "http://demo-0.demo-peer.default.svc.cluster.local:2380",
            "clientURL": "http://demo-0.demo-peer.default.svc.cluster.local:2379",
            "ready": True,
            "role": "leader",
            "version": "v3.5.21",
            "dbSize": 20480,
            "node": "n1",
            "healthyRevision": "demo-5d9f",
            "healthyClaim": "c-1",
            "reason": "x",
        }
    ],
    "replicas": 3,
    "readyReplicas": 2,
    "selector": pod_selector("demo"),
    "version": "3.5.0",
    "leaderID": "8e9e05c52164694d",
    "leader": "demo-0",
    "clusterID": "cdf818194e3a8c32",
    "clientEndpoints": ["http://demo.default.svc:2379"],
    "lastBackupTime": TIME,
    "lastUpdateTime": TIME,
    "plan": {"action": "a", "rule": "r", "waitsFor": "w", "reason": "y", "since": TIME},
    "bootstrap": {
        "token": "u-1",
        "epoch": 1,
        "size": 3,
        "clusterDomain": "cluster.local",
        "scheme": "https",
        "peerScheme": "http",
        "networkPolicy": True,
        "closed": True,
        "members": [{"name": "demo-0", "ordinal": 0, "id": "8e", "started": True}],
    },
    "restore": {
        "restore": "back",
        "uid": "u-2",
        "attempt": "0a1b2c3d",
        "phase": "Completed",
        "reason": "OldDataUnusable",
        "message": "m",
        "epoch": 2,
    },
    "nextEpoch": {
        "epoch": 3,
        "since": TIME,
        "size": 0,
        "bootstrap": {**BOOTSTRAP, "restore": RESTORE},
    },
    "setAside": [
        {
            "epoch": 1,
            "since": TIME,
            "claims": ["data-demo-0"],
            "size": 1,
            "version": "v3.5.21",
            "clusterID": "cdf818194e3a8c32",
            "voterOrdinals": [0],
            "joining": {
                "name": "demo-1",
                "ordinal": 1,
                "reason": "ScaleOut",
                "since": TIME,
                "started": False,
            },
            "bootstrap": BOOTSTRAP,
        }
    ],
    "lastEpoch": 3,
    "voterOrdinals": [0, 1, 2],
    "joining": {
        "name": "demo-1",
        "ordinal": 1,
        "reason": "VolumeLost",
        "since": TIME,
        "oldID": "8e",
        "oldClaim": "c-0",
        "id": "9f",
        "listed": [0, 1, 2],
        "started": True,
    },
    "withdrawn": {"name": "demo-3", "message": "m", "notBefore": TIME, "generation": 2},
    "replacements": [{"name": "demo-1", "reason": "VolumeLost", "time": TIME}],
    "appliedSpec": {"size": 3, "podTemplate": {"spec": {"affinity": None}}},
    "rendered": {
        "podTemplate": {"spec": {"containers": [{"name": "etcd"}]}},
        "options": {"snapshot-count": 5000},
        "digest": "0a1b2c3d4e",
    },
    "tls": {
        "client": True,
        "peer": False,
        "change": {"listener": "peer", "enabled": True, "phase": "Preparing", "since": TIME},
    },
    "authorities": {"client": "ab", "peer": "cd", "given": ["client"]},
    "certificates": [{"secret": "demo-server-tls", "notAfter": TIME, "renewAfter": TIME}],
    "refusedCertificates": [{"secret": "s", "message": "m", "time": TIME}],
    "auth": {
        "enabled": True,
        "users": [{"name": "app", "passwordFrom": "uid/7"}, {"name": "root"}],
        "roles": ["app"],
        "refused": {"message": "m", "time": TIME},
    },
    "refusedEdit": {"generation": 2, "reason": "TemplateRefused", "message": "m", "time": TIME},
    "operatorChanges": ["podTemplate.spec.containers[0].image"],
    "upgrade": {
        "from": "v3.6.16",
        "path": ["v3.7.3"],
        "repository": "quay.io/coreos/etcd",
        "since": TIME,
        "probed": True,
        "before": {"revision": 7, "compactRevision": -1, "hash": 4294967295},
        "fitSince": TIME,
        "comparingSince": TIME,
        "logUntil": 10012,
    },
}


def dry_run(apiserver, manifest):
    """Create without storing, refusing unknown fields where the server can."""
    kind = manifest["kind"].lower()
    path = f"{NAMESPACE}/{kind}s?dryRun=All&fieldValidation=Strict"
    return apiserver.request("POST", path, manifest)


@pytest.fixture
def stored(apiserver):
    """Store an EtcdCluster under a name of its own; returns its path."""
    paths = []

    def store(spec):
        name = f"c{uuid.uuid4().hex[:10]}"
        manifest = cluster(spec, name=name)
        del manifest["metadata"]["uid"]
        status, answer = apiserver.request("POST", CLUSTERS, manifest)
        assert status == 201, answer
        paths.append(f"{CLUSTERS}/{name}")
        return paths[-1]

    yield store
    for path in paths:
        apiserver.request("DELETE", path)


def get(apiserver, path):
    status, answer = apiserver.request("GET", path)
    assert status == 200, answer
    return answer


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_definition_is_established_and_structural(apiserver, kind):
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd = get(apiserver, f"{path}/{kind.plural}.etcd.etcd.io")
    conditions = {one["type"]: one["status"] for one in crd["status"]["conditions"]}

    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize(
    "manifest",
    [*replaced_operators_manifests(), *samples()],
    ids=lambda manifest: manifest["metadata"]["name"],
)
def test_manifests_of_the_replaced_operator_apply_unchanged(apiserver, manifest):
    status, answer = dry_run(apiserver, manifest)

    assert status == 201, answer


@pytest.mark.parametrize("refused", refused_manifests(), ids=str)
def test_a_wrong_manifest_is_refused_by_the_field_or_left_to_the_operator(apiserver, refused):
    status, answer = dry_run(apiserver, refused.manifest)
    is_servers = refused.by == "schema" or (refused.by == "cel" and apiserver.knows_cel)

    # A list that is none can't even be read; and servers before 1.23 don't number a list's items.
    error = refused.error if apiserver.knows_cel else re.sub(r"\[[0-9]+\]", "", refused.error)
    assert status in ({400, 422} if is_servers else {201}), answer
    assert not is_servers or error in answer["message"]


def test_a_size_is_refused_with_its_reason(apiserver):
    status, answer = dry_run(apiserver, cluster({"size": 4}))

    assert status == (422 if apiserver.knows_cel else 201)
    assert not apiserver.knows_cel or (
        "spec.size must be 0, 1, 3, 5, 7 or 9: an even number of voters tolerates no more failures"
        in answer["message"]
    )


def test_a_misspelt_field_is_refused_where_the_server_can(apiserver):
    status, answer = dry_run(apiserver, cluster({"seize": 3}))

    assert status == (400 if apiserver.knows_cel else 201)
    assert ("seize" in str(answer)) == apiserver.knows_cel


def test_defaults_are_persisted_and_nulls_are_not(apiserver, stored):
    spec = get(apiserver, stored({"size": None, "storage": None, "paused": None}))["spec"]

    assert spec == {
        "size": 3,
        "version": "v3.5.21",
        "repository": "quay.io/coreos/etcd",
        "storage": {
            "size": "10Gi",
            "deletionPolicy": "Retain",
            "removedMemberPolicy": "Delete",
            "existingVolumes": "Refuse",
            "migrationPolicy": "Refuse",
        },
        "security": {"tls": {"rotationGracePeriod": "1h"}, "auth": {"enabled": False}},
        "recovery": {"nodeLossSeconds": 600, "joinDeadlineSeconds": 600},
        "placement": {"spread": "Preferred"},
        "paused": False,
        "acceptOperatorChanges": False,
        "service": {"type": "ClusterIP"},
    }


def test_a_pod_template_is_kept_as_it_is(apiserver, stored):
    template = {
        "metadata": {"labels": {"team": "a"}},
        "spec": {"containers": [{"name": "etcd", "env": [{"name": "A"}]}], "anything": {"x": 1}},
    }

    assert get(apiserver, stored({"podTemplate": template}))["spec"]["podTemplate"] == template


def test_every_field_of_a_status_is_kept(apiserver, stored):
    path = stored({})
    status, answer = apiserver.request(
        "PATCH", f"{path}/status", {"status": FULL_STATUS}, content_type=MERGE_PATCH
    )
    # A merge patch cannot write null.
    expected = {**FULL_STATUS, "appliedSpec": {"size": 3, "podTemplate": {"spec": {}}}}

    assert status == 200, answer
    assert answer["status"] == expected
    assert ClusterStatus.model_validate(answer["status"]).to_json() == expected


def test_every_field_of_the_status_is_in_the_example():
    fields = {field.alias for field in ClusterStatus.model_fields.values()}

    assert fields == FULL_STATUS.keys()


def test_a_status_does_not_change_a_spec(apiserver, stored):
    path = stored({})
    body = {"spec": {"size": 5}, "status": {"phase": "Running"}}
    _, answer = apiserver.request("PATCH", f"{path}/status", body, content_type=MERGE_PATCH)

    assert (answer["spec"]["size"], answer["status"]) == (3, {"phase": "Running"})


def test_kubectl_scale_works(apiserver, stored):
    path = stored({})
    body = {"status": {"replicas": 3, "selector": "a=b"}}
    apiserver.request("PATCH", f"{path}/status", body, content_type=MERGE_PATCH)
    status, scale = apiserver.request(
        "PATCH", f"{path}/scale", {"spec": {"replicas": 5}}, content_type=MERGE_PATCH
    )

    assert status == 200, scale
    assert scale["status"] == {"replicas": 3, "selector": "a=b"}
    assert get(apiserver, path)["spec"]["size"] == 5


def test_the_table_shows_what_someone_on_call_needs(apiserver, stored):
    path = stored({})
    apiserver.request("PATCH", f"{path}/status", {"status": FULL_STATUS}, content_type=MERGE_PATCH)
    _, table = apiserver.request("GET", path, accept=TABLE)
    columns = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    row = dict(
        zip(
            (column["name"] for column in table["columnDefinitions"]),
            table["rows"][0]["cells"],
            strict=True,
        )
    )

    assert columns == ["Name", "Ready", "Size", "Version", "Status", "Reason", "Age"]
    assert (row["Ready"], row["Size"], row["Version"]) == (2, 3, "v3.5.21")
    assert (row["Status"], row["Reason"], row["Leader"]) == ("Running", "ClusterReady", "demo-0")
