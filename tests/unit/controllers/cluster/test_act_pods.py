"""The steps on pods, against an API server with uids and versions: resizes, notes, probes."""

from __future__ import annotations

import asyncio

import pytest

from api.labels import (
    CLOSED_ANNOTATION,
    NOT_RESIZED_ANNOTATION,
    REPLACE_ANNOTATION,
    RESIZED_ANNOTATION,
)
from api.reasons import Reason
from controllers.cluster.act import perform
from controllers.cluster.happenings import happenings
from controllers.cluster.outcome import Changed, Done, NotYet, Rejected
from controllers.cluster.plan.steps import DropRequest, Plan, RefreshFiles
from controllers.cluster.plan.version_steps import (
    DeleteProbe,
    MakeBackup,
    MakeProbe,
    RefuseResize,
    ResizePod,
)
from controllers.cluster.status import next_status
from controllers.resources import CLUSTERS, PODS
from controllers.writer import Writer
from informers.errors import NotFoundError, ServerError
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster.builders import UID, observed
from tests.unit.controllers.cluster.steps import NO_ETCD
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

KEY = "prod/db"
POD = PODS.path("prod", "db-1")
WANTED = {"requests": {"cpu": "2"}}
RESIZE = ResizePod(name="db-1", uid="pod-1", resources=WANTED, revision="db-new")
REFUSE = RefuseResize(name="db-1", uid="pod-1", revision="db-new", why="Infeasible: never")
PROBE = {"metadata": {"name": "db-probe", "namespace": "prod"}, "spec": {"containers": []}}


class Hands:
    """What a reconciler writes with."""

    def __init__(self, api) -> None:
        self.own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
        self._writer = Writer(api, self.own_writes, KEY, remaining_s=lambda: 60.0)

    async def take(self, step):
        return await perform(step, observed(), self._writer, NO_ETCD)

    def waiting(self, up_to):
        seen = self.own_writes.waiting_for(KEY, lambda *_: up_to)
        return tuple(version for _, _, version in seen)


@pytest.fixture
async def hands(api) -> Hands:
    return Hands(api)


def put_pod(server, uid="pod-1", **annotations):
    server.put(POD, {"metadata": {"uid": uid, "annotations": {"theirs": "x", **annotations}}})


def notes(server):
    return server.objects("pods")["prod/db-1"]["metadata"]["annotations"]


def told(step, outcome):
    """The reasons of the events about the step itself."""
    seen = observed()
    made = Plan(rule="resize", step=step)
    seen_before = next_status(seen, made, None)
    news = happenings(seen, made, outcome, seen_before)
    return {one.reason for one in news} & {"MemberResized", "MemberRestarted"}


# ------------------------------------------------------------------ resize
async def test_order_is_noted_before_the_resize_is_asked_for(server, hands):
    put_pod(server)

    assert await hands.take(RESIZE) == Done()
    note, resize = server.seen("patch")
    assert note.body == {
        "metadata": {"annotations": {RESIZED_ANNOTATION: "db-new"}, "uid": "pod-1"}
    }
    assert (note.path, resize.path) == (POD, f"{POD}/resize")
    assert resize.headers["Content-Type"] == "application/strategic-merge-patch+json"
    assert resize.body == {
        "metadata": {"uid": "pod-1"},
        "spec": {"containers": [{"name": "etcd", "resources": WANTED}]},
    }
    assert notes(server) == {"theirs": "x", RESIZED_ANNOTATION: "db-new"}
    assert told(RESIZE, Done()) == {"MemberResized"}


async def test_both_writes_hold_the_key_until_the_cache_has_seen_them(server, hands):
    put_pod(server)
    before = str(server.revision)
    await hands.take(RESIZE)

    assert hands.waiting(up_to=before) == (str(server.revision),)
    assert hands.waiting(up_to=str(server.revision)) == ()


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        pytest.param(404, "NotFound", "the server could not find the resource", id="before 1.33"),
        pytest.param(403, "Forbidden", "exceeded quota: all", id="quota, admission or RBAC"),
        pytest.param(422, "Invalid", "Pod QOS Class may not change", id="never for this pod"),
        pytest.param(400, "BadRequest", "pod resize is not supported", id="never at all"),
    ],
)
async def test_what_the_server_refuses_is_noted_and_not_told_as_done(
    server, hands, code, reason, message
):
    put_pod(server)
    server.script("patch", None, answer_status(code, reason, message))

    outcome = await hands.take(RESIZE)

    assert isinstance(outcome, Changed)
    assert message in outcome.what
    assert notes(server) == {"theirs": "x", NOT_RESIZED_ANNOTATION: "db-new"}
    assert told(RESIZE, outcome) == set()


@pytest.mark.parametrize(("code", "error"), [(500, ServerError), (503, ServerError)])
async def test_server_that_is_not_well_refuses_nothing(server, hands, code, error):
    put_pod(server)
    server.script("patch", None, answer_status(code, "InternalError", "etcd is slow"))

    with pytest.raises(error):
        await hands.take(RESIZE)
    assert notes(server) == {"theirs": "x", RESIZED_ANNOTATION: "db-new"}


async def test_pod_of_another_life_is_neither_noted_nor_resized(server, hands):
    put_pod(server, uid="another")

    assert isinstance(await hands.take(RESIZE), Changed)
    assert notes(server) == {"theirs": "x"}
    assert len(server.seen("patch")) == 1


async def test_pod_that_is_made_anew_between_note_and_resize_is_left(server, hands):
    put_pod(server)

    async def made_anew(_):
        server.remove(POD)
        put_pod(server, uid="another")

    server.script("patch", None, made_anew)

    assert isinstance(await hands.take(RESIZE), Changed)
    assert notes(server) == {"theirs": "x"}


async def test_pod_that_is_gone_is_no_refusal_of_its_server(server, hands):
    with pytest.raises(NotFoundError):
        await hands.take(RESIZE)
    assert len(server.seen("patch")) == 1


async def test_refusal_of_the_node_takes_the_order_off(server, hands):
    put_pod(server, **{RESIZED_ANNOTATION: "db-new"})

    assert await hands.take(REFUSE) == Done()
    assert notes(server) == {"theirs": "x", NOT_RESIZED_ANNOTATION: "db-new"}


async def test_refusal_is_not_noted_on_a_pod_of_another_life(server, hands):
    put_pod(server, uid="another")

    assert isinstance(await hands.take(REFUSE), Changed)
    assert notes(server) == {"theirs": "x"}


# ------------------------------------------------------------------ other notes
async def test_closed_file_is_noted_with_the_members_id(server, hands):
    put_pod(server)

    assert await hands.take(RefreshFiles(name="db-1", uid="pod-1", member="b7")) == Done()
    assert notes(server) == {"theirs": "x", CLOSED_ANNOTATION: "b7"}


async def test_note_that_is_refused_for_good_holds_nothing_up(server, hands):
    put_pod(server)
    server.script("patch", answer_status(403, "Forbidden", "pods are sealed"))

    outcome = await hands.take(RefreshFiles(name="db-1", uid="pod-1", member="b7"))

    assert outcome == NotYet(message="Kubernetes refuses a note on pod db-1: pods are sealed")


@pytest.mark.parametrize(
    ("asked", "rest"),
    [("db-1", None), ("db-0, db-1", "db-0"), ("db-0", "db-0")],
    ids=["alone", "beside another", "by the pod alone"],
)
async def test_request_is_taken_off_the_list_and_off_the_pod(server, hands, asked, rest):
    put_cluster(server, asked)
    put_pod(server, **{REPLACE_ANNOTATION: "true"})

    assert await hands.take(DropRequest(name="db-1")) == Done()
    assert on_cluster(server) == rest
    assert notes(server) == {"theirs": "x"}


async def test_request_that_is_changed_meanwhile_is_not_overwritten(server, hands):
    put_cluster(server, "db-1")
    put_pod(server)

    async def another(_):
        put_cluster(server, "db-1,db-2")

    server.script("patch", another)

    assert isinstance(await hands.take(DropRequest(name="db-1")), Changed)
    assert on_cluster(server) == "db-1,db-2"


def put_cluster(server, asked):
    annotations = {REPLACE_ANNOTATION: asked}
    server.put(CLUSTERS.path("prod", "db"), {"metadata": {"uid": UID, "annotations": annotations}})


def on_cluster(server):
    return server.objects("etcdclusters")[KEY]["metadata"]["annotations"].get(REPLACE_ANNOTATION)


# ------------------------------------------------------------------ probe
async def test_probe_is_made_once(server, hands):
    assert await hands.take(MakeProbe(pod=PROBE)) == Done()
    assert await hands.take(MakeProbe(pod=PROBE)) == Changed(what="Pod db-probe exists")


async def test_probe_that_admission_refuses_is_told_in_its_words(server, hands):
    server.script("create", answer_status(403, "Forbidden", "image is not on the list"))

    outcome = await hands.take(MakeProbe(pod=PROBE))

    assert outcome == Rejected(
        reason=Reason.PROBE_FAILED, message="Pod db-probe can't be made: image is not on the list"
    )


async def test_backup_is_made_once_and_a_refusal_quoted(server, hands):
    backup = {"kind": "EtcdBackup", "metadata": {"name": "db-last", "namespace": "prod"}}
    step = MakeBackup(backup=backup, why="it is time")

    assert await hands.take(step) == Done()
    assert await hands.take(step) == Changed(what="EtcdBackup db-last exists")

    server.script("create", answer_status(422, "Invalid", "spec.s3.bucket must be set"))
    assert await hands.take(step) == Rejected(
        reason=Reason.NOT_SAVED,
        message="EtcdBackup db-last can't be made: spec.s3.bucket must be set",
    )


@pytest.mark.parametrize(("uid", "outcome"), [("mine", Done), ("another", Changed)])
async def test_only_the_observed_probe_is_deleted(server, hands, uid, outcome):
    server.put(PODS.path("prod", "db-probe"), {"metadata": {"uid": uid}})
    step = DeleteProbe(name="db-probe", uid="mine", why="it has served its purpose")

    assert isinstance(await hands.take(step), outcome)
    assert bool(server.objects("pods")) == (outcome is Changed)
