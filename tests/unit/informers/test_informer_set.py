"""One resource type over several namespaces."""

from __future__ import annotations

import pytest

from informers.informer_set import InformerSet
from informers.store import by_label
from tests.unit.informers.api_faults import answer_status
from tests.unit.informers.watching import (
    CONFIG_MAPS,
    Recorder,
    config_map,
    eventually,
    path_of,
    running,
)

pytestmark = pytest.mark.looptime


@pytest.fixture
def filled(server):
    for namespace in ("a", "b", "c"):
        server.put(path_of("x", namespace), config_map(app="etcd"))


def make(api, *namespaces: str) -> InformerSet:
    indexers = {"app": by_label("app")}
    return InformerSet(api, CONFIG_MAPS, namespaces=namespaces, indexers=indexers, streaming=False)


async def test_r31_only_the_given_namespaces_are_asked_for(server, api, filled):
    both = make(api, "a", "b")
    async with running(both):
        await server.wait_watchers(2)
        assert sorted(both.keys()) == ["a/x", "b/x"]
        assert {call.path for call in server.calls} == {
            f"/api/v1/namespaces/{namespace}/configmaps" for namespace in ("a", "b")
        }


async def test_no_namespace_means_all_in_one(server, api, filled):
    everything = make(api)
    async with running(everything):
        await server.wait_watchers(1)
        assert sorted(everything.keys()) == ["a/x", "b/x", "c/x"]
        assert {call.path for call in server.calls} == {"/api/v1/configmaps"}


async def test_it_reads_like_one_informer(server, api, filled):
    both = make(api, "a", "b")
    recorder = Recorder()
    registration = both.add_handler(recorder)
    async with running(both):
        await both.wait_synced()
        await registration.wait_synced()
        assert both.get("b/x")["metadata"]["namespace"] == "b"
        assert both.peek("a/x").key == "a/x"
        assert both.get("c/x") is None
        assert len(both.by_index("app", "etcd")) == 2
        assert sorted(recorder.events) == [("add", "a/x"), ("add", "b/x")]
        registration.remove()
        server.put(path_of("y", "a"), config_map())
        await eventually(lambda: both.get("a/y"))
    assert len(recorder.events) == 2


async def test_s9_set_has_synced_when_all_have(server, api):
    both = make(api, "a", "b")
    registration = both.add_handler(Recorder())
    server.script("list", None, answer_status(403, "Forbidden"))
    async with running(both):
        await eventually(lambda: both.last_error is not None)
        assert [informer.has_synced for informer in both.informers].count(True) == 1
        assert not both.has_synced
        assert not registration.has_synced
        assert both.last_resource_version == ""
        await both.wait_synced()
        assert both.last_error is None
        assert [each.has_synced for each in both.statistics()] == [True, True]


async def test_s19_version_is_that_of_the_keys_namespace_and_the_oldest_of_all(server, api):
    both = make(api, "a", "b")
    async with running(both):
        await server.wait_watchers(2)
        server.put(path_of("x", "b"), config_map())
        await eventually(lambda: both.last_resource_version_of("b/x") == "101")
        assert both.last_resource_version_of("a/x") == "100"
        assert both.last_resource_version_of("c/x") == ""
        assert both.last_resource_version == "100"
