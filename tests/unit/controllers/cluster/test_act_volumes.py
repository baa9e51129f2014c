"""The steps on volumes' sizes, against an API server with uids, dry runs and refusals."""

import pytest

from api.reasons import Reason
from controllers.cluster.act import perform
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan.steps import RecordSpec
from controllers.cluster.plan.volume_steps import ReleaseStatefulSet, ResizeClaims, VolumeTrial
from controllers.resources import CLAIMS, STATEFUL_SETS, STORAGE_CLASSES
from informers.errors import StatusError
from tests.unit.controllers.cluster.builders import observed
from tests.unit.controllers.cluster.steps import NO_ETCD
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

CLAIM = CLAIMS.path("prod", "data-db-0")
RESIZE = ResizeClaims(claims=(("data-db-0", "own"),), size="20Gi")


@pytest.fixture
def claim(server):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    server.put(CLAIM, {"metadata": {"uid": "own"}, "spec": spec})


def size(server):
    (stored,) = server.objects("persistentvolumeclaims").values()
    return stored["spec"]["resources"]["requests"]["storage"]


async def take(step, writer):
    return await perform(step, observed(), writer, NO_ETCD)


async def accept(writer, *, resize=RESIZE, storage_class=""):
    trial = VolumeTrial(resize=resize, storage_class=storage_class)
    return await take(RecordSpec(spec={}, why="", trial=trial), writer)


async def test_only_the_size_of_the_claim_changes(server, writer, claim):
    assert await take(RESIZE, writer) == Done()

    (stored,) = server.objects("persistentvolumeclaims").values()
    assert stored["spec"]["resources"]["requests"] == {"storage": "20Gi"}
    assert stored["spec"]["accessModes"] == ["ReadWriteOnce"]


async def test_another_claim_of_that_name_is_left_alone(server, writer, claim):
    other = ResizeClaims(claims=(("data-db-0", "former"),), size="20Gi")

    assert isinstance(await take(other, writer), Changed)
    assert size(server) == "10Gi"


async def test_a_claim_that_is_gone_keeps_nobody_else_from_growing(server, writer, claim):
    both = ResizeClaims(claims=(("data-db-7", "gone"), *RESIZE.claims), size="20Gi")

    assert await take(both, writer) == Done()
    assert size(server) == "20Gi"


async def test_trial_changes_nothing(server, writer, claim):
    assert await accept(writer) == Done()
    assert size(server) == "10Gi"


@pytest.mark.parametrize("status", [403, 422])
async def test_refusal_is_told_in_the_servers_words(server, writer, claim, status):
    reason = {403: "Forbidden", 422: "Invalid"}[status]
    server.on_every("patch", answer_status(status, reason, "the storageclass must support resize"))

    for outcome in (await accept(writer), await take(RESIZE, writer)):
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.VOLUME_REFUSED
        assert "must support resize" in outcome.message


async def test_a_server_in_trouble_refuses_nothing(server, writer, claim):
    server.script("patch", answer_status(500, "InternalError", "etcd is slow"))

    with pytest.raises(StatusError):
        await accept(writer)


async def test_class_has_to_exist(server, writer):
    outcome = await accept(writer, resize=None, storage_class="fats")
    assert outcome == Rejected(
        reason=Reason.VOLUME_REFUSED, message='There is no StorageClass "fats"'
    )

    server.put(STORAGE_CLASSES.path(name="fast"), {"metadata": {}})
    assert await accept(writer, resize=None, storage_class="fast") == Done()


async def test_who_may_not_look_at_classes_believes_the_spec(server, writer):
    server.script("get", answer_status(403, "Forbidden", "no"))

    assert await accept(writer, resize=None, storage_class="fats") == Done()


async def test_released_stateful_set_leaves_its_pods(server, writer):
    server.put(STATEFUL_SETS.path("prod", "db"), {"metadata": {"uid": "sts"}})

    assert await take(ReleaseStatefulSet(name="db", uid="sts"), writer) == Done()

    assert server.objects("statefulsets") == {}
    (deletion,) = server.seen("delete")
    assert deletion.body["propagationPolicy"] == "Orphan"
    assert deletion.body["preconditions"] == {"uid": "sts"}
