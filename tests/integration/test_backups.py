"""EtcdBackups on a real API server, with the operator's shipped rights: Jobs, schedules, refusals.

No controller manager here, so that no Job ever runs: its end is written as the Job's controller and
kubelet would. With real pods: e2e/test_backups.py.
"""

import json
from datetime import datetime

import pytest

from tests.integration.test_operator import (  # noqa: F401 - fixtures, by name
    create,
    exists,
    namespace,
    operator,
    service_account,
    until,
    wait_reason,
)

MERGE = "application/merge-patch+json"
LOCAL = {"clusterName": "db", "storageType": "Local", "local": {"claimName": "backups"}}
SAVED = {
    "startedAt": "2026-03-01T12:00:00Z",
    "completedAt": "2026-03-01T12:00:05Z",
    "storagePath": "pvc://backups/abc-1/once",
    "backupSize": 100,
    "databaseSize": 90,
    "sha256": "ab" * 32,
    "member": "db-1",
    "etcdVersion": "3.6.16",
    "etcdRevision": 7,
}


@pytest.fixture(scope="module")
def running(apiserver, service_account, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("run")
    with operator(service_account, folder, "--image", "registry/operator:1") as started:
        until(started.is_ready, "readiness of the operator")
        yield started


def member(name, role, namespace):  # noqa: F811
    url = f"https://{name}.db-peer.{namespace}.svc.cluster.local:2379"
    return {"name": name, "ready": True, "role": role, "clientURL": url}


def job_of(apiserver, namespace, backup):  # noqa: F811
    """The backup's Job, once it has seen a cluster that runs.

    Without pods none does: its status is written here, and the operator soon puts it right again.
    """
    cluster = create(apiserver, namespace, size=3)
    roles = {"db-0": "leader", "db-1": "follower"}
    status = {
        "clusterID": "abc",
        "members": [member(name, role, namespace) for name, role in roles.items()],
        "bootstrap": {"token": "t", "epoch": 1, "size": 3, "scheme": "https"},
    }
    look = {"metadata": {"annotations": {"look": "again"}}}

    def made():
        look["metadata"]["annotations"]["look"] += "!"
        apiserver.request("PATCH", f"{cluster}/status", {"status": status}, content_type=MERGE)
        apiserver.request("PATCH", backup, look, content_type=MERGE)
        return jobs(apiserver, namespace)

    (job,) = until(made, "the Job")
    return job


def jobs(apiserver, namespace):  # noqa: F811
    found = apiserver.request("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs")[1]["items"]
    return [job for job in found if "deletionTimestamp" not in job["metadata"]]


def test_backup_becomes_a_job_and_its_last_word_the_status(apiserver, running, namespace):  # noqa: F811
    path = create(apiserver, namespace, kind="EtcdBackup", name="once", **LOCAL)
    job = job_of(apiserver, namespace, path)
    backup = exists(apiserver, path)
    uid = backup["metadata"]["uid"]
    assert job["metadata"]["name"] == f"once-{uid[:8]}-1"
    assert [owner["uid"] for owner in job["metadata"]["ownerReferences"]] == [uid]
    pod = job["spec"]["template"]
    order = json.loads(pod["spec"]["containers"][0]["args"][-1])
    assert [one["name"] for one in order["members"]] == ["db-1", "db-0"]
    wait_reason(apiserver, path, "BackupRunning")

    end_of(apiserver, namespace, job, "Succeeded", 0, SAVED)

    assert "100 bytes" in wait_reason(apiserver, path, "BackupCompleted")["message"]
    status = exists(apiserver, path)["status"]
    assert (status["phase"], status["etcdRevision"], status["sha256"]) == (
        "Completed",
        7,
        SAVED["sha256"],
    )
    labels = f'{{cluster="db",namespace="{namespace}"}}'
    metrics = running.get(running.metrics_url)
    assert f"etcd_operator_backup_last_size_bytes{labels} 100.0" in metrics


def end_of(apiserver, namespace, job, phase, code, answer):  # noqa: F811
    """Make the Job's pod, and write that it ended so."""
    collection = f"/api/v1/namespaces/{namespace}/pods"
    template = job["spec"]["template"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "controller": True}
    owner |= {key: job["metadata"][key] for key in ("name", "uid")}
    metadata = {
        "name": f"{job['metadata']['name']}-x",
        "labels": template["metadata"]["labels"],
        "ownerReferences": [owner],
    }
    account = {"metadata": {"name": "default"}}
    apiserver.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    body = {"metadata": metadata, "spec": template["spec"]}
    made = apiserver.request("POST", collection, body)
    assert made[0] == 201, made
    ended = {"exitCode": code, "reason": "Completed", "message": json.dumps(answer)}
    container = {
        "name": "agent",
        "image": "i",
        "imageID": "i",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }
    status = {"status": {"phase": phase, "containerStatuses": [container]}}
    path = f"{collection}/{metadata['name']}/status"
    written = apiserver.request("PATCH", path, status, content_type=MERGE)
    assert written[0] == 200, written


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({**LOCAL, "clusterName": "gone"}, "ClusterNotFound", "gone"),
        ({**LOCAL, "clusterNamespace": "other"}, "NotSupportedYet", "spec.clusterNamespace"),
        (
            {**LOCAL, "retentionPolicy": {"maxAge": "30d"}},
            "InvalidSpec",
            "spec.retentionPolicy says",
        ),
        ({**LOCAL, "continuous": {"enabled": True}}, "InvalidSpec", "spec.continuous.enabled"),
        ({"clusterName": "db", "storageType": "S3"}, "InvalidSpec", "spec.s3 is required"),
        ({**LOCAL, "schedule": "0 2 31 2 *"}, "InvalidSpec", "spec.schedule"),
        (
            {
                "clusterName": "db",
                "storageType": "S3",
                "s3": {"bucket": "b", "accessKeySecret": "keys"},
            },
            "InvalidSpec",
            "spec.s3.secretKeySecret",
        ),
    ],
)
def test_refusals_name_the_field(apiserver, running, namespace, spec, reason, words):  # noqa: F811
    path = create(apiserver, namespace, kind="EtcdBackup", name="once", **spec)

    assert words in wait_reason(apiserver, path, reason)["message"]
    assert jobs(apiserver, namespace) == []


@pytest.mark.timeout(120)
def test_schedule_makes_a_backup_of_its_own_for_each_time(apiserver, running, namespace):  # noqa: F811
    if not apiserver.knows_cel:
        pytest.skip("a minute is long, and nothing of this depends on the server")
    often = {"kind": "EtcdBackup", "name": "often", "schedule": "* * * * *"}
    path = create(apiserver, namespace, **often, **LOCAL)
    status = until(lambda: exists(apiserver, path).get("status"), "a status of the schedule")
    due = datetime.fromisoformat(status["nextScheduleTime"])

    child = f"{path}-{due:%Y%m%d%H%M}"
    made = until(lambda: exists(apiserver, child), "the backup of that minute", deadline_s=70)

    wait_reason(apiserver, child, "ClusterNotFound")
    assert made["metadata"]["ownerReferences"][0]["name"] == "often"
    assert "schedule" not in made["spec"]
    assert exists(apiserver, path)["status"]["lastScheduleTime"] == status["nextScheduleTime"]
