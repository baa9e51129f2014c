"""Why a Job has no pod, which its controller tells by an event alone."""

from __future__ import annotations

import pytest

from controllers.refused_pods import with_refusals
from controllers.resources import EVENTS
from tests.unit.controllers.backup.builders import NOW, attempt, job

pytestmark = pytest.mark.looptime

QUOTA = "Error creating: pods is forbidden: failed quota: small: must specify limits.cpu"


def tell(server, name, message, at):
    event = {"metadata": {}, "message": message, "lastTimestamp": at}
    server.put(EVENTS.path("prod", name), event)


async def test_the_newest_words_about_a_job_without_a_pod_are_observed(server, api):
    tell(server, "a", QUOTA, "2026-03-01T12:00:20Z")
    tell(server, "b", "older", "2026-03-01T12:00:10Z")

    jobs = await with_refusals([job()], [], "prod", api)

    assert [one.refusal for one in jobs] == [QUOTA]
    (call,) = server.seen("list")
    assert call.params["fieldSelector"] == "involvedObject.uid=job-uid,reason=FailedCreate"


@pytest.mark.parametrize(
    ("jobs", "attempts"),
    [
        ((), ()),
        ((job(),), (attempt(),)),
        ((job(complete=True),), ()),
        ((job(failure="f", failed_at=NOW),), ()),
        ((job(terminating=True),), ()),
    ],
    ids=["no-job", "pod", "complete", "failed", "terminating"],
)
async def test_where_there_is_nothing_to_ask_nobody_is_asked(server, api, jobs, attempts):
    assert await with_refusals(jobs, attempts, "prod", api) == jobs
    assert server.seen("list") == []
