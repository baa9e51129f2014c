"""The Deployment and its pod as the caches have them, and as they are asked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from api.labels import ARCHIVER_COMPONENT, COMPONENT_LABEL
from api.reasons import Reason
from controllers.backup.archive.ask import asked
from controllers.backup.archive.observed import Silence, read_archiver
from controllers.backup.order import failed
from controllers.pod_pages import PageError
from tests.unit.controllers.backup.archive.builders import at_work, deployment, pod, report

BEGAN = "2026-03-01T11:50:00Z"


def raw_pod(name="changes-0", *, created="2026-03-01T11:49:00Z", status=None, **metadata):
    labels = {COMPONENT_LABEL: ARCHIVER_COMPONENT}
    meta = {"name": name, "uid": f"uid-{name}", "creationTimestamp": created, "labels": labels}
    return {"metadata": meta | metadata, "status": status or {}}


def container(state=None, last=None):
    status = {"name": "agent", "state": state or {}, "lastState": last or {}}
    return {"podIP": "10.0.0.7", "containerStatuses": [status]}


def test_there_is_none_without_a_deployment():
    assert read_archiver([], [raw_pod()]) is None


def test_a_deployment_without_a_pod_says_why():
    live = deployment()
    live["status"] = {
        "conditions": [
            {"type": "Available", "status": "False", "message": "other"},
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"},
        ]
    }

    found = read_archiver([live], [])

    assert (found.pod, found.refusal) == (None, "exceeded quota")
    assert (found.name, found.uid) == (live["metadata"]["name"], "deployment-uid")
    assert not found.terminating
    assert read_archiver([deployment(deletionTimestamp=BEGAN)], []).terminating


def test_a_pod_that_runs():
    running = raw_pod(status=container({"running": {"startedAt": BEGAN}}))

    found = read_archiver([deployment()], [running]).pod

    assert (found.name, found.address) == ("changes-0", "10.0.0.7")
    assert found.started == datetime(2026, 3, 1, 11, 50, tzinfo=UTC)
    assert (found.obstacle, found.last_words) == (None, "")


def test_a_pod_that_ended_has_its_last_words():
    ended = {"terminated": {"exitCode": 1, "message": "x" * 600 + " no such key\n"}}
    again = raw_pod(status=container({"waiting": {"reason": "CrashLoopBackOff"}}, ended))

    found = read_archiver([deployment()], [again]).pod

    assert found.started is None
    assert found.last_words.endswith("x no such key")
    assert len(found.last_words) == 500


@pytest.mark.parametrize("state", [{"terminated": {}}, {"waiting": {"reason": "CrashLoopBackOff"}}])
def test_a_pod_that_ended_with_an_answer_says_why(state):
    said = failed(Reason.ENCRYPTION_KEY_REFUSED, "no key").model_dump_json(by_alias=True)
    ended = {"terminated": {"exitCode": 3, "message": said}}
    now = ended if "terminated" in state else state
    again = raw_pod(status=container(now, ended))

    found = read_archiver([deployment()], [again]).pod

    assert (found.failure.reason, found.failure.message) == (
        Reason.ENCRYPTION_KEY_REFUSED,
        "no key",
    )
    assert found.last_words == ""


def test_what_a_pod_that_runs_said_before_is_no_longer_of_interest():
    ended = {"terminated": {"exitCode": 1, "message": "no such key"}}
    running = raw_pod(status=container({"running": {"startedAt": BEGAN}}, ended))

    assert read_archiver([deployment()], [running]).pod.last_words == ""


def test_a_pod_that_can_not_start():
    missing = {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
    waiting = raw_pod(status=container({"waiting": missing}))

    reason, words = read_archiver([deployment()], [waiting]).pod.obstacle

    assert reason is Reason.CONTAINER_CONFIG_ERROR
    assert 'secret "keys" not found' in words


def test_of_several_pods_the_newest_that_stays_counts():
    going = raw_pod("going", created="2026-03-01T11:59:00Z", deletionTimestamp=BEGAN)
    of_a_job = raw_pod("snapshot", created="2026-03-01T11:58:00Z", labels={})
    new = raw_pod("new", created="2026-03-01T11:57:00Z")
    old = raw_pod("old")

    assert read_archiver([deployment()], [old, going, of_a_job, new]).pod.name == "new"
    assert read_archiver([deployment()], [going, of_a_job]).pod is None


class Pages:
    """The pods' pages: what was asked for, and one answer for all."""

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    async def get(self, **call):
        self.calls.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def unasked():
    return at_work(report=None)


async def test_the_pod_is_asked_how_far_it_is():
    pages = Pages(report().model_dump_json(by_alias=True).encode())

    found = await asked(unasked(), "prod", pages)

    assert found.report == report()
    (call,) = pages.calls
    assert (call["namespace"], call["pod"], call["address"]) == ("prod", "changes-0", "10.0.0.7")
    assert (call["port"], call["path"]) == (8080, "/status")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (PageError("no answer within 3 s"), "no answer within 3 s"),
        (b"<html>", "what it says is no report: the page: "),
    ],
)
async def test_silence_and_what_is_no_report_are_values(answer, why):
    found = await asked(unasked(), "prod", Pages(answer))

    assert isinstance(found.report, Silence)
    assert why in found.report.why


@pytest.mark.parametrize("nobody", [None, pod(started=None), pod(address="")])
async def test_nobody_is_asked_who_is_not_there(nobody):
    pages = Pages(b"")
    archiver = at_work(pod=nobody, report=None)

    assert await asked(archiver, "prod", pages) == archiver
    assert pages.calls == []
