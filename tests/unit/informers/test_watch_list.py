"""Streaming lists: a watch that starts with all objects; the cases of client-go's TestWatchList."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest
from aiohttp import web

from informers.informer import Informer
from tests.unit.informers.api_faults import abort, answer_bytes, answer_status, hang
from tests.unit.informers.watching import (
    CONFIG_MAPS,
    Recorder,
    config_map,
    eventually,
    path_of,
    running,
)

if TYPE_CHECKING:
    from informers.wire import KubeApi

pytestmark = pytest.mark.looptime


@pytest.fixture
def informer(api: KubeApi) -> Informer:
    return Informer(api, CONFIG_MAPS)


def event(type_: str, name: str, version: int, *, end: str | None = None) -> bytes:
    meta: dict = {"resourceVersion": str(version)} | ({"name": name} if name else {})
    if end is not None:
        meta["annotations"] = {"k8s.io/initial-events-end": end}
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta}
    return orjson.dumps({"type": type_, "object": obj}) + b"\n"


def script(server, *lines: bytes) -> None:
    """The next watch is answered with exactly these lines, and then ends."""
    server.script("watch", answer_bytes(b"".join(lines)))


async def test_r27_one_connection_brings_objects_their_end_and_changes(server, informer):
    """TestWatchList: initial objects, the bookmark that ends them, and what comes after it."""
    server.put(path_of("x"), config_map())
    async with running(informer):
        await informer.wait_synced()
        assert informer.keys() == ["a/x"]
        server.put(path_of("y"), config_map())
        await eventually(lambda: informer.last_resource_version == "102")
    assert server.seen("list") == []
    (call,) = server.seen("watch")
    assert call.params["sendInitialEvents"] == "true"
    assert call.params["resourceVersionMatch"] == "NotOlderThan"
    assert call.params["allowWatchBookmarks"] == "true"
    assert call.params["resourceVersion"] == ""


async def test_r27_later_stream_asks_for_nothing_older_than_seen(server, informer):
    """TestWatchListResourceVersion: a later stream is asked for nothing older than was seen."""
    async with running(informer):
        await server.wait_watchers()
        server.put(path_of("x"), config_map())
        await eventually(informer.keys)
        server.send_error(500, "InternalError")
        await server.wait_seen("watch", 2)
    assert [call.params["resourceVersion"] for call in server.seen("watch")] == ["", "101"]


@pytest.mark.parametrize("end", [None, "True", "false", ""])
async def test_r28_bookmark_without_the_annotation_does_not_sync(server, informer, end):
    async with running(informer):
        script(server, event("ADDED", "x", 1), event("BOOKMARK", "", 2, end=end))
        await eventually(lambda: informer.last_error is not None)
        assert not informer.has_synced
        assert informer.keys() == []


async def test_r28_modified_and_deleted_before_the_end_count(server, informer):
    recorder = Recorder()
    informer.add_handler(recorder)
    script(
        server,
        *(event("ADDED", "x", 1), event("ADDED", "y", 2), event("MODIFIED", "x", 3)),
        *(event("DELETED", "y", 4), event("BOOKMARK", "", 5, end="true"), event("ADDED", "z", 6)),
    )
    async with running(informer):
        await eventually(lambda: len(recorder.events) == 2)
    assert recorder.known == {"x": "3", "z": "6"}
    assert recorder.initial == ["x"]


async def test_r28_stream_closed_before_the_end_is_discarded(server, informer):
    server.put(path_of("x"), config_map())
    script(server, event("ADDED", "stale", 1))
    async with running(informer):
        await informer.wait_synced()
    assert informer.keys() == ["a/x"]
    assert server.seen("list") == []


@pytest.mark.parametrize(
    "step", [pytest.param(answer_status(429), id="429"), pytest.param(abort, id="aborted")]
)
async def test_r28_stream_refused_for_now_is_tried_again(server, informer, step):
    server.script("watch", step, step)
    async with running(informer):
        await informer.wait_synced()
    assert server.seen("list") == []


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(answer_status(410, "Expired"), id="expired"),
        pytest.param(
            answer_status(504, "Timeout", "Too large resource version: 9, current: 8"),
            id="too large",
        ),
    ],
)
async def test_r28_version_not_served_is_given_up(server, informer, step):
    async with running(informer):
        await server.wait_watchers()
        server.script("watch", step)
        server.send_error(500, "InternalError")
        await server.wait_seen("watch", 3)
        await server.wait_watchers()
    assert [call.params["resourceVersion"] for call in server.seen("watch")] == ["", "100", ""]
    assert server.seen("list") == []


async def test_r28_old_server_is_listed_and_asked_again_next_time(server, informer):
    server.streaming_lists = False
    server.put(path_of("x"), config_map())
    async with running(informer):
        await server.wait_watchers()
        assert informer.keys() == ["a/x"]
        server.streaming_lists = True
        server.send_error(500, "InternalError")
        await server.wait_until(lambda: len(server.seen("watch")) == 3)
        await server.wait_watchers()
    assert len(server.seen("list")) == 1
    assert server.seen("watch")[-1].params["sendInitialEvents"] == "true"


async def test_r8_initial_events_do_not_move_the_version(server, informer):
    """TestReflectorResourceVersionUpdate: what comes first comes in no order."""
    script(server, event("ADDED", "x", 900), event("ADDED", "y", 5))
    async with running(informer):
        await informer.wait_synced()
    assert [call.params["resourceVersion"] for call in server.seen("watch")] == ["", ""]


async def test_r25_managed_fields_are_not_staged(server, informer):
    obj = config_map()
    obj["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    server.put(path_of("x"), obj)
    async with running(informer):
        await informer.wait_synced()
    assert b"managedFields" not in informer.peek("a/x").raw


@pytest.mark.parametrize("sent", [b"", event("ADDED", "stale", 1)])
async def test_r29_stream_without_an_end_is_told_of_and_then_listed(server, informer, caplog, sent):
    """TestInitialEventsEndBookmarkTicker; and unlike client-go such a server can be followed."""
    server.put(path_of("x"), config_map())

    async def begin_and_stay_silent(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(sent)
        await hang(request)

    server.script("watch", begin_and_stay_silent)
    async with running(informer):
        await informer.wait_synced()
        assert 30 <= asyncio.get_running_loop().time() < 31
        await server.wait_watchers()
    assert informer.keys() == ["a/x"]
    assert len(server.seen("list")) == 1
    assert informer.statistics().reflector.idle_watches == 1
    reminders = [r.args[1] for r in caplog.records if "initial events go on" in r.msg]
    assert reminders[:2] == [10, 20]


async def test_r29_stream_that_goes_on_is_told_of_every_ten_seconds(server, informer, caplog):
    async def trickle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(1, 10):
            await response.write(event("ADDED", f"x{number}", number))
            await asyncio.sleep(5)
        await response.write(event("BOOKMARK", "", 99, end="true"))
        await hang(request)

    server.script("watch", trickle)
    async with running(informer):
        await informer.wait_synced()
        assert len(informer.keys()) == 9
        await asyncio.sleep(30)
    reminders = [r.args[1] for r in caplog.records if "initial events go on" in r.msg]
    assert reminders == [10, 20, 30, 40]


async def test_r29_streamed_set_is_the_listed_one(server, api, informer):
    """TestReflectorDataConsistencyDetector, over both ways of filling a cache."""
    listing = Informer(api, CONFIG_MAPS, streaming=False)
    for number in range(1500):
        server.put(path_of(f"x{number}"), config_map(str(number), app="etcd"))
    async with running(informer, listing):
        await informer.wait_synced()
        await listing.wait_synced()
    assert {key: informer.get(key) for key in informer.keys()} == {  # noqa: SIM118 - not a dict
        key: listing.get(key)
        for key in listing.keys()  # noqa: SIM118 - not a dict
    }
    assert informer.last_resource_version == listing.last_resource_version
    assert len(server.seen("list")) == 1
