"""The steps from one epoch to another, against an API server with uids and versions: what they were
planned by is read once more from the server itself.
"""

from __future__ import annotations

from typing import Any

import pytest

from api.labels import CLUSTER_UID_LABEL, OLD_DATA_ANNOTATION
from api.v1alpha1.cluster_status import ClusterStatus, OtherEpoch
from api.v1alpha1.restore_request import (
    COMPLETED,
    FAILED,
    PREPARING,
    PUT_BACK,
    SWITCHING,
    RestoreAnswer,
)
from controllers.cluster.act import perform
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan.epoch_steps import DeleteEpoch, RecordEpochs, SwitchEpoch
from controllers.cluster.plan.restore_steps import MakeRestorePod, MakeSeedClaim
from controllers.cluster.plan.steps import ApplyObjects
from controllers.cluster.render import desired_objects
from controllers.resources import CLAIMS, CLUSTERS, PODS, STATEFUL_SETS
from tests.unit.controllers.cluster.builders import NOW, UID, bootstrap, observed
from tests.unit.controllers.cluster.steps import NO_ETCD

pytestmark = pytest.mark.looptime


def other(epoch: int) -> OtherEpoch:
    return OtherEpoch(epoch=epoch, since=NOW, bootstrap=bootstrap(1, epoch=epoch))


def answered(phase: str) -> RestoreAnswer:
    return RestoreAnswer(restore="again", uid="u", attempt="a", phase=phase, epoch=2)


def status(epoch: int = 1, **fields: Any) -> ClusterStatus:
    known = observed(1).status
    return known.model_copy(update={"bootstrap": bootstrap(1, epoch=epoch), **fields})


def put_cluster(
    server, of: ClusterStatus, *, old_data: str = "", uid: str = UID, going: bool = False
) -> None:
    metadata: dict[str, Any] = {"uid": uid, "annotations": {OLD_DATA_ANNOTATION: old_data}}
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec = {"size": 1, "security": {"tls": {"enabled": False}}}
    body = {"metadata": metadata, "spec": spec, "status": of.to_json()}
    server.put(CLUSTERS.path("prod", "db"), body)


def put_claim(server, name: str, uid: str = "old") -> None:
    metadata = {"uid": uid, "labels": {CLUSTER_UID_LABEL: UID}}
    server.put(CLAIMS.path("prod", name), {"metadata": metadata})


def put_pod(server, name: str) -> None:
    metadata = {"uid": name, "labels": {CLUSTER_UID_LABEL: UID}}
    server.put(PODS.path("prod", name), {"metadata": metadata})


def claims(server) -> list[str]:
    return sorted(key.split("/")[1] for key in server.objects("persistentvolumeclaims"))


async def take(step, writer, seen=None):
    return await perform(step, seen or observed(1), writer, NO_ETCD)


# ------------------------------------------------------------------ one epoch becomes another
def switch() -> SwitchEpoch:
    seen = observed(1)
    assert seen.status.rendered is not None
    return SwitchEpoch(next_epoch=other(2), former=other(1), rendered=seen.status.rendered)


async def test_epochs_change_when_nobody_runs(server, writer):
    assert await take(switch(), writer) == Done()


async def test_epochs_do_not_change_beside_a_stateful_set(server, writer):
    server.put(STATEFUL_SETS.path("prod", "db"), {"metadata": {"uid": "made-again"}})

    assert await take(switch(), writer) == Changed(what="StatefulSet db is there")


@pytest.mark.parametrize("name", ["db-0", "db-7"])
async def test_epochs_do_not_change_beside_a_pod_that_no_cache_has(server, writer, name):
    put_pod(server, name)

    assert await take(switch(), writer) == Changed(what=f"pod {name} is there")


@pytest.mark.parametrize("name", ["db-probe", "db-2-restore"])
async def test_pods_that_are_no_members_do_not_count(server, writer, name):
    put_pod(server, name)

    assert await take(switch(), writer) == Done()


async def test_what_is_only_recorded_writes_nothing(server, writer):
    step = RecordEpochs(
        answer=None, next_epoch=other(2), set_aside=(), last_epoch=2, why="to be tried"
    )

    assert await take(step, writer) == Done()
    assert server.seen("patch") == server.seen("delete") == []


# ------------------------------------------------------------------ data that go
OLD = DeleteEpoch(epoch=1, claims=(("data-db-0", "old"),), why="it is no longer needed")
IN_VAIN = DeleteEpoch(epoch=2, claims=(("data-2-db-0", "old"),), why="its restore has failed")
ASIDE = {"epoch": 2, "set_aside": (other(1),), "restore": answered(COMPLETED)}


async def test_data_that_were_set_aside_go_by_the_word(server, writer):
    put_claim(server, "data-db-0")
    put_claim(server, "data-2-db-0")
    put_cluster(server, status(**ASIDE), old_data="Discard")

    assert await take(OLD, writer) == Done()
    assert claims(server) == ["data-2-db-0"]


@pytest.mark.parametrize(
    ("now", "annotated"),
    [
        pytest.param(status(**ASIDE), {"old_data": "Keep"}, id="taken back"),
        pytest.param(status(**ASIDE), {"old_data": "PutBack"}, id="to be put back"),
        pytest.param(status(**ASIDE), {"old_data": ""}, id="never said"),
        pytest.param(status(), {"old_data": "Discard"}, id="it is what the members run on"),
        pytest.param(
            status(set_aside=(other(1),), restore=answered(PUT_BACK)),
            {"old_data": "Discard"},
            id="it is current again",
        ),
        pytest.param(
            status(**ASIDE, next_epoch=other(1)), {"old_data": "Discard"}, id="on the way back"
        ),
        pytest.param(
            status(epoch=2, restore=answered(COMPLETED)), {"old_data": "Discard"}, id="not ours"
        ),
        pytest.param(
            status(**ASIDE), {"old_data": "Discard", "uid": "another"}, id="another cluster"
        ),
        pytest.param(status(bootstrap=None), {"old_data": "Discard"}, id="a status that was lost"),
    ],
)
async def test_data_stay_when_the_order_no_longer_stands(server, writer, now, annotated):
    put_claim(server, "data-db-0")
    put_cluster(server, now, **annotated)

    assert isinstance(await take(OLD, writer), Changed)
    assert claims(server) == ["data-db-0"]


async def test_data_of_a_cluster_that_is_gone_are_not_ours_to_delete(server, writer):
    put_claim(server, "data-db-0")

    assert isinstance(await take(OLD, writer), Changed)
    assert claims(server) == ["data-db-0"]


async def test_a_claim_that_was_made_again_under_the_name_stays(server, writer):
    put_claim(server, "data-db-0", uid="another")
    put_cluster(server, status(**ASIDE), old_data="Discard")

    assert isinstance(await take(OLD, writer), Changed)
    assert claims(server) == ["data-db-0"]


async def test_no_claim_of_another_epoch_goes_whatever_the_step_names(server, writer):
    put_claim(server, "data-2-db-0")
    put_cluster(server, status(**ASIDE), old_data="Discard")
    step = DeleteEpoch(epoch=1, claims=(("data-2-db-0", "old"),), why="a mistake")

    assert await take(step, writer) == Done()
    assert claims(server) == ["data-2-db-0"]


async def test_what_was_prepared_in_vain_goes_without_a_word(server, writer):
    put_claim(server, "data-2-db-0")
    put_cluster(server, status(next_epoch=other(2), restore=answered(FAILED)))

    assert await take(IN_VAIN, writer) == Done()
    assert claims(server) == []


@pytest.mark.parametrize("phase", [PREPARING, SWITCHING, COMPLETED])
async def test_what_is_still_wanted_does_not(server, writer, phase):
    put_claim(server, "data-2-db-0")
    put_cluster(server, status(next_epoch=other(2), restore=answered(phase)), old_data="Discard")

    assert isinstance(await take(IN_VAIN, writer), Changed)
    assert claims(server) == ["data-2-db-0"]


# ------------------------------------------------------------------ members that may start
def make_members() -> ApplyObjects:
    seen = observed(1)
    return ApplyObjects(
        objects=tuple(one for one in desired_objects(seen) if one["kind"] == "StatefulSet")
    )


def without_members():
    return observed(1, live={}, pods=())


async def test_members_start_on_the_data_that_are_recorded(server, writer):
    put_cluster(server, status())

    assert await take(make_members(), writer, without_members()) == Done()
    assert list(server.objects("statefulsets")) == ["prod/db"]


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(status(epoch=2), id="changed"),
        pytest.param(status(next_epoch=other(2), restore=answered(SWITCHING)), id="to be changed"),
    ],
)
async def test_a_late_operator_starts_nobody_on_data_that_others_replace(server, writer, now):
    put_cluster(server, now)

    outcome = await take(make_members(), writer, without_members())

    assert outcome == Changed(what="the cluster's data become others")
    assert server.objects("statefulsets") == {}


async def test_members_may_start_while_the_next_data_are_only_prepared(server, writer):
    put_cluster(server, status(next_epoch=other(2), restore=answered(PREPARING)))

    assert await take(make_members(), writer, without_members()) == Done()


async def test_nobody_starts_for_a_cluster_that_is_gone(server, writer):
    assert isinstance(await take(make_members(), writer, without_members()), Changed)
    assert server.objects("statefulsets") == {}


# ------------------------------------------------------------------ the next epoch's volume
def next_volume() -> MakeSeedClaim:
    metadata = {"name": "data-2-db-0", "namespace": "prod", "labels": {CLUSTER_UID_LABEL: UID}}
    return MakeSeedClaim(epoch=2, claim={"metadata": metadata, "spec": {}})


COMING = {"next_epoch": other(2), "restore": answered(PREPARING)}


def preparing():
    return observed(1, status=status(**COMING))


async def test_the_next_epochs_volume_is_made_as_it_was_recorded(server, writer):
    put_cluster(server, status(**COMING))

    assert await take(next_volume(), writer, preparing()) == Done()
    assert claims(server) == ["data-2-db-0"]


@pytest.mark.parametrize(
    ("now", "how"),
    [
        pytest.param(status(), {}, id="given up"),
        pytest.param(
            status(next_epoch=other(2).model_copy(update={"bootstrap": bootstrap(3, epoch=2)})),
            {},
            id="another record",
        ),
        pytest.param(status(**COMING), {"going": True}, id="being deleted"),
        pytest.param(status(**COMING), {"uid": "another"}, id="another life"),
    ],
)
async def test_a_late_operator_prepares_nothing(server, writer, now, how):
    put_cluster(server, now, **how)

    assert isinstance(await take(next_volume(), writer, preparing()), Changed)
    assert claims(server) == []


async def test_a_stranger_under_its_name_is_told(server, writer):
    put_cluster(server, status(**COMING))
    server.put(CLAIMS.path("prod", "data-2-db-0"), {"metadata": {"uid": "strange"}})

    outcome = await take(next_volume(), writer, preparing())

    assert isinstance(outcome, Rejected)
    assert "is not of this cluster" in outcome.message


async def test_no_pod_is_made_for_another_life_of_the_volume(server, writer):
    put_cluster(server, status(**COMING))
    put_claim(server, "data-2-db-0", uid="again")
    pod = {"metadata": {"name": "db-2-restore", "namespace": "prod"}}
    step = MakeRestorePod(epoch=2, claim=("data-2-db-0", "old"), pod=pod)

    assert await take(step, writer, preparing()) == Changed(what="volume claim data-2-db-0")
    assert server.objects("pods") == {}
