"""The steps of a backup, against an API server with uids and versions: repeatable, ours alone."""

from __future__ import annotations

import asyncio

import pytest

from api.labels import EXPIRED_ANNOTATION
from api.reasons import Reason
from controllers.backup.act import perform
from controllers.backup.outcome import Done, Rejected
from controllers.backup.plan import plan
from controllers.backup.steps import DeleteChild, DeleteJob, DeleteSelf, ExpireChild
from controllers.resources import BACKUPS, JOBS
from controllers.writer import Writer
from informers.expectations import OwnWrites
from tests.unit.controllers.backup.builders import UID, observed
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

JOB = JOBS.path("prod", "once-0123abcd-1")


@pytest.fixture
async def take(api):
    own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
    writer = Writer(api, own_writes, "prod/once", remaining_s=lambda: 60.0)
    return lambda step: perform(step, observed(), writer)


async def test_a_job_is_made_once(server, take):
    step = plan(observed())

    assert await take(step) == Done()
    made = server.objects("jobs")["prod/once-0123abcd-1"]
    assert await take(step) == Done()
    assert server.objects("jobs") == {"prod/once-0123abcd-1": made}


async def test_somebody_elses_job_is_left_alone(server, take):
    server.put(JOB, {"metadata": {"uid": "theirs"}})

    outcome = await take(plan(observed()))

    assert outcome.reason is Reason.NAME_CONFLICT
    assert server.objects("jobs")["prod/once-0123abcd-1"]["metadata"]["uid"] == "theirs"


async def test_what_the_server_refuses_is_said_in_its_words(server, take):
    server.script("create", answer_status(403, "Forbidden", "quota used up"))

    outcome = await take(plan(observed()))

    assert isinstance(outcome, Rejected)
    assert "quota used up" in outcome.message


@pytest.mark.parametrize(
    ("resource", "step"),
    [
        (JOBS, DeleteJob(name="x", uid="u1", why="")),
        (BACKUPS, DeleteChild(name="x", uid="u1")),
    ],
)
async def test_only_what_was_seen_is_deleted(server, take, resource, step):
    assert await take(step) == Done()  # gone already
    server.put(resource.path("prod", "x"), {"metadata": {"uid": "u2"}})
    assert await take(step) == Done()
    assert len(server.objects(resource.plural)) == 1
    server.remove(resource.path("prod", "x"))
    server.put(resource.path("prod", "x"), {"metadata": {"uid": "u1"}})
    assert await take(step) == Done()
    assert server.objects(resource.plural) == {}


async def test_an_expired_backup_deletes_itself(server, take):
    server.put(BACKUPS.path("prod", "once"), {"metadata": {"uid": UID}})

    assert await take(DeleteSelf()) == Done()
    assert server.objects("etcdbackups") == {}


async def test_only_what_was_seen_is_marked_as_expired(server, take):
    step = ExpireChild(name="x", uid="u1")
    assert await take(step) == Done()  # gone already
    server.put(BACKUPS.path("prod", "x"), {"metadata": {"uid": "u1"}})

    assert await take(step) == Done()

    marked = server.objects("etcdbackups")["prod/x"]["metadata"]
    assert marked["annotations"] == {EXPIRED_ANNOTATION: "true"}
