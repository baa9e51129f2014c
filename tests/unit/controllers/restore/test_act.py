"""The steps of a restore, against an API server with uids and versions: repeatable, ours alone."""

from __future__ import annotations

import asyncio

import pytest

from api.labels import RESTORE_ANNOTATION, RESTORE_UID_LABEL
from api.reasons import Reason
from controllers.backup.outcome import Done, Rejected
from controllers.resources import CLUSTERS, JOBS
from controllers.restore.act import perform
from controllers.restore.plan import plan
from controllers.restore.steps import AskCluster, DeleteJob
from controllers.writer import Writer
from informers.expectations import OwnWrites
from tests.unit.controllers.restore.builders import UID, begun, in_place, target
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

RESTORED = CLUSTERS.path("prod", "restored")


@pytest.fixture
async def take(api):
    own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
    writer = Writer(api, own_writes, "prod/again", remaining_s=lambda: 60.0)
    return lambda step: perform(step, begun(), writer)


@pytest.mark.parametrize("phase", ["Pending", "Running"])
async def test_what_is_made_is_made_once(server, take, phase):
    step = plan(begun(phase=phase))
    kind = "jobs" if phase == "Pending" else "etcdclusters"

    assert await take(step) == Done()
    made = dict(server.objects(kind))
    assert await take(step) == Done()
    assert server.objects(kind) == made
    assert len(made) == 1


@pytest.mark.parametrize(
    ("phase", "path", "reason"),
    [
        ("Running", RESTORED, Reason.TARGET_EXISTS),
        ("Pending", None, Reason.NAME_CONFLICT),
    ],
)
async def test_what_is_somebody_elses_is_left_alone(server, take, phase, path, reason):
    step = plan(begun(phase=phase))
    path = path or JOBS.path("prod", step.body["metadata"]["name"])
    theirs = {"metadata": {"uid": "theirs", "labels": {RESTORE_UID_LABEL: "another"}}}
    server.put(path, theirs)

    assert (await take(step)).reason is reason
    kind = "etcdclusters" if phase == "Running" else "jobs"
    (found,) = server.objects(kind).values()
    assert found["metadata"]["uid"] == "theirs"


async def test_what_the_server_refuses_is_said_in_its_words(server, take):
    server.script("create", answer_status(422, "Invalid", "spec.size must be odd"))

    outcome = await take(plan(begun(phase="Running")))

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.TEMPLATE_REFUSED
    assert "spec.size must be odd" in outcome.message


async def test_only_the_job_that_was_seen_is_deleted(server, take):
    step = DeleteJob(name="x", uid="u1", why="")
    assert await take(step) == Done()  # gone already
    server.put(JOBS.path("prod", "x"), {"metadata": {"uid": "u2"}})
    assert await take(step) == Done()
    assert "prod/x" in server.objects("jobs")


async def test_the_cluster_is_asked_as_it_was_looked_at_or_not_at_all(server, take):
    server.put(CLUSTERS.path("prod", "db"), {"metadata": {"uid": "cluster-uid"}})
    version = server.objects("etcdclusters")["prod/db"]["metadata"]["resourceVersion"]

    def ask(**fields):
        seen = target(**{"resource_version": version} | fields)
        step = plan(begun(in_place(), phase="Running", target=seen))
        assert isinstance(step, AskCluster)
        return step

    def annotations():
        return server.objects("etcdclusters")["prod/db"]["metadata"].get("annotations", {})

    assert await take(ask(resource_version="1234567")) == Done()
    assert await take(ask(uid="another")) == Done()
    assert annotations() == {}
    assert await take(ask()) == Done()
    assert UID in annotations()[RESTORE_ANNOTATION]
