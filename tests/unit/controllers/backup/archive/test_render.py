"""The Deployment that keeps the changes: what its pod may do, what it is given, what it is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from api.labels import archiver_labels, backup_labels
from controllers.backup.archive.order import ArchiveOrder
from controllers.backup.archive.render import archiver_name
from controllers.backup.order import S3_SECRET_KEY
from controllers.backup.plan import plan
from tests.unit.controllers.backup.archive.builders import backup
from tests.unit.controllers.backup.builders import MEMBERS, S3, UID, cluster, member


def deployment_of(**fields):
    return plan(backup(**fields)).body


def pod_of(**fields):
    return deployment_of(**fields)["spec"]["template"]["spec"]


def container_of(**fields):
    (container,) = pod_of(**fields)["containers"]
    return container


def order_of(**fields):
    command = container_of(**fields)["args"]
    assert command[:3] == ["agent", "archive", "--order"]
    return ArchiveOrder.model_validate_json(command[-1])


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


def test_service_account_of_a_workload_identity_still_has_no_token():
    pod = pod_of(serviceAccountName="backups")

    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("backups", False)


def test_one_pod_ends_before_the_next_one_begins():
    spec = deployment_of()["spec"]

    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["template"]["spec"]["restartPolicy"] == "Always"


def test_a_pod_that_is_told_to_stop_has_time_to_store_what_it_holds():
    assert pod_of()["terminationGracePeriodSeconds"] == 30


def test_a_pod_that_answers_no_more_is_restarted():
    container = container_of()

    probe = container["livenessProbe"]["httpGet"]
    assert (probe["path"], probe["port"]) == ("/healthz", 8080)
    assert [one["containerPort"] for one in container["ports"]] == [8080]


def test_deployment_goes_with_its_backup():
    body = deployment_of()

    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("EtcdBackup", UID, True)


def test_pods_are_found_by_their_backup_and_let_in_as_backups_are():
    body = deployment_of()

    labels = archiver_labels("db", UID)
    assert body["spec"]["selector"]["matchLabels"] == labels
    assert body["spec"]["template"]["metadata"]["labels"] == labels
    assert backup_labels("db").items() <= labels.items()


@pytest.mark.parametrize("name", ["a", "nightly.of.prod", "x" * 253])
def test_the_name_fits_whatever_the_backup_is_called(name):
    seen = backup(name=name)

    assert len(archiver_name(seen)) <= 63
    assert "." not in archiver_name(seen)
    assert archiver_name(seen) != archiver_name(replace(seen, uid="ffff0000-1"))


def test_credentials_are_given_by_reference_and_the_order_has_none():
    container = container_of(**S3, local=None, encryption={"keySecret": "backup-key"})

    refs = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"]}
    assert refs[S3_SECRET_KEY] == {"name": "keys", "key": "secretKey"}
    assert refs["BACKUP_ENCRYPTION_KEY"] == {"name": "backup-key", "key": "key"}
    assert not [one for one in container["env"] if "value" in one]


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({}, "db-client-tls"),
        ({"auth": {"enabled": True}}, "db-operator-tls"),
        ({"scheme": "http"}, None),
    ],
)
def test_etcd_is_called_as_the_cluster_asks_for_it(changes, secret):
    seen = {"cluster": cluster(**changes)}

    volumes = [one["secret"]["secretName"] for one in pod_of(**seen)["volumes"] if "secret" in one]
    assert volumes == ([] if secret is None else [secret])
    assert order_of(**seen).tls is (secret is not None)


def test_the_order_says_what_the_spec_asks_for():
    order = order_of(
        continuous={"enabled": True, "flushInterval": "1m30s", "maxBytes": 65536},
        compression=True,
        encryption={"keySecret": "k"},
    )

    assert (order.flush_interval_ms, order.max_bytes) == (90_000, 65536)
    assert (order.compression, order.encrypted) == (True, True)
    assert order.local.claim_name == "backups"


def test_what_is_not_said_has_the_defaults():
    order = order_of()

    assert (order.flush_interval_ms, order.max_bytes) == (20_000, 10 << 20)


def test_the_most_that_it_may_hold_fits_into_its_memory():
    """Measured: 361 MiB with the largest maxBytes, 343 MiB and more for a million deletions."""
    resources = container_of()["resources"]

    assert resources["limits"] == {"memory": "1Gi"}
    assert resources["requests"]["memory"] == "64Mi"


def test_learners_are_not_asked_and_the_others_by_their_names():
    learner = member("db-3", role="learner")

    order = order_of(cluster=cluster([MEMBERS[2], MEMBERS[0], learner, MEMBERS[1]]))

    assert [one.name for one in order.members] == ["db-0", "db-1", "db-2"]


def test_the_same_state_gives_the_same_deployment():
    seen = backup()

    later = replace(seen, now=seen.now.replace(hour=18))
    assert json.dumps(plan(seen).body) == json.dumps(plan(later).body)
