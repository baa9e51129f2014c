"""The one next step of a restore, in every state it can be in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from api.errors import FieldError
from api.labels import RESTORE_UID_LABEL
from api.reasons import Reason
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.backup.order import failed
from controllers.restore.order import ExamineOrder
from controllers.restore.plan import plan
from controllers.restore.render import attempt_of
from controllers.restore.steps import (
    Accept,
    Begin,
    Complete,
    DeleteJob,
    Fail,
    MakeCluster,
    MakeJob,
    Refuse,
    Rest,
    Wait,
)
from controllers.restore_source import resolve
from tests.unit.controllers.restore.builders import (
    EXAMINED,
    NOW,
    READY,
    RECORDED,
    TEMPLATE,
    UID,
    after,
    attempt,
    backup,
    begun,
    conditions,
    in_place,
    job,
    observed,
    spec,
    target,
)

FROM_BACKUP = {"store": None, "backupName": "once"}


def made(seen, **status):
    """The cluster that this restore made."""
    return target(
        maker=UID, attempt=attempt_of(seen.spec), status=ClusterStatus.model_validate(status)
    )


def test_a_restore_is_recorded_as_begun_before_anything_is_made():
    seen = observed()

    assert plan(seen) == Begin()
    status = after(seen, Begin())
    assert (status.phase, status.attempt, status.start_time) == (
        "Pending",
        attempt_of(spec()),
        NOW.replace(microsecond=0),
    )


def test_the_backup_is_examined_first_for_the_cluster_that_it_is_for():
    step = plan(begun())

    assert isinstance(step, MakeJob)
    assert step.storage_path == "pvc://backups/etcd/abc-1/once-0123abcd"
    pod = step.body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    order = ExamineOrder.model_validate_json(container["args"][-1])
    assert container["args"][:2] == ["agent", "examine"]
    assert (order.folder, order.etcd_version, order.volume_size) == (
        "abc-1/once-0123abcd",
        "3.6.16",
        2 << 30,
    )
    assert step.body["metadata"]["labels"][RESTORE_UID_LABEL] == UID
    assert not pod["automountServiceAccountToken"]


def test_a_whole_backup_is_recorded_and_then_the_cluster_is_made():
    seen = begun(phase="Examining")
    seen = replace(seen, jobs=(job(seen),), attempts=(attempt(ended=True, answer=EXAMINED),))

    step = plan(seen)
    assert step == Accept(answer=EXAMINED)
    status = after(seen, step)
    assert (status.phase, status.etcd_revision, status.backup_size) == ("Running", 7, 100)

    step = plan(replace(seen, status=status))
    assert isinstance(step, MakeCluster)
    body = step.body
    assert body["metadata"]["name"] == "restored"
    assert "ownerReferences" not in body["metadata"]
    assert body["spec"]["bootstrap"]["restoreFrom"] == seen.spec.source.to_json()
    assert body["spec"]["version"] == TEMPLATE["version"]


def test_without_a_template_the_cluster_is_made_of_the_recorded_spec():
    asked = spec(clusterTemplate=None, **FROM_BACKUP)
    source = resolve(asked.source, "prod", backup())
    seen = begun(asked, phase="Running", source=source, recorded=RECORDED)

    step = plan(seen)

    assert isinstance(step, MakeCluster)
    made_of = step.body["spec"]
    assert made_of["bootstrap"] == {"restoreFrom": {"backupName": "once"}}
    # Whose volumes the other cluster took, and that it was held, is not for this one.
    assert "paused" not in made_of
    assert "existingVolumes" not in made_of["storage"]


def test_without_any_spec_a_template_is_asked_for():
    step = plan(begun(spec(clusterTemplate=None)))

    assert (type(step), step.answer.reason) == (Fail, Reason.TEMPLATE_NEEDED)
    assert "spec.clusterTemplate" in step.answer.message


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"image": ""}, Reason.OPERATOR_IMAGE_UNKNOWN, "OPERATOR_IMAGE"),
        (
            {"spec": None, "errors": (FieldError("spec.store", "is required"),)},
            Reason.INVALID_SPEC,
            "spec.store",
        ),
        ({"spec": spec(dataDir="/data")}, Reason.NOT_SUPPORTED_YET, "spec.dataDir"),
        ({"spec": spec(walDir="/wal")}, Reason.NOT_SUPPORTED_YET, "spec.walDir"),
        ({"spec": in_place(oldData="PutBack")}, Reason.INVALID_SPEC, "spec.oldData"),
    ],
)
def test_what_takes_an_edit_is_refused_by_name(changes, reason, words):
    seen = begun() if "image" in changes else observed(**changes)
    step = plan(replace(seen, **changes) if "image" in changes else seen)

    assert (type(step), step.reason) == (Refuse, reason)
    assert words in step.message


@pytest.mark.parametrize("directory", ["/var/lib/etcd/data", "/var/lib/etcd/data/"])
def test_the_operators_own_directory_may_be_named(directory):
    asked = spec(dataDir=directory, walDir="/var/lib/etcd/data/member/wal")

    assert isinstance(plan(begun(asked)), MakeJob)


def test_a_cluster_of_somebody_elses_is_left_alone():
    for maker in ("", "another-uid"):
        for phase in ("Pending", "Examining", "Running"):
            step = plan(begun(phase=phase, target=target(maker=maker)))

            assert (type(step), step.answer.reason) == (Fail, Reason.TARGET_EXISTS)
            assert "restored" in step.answer.message


def test_a_cluster_that_is_going_is_waited_for():
    going = begun(target=target(is_deleting=True))

    assert isinstance(plan(going), Wait)
    assert isinstance(plan(replace(going, now=NOW + timedelta(minutes=16))), Fail)


@pytest.mark.parametrize(
    ("found", "reason", "may_come"),
    [
        (None, Reason.BACKUP_NOT_FOUND, True),
        (backup("Running"), Reason.BACKUP_NOT_COMPLETED, True),
        (backup("Failed"), Reason.BACKUP_NOT_COMPLETED, False),
        (backup("Scheduled"), Reason.BACKUP_NOT_COMPLETED, False),
    ],
)
def test_a_backup_that_may_come_is_waited_for_and_not_for_ever(found, reason, may_come):
    asked = spec(**FROM_BACKUP)
    seen = begun(asked, source=resolve(asked.source, "prod", found))
    late = replace(seen, now=NOW + timedelta(minutes=16))

    assert isinstance(plan(seen), Wait if may_come else Fail)
    step = plan(late)
    assert (type(step), step.answer.reason) == (Fail, reason)
    assert "once" in step.answer.message


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("", "allow-restore-from-namespaces=prod"),
        ("production", "allow-restore-from-namespaces=prod"),
        # Then the volume is what is in the way: no pod can mount it from elsewhere.
        ("x, prod", "no pod elsewhere can mount"),
        ("*", "no pod elsewhere can mount"),
    ],
)
def test_a_backup_of_another_namespace_has_to_allow_it(annotation, words):
    asked = spec(backupNamespace="other", **FROM_BACKUP)
    marks = {"etcd.etcd.io/allow-restore-from-namespaces": annotation}
    found = backup(annotations=marks, namespace="other")

    step = plan(begun(asked, source=resolve(asked.source, "prod", found)))

    assert (type(step), step.answer.reason) == (Fail, Reason.BACKUP_NOT_SHARED)
    assert words in step.answer.message


def test_a_backup_that_may_be_restored_elsewhere_is():
    asked = spec(backupNamespace="other", **FROM_BACKUP)
    marks = {"etcd.etcd.io/allow-restore-from-namespaces": "prod"}
    found = backup(annotations=marks, namespace="other")
    found["spec"] |= {"storageType": "S3", "s3": {"bucket": "b"}, "local": None}
    found["status"]["storagePath"] = "s3://b/abc-1/once-0123abcd"

    step = plan(begun(asked, source=resolve(asked.source, "prod", found)))

    assert isinstance(step, MakeJob)
    assert step.storage_path == "s3://b/abc-1/once-0123abcd"


def test_a_refused_backup_ends_the_restore_until_it_is_edited():
    answer = failed(Reason.BACKUP_DAMAGED, "part 2: another sha256")
    seen = begun(phase="Examining")
    failure = job(seen, failure="gave up", failed_at=NOW)
    seen = replace(seen, jobs=(failure,), attempts=(attempt(ended=True, answer=answer),))

    step = plan(seen)

    assert step == Fail(answer=answer)
    status = after(seen, step)
    assert status.phase == "Failed"
    assert plan(replace(seen, status=status)) == Rest()
    edited = replace(seen, status=status, spec=spec(bumpRevision=5))
    assert plan(edited) == Begin()
    again = replace(edited, status=after(edited, Begin()))
    assert isinstance(plan(again), DeleteJob)
    assert isinstance(plan(replace(again, jobs=(), attempts=())), MakeJob)


def test_a_result_that_is_lost_is_found_again():
    seen = begun(phase="Examining")

    step = plan(replace(seen, jobs=(job(seen, complete=True),)))

    assert isinstance(step, DeleteJob)


DONE = {
    "done": True,
    "restored": {
        "sourceClusterID": "abc",
        "sourceName": "prod/db",
        "savedAt": "2026-03-01T11:00:00Z",
        "etcdVersion": "v3.5.21",
        "revision": 7,
        "compactRevision": 2,
        "databaseSize": 90,
        "notes": ["Authentication is on."],
    },
}
SERVES = conditions(Ready=("False", "Scaling"), QuorumAvailable=("True", "QuorumPresent"))


def restoring(conditions, **record):
    began = {"source": "EtcdBackup once", "store": {}, "since": "2026-03-01T12:00:00Z"}
    bootstrap = {"token": "t", "epoch": 1, "size": 1, "restore": began | record}
    return {"bootstrap": bootstrap, "conditions": conditions, "observedGeneration": 1}


@pytest.mark.parametrize(
    ("status", "percent"),
    [
        ({}, 20),
        (restoring(conditions(Ready=("False", "Creating"))), 20),
        # Whatever it says of its members, the data is not there yet.
        (restoring(READY), 20),
        (restoring(conditions(Ready=("False", "Creating")), **DONE), 60),
        (restoring(SERVES, **DONE), 80),
        # Ready, but for an earlier state of its spec.
        (restoring(READY, **DONE) | {"observedGeneration": 0}, 80),
    ],
)
def test_the_new_cluster_is_followed_until_all_its_members_serve(status, percent):
    seen = begun(phase="Running")

    step = plan(replace(seen, target=made(seen, **status)))

    assert (type(step), step.reason, step.stalled) == (Wait, Reason.RESTORING, False)
    assert (step.percent, step.cluster_uid) == (percent, "cluster-uid")
    assert after(seen, step).restored_cluster_uid == "cluster-uid"


def test_the_restore_is_completed_with_the_cluster():
    seen = begun(phase="Running", notes=EXAMINED.notes)

    step = plan(replace(seen, target=made(seen, **restoring(READY, **DONE))))

    assert isinstance(step, Complete)
    status = after(seen, step)
    assert (status.phase, status.percent, status.restored_size) == ("Completed", 100, 90)
    assert status.restored_cluster == "restored"
    assert status.completion_time is not None


def test_what_stalls_the_cluster_stalls_the_restore_in_its_own_words():
    seen = begun(phase="Running")
    stuck = conditions(Ready=("False", "StoreForbidden"), Stalled=("True", "StoreForbidden"))

    step = plan(replace(seen, target=made(seen, conditions=stuck)))

    assert (step.reason, step.stalled) == (Reason.STORE_FORBIDDEN, True)
    assert step.message == "EtcdCluster restored: Ready is False"


def test_a_cluster_that_was_made_and_deleted_is_not_made_again():
    seen = begun(phase="Running", restored_cluster_uid="cluster-uid")

    for there in (None, target(uid="another")):
        step = plan(replace(seen, target=there))

        assert (type(step), step.answer.reason) == (Fail, Reason.TARGET_GONE)


def test_an_edit_while_the_cluster_is_restored_changes_nothing():
    seen = begun(phase="Running")
    there = made(seen)

    step = plan(replace(seen, spec=spec(bumpRevision=5), target=there))

    assert (type(step), step.reason, step.stalled) == (Wait, Reason.EDITED_TOO_LATE, True)


def test_a_completed_restore_is_history():
    seen = begun(phase="Completed")

    for there in (None, target(), made(seen)):
        assert plan(replace(seen, target=there)) == Rest()
    assert plan(replace(seen, spec=spec(bumpRevision=5))) == Rest(edited=True)
    assert plan(replace(seen, spec=None)) == Rest(edited=True)
