"""Which change wakes which key, and how urgently. Real queues, and a list for an informer.

Docstrings quote the controller-runtime tests whose behaviour is kept.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from api.labels import CLUSTER_UID_LABEL
from controllers.resources import CLUSTERS, PODS
from controllers.wiring import BY_UID, EnqueueIndexed, EnqueueOwner, EnqueueSelf, naming
from informers.decode import Object, decode_object
from informers.queue import WorkQueue
from informers.store import DeletedFinalStateUnknown

pytestmark = pytest.mark.looptime

CREATED = {"namespace": "ns", "name": "db", "uid": "u1", "resourceVersion": "1"}


def cluster(**changes: Any) -> Object:
    return decode_object(orjson.dumps({"metadata": CREATED | changes}), CLUSTERS)


def pod(cluster_uid: str | None = "u1", **changes: Any) -> Object:
    labels = {CLUSTER_UID_LABEL: cluster_uid} if cluster_uid else {}
    metadata = CREATED | {"name": "db-0", "labels": labels} | changes
    return decode_object(orjson.dumps({"metadata": metadata}), PODS)


class Clusters:
    """The informer of clusters, as far as a handler asks it."""

    def __init__(self, *keys_and_uids: tuple[str, str]) -> None:
        self.held = [cluster(name=name, uid=uid) for name, uid in keys_and_uids]

    def peek_index(self, index: str, value: str) -> list[Object]:
        assert index == BY_UID
        return [each for each in self.held if each.uid == value]


def handlers(queue: WorkQueue[str]) -> dict[str, tuple[Any, Any]]:
    """Both handlers, each with what makes an object of its kind."""
    clusters = Clusters(("db", "u1"), ("other", "u2"))
    return {
        "self": (EnqueueSelf(queue), cluster),
        "owner": (EnqueueOwner(queue, clusters, label=CLUSTER_UID_LABEL), pod),
    }


@pytest.fixture
async def queue() -> WorkQueue[str]:
    return WorkQueue[str]("test")


def depth(queue: WorkQueue[str]) -> dict[int, int]:
    return {priority: keys for priority, keys in queue.statistics().depth if keys}


@pytest.mark.parametrize("which", ["self", "owner"])
@pytest.mark.parametrize(("initial", "priority"), [(True, -100), (False, 0)])
async def test_q17_initial_adds_enter_at_minus_100(queue, which, initial, priority):
    """Should lower the priority of a create request for an object that was part of the initial
    list.
    """
    handler, made = handlers(queue)[which]
    handler.on_add(made(), initial=initial)

    assert depth(queue) == {priority: 1}


@pytest.mark.parametrize(
    "change",
    [
        {"deletionTimestamp": "2030-01-01T00:00:00Z"},
        {"labels": {"a": "b"}},
        {"annotations": {"a": "b"}},
        {"finalizers": ["example.com/a"]},
        {"generation": 2},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_c8_every_change_wakes_the_key(queue, change):
    EnqueueSelf(queue).on_update(cluster(), cluster(resourceVersion="2", **change))

    assert await queue.get() == "ns/db"


async def test_c10_update_wakes_the_old_and_the_new_owner(queue):
    """Should enqueue a Request with the Owners of both objects in the UpdateEvent."""
    handler, _ = handlers(queue)["owner"]
    handler.on_update(pod("u1"), pod("u2", resourceVersion="2"))

    assert sorted([await queue.get(), await queue.get()]) == ["ns/db", "ns/other"]


@pytest.mark.parametrize(
    "deleted",
    [pod(), DeletedFinalStateUnknown("ns/db-0", pod())],
    ids=["last state", "tombstone"],
)
async def test_c10_deletion_wakes_the_owner_also_by_its_tombstone(queue, deleted):
    handler, _ = handlers(queue)["owner"]
    handler.on_delete(deleted)

    assert await queue.get() == "ns/db"


@pytest.mark.parametrize("uid", [None, "u9"], ids=["no label", "unknown cluster"])
async def test_c10_object_of_nobody_wakes_nobody(queue, uid):
    handler, _ = handlers(queue)["owner"]
    handler.on_add(pod(uid), initial=False)
    handler.on_delete(DeletedFinalStateUnknown("ns/db-0", None))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await queue.get()


async def test_c10_many_objects_of_one_owner_are_one_run(queue):
    handler, _ = handlers(queue)["owner"]
    for number in range(5):
        handler.on_add(pod(name=f"db-{number}"), initial=False)

    assert len(queue) == 1


async def test_those_that_name_the_changed_object_are_woken(queue):
    class Restores:
        def peek_index(self, index, value):
            assert index == "cluster"
            return [cluster(name="again")] if value == "ns/db" else []

    handler = EnqueueIndexed(queue, naming(Restores(), "cluster"))

    handler.on_update(cluster(), cluster())
    handler.on_delete(cluster(name="other"))

    assert len(queue) == 1
    assert await queue.get() == "ns/again"
