"""EtcdRestores on a real API server, with the operator's shipped rights: the Job that examines, the
cluster that is made, refusals.

No controller manager here, so that no Job ever runs and no member ever starts: their ends are
written as the Job's controller, kubelet and the cluster's own reconciler would. With real pods:
e2e/test_restore_objects.py.
"""

import json

import pytest

from tests.integration.test_backups import (  # noqa: F401 - a fixture, by name
    LOCAL,
    MERGE,
    end_of,
    jobs,
    running,
)
from tests.integration.test_operator import (  # noqa: F401 - fixtures, by name
    create,
    exists,
    namespace,
    service_account,
    until,
    wait_reason,
)

FOLDER = "abc-1/once-0123abcd"
TEMPLATE = {"size": 3, "version": "v3.6.16"}
FROM_BACKUP = {"backupName": "once", "clusterName": "restored"}
EXAMINED = {
    "folder": FOLDER,
    "sourceClusterID": "abc",
    "sourceEpoch": 1,
    "sourceNamespace": "prod",
    "sourceName": "db",
    "etcdVersion": "3.5.21",
    "startedAt": "2026-03-01T12:00:00Z",
    "completedAt": "2026-03-01T12:00:05Z",
    "revision": 7,
    "compactRevision": 2,
    "keys": 3,
    "databaseSize": 90,
    "backupSize": 100,
    "neededSize": 300,
}


@pytest.fixture
def completed(apiserver, running, namespace):  # noqa: F811
    """An EtcdBackup that was completed, by its status."""
    path = create(apiserver, namespace, kind="EtcdBackup", name="once", **LOCAL)
    until(lambda: exists(apiserver, path).get("status"), "the backup's status")
    status = {
        "phase": "Completed",
        "storagePath": f"pvc://backups/{FOLDER}",
        "clusterSpec": TEMPLATE | {"paused": True},
    }
    written = apiserver.request("PATCH", f"{path}/status", {"status": status}, content_type=MERGE)
    assert written[0] == 200, written
    return path


def clusters(namespace):  # noqa: F811
    return f"/apis/etcd.etcd.io/v1alpha1/namespaces/{namespace}/etcdclusters"


def restore(apiserver, namespace, name="again", **spec):  # noqa: F811
    return create(apiserver, namespace, kind="EtcdRestore", name=name, **spec)


def examined(apiserver, namespace, path, answer=EXAMINED, code=0):  # noqa: F811
    """Wait for the restore's Job, and let its pod say that."""
    uid = exists(apiserver, path)["metadata"]["uid"]

    def own():
        found = jobs(apiserver, namespace)
        return [job for job in found if job["metadata"]["ownerReferences"][0]["uid"] == uid]

    (job,) = until(own, "the Job that examines")
    end_of(apiserver, namespace, job, "Failed" if code else "Succeeded", code, answer)
    if code:
        failed = {"type": "Failed", "status": "True", "message": "it gave up"}
        failed |= {"reason": "PodFailurePolicy", "lastTransitionTime": "2026-03-01T12:00:00Z"}
        target = {"type": "FailureTarget"}
        status = {"conditions": [failed | target, failed], "startTime": "2026-03-01T11:00:00Z"}
        name = job["metadata"]["name"]
        job_path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status"
        written = apiserver.request("PATCH", job_path, {"status": status}, content_type=MERGE)
        assert written[0] == 200, written
    return job


def test_a_restore_examines_the_backup_and_makes_the_cluster(apiserver, completed, namespace):  # noqa: F811
    path = restore(apiserver, namespace, **FROM_BACKUP)

    job = examined(apiserver, namespace, path)

    made = until(lambda: exists(apiserver, f"{clusters(namespace)}/restored"), "the cluster")
    uid = exists(apiserver, path)["metadata"]["uid"]
    order = json.loads(job["spec"]["template"]["spec"]["containers"][0]["args"][-1])
    assert (order["folder"], order["etcdVersion"]) == (FOLDER, "3.6.16")
    assert made["metadata"]["labels"] == {"etcd.etcd.io/restore-uid": uid}
    assert "ownerReferences" not in made["metadata"]
    assert made["spec"]["bootstrap"] == {"restoreFrom": {"backupName": "once"}}
    # Of the spec that was recorded, but not that somebody held that cluster.
    assert (made["spec"]["size"], made["spec"].get("paused", False)) == (3, False)
    wait_reason(apiserver, path, "Restoring")

    def followed():
        status = exists(apiserver, path)["status"]
        return status if status.get("restoredClusterUID") else None

    status = until(followed, "the restore to have seen its cluster")
    assert (status["phase"], status["etcdRevision"], status["backupSize"]) == ("Running", 7, 100)
    assert status["restoredClusterUID"] == made["metadata"]["uid"]

    # Deleting the restore leaves the cluster; its Job goes with it (the owner reference says so).
    apiserver.request("DELETE", path)
    until(lambda: exists(apiserver, path) is None, "the restore to be gone")
    assert exists(apiserver, f"{clusters(namespace)}/restored")


def test_a_cluster_that_is_deleted_while_it_is_restored_is_not_made_again(
    apiserver,
    completed,
    namespace,  # noqa: F811
):
    path = restore(apiserver, namespace, **FROM_BACKUP)
    examined(apiserver, namespace, path)

    def followed():
        return exists(apiserver, path)["status"].get("restoredClusterUID")

    until(followed, "the restore to have seen its cluster")
    apiserver.request("DELETE", f"{clusters(namespace)}/restored")

    assert "deleted" in wait_reason(apiserver, path, "TargetGone")["message"]
    assert exists(apiserver, f"{clusters(namespace)}/restored") is None


def test_a_refused_backup_changes_nothing_and_an_edit_tries_again(apiserver, completed, namespace):  # noqa: F811
    path = restore(apiserver, namespace, **FROM_BACKUP)
    refusal = {"failed": "BackupDamaged", "message": "part 2: another sha256"}

    first = examined(apiserver, namespace, path, refusal, code=3)

    assert "part 2" in wait_reason(apiserver, path, "BackupDamaged")["message"]
    # The pod's words are told at once, its end when its Job has ended.
    until(lambda: exists(apiserver, path)["status"]["phase"] == "Failed", "the end of the restore")
    assert exists(apiserver, f"{clusters(namespace)}/restored") is None
    edit = {"spec": {"bumpRevision": 10}}
    assert apiserver.request("PATCH", path, edit, content_type=MERGE)[0] == 200

    def again():
        found = jobs(apiserver, namespace)
        return [job for job in found if job["metadata"]["name"] != first["metadata"]["name"]]

    until(again, "the Job of the second attempt")


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        (FROM_BACKUP | {"clusterName": "there"}, "TargetExists", "there"),
        ({**FROM_BACKUP, "backupName": "unknown"}, "BackupNotFound", "unknown"),
        (FROM_BACKUP | {"skipHashCheck": True}, "NotConfirmed", "spec.skipHashCheck"),
        (FROM_BACKUP | {"dataDir": "/data"}, "NotSupportedYet", "spec.dataDir"),
        (FROM_BACKUP | {"clusterName": "re.stored"}, "InvalidSpec", "spec.clusterName"),
        (
            {
                "clusterName": "restored",
                "store": {
                    "storageType": "Local",
                    "local": {"claimName": "backups"},
                    "path": FOLDER,
                },
            },
            "ClusterTemplateNeeded",
            "spec.clusterTemplate",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals_say_why_and_change_nothing(
    apiserver,
    completed,
    namespace,  # noqa: F811
    spec,
    reason,
    words,
):
    there = create(apiserver, namespace, name="there", size=3)
    before = exists(apiserver, there)["spec"]

    path = restore(apiserver, namespace, **spec)

    assert words in wait_reason(apiserver, path, reason)["message"]
    assert jobs(apiserver, namespace) == []
    assert exists(apiserver, there)["spec"] == before
    found = apiserver.request("GET", clusters(namespace))[1]["items"]
    assert [one["metadata"]["name"] for one in found] == ["there"]


def test_a_restore_waits_for_its_backup_to_come(apiserver, running, namespace):  # noqa: F811
    path = restore(apiserver, namespace, **FROM_BACKUP, clusterTemplate=TEMPLATE)
    wait_reason(apiserver, path, "BackupNotFound")

    backup = create(apiserver, namespace, kind="EtcdBackup", name="once", **LOCAL)
    wait_reason(apiserver, path, "BackupNotCompleted")
    status = {"phase": "Completed", "storagePath": f"pvc://backups/{FOLDER}"}
    apiserver.request("PATCH", f"{backup}/status", {"status": status}, content_type=MERGE)

    wait_reason(apiserver, path, "ExaminingBackup")
    examined(apiserver, namespace, path)
    until(lambda: exists(apiserver, f"{clusters(namespace)}/restored"), "the cluster")


def test_who_confirms_it_may_skip_the_hash_check(apiserver, completed, namespace):  # noqa: F811
    path = restore(apiserver, namespace, **FROM_BACKUP, skipHashCheck=True)
    wait_reason(apiserver, path, "NotConfirmed")
    confirms = {"metadata": {"annotations": {"etcd.etcd.io/confirm-skip-hash-check": "again"}}}

    assert apiserver.request("PATCH", path, confirms, content_type=MERGE)[0] == 200

    job = examined(apiserver, namespace, path)
    order = json.loads(job["spec"]["template"]["spec"]["containers"][0]["args"][-1])
    assert order["skipHashCheck"]
    made = until(lambda: exists(apiserver, f"{clusters(namespace)}/restored"), "the cluster")
    assert made["metadata"]["annotations"]["etcd.etcd.io/skip-hash-check"] == "true"


def test_a_replacement_needs_a_cluster_to_replace(apiserver, completed, namespace):  # noqa: F811
    path = restore(apiserver, namespace, **FROM_BACKUP, restoreType="Replace")

    assert "restored" in wait_reason(apiserver, path, "ClusterNotFound")["message"]
    assert jobs(apiserver, namespace) == []
