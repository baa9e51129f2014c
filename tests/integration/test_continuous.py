"""The Deployment that keeps the changes, on a real API server with the operator's shipped rights.

No controller manager here, so that no pod ever runs; with real pods: e2e/test_continuous.py.
"""

import pytest

from tests.integration.test_backups import LOCAL, MERGE, member, running  # noqa: F401 - a fixture
from tests.integration.test_operator import (  # noqa: F401 - fixtures, by name
    create,
    exists,
    namespace,
    service_account,
    until,
)

IN_S3 = {
    "clusterName": "db",
    "storageType": "S3",
    "s3": {"bucket": "b", "accessKeySecret": "keys", "secretKeySecret": "keys"},
}
CONTINUOUS = {"schedule": "0 0 1 1 *", "continuous": {"enabled": True}}


@pytest.fixture
def deployments(apiserver, namespace):  # noqa: F811
    """Those that there are while the cluster is seen to run.

    Without pods none does: its status is written here, and the operator soon puts it right again.
    """
    cluster = create(apiserver, namespace, size=3)
    roles = {"db-0": "leader", "db-1": "follower"}
    status = {
        "clusterID": "abc",
        "members": [member(name, role, namespace) for name, role in roles.items()],
        "bootstrap": {"token": "t", "epoch": 1, "size": 3, "scheme": "http"},
    }
    look = {"metadata": {"annotations": {"look": "again"}}}

    def found(backup):
        look["metadata"]["annotations"]["look"] += "!"
        apiserver.request("PATCH", f"{cluster}/status", {"status": status}, content_type=MERGE)
        apiserver.request("PATCH", backup, look, content_type=MERGE)
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        return apiserver.request("GET", path)[1]["items"]

    return found


def archiver_ready(apiserver, path):
    conditions = exists(apiserver, path).get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "ArchiverReady"), {})


def container_of(deployment):
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


def test_a_backup_with_continuous_has_a_deployment_as_long_as_it_asks_for_it(
    apiserver,
    running,  # noqa: F811
    namespace,  # noqa: F811
    deployments,
):
    asked = {"kind": "EtcdBackup", "name": "nightly", **CONTINUOUS, **LOCAL}
    path = create(apiserver, namespace, **asked)
    (made,) = until(lambda: deployments(path), "the Deployment")
    uid = exists(apiserver, path)["metadata"]["uid"]
    assert made["metadata"]["name"] == f"nightly-{uid[:8]}-changes"
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [uid]

    def is_starting():
        return archiver_ready(apiserver, path).get("reason") == "ArchiverStarting"

    until(is_starting, "the word that it starts")
    assert exists(apiserver, path)["status"]["archive"]["name"] == made["metadata"]["name"]

    # What is as it should be is not written again.
    version = made["metadata"]["resourceVersion"]
    for _ in range(10):
        (same,) = deployments(path)
    assert same["metadata"]["resourceVersion"] == version

    off = {"spec": {"continuous": {"enabled": False}}}
    apiserver.request("PATCH", path, off, content_type=MERGE)
    until(lambda: not deployments(path), "the Deployment to be gone")
    until(lambda: not archiver_ready(apiserver, path), "the condition to be gone")


def test_a_deployment_keeps_nothing_of_the_store_that_it_had_before(
    apiserver,
    running,  # noqa: F811
    namespace,  # noqa: F811
    deployments,
):
    """A Secret that was deleted afterwards would keep its pod from starting for ever."""
    path = create(apiserver, namespace, kind="EtcdBackup", name="moved", **CONTINUOUS, **IN_S3)
    (made,) = until(lambda: deployments(path), "the Deployment")
    assert len(container_of(made)["env"]) == 2

    local = {"spec": {**LOCAL, "s3": None}}
    assert apiserver.request("PATCH", path, local, content_type=MERGE)[0] == 200

    def mounts():
        (one,) = deployments(path)
        return one if container_of(one).get("volumeMounts") else None

    moved = until(mounts, "the Deployment with the volume")
    assert container_of(moved).get("env", []) == []
