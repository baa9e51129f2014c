"""What the caches hold, as the planner sees it, and what is told of it afterwards."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from api.event_reasons import EventReason
from api.labels import RESTORE_ATTEMPT_ANNOTATION, RESTORE_UID_LABEL
from api.reasons import Reason
from controllers.backup.order import failed
from controllers.resources import BACKUPS, CLUSTERS, JOBS, PODS, RESTORES
from controllers.restore.happenings import happenings
from controllers.restore.metrics import RestoreMetrics
from controllers.restore.observe import (
    BY_RESTORE_UID,
    Sources,
    by_backup,
    by_cluster,
    observe,
)
from controllers.restore.plan import plan
from controllers.restore.steps import Accept, Fail
from controllers.restore_source import Resolved, Unresolved
from informers.decode import decode_object
from tests.unit.controllers.restore.builders import (
    EXAMINED,
    NOW,
    RECORDED,
    STORE,
    TEMPLATE,
    UID,
    after,
    backup,
    begun,
    observed,
)

META = {
    "name": "again",
    "namespace": "prod",
    "uid": UID,
    "resourceVersion": "1",
    "generation": 1,
    "creationTimestamp": "2026-03-01T11:00:00Z",
}
SPEC = {"clusterName": "restored", "store": STORE, "clusterTemplate": TEMPLATE}
FROM_BACKUP = {"clusterName": "restored", "backupName": "once"}


class Cache:
    """An informer, as far as an observation asks it."""

    def __init__(self, *held: dict[str, Any]) -> None:
        self.held = held

    def get(self, key: str) -> dict[str, Any] | None:
        namespace, name = key.split("/")
        return next(
            (
                one
                for one in self.held
                if (one["metadata"]["namespace"], one["metadata"]["name"]) == (namespace, name)
            ),
            None,
        )

    def by_index(self, index: str, value: str) -> list[dict[str, Any]]:
        assert (index, value) == (BY_RESTORE_UID, UID)
        return list(self.held)


def seen(spec=SPEC, *, jobs=(), pods=(), backups=(), clusters=()):
    informers = {
        BACKUPS: Cache(*backups),
        CLUSTERS: Cache(*clusters),
        JOBS: Cache(*jobs),
        PODS: Cache(*pods),
    }
    obj = {"metadata": META, "spec": spec}
    return observe(obj, Sources(informers=informers, image="i"), now=NOW)


def ended(code, answer):
    text = answer.model_dump_json(by_alias=True)
    state = {"terminated": {"exitCode": code, "reason": "Completed", "message": text}}
    owners = [{"uid": "job-uid", "controller": True}]
    return {
        "metadata": META | {"name": "again-1", "ownerReferences": owners},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "agent", "state": state}]},
    }


@pytest.mark.parametrize("answer", [EXAMINED, failed(Reason.BACKUP_DAMAGED, "part 1")])
def test_a_pods_last_word_is_the_answer(answer):
    (attempt,) = seen(pods=[ended(0, answer)]).attempts

    assert (attempt.answer, attempt.job_uid, attempt.ended) == (answer, "job-uid", True)


def test_the_backup_is_where_its_object_says():
    found = seen(FROM_BACKUP, backups=[backup(clusterSpec=RECORDED)])

    assert isinstance(found.source, Resolved)
    assert found.source.store.path == "abc-1/once-0123abcd"
    assert found.source.store.local.claim_name == "backups"
    assert found.recorded == RECORDED


def test_a_backup_is_looked_for_where_the_spec_says():
    found = seen({**FROM_BACKUP, "backupNamespace": "other"}, backups=[backup()])

    assert isinstance(found.source, Unresolved)
    assert "namespace other" in found.source.message


def test_the_cluster_tells_who_made_it():
    made = {
        "metadata": META
        | {
            "name": "restored",
            "labels": {RESTORE_UID_LABEL: UID},
            "annotations": {RESTORE_ATTEMPT_ANNOTATION: "abc"},
        },
        "spec": TEMPLATE,
        "status": {"clusterID": "def"},
    }
    target = seen(clusters=[made]).target

    assert target is not None
    assert (target.maker, target.attempt, target.status.cluster_id) == (UID, "abc", "def")
    assert target.spec is not None
    broken = {**made, "spec": {"size": 2}}
    target = seen(clusters=[broken]).target
    assert target is not None
    assert target.spec is None


def test_what_is_wrong_is_observed_as_such():
    found = seen({"clusterName": "restored"})

    assert found.spec is None
    assert "backupName" in str(found.errors[0])


@pytest.mark.parametrize(
    ("spec", "cluster", "named"),
    [
        ({"clusterName": "db", "backupName": "once"}, "prod/db", "prod/once"),
        (
            {"clusterName": "db", "backupName": "once", "backupNamespace": "x"},
            "prod/db",
            "x/once",
        ),
        ({}, "prod/None", "prod/None"),
    ],
)
def test_restores_are_found_by_what_they_name(spec, cluster, named):
    obj = decode_object(orjson.dumps({"metadata": META, "spec": spec}), RESTORES)

    assert by_cluster(obj) == (cluster,)
    assert by_backup(obj) == (named,)


def test_what_happened_is_told_once():
    before = begun(phase="Examining")
    accept = Accept(answer=EXAMINED)
    (told,) = happenings(before, accept, None, after(before, accept))
    assert told.reason == EventReason.BACKUP_EXAMINED

    fail = Fail(answer=failed(Reason.BACKUP_DAMAGED, "part 1"))
    status = after(before, fail)
    (told,) = happenings(before, fail, None, status)
    assert (told.type, told.reason, told.message) == ("Warning", "BackupDamaged", "part 1")
    resting = begun(phase="Failed", conditions=status.conditions)
    assert happenings(resting, plan(resting), None, after(resting, plan(resting))) == ()


def test_metrics_count_failures_and_phases():
    metrics, registry = RestoreMetrics(), CollectorRegistry()
    registry.register(metrics)
    before = begun(phase="Examining")
    failure = after(before, Fail(answer=failed(Reason.BACKUP_DAMAGED, "part 1")))

    metrics.observe(before, before.status)
    metrics.observe(before, failure)
    metrics.observe(begun(phase="Failed"), failure)

    cluster = {"namespace": "prod", "cluster": "restored"}
    assert registry.get_sample_value("etcd_operator_restore_failures_total", cluster) == 1
    phases = {
        phase: registry.get_sample_value("etcd_operator_restores", {**cluster, "phase": phase})
        for phase in ("Examining", "Failed")
    }
    assert phases == {"Examining": 0, "Failed": 1}
    metrics.forget("prod/again")
    assert registry.get_sample_value("etcd_operator_restore_failures_total", cluster) is None


def test_a_restore_that_is_not_valid_has_no_metrics():
    metrics, registry = RestoreMetrics(), CollectorRegistry()
    registry.register(metrics)

    metrics.observe(observed(spec=None), observed().status)

    assert not [sample for family in registry.collect() for sample in family.samples]
