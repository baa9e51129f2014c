"""An EtcdRestore to a revision or a time: all of the way is examined before anything is asked for,
and the status tells where it has led.
"""

from dataclasses import replace

import pytest

from api.reasons import Reason
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore_source import RestoreSource
from controllers.restore.order import ExamineOrder
from controllers.restore.plan import plan
from controllers.restore.render import attempt_of
from controllers.restore.steps import Accept, Complete, MakeCluster, MakeJob
from controllers.restore.target import request_of
from controllers.restore_source import Resolved, Unresolved, resolve
from tests.unit.controllers.restore.builders import (
    EXAMINED,
    NOW,
    READY,
    UID,
    after,
    attempt,
    begun,
    in_place,
    job,
    spec,
    target,
)

SECOND = "2026-03-01T11:59:00Z"
TARGETS = [({"revision": 57}, "revision 57"), ({"pointInTime": SECOND}, SECOND)]


@pytest.mark.parametrize(("wanted", "words"), TARGETS)
def test_all_of_the_way_is_examined_first(wanted, words):
    step = plan(begun(spec(**wanted)))

    assert isinstance(step, MakeJob)
    (container,) = step.body["spec"]["template"]["spec"]["containers"]
    assert ExamineOrder.model_validate_json(container["args"][-1]).target == words


@pytest.mark.parametrize(("wanted", "words"), TARGETS)
def test_the_cluster_is_asked_for_the_target(wanted, words):
    seen = begun(spec(**wanted), phase="Examining")
    answer = EXAMINED.model_copy(update={"base": "abc-1/once-before"})
    seen = replace(seen, jobs=(job(seen),), attempts=(attempt(ended=True, answer=answer),))
    accepted = after(seen, plan(seen))
    assert accepted.base == "abc-1/once-before"
    assert f"the changes up to {words}" in accepted.conditions[0].message

    step = plan(replace(seen, status=accepted))

    assert isinstance(step, MakeCluster)
    source = RestoreSource.model_validate(step.body["spec"]["bootstrap"]["restoreFrom"])
    assert source.target == words
    assert (
        words.removeprefix("revision ")
        in request_of(begun(in_place(**wanted)), in_place(**wanted))["etcd.etcd.io/restore"]
    )


def test_the_status_tells_where_it_has_led():
    seen = begun(spec(revision=57), phase="Running")
    restored = {
        "sourceClusterID": "abc",
        "sourceName": "prod/db",
        "savedAt": "2026-03-01T11:00:00Z",
        "etcdVersion": "v3.5.21",
        "revision": 57,
        "compactRevision": 2,
        "databaseSize": 90,
        "base": "abc-1/once-before",
        "sourceRevision": 57,
        "sourceTime": SECOND,
        "replayed": 50,
    }
    record = {"source": "EtcdBackup once", "store": {}, "since": SECOND, "done": True}
    bootstrap = {"token": "t", "epoch": 1, "size": 1, "restore": record | {"restored": restored}}
    status = {"bootstrap": bootstrap, "conditions": READY, "observedGeneration": 1}
    cluster = target(
        maker=UID, attempt=attempt_of(seen.spec), status=ClusterStatus.model_validate(status)
    )

    step = plan(replace(seen, target=cluster))

    assert isinstance(step, Complete)
    told = after(seen, step)
    assert (told.base, told.source_revision, told.replayed) == ("abc-1/once-before", 57, 50)
    assert told.source_time is not None
    assert told.conditions[0].message == "EtcdCluster restored serves the data up to revision 57"


def test_an_edit_of_the_target_is_another_attempt():
    attempts = {attempt_of(spec(**wanted)) for wanted in ({}, {"revision": 57}, {"revision": 58})}

    assert len(attempts) == 3


def test_what_was_reached_is_forgotten_with_the_next_attempt():
    earlier = {"attempt": "old", "source_revision": 57, "base": "b", "replayed": 3}
    seen = begun(spec(revision=58), source_time=NOW, **earlier)

    forgotten = after(seen, plan(seen))

    assert (forgotten.source_revision, forgotten.source_time) == (None, None)
    assert (forgotten.base, forgotten.replayed) == ("", None)


def schedule(*windows):
    return {
        "metadata": {"name": "nightly", "namespace": "prod", "uid": "u"},
        "spec": {
            "clusterName": "db",
            "storageType": "Local",
            "local": {"claimName": "backups"},
            "schedule": "0 2 * * *",
            "continuous": {"enabled": True},
        },
        "status": {"phase": "Scheduled", "windows": list(windows)},
    }


def window(base):
    return {
        "startTime": SECOND,
        "endTime": SECOND,
        "startRevision": 7,
        "endRevision": 90,
        "base": base,
    }


def test_the_schedule_that_keeps_changes_may_be_named():
    source = RestoreSource.model_validate({"backupName": "nightly", "revision": 57})

    found = resolve(source, "prod", schedule(window("abc-1/one"), window("abc-1/two")))

    assert isinstance(found, Resolved)
    assert found.store.path == "abc-1/two"
    assert found.store.local.claim_name == "backups"


def test_a_schedule_without_changes_leads_nowhere():
    source = RestoreSource.model_validate({"backupName": "nightly", "revision": 57})

    found = resolve(source, "prod", schedule())

    assert isinstance(found, Unresolved)
    assert found.reason is Reason.TARGET_NOT_RESTORABLE
    assert not found.may_come


def test_without_a_target_a_schedule_is_no_backup():
    found = resolve(
        RestoreSource.model_validate({"backupName": "nightly"}), "prod", schedule(window("abc-1/a"))
    )

    assert isinstance(found, Unresolved)
    assert found.reason is Reason.BACKUP_NOT_COMPLETED


def test_a_whole_backup_without_a_target_says_nothing_of_changes():
    seen = begun(phase="Examining")

    told = after(seen, Accept(answer=EXAMINED)).conditions[0].message

    assert "changes" not in told
