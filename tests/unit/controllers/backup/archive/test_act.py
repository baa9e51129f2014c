"""The Deployment is written to an API server with uids and versions: repeatable, ours alone."""

from __future__ import annotations

import asyncio

import pytest

from api.reasons import Reason
from controllers.backup.act import perform
from controllers.backup.archive.steps import ApplyArchiver, DeleteArchiver
from controllers.backup.outcome import Done, Rejected
from controllers.backup.plan import plan
from controllers.cluster.render.normal import differs
from controllers.resources import DEPLOYMENTS
from controllers.writer import Writer
from informers.expectations import OwnWrites
from tests.unit.controllers.backup.archive.builders import backup
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

NAME = "nightly-0123abcd-changes"
DEPLOYMENT = DEPLOYMENTS.path("prod", NAME)


@pytest.fixture
async def take(api):
    own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
    writer = Writer(api, own_writes, "prod/nightly", remaining_s=lambda: 60.0)
    return lambda step: perform(step, backup(), writer)


def live(server):
    return server.objects("deployments").get(f"prod/{NAME}")


async def test_a_deployment_is_made_once(server, take):
    step = plan(backup())

    assert await take(step) == Done()
    made = live(server)
    assert not differs(step.body, made)
    assert await take(step) == Done()
    assert live(server) == made


async def test_the_deployment_that_was_seen_is_corrected(server, take):
    await take(plan(backup()))
    uid = live(server)["metadata"]["uid"]
    step = ApplyArchiver(body=plan(backup(image="registry/operator:2")).body, uid=uid)

    assert await take(step) == Done()

    (container,) = live(server)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry/operator:2"


async def test_one_that_was_deleted_meanwhile_is_not_made_anew(server, take):
    step = ApplyArchiver(body=plan(backup()).body, uid="gone")

    assert await take(step) == Done()
    assert live(server) is None


@pytest.mark.parametrize("owners", [[], [{"uid": "theirs", "controller": True}]])
async def test_somebody_elses_deployment_is_left_alone(server, take, owners):
    server.put(DEPLOYMENT, {"metadata": {"uid": "theirs", "ownerReferences": owners}})
    before = live(server)

    outcome = await take(plan(backup()))

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.NAME_CONFLICT
    assert live(server) == before


@pytest.mark.parametrize("uid", [None, "seen"])
async def test_what_the_server_refuses_is_said_in_its_words(server, take, uid):
    if uid is not None:
        server.put(DEPLOYMENT, {"metadata": {"uid": uid}})
    server.script("patch", answer_status(403, "Forbidden", "quota used up"))

    outcome = await take(ApplyArchiver(body=plan(backup()).body, uid=uid))

    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.message) == (
        Reason.PODS_REFUSED,
        "Deployment: quota used up",
    )


async def test_only_what_was_seen_is_deleted(server, take):
    step = DeleteArchiver(name=NAME, uid="seen", why="")
    assert await take(step) == Done()  # gone already
    server.put(DEPLOYMENT, {"metadata": {"uid": "another"}})
    assert await take(step) == Done()
    assert live(server) is not None
    server.remove(DEPLOYMENT)
    server.put(DEPLOYMENT, {"metadata": {"uid": "seen"}})

    assert await take(step) == Done()

    assert live(server) is None
