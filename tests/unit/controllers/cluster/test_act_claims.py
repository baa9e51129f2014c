"""The steps on volume claims, against an API server with uids and versions."""

from __future__ import annotations

from typing import Any

import pytest

from api.labels import CLUSTER_UID_LABEL, MEMBERSHIP_ANNOTATION, selector_labels
from api.reasons import Reason
from controllers.cluster.act import perform
from controllers.cluster.act_claims import discard_claim
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan.steps import (
    AdoptClaims,
    AnnotateClaims,
    DiscardClaim,
    DiscardLeftovers,
)
from controllers.resources import CLAIMS, CLUSTERS, VOLUMES
from etcd.cluster import Member
from etcd.ids import MemberID
from informers.errors import TransportError
from tests.unit.controllers.cluster.builders import UID, accepted, unborn
from tests.unit.controllers.cluster.steps import NO_ETCD
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

PEER_URL = "http://db-2.db-peer.prod.svc.cluster.local:2380"


async def take(step, writer, seen=None):
    return await perform(step, seen or unborn(), writer, NO_ETCD)


def put_claim(server, name="data-db-2", uid="old", **spec):
    labels = {CLUSTER_UID_LABEL: "earlier"}
    server.put(
        CLAIMS.path("prod", name), {"metadata": {"uid": uid, "labels": labels}, "spec": spec}
    )


def claims(server):
    return {key.split("/")[1]: obj for key, obj in server.objects("persistentvolumeclaims").items()}


# ------------------------------------------------------------------ notes and adoption
async def test_record_is_noted_beside_other_annotations(server, writer):
    put_claim(server)
    annotations = {"volume.kubernetes.io/selected-node": "n1"}
    stored = claims(server)["data-db-2"]
    server.put(
        CLAIMS.path("prod", "data-db-2"),
        {**stored, "metadata": {**stored["metadata"], "annotations": annotations}},
    )

    assert await take(AnnotateClaims(claims=(("data-db-2", "old"),), record="{}"), writer) == Done()
    assert claims(server)["data-db-2"]["metadata"]["annotations"] == {
        **annotations,
        MEMBERSHIP_ANNOTATION: "{}",
    }


async def test_adopted_claim_carries_our_uid_and_what_caches_select_by(server, writer):
    put_claim(server)

    assert await take(AdoptClaims(claims=(("data-db-2", "old"),)), writer) == Done()
    assert claims(server)["data-db-2"]["metadata"]["labels"] == {
        CLUSTER_UID_LABEL: UID,
        **selector_labels("db"),
    }


@pytest.mark.parametrize("step", [AdoptClaims, DiscardLeftovers])
async def test_another_life_of_a_claim_is_not_touched(server, writer, step):
    put_claim(server, uid="new")
    server.put(CLUSTERS.path("prod", "db"), cluster())

    await take(step(claims=(("data-db-2", "old"),)), writer)

    assert claims(server)["data-db-2"]["metadata"]["labels"] == {CLUSTER_UID_LABEL: "earlier"}


async def test_claim_that_changes_while_it_is_noted_is_planned_anew(server, writer):
    put_claim(server)
    server.script("patch", answer_status(409, "Conflict", "the object has been modified"))

    outcome = await take(AnnotateClaims(claims=(("data-db-2", "old"),), record="{}"), writer)

    assert outcome == Changed(what="the object has been modified")


async def test_missing_permission_is_said_and_does_not_stop_the_care(server, writer):
    put_claim(server)
    server.script("patch", answer_status(403, "Forbidden", "no"))

    outcome = await take(AnnotateClaims(claims=(("data-db-2", "old"),), record="{}"), writer)

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.NOT_ALLOWED
    assert "patch on persistentvolumeclaims" in outcome.message


async def test_every_note_names_the_life_and_the_version_it_read(server, writer):
    put_claim(server)
    version = claims(server)["data-db-2"]["metadata"]["resourceVersion"]
    await take(AdoptClaims(claims=(("data-db-2", "old"),)), writer)
    (sent,) = server.seen("patch")

    assert sent.body["metadata"]["uid"] == "old"
    assert sent.body["metadata"]["resourceVersion"] == version


async def test_failure_half_way_leaves_the_first_claims_done(server, writer):
    put_claim(server, "data-db-0", "a")
    put_claim(server, "data-db-1", "b")
    server.script("patch", None, answer_status(500, "InternalError", "etcd is down"))

    with pytest.raises(Exception, match="etcd is down"):
        await take(AdoptClaims(claims=(("data-db-0", "a"), ("data-db-1", "b"))), writer)
    owners = [c["metadata"]["labels"][CLUSTER_UID_LABEL] for c in claims(server).values()]
    assert owners == [UID, "earlier"]


# ------------------------------------------------------------------ discarding leftovers
def cluster(uid: str = UID, policy: str = "Discard", **fields: Any) -> dict[str, Any]:
    spec = {"storage": {"existingVolumes": policy}}
    return {"metadata": {"uid": uid}, "spec": spec, **fields}


LEFTOVERS = DiscardLeftovers(claims=(("data-db-2", "old"),))


async def test_leftovers_go_as_the_spec_demands(server, writer):
    put_claim(server)
    server.put(CLUSTERS.path("prod", "db"), cluster())

    assert await take(LEFTOVERS, writer) == Done()
    assert claims(server) == {}


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(cluster(policy="Refuse"), id="taken back"),
        pytest.param(cluster(uid="another"), id="another life"),
        pytest.param(cluster(status={"appliedSpec": {"size": 3}}), id="accepted meanwhile"),
        pytest.param(
            cluster(metadata={"uid": UID, "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            id="being deleted",
        ),
        pytest.param(None, id="gone"),
    ],
)
async def test_leftovers_stay_when_the_order_no_longer_stands(server, writer, now):
    put_claim(server)
    if now is not None:
        server.put(CLUSTERS.path("prod", "db"), now)

    assert isinstance(await take(LEFTOVERS, writer), Changed)
    assert "data-db-2" in claims(server)


# ------------------------------------------------------------------ volumes of members that left
def member(url: str, *, started: bool) -> Member:
    return Member(
        id=MemberID(0xA2),
        name="db-2" if started else "",
        peer_urls=(url,),
        client_urls=("http://db-2:2379",) if started else (),
        is_learner=not started,
    )


async def discard(writer, *listed, keep=False):
    async def list_members():
        return listed

    step = DiscardClaim(
        name="data-db-2", uid="old", not_member=PEER_URL, keep_volume=keep, why="it has left"
    )
    return await discard_claim(step, accepted(), writer, list_members=list_members)


def put_volume(server, claim_uid="old"):
    spec = {"persistentVolumeReclaimPolicy": "Delete", "claimRef": {"uid": claim_uid}}
    server.put(VOLUMES.path(None, "pv-1"), {"metadata": {"name": "pv-1"}, "spec": spec})


def volume(server):
    return server.objects("persistentvolumes")["pv-1"]


async def test_volume_of_a_member_that_has_left_goes(server, writer):
    put_claim(server)

    assert await discard(writer) == Done()
    assert claims(server) == {}


async def test_volume_of_a_started_member_stays(server, writer):
    put_claim(server)

    assert isinstance(await discard(writer, member(PEER_URL, started=True)), Changed)
    assert "data-db-2" in claims(server)


async def test_volume_goes_for_a_learner_that_has_not_started(server, writer):
    put_claim(server)

    assert await discard(writer, member(PEER_URL, started=False)) == Done()
    assert claims(server) == {}


async def test_claim_made_anew_under_the_name_stays(server, writer):
    put_claim(server, uid="new")

    assert await discard(writer) == Done()
    assert "data-db-2" in claims(server)


async def test_nothing_is_deleted_when_etcd_does_not_answer(server, writer):
    put_claim(server)

    async def silent():
        raise TransportError("no quorum")

    step = DiscardClaim(name="data-db-2", uid="old", not_member=PEER_URL, keep_volume=False, why="")
    with pytest.raises(TransportError):
        await discard_claim(step, accepted(), writer, list_members=silent)
    assert "data-db-2" in claims(server)


async def test_volume_is_kept_and_labelled_before_its_claim_goes(server, writer):
    put_claim(server, volumeName="pv-1")
    put_volume(server)

    assert await discard(writer, keep=True) == Done()
    assert claims(server) == {}
    assert volume(server)["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume(server)["metadata"]["labels"] == {
        CLUSTER_UID_LABEL: UID,
        "app.kubernetes.io/instance": "db",
        "etcd.etcd.io/member": "db-2",
    }


async def test_volume_of_a_later_epoch_is_labelled_with_its_member(server, writer):
    put_claim(server, "data-3-db-2", volumeName="pv-1")
    put_volume(server)
    step = DiscardClaim(
        name="data-3-db-2", uid="old", not_member=PEER_URL, keep_volume=True, why="it has left"
    )

    assert await discard_claim(step, accepted(), writer, list_members=nobody) == Done()
    assert volume(server)["metadata"]["labels"]["etcd.etcd.io/member"] == "db-2"


async def nobody():
    return ()


async def test_claim_that_was_never_bound_keeps_nothing(server, writer):
    put_claim(server)

    assert await discard(writer, keep=True) == Done()
    assert claims(server) == {}


async def test_volume_that_is_bound_to_another_claim_is_not_touched(server, writer):
    put_claim(server, volumeName="pv-1")
    put_volume(server, claim_uid="somebody else's")

    assert isinstance(await discard(writer, keep=True), Changed)
    assert "data-db-2" in claims(server)
    assert volume(server)["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


async def test_claim_stays_where_its_volume_may_not_be_kept(server, writer):
    put_claim(server, volumeName="pv-1")
    put_volume(server)
    server.script("patch", answer_status(403, "Forbidden", "no"))

    outcome = await discard(writer, keep=True)

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.NOT_ALLOWED
    assert "persistentvolumes" in outcome.message
    assert "data-db-2" in claims(server)
