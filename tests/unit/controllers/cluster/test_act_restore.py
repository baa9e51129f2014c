"""The steps that fill a restored cluster's first volume, against an API server with uids and
versions: whoever acts late finds out, and what is somebody else's is left alone.
"""

from __future__ import annotations

import dataclasses

import pytest

from api.labels import CLUSTER_UID_LABEL
from api.reasons import Reason
from controllers.cluster.act import perform
from controllers.cluster.outcome import Changed, Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    DeleteSeedClaim,
    MakeRestorePod,
    MakeSeedClaim,
)
from controllers.resources import CLAIMS, CLUSTERS, PODS
from tests.unit.controllers.cluster.builders import UID
from tests.unit.controllers.cluster.steps import NO_ETCD
from tests.unit.controllers.cluster.test_restoring import accepted, after, with_claim
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

CLAIM_PATH = CLAIMS.path("prod", "data-db-0")
POD_PATH = PODS.path("prod", "db-1-restore")


def put_cluster(server, seen, **metadata):
    """The EtcdCluster as the server has it, with the record that `seen` has."""
    body = {
        "apiVersion": "etcd.etcd.io/v1alpha1",
        "kind": "EtcdCluster",
        "metadata": {"uid": UID, "generation": 1, **metadata},
        "spec": seen.spec.to_json(),
        "status": seen.status.to_json(),
    }
    server.put(CLUSTERS.path("prod", "db"), body)


def put_claim(server, seen, **metadata):
    uid = seen.status.bootstrap.restore.claim
    labels = {CLUSTER_UID_LABEL: UID}
    server.put(CLAIM_PATH, {"metadata": {"uid": uid, "labels": labels, **metadata}, "spec": {}})


def planned(seen, kind):
    step = plan(seen).step
    assert isinstance(step, kind)
    return step


async def take(step, seen, writer):
    return await perform(step, seen, writer, NO_ETCD)


async def test_the_claim_and_the_pod_are_made_as_the_record_says(server, writer):
    seen = accepted()
    put_cluster(server, seen)
    assert await take(planned(seen, MakeSeedClaim), seen, writer) == Done()
    (made,) = server.objects("persistentvolumeclaims").values()
    claimed = dataclasses.replace(with_claim().claims[0], uid=made["metadata"]["uid"])

    seen = after(dataclasses.replace(seen, claims=(claimed,)))
    put_cluster(server, seen)
    assert await take(planned(seen, MakeRestorePod), seen, writer) == Done()
    assert list(server.objects("pods")) == ["prod/db-1-restore"]


def forgets(seen):
    return dataclasses.replace(seen, status=seen.status.model_copy(update={"bootstrap": None}))


def is_done(seen):
    bootstrap = seen.status.bootstrap
    restore = bootstrap.restore.model_copy(update={"done": True})
    after = bootstrap.model_copy(update={"restore": restore})
    return dataclasses.replace(seen, status=seen.status.model_copy(update={"bootstrap": after}))


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda server, seen: None,
        lambda server, seen: put_cluster(server, seen, uid="another-life"),
        lambda server, seen: put_cluster(
            server, seen, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x/y"]
        ),
        lambda server, seen: put_cluster(server, forgets(seen)),
        lambda server, seen: put_cluster(server, is_done(seen)),
    ],
    ids=["gone", "another cluster", "being deleted", "without a record", "done"],
)
@pytest.mark.parametrize("kind", [MakeSeedClaim, DeleteSeedClaim, MakeRestorePod])
async def test_nothing_is_made_or_deleted_by_a_record_that_is_another_by_now(
    server, writer, kind, meanwhile
):
    seen = accepted() if kind is MakeSeedClaim else with_claim()
    step = DeleteSeedClaim(epoch=1, name="data-db-0", uid="claim-0")
    if kind is not DeleteSeedClaim:
        step = planned(seen, kind)
    if kind is not MakeSeedClaim:
        put_claim(server, seen)
    before = dict(server.objects("persistentvolumeclaims"))
    meanwhile(server, seen)

    assert await take(step, seen, writer) == Changed(what="the record of the restore")
    assert server.objects("persistentvolumeclaims") == before
    assert not server.objects("pods")


async def test_two_records_that_are_not_there_are_not_the_same(server, writer):
    """A step of an epoch that neither side knows any more is nobody's."""
    seen = accepted()
    step = dataclasses.replace(planned(seen, MakeSeedClaim), epoch=7)
    put_cluster(server, seen)

    assert await take(step, seen, writer) == Changed(what="the record of the restore")
    assert not server.objects("persistentvolumeclaims")


@pytest.mark.parametrize(
    "there",
    [None, {"uid": "another"}, {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}],
    ids=["gone", "another", "going"],
)
async def test_the_pod_is_made_for_the_claim_that_was_recorded_or_not_at_all(server, writer, there):
    seen = with_claim()
    put_cluster(server, seen)
    if there is not None:
        put_claim(server, seen, **there)

    assert isinstance(await take(planned(seen, MakeRestorePod), seen, writer), Changed)
    assert not server.objects("pods")


@pytest.mark.parametrize(
    ("kind", "path", "reason"),
    [
        (MakeSeedClaim, CLAIM_PATH, Reason.LEFTOVER_VOLUMES),
        (MakeRestorePod, POD_PATH, Reason.NAME_CONFLICT),
    ],
)
async def test_what_has_the_name_and_is_somebody_elses_is_told_and_left_alone(
    server, writer, kind, path, reason
):
    seen = accepted() if kind is MakeSeedClaim else with_claim()
    put_cluster(server, seen)
    if kind is MakeRestorePod:
        put_claim(server, seen)
    server.put(path, {"metadata": {"uid": "theirs", "labels": {CLUSTER_UID_LABEL: "another"}}})

    outcome = await take(planned(seen, kind), seen, writer)

    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason
    assert "is not of this cluster: delete it" in outcome.message
    kinds = "persistentvolumeclaims" if kind is MakeSeedClaim else "pods"
    (found,) = server.objects(kinds).values()
    assert found["metadata"]["uid"] == "theirs"


async def test_what_is_there_already_and_ours_is_looked_at_anew(server, writer):
    """Made by an operator whose answer was lost."""
    seen = with_claim()
    put_cluster(server, seen)
    put_claim(server, seen)
    step = planned(seen, MakeRestorePod)

    assert await take(step, seen, writer) == Done()
    assert await take(step, seen, writer) == Changed(what="Pod db-1-restore exists")


async def test_what_the_server_refuses_is_said_in_its_words(server, writer):
    seen = with_claim()
    put_cluster(server, seen)
    put_claim(server, seen)
    server.script("create", answer_status(403, "Forbidden", "exceeded quota: pods"))

    outcome = await take(planned(seen, MakeRestorePod), seen, writer)

    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.PODS_REFUSED
    assert "exceeded quota: pods" in outcome.message


async def test_only_the_very_pod_that_was_seen_is_deleted(server, writer):
    server.put(POD_PATH, {"metadata": {"uid": "new"}})
    gone = DeleteRestorePod(name="db-1-restore", uid="old", why="it has ended")

    await take(gone, with_claim(), writer)
    assert list(server.objects("pods")) == ["prod/db-1-restore"]

    await take(dataclasses.replace(gone, uid="new"), with_claim(), writer)
    assert not server.objects("pods")
