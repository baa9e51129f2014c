"""The Job of a backup: what its pod may do, what it is given, and how it is called."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from api.v1alpha1.cluster_status import ClusterStatus
from controllers.backup.order import Order
from controllers.backup.plan import plan
from controllers.backup.render import child_name, folder_name, job_name
from snapshots.layout import BackupFolder
from tests.unit.controllers.backup.builders import NOW, S3, cluster, observed, spec


def job_of(**fields):
    return plan(observed(**fields)).body


def pod_of(**fields):
    return job_of(**fields)["spec"]["template"]["spec"]


def test_pod_is_restricted_and_has_no_token():
    pod = pod_of()
    (container,) = pod["containers"]

    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == "registry/operator:1"


def test_job_ends_by_itself_and_with_its_backup():
    job = job_of()

    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "EtcdBackup",
        observed().uid,
        True,
    )
    assert job["spec"]["backoffLimit"] == 3
    assert job["spec"]["activeDeadlineSeconds"] == 6 * 3600
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    ("fields", "environment"),
    [
        ({}, {}),
        (
            {**S3, "local": None},
            {
                "BACKUP_S3_ACCESS_KEY": {"name": "keys", "key": "accessKey"},
                "BACKUP_S3_SECRET_KEY": {"name": "keys", "key": "secretKey"},
            },
        ),
        ({"storageType": "S3", "s3": {"bucket": "b"}, "local": None}, {}),
        (
            {
                "storageType": "GCS",
                "gcs": {"bucket": "b", "serviceAccountSecret": "g"},
                "local": None,
            },
            {"BACKUP_GCS_KEY": {"name": "g", "key": "key.json"}},
        ),
        (
            {
                "storageType": "Azure",
                "azure": {
                    "account": "a",
                    "container": "c",
                    "accountKeySecret": "z",
                    "accountKeySecretKey": "k",
                },
                "local": None,
            },
            {"BACKUP_AZURE_KEY": {"name": "z", "key": "k"}},
        ),
        (
            {"encryption": {"keySecret": "backup-key"}},
            {"BACKUP_ENCRYPTION_KEY": {"name": "backup-key", "key": "key"}},
        ),
    ],
)
def test_credentials_are_given_by_reference(fields, environment):
    (container,) = pod_of(spec=spec(**fields))["containers"]

    refs = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"]}
    assert refs == environment


@pytest.mark.parametrize("encryption", [None, {"keySecret": "backup-key"}])
def test_pod_knows_whether_it_needs_a_key(encryption):
    (container,) = pod_of(spec=spec(encryption=encryption))["containers"]

    order = Order.model_validate_json(container["args"][-1])
    assert order.encrypted is (encryption is not None)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_volumes_are_those_that_are_needed(scheme):
    pod = pod_of(cluster=cluster(scheme=scheme))

    sources = {name for volume in pod["volumes"] for name in volume if name != "name"}
    mounts = {one["mountPath"]: one.get("readOnly") for one in pod["containers"][0]["volumeMounts"]}
    tls = scheme == "https"
    assert sources == {"persistentVolumeClaim", *(["secret"] if tls else [])}
    assert mounts == {"/backup": None} | ({"/etc/etcd-tls/client": True} if tls else {})
    if tls:
        secret = next(one["secret"] for one in pod["volumes"] if "secret" in one)
        assert secret == {"secretName": "db-client-tls", "defaultMode": 0o440}


def test_snapshot_of_a_cluster_with_users_is_taken_as_root():
    pod = pod_of(cluster=cluster(auth={"enabled": True}))

    (secret,) = [one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one]
    assert secret == "db-operator-tls"


def test_service_account_of_a_workload_identity_still_has_no_token():
    pod = pod_of(spec=spec(serviceAccountName="backups"))

    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("backups", False)


def test_the_same_state_gives_the_same_job():
    seen = observed()

    again = replace(seen, now=NOW.replace(hour=18))
    assert json.dumps(plan(seen).body) == json.dumps(plan(again).body)


@pytest.mark.parametrize("name", ["a", "nightly.of.prod", "x" * 253, "a." * 126 + "b"])
def test_names_fit_whatever_the_backup_is_called(name):
    seen = observed(name=name, generation=12345)

    assert len(job_name(seen)) <= 63
    assert "." not in job_name(seen)
    assert len(child_name(seen, NOW)) <= 253
    BackupFolder(cluster_id=1, epoch=1, name=folder_name(seen))  # raises for what is no name
    assert folder_name(seen) != folder_name(replace(seen, uid="ffff0000-1"))


def test_cluster_that_was_never_formed_is_waited_for():
    unformed = replace(cluster(), status=ClusterStatus())

    assert not hasattr(plan(observed(cluster=unformed)), "body")
