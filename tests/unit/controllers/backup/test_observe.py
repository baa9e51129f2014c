"""What the caches hold, as the planner sees it: Jobs, pods with their last words, children."""

from __future__ import annotations

from typing import Any

import pytest

from api.reasons import Reason
from controllers.backup.happenings import happenings
from controllers.backup.metrics import BackupMetrics
from controllers.backup.observe import BY_BACKUP_UID, BY_SCHEDULE_UID, Sources, observe
from controllers.backup.order import Failed, failed, read_answer
from controllers.backup.plan import plan
from controllers.backup.status import next_status
from controllers.pod_pages import DirectPages
from controllers.resources import BACKUPS, CLUSTERS, DEPLOYMENTS, JOBS, PODS
from tests.unit.controllers.backup.builders import NOW, SAVED

CREATED = "2026-03-01T11:00:00Z"
SPEC = {"clusterName": "db", "storageType": "Local", "local": {"claimName": "backups"}}
META = {
    "name": "once",
    "namespace": "prod",
    "uid": "backup-uid",
    "resourceVersion": "1",
    "generation": 1,
    "creationTimestamp": CREATED,
}
JOB = {"metadata": META | {"name": "once-backup-u-1", "uid": "job-uid"}}


class Cache:
    """An informer, as far as an observation asks it."""

    def __init__(self, index: str = "", *held: dict[str, Any]) -> None:
        self.index, self.held = index, held

    def get(self, key: str) -> dict[str, Any] | None:
        return next((one for one in self.held if one["metadata"]["name"] == key[5:]), None)

    def by_index(self, index: str, value: str) -> list[dict[str, Any]]:
        assert value == META["uid"]
        return list(self.held) if index == self.index else []


def seen(*, jobs=(), pods=(), children=(), clusters=(), deployments=(), spec=SPEC, **annotations):
    informers = {
        BACKUPS: Cache(BY_SCHEDULE_UID, *children),
        CLUSTERS: Cache("", *clusters),
        JOBS: Cache(BY_BACKUP_UID, *jobs),
        PODS: Cache(BY_BACKUP_UID, *pods),
        DEPLOYMENTS: Cache(BY_BACKUP_UID, *deployments),
    }
    obj = {"metadata": META | {"annotations": annotations}, "spec": spec}
    return observe(obj, Sources(informers=informers, image="i", pages=DirectPages()), now=NOW)


def pod(phase="Running", **status):
    owners = [{"uid": "job-uid", "controller": True}]
    meta = META | {"name": "once-1", "ownerReferences": owners}
    return {"metadata": meta, "status": {"phase": phase, **status}}


def ended(phase, code, message, reason="Completed"):
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return pod(phase, containerStatuses=[{"name": "agent", "state": state}])


def test_a_pods_last_word_is_the_result():
    attempts = seen(jobs=[JOB], pods=[ended("Succeeded", 0, SAVED.model_dump_json(by_alias=True))])

    (attempt,) = attempts.attempts
    assert (attempt.answer, attempt.job_uid, attempt.ended) == (SAVED, "job-uid", True)


def test_a_pods_last_word_is_a_failure():
    said = failed(Reason.STORE_FORBIDDEN, "403").model_dump_json(by_alias=True)

    (attempt,) = seen(pods=[ended("Failed", 3, said, "Error")]).attempts

    assert (attempt.answer.reason, attempt.answer.message) == (Reason.STORE_FORBIDDEN, "403")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (ended("Failed", 137, "", "OOMKilled"), "exit code 137 (OOMKilled)"),
        (ended("Failed", 1, "a log\nTraceback", "Error"), "exit code 1 (Error): a log\nTraceback"),
        (pod("Failed", reason="Evicted", message="low on disk"), "low on disk"),
    ],
)
def test_a_pod_that_ended_without_a_result(found, words):
    (attempt,) = seen(pods=[found]).attempts

    assert (attempt.answer, attempt.last_words) == (None, words)


def test_a_pod_that_can_not_start():
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
    status = {"containerStatuses": [{"name": "agent", "state": {"waiting": waiting}}]}

    (attempt,) = seen(pods=[pod("Pending", **status)]).attempts

    reason, words = attempt.obstacle
    assert reason is Reason.CONTAINER_CONFIG_ERROR
    assert 'secret "keys" not found' in words


@pytest.mark.parametrize(
    ("condition", "complete", "failure"),
    [
        ({"type": "Complete", "status": "True"}, True, None),
        (
            {
                "type": "Failed",
                "status": "True",
                "message": "backoff",
                "lastTransitionTime": CREATED,
            },
            False,
            "backoff",
        ),
        ({"type": "Failed", "status": "False"}, False, None),
    ],
)
def test_a_jobs_end(condition, complete, failure):
    (job,) = seen(jobs=[JOB | {"status": {"conditions": [condition]}}]).jobs

    assert (job.complete, job.failure) == (complete, failure)


@pytest.mark.parametrize(
    ("status", "phase", "completed", "message"),
    [
        ({}, "", None, ""),
        ({"phase": "Pending", "conditions": []}, "Pending", None, ""),
        (
            {
                "phase": "Completed",
                "completionTime": "2026-03-01T11:00:09Z",
                "conditions": [
                    {"type": "Stalled", "status": "False", "message": "other"},
                    {"type": "Ready", "status": "True", "message": "100 bytes"},
                ],
            },
            "Completed",
            NOW.replace(hour=11, minute=0, second=9),
            "100 bytes",
        ),
    ],
)
def test_a_child_as_it_stands(status, phase, completed, message):
    scheduled = {"etcd.etcd.io/scheduled-at": CREATED}
    made = {"metadata": META | {"annotations": scheduled}, "spec": SPEC, "status": status}

    (found,) = seen(children=[made]).children

    assert (found.phase, found.completed, found.message) == (phase, completed, message)


@pytest.mark.parametrize("annotation", [None, "soon", "2026-03-01T02:00:00"])
def test_what_only_looks_like_a_child_is_left_alone(annotation):
    annotations = {} if annotation is None else {"etcd.etcd.io/scheduled-at": annotation}
    stranger = {"metadata": META | {"annotations": annotations}, "spec": SPEC}

    assert seen(children=[stranger]).children == ()


@pytest.mark.parametrize(("value", "expired"), [("true", True), ("false", False), ("", False)])
def test_only_true_expires_a_backup(value, expired):
    marks = {"etcd.etcd.io/expired": value}
    scheduled = {"etcd.etcd.io/scheduled-at": CREATED}
    made = {"metadata": META | {"annotations": scheduled | marks}, "spec": SPEC}

    found = seen(children=[made], **marks)

    assert found.expired is expired
    assert found.children[0].expired is expired


@pytest.mark.parametrize("text", ["", "{}", "[1]", "panic", '{"failed": 1}', '{"startedAt": "x"}'])
def test_what_is_no_answer_is_none(text):
    assert read_answer(text) is None


def test_a_failure_that_a_later_release_names_keeps_its_words():
    answer = read_answer('{"failed": "OfTomorrow", "message": "m"}')

    assert isinstance(answer, Failed)
    assert (answer.reason, answer.message) == (Reason.UNKNOWN, "m")


def test_events_tell_of_each_thing_once_and_metrics_count_it():
    metrics = BackupMetrics()
    said = failed(Reason.STORE_FORBIDDEN, "403").model_dump_json(by_alias=True)
    end = {"type": "Failed", "status": "True", "message": "m", "lastTransitionTime": CREATED}
    given_up = {"conditions": [end]}
    observed = seen(jobs=[JOB | {"status": given_up}], pods=[ended("Failed", 3, said, "Error")])
    told = []
    for _ in range(2):
        step = plan(observed)
        status = next_status(observed, step, None)
        told += [one.reason for one in happenings(observed, step, None, status)]
        metrics.observe(observed, status)
        observed = type(observed)(
            **{name: getattr(observed, name) for name in observed.__dataclass_fields__}
            | {"status": status}
        )

    assert told == ["StoreForbidden"]
    samples = {
        (sample.name, sample.labels.get("phase")): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }
    assert samples["etcd_operator_backup_failures_total", None] == 1
    assert samples["etcd_operator_backups", "Failed"] == 1
    metrics.forget("prod/once")
    assert not [sample for family in metrics.collect() for sample in family.samples]
