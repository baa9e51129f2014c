"""The steps that write, against an API server with uids and versions.

What is sent, and what happens when the world is not as it was observed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.labels import FIELD_MANAGER
from api.reasons import Reason
from controllers.cluster.act import perform
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import ApplyObjects, DeleteClaims, DeletePod
from controllers.cluster.render import desired_objects
from controllers.resources import CLAIMS, CLUSTERS, PODS, SERVICES
from controllers.writer import LeaseTooShortError, Writer
from informers.errors import ConflictError, TransportError
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster.builders import UID, accepted, unborn
from tests.unit.controllers.cluster.steps import NO_ETCD
from tests.unit.informers.api_faults import answer_status, hang

pytestmark = pytest.mark.looptime

KEY = "prod/db"


PEER = SERVICES.path("prod", "db-peer")


class Hands:
    """What a reconciler writes with; `lease_s`: how long our Lease holds."""

    def __init__(self, api) -> None:
        self.lease_s = float("inf")
        self.own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
        self.writer = Writer(api, self.own_writes, KEY, remaining_s=lambda: self.lease_s)

    async def apply(self, **changes: Any):
        """Apply the peer Service of an accepted cluster, as if observed with these changes."""
        seen = accepted(**changes)
        return await perform(ApplyObjects(objects=(peer_service(),)), seen, self.writer, NO_ETCD)

    def waiting(self, up_to: str) -> tuple[str, ...]:
        seen = self.own_writes.waiting_for(KEY, lambda *_: up_to)
        return tuple(version for _, _, version in seen)


@pytest.fixture
async def hands(api) -> Hands:
    return Hands(api)


def peer_service() -> dict[str, Any]:
    return next(o for o in desired_objects(accepted()) if o["metadata"]["name"] == "db-peer")


def live(obj: dict[str, Any]) -> dict[str, Any]:
    return {"live": {(obj["kind"], obj["metadata"]["name"]): obj}}


def stored(server) -> dict[str, Any]:
    return server.objects("services")[f"{KEY}-peer"]


# ------------------------------------------------------------------ apply
async def test_c14_apply_sends_all_we_own_and_says_who_we_are(server, hands):
    assert await hands.apply() == Done()
    assert await hands.apply(**live(stored(server))) == Done()
    first, second = server.seen("patch")

    assert first.headers["Content-Type"] == "application/apply-patch+yaml"
    assert first.params == {"fieldManager": FIELD_MANAGER, "force": "false"}
    assert second.params == {"fieldManager": FIELD_MANAGER, "force": "true"}
    assert first.body["spec"] == second.body["spec"] == peer_service()["spec"]
    assert {"apiVersion", "kind"} <= first.body.keys()
    assert first.body["metadata"]["name"] == "db-peer"
    assert "managedFields" not in first.body["metadata"]


async def test_c15_object_that_was_deleted_meanwhile_is_not_made_anew(server, hands):
    await hands.apply()
    ours = stored(server)
    server.remove(PEER)

    assert isinstance(await hands.apply(**live(ours)), Changed)
    assert server.objects("services") == {}


async def test_c15_object_of_another_uid_is_not_written_to(server, hands):
    await hands.apply()
    ours = stored(server)
    server.remove(PEER)
    server.put(PEER, {"metadata": {"uid": "new"}, "spec": {"theirs": True}})

    assert isinstance(await hands.apply(**live(ours)), Changed)
    assert stored(server)["spec"] == {"theirs": True}


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [{"kind": "EtcdCluster", "name": "db", "uid": "earlier life", "controller": True}],
        [{"kind": "EtcdCluster", "name": "db", "uid": UID}],
    ],
    ids=["nobody", "another", "not as controller"],
)
async def test_c11_c13_object_of_somebody_else_is_not_adopted(server, hands, owners):
    """Should return an error if object is already owned by another controller."""
    server.put(PEER, {"metadata": {"ownerReferences": owners}, "spec": {"theirs": True}})

    outcome = await hands.apply()

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.NAME_CONFLICT
    assert "Service db-peer" in outcome.message
    assert stored(server)["spec"] == {"theirs": True}


async def test_c11_each_object_has_one_controller_in_its_own_namespace():
    for obj in desired_objects(accepted()):
        (owner,) = obj["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (UID, True)
        assert obj["metadata"]["namespace"] == "prod"


async def test_c13_conflict_is_planned_anew(server, hands):
    server.script("patch", answer_status(409, "Conflict", "Apply failed with 1 conflict"))

    assert await hands.apply() == Changed(what="Apply failed with 1 conflict")


async def test_c18_stale_cache_makes_no_second_object(server, hands):
    """Names are the cluster's own: what the cache does not show yet is found under them."""
    await hands.apply()
    uid = stored(server)["metadata"]["uid"]
    await hands.apply()

    assert list(server.objects("services")) == [f"{KEY}-peer"]
    assert server.seen("patch")[-1].body["metadata"]["uid"] == uid


async def test_namespace_that_is_going_is_no_error(server, hands):
    causes = {"causes": [{"reason": "NamespaceTerminating"}]}
    refusal = answer_status(403, "Forbidden", "it is being terminated", details=causes)
    server.script("patch", refusal)

    assert await hands.apply() == Changed(what="it is being terminated")


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_spec_that_fails_its_dry_run_is_rejected_and_leaves_nothing(server, hands, status):
    server.script("patch", answer_status(status, "Refused", "spec.template: bad"))
    seen = unborn()
    made = plan(seen).step

    outcome = await perform(made, seen, hands.writer, NO_ETCD)

    assert outcome == Rejected(reason=Reason.TEMPLATE_REFUSED, message="spec.template: bad")
    assert server.objects("statefulsets") == {}


async def test_spec_that_the_server_refuses_is_rejected_in_its_words(server, hands):
    server.script("patch", answer_status(422, "Invalid", "spec.ports: Required value"))

    expected = Rejected(reason=Reason.TEMPLATE_REFUSED, message="spec.ports: Required value")
    assert await hands.apply() == expected


# ------------------------------------------------------------------ own writes
async def test_c20_every_write_holds_its_key_until_the_cache_has_seen_it(server, hands):
    await hands.apply()
    version = stored(server)["metadata"]["resourceVersion"]

    assert hands.waiting(up_to="100") == (version,)
    assert hands.waiting(up_to=version) == ()


async def test_c20_status_and_patch_are_writes_too(server, hands):
    path = CLUSTERS.path("prod", "db")
    obj = server.put(path, {"metadata": {}, "spec": {}})
    await hands.writer.patch(CLUSTERS, "prod", "db", {"metadata": {"finalizers": ["x"]}})
    patched = server.objects("etcdclusters")[KEY]

    assert hands.waiting(up_to=obj["metadata"]["resourceVersion"]) == (
        patched["metadata"]["resourceVersion"],
    )
    await hands.writer.replace_status(CLUSTERS, {**patched, "status": {"phase": "Running"}})
    assert hands.waiting(up_to=patched["metadata"]["resourceVersion"]) == (str(server.revision),)


async def test_c16_status_is_not_written_over_what_was_not_read(server, hands):
    path = CLUSTERS.path("prod", "db")
    read = server.put(path, {"metadata": {}, "status": {"phase": "Creating"}})
    server.put(path, {"metadata": {}, "status": {"phase": "Running"}})

    with pytest.raises(ConflictError):
        await hands.writer.replace_status(CLUSTERS, {**read, "status": {"phase": "Failed"}})
    assert server.objects("etcdclusters")[KEY]["status"] == {"phase": "Running"}


# ------------------------------------------------------------------ destruction
def dying_cluster(uid: str = UID, policy: str = "Delete", **metadata: Any) -> dict[str, Any]:
    stamp = {"deletionTimestamp": "2026-01-01T00:00:00Z", **metadata}
    return {"metadata": {"uid": uid, **stamp}, "spec": {"storage": {"deletionPolicy": policy}}}


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(dying_cluster(policy="Retain"), id="policy taken back"),
        pytest.param(dying_cluster(deletionTimestamp=None), id="not being deleted"),
        pytest.param(dying_cluster(uid="another"), id="another life"),
        pytest.param(None, id="gone"),
    ],
)
async def test_c21_data_is_deleted_only_on_an_order_that_still_stands(server, hands, cluster):
    server.put(CLAIMS.path("prod", "data-db-0"), {"metadata": {"uid": "claim"}})
    if cluster is not None:
        server.put(CLUSTERS.path("prod", "db"), without_nulls(cluster))

    outcome = await perform(
        DeleteClaims(claims=(("data-db-0", "claim"),)), accepted(), hands.writer, NO_ETCD
    )

    assert isinstance(outcome, Changed)
    assert server.objects("persistentvolumeclaims")


def without_nulls(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in obj["metadata"].items() if value is not None}
    return {**obj, "metadata": metadata}


@pytest.mark.parametrize(
    ("resource", "step"),
    [
        (PODS, DeletePod(name="gone-wrong", uid="old", why="it is down")),
        (CLAIMS, DeleteClaims(claims=(("gone-wrong", "old"),))),
    ],
    ids=["pod", "claim"],
)
@pytest.mark.parametrize(("uid", "outcome"), [("old", Done), ("new", Changed)])
async def test_c21_only_the_observed_life_of_an_object_is_deleted(
    server, hands, resource, step, uid, outcome
):
    server.put(resource.path("prod", "gone-wrong"), {"metadata": {"uid": uid}})
    server.put(CLUSTERS.path("prod", "db"), dying_cluster())

    assert isinstance(await perform(step, accepted(), hands.writer, NO_ETCD), outcome)
    assert bool(server.objects(resource.plural)) == (outcome is Changed)


async def test_c21_deleting_what_is_gone_is_done(server, hands):
    server.put(CLUSTERS.path("prod", "db"), dying_cluster())
    step = DeleteClaims(claims=(("gone", "old"),))

    assert await perform(step, accepted(), hands.writer, NO_ETCD) == Done()


# ------------------------------------------------------------------ our Lease
async def test_l7_no_write_is_sent_when_our_lease_is_nearly_over(server, hands):
    hands.lease_s = 1.0
    with pytest.raises(LeaseTooShortError):
        await hands.writer.patch(PODS, "prod", "db-0", {})

    assert server.calls == []


async def test_l7_write_that_hangs_ends_before_our_lease_does(server, hands):
    hands.lease_s = 4.0
    server.on_every("*", hang)
    with pytest.raises(TransportError):
        await hands.writer.patch(PODS, "prod", "db-0", {})

    assert asyncio.get_running_loop().time() <= 3.1
