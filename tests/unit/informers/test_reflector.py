"""The reflector against a real HTTP server on loopback, in virtual time.

Names begin with the rule they ask for; docstrings give the tests of client-go (tools/cache) and
kopf that ask for the same. Lists here are plain ones: see test_watch_list.py for the other kind.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest

from informers.errors import (
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    ServerError,
    TransportError,
    UnreadableError,
)
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
    from tests.unit.informers.api_server import ApiServer

pytestmark = pytest.mark.looptime


def event(type_: str, obj: dict) -> bytes:
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    return orjson.dumps({"type": type_, "object": head | obj}) + b"\n"


TOO_LARGE = answer_status(
    504, "Timeout", details={"causes": [{"reason": "ResourceVersionTooLarge", "message": "later"}]}
)
TOO_LARGE_OLD_SERVER = answer_status(504, "Timeout", "Too large resource version: 9, current: 8")
FOREIGN = {"name": "foreign", "resourceVersion": "900"}


@pytest.fixture
def informer(api: KubeApi) -> Informer:
    return Informer(api, CONFIG_MAPS, streaming=False)


def versions(server: ApiServer, verb: str) -> list[str | None]:
    return [call.params.get("resourceVersion") for call in server.seen(verb)]


def now() -> float:
    return asyncio.get_running_loop().time()


# ---------------------------------------------------------------------- versions and waits
async def test_r6_watch_starts_where_the_list_ended(server, informer):
    """TestReflectorListAndWatch: what was there, then what comes, from the list's version."""
    server.put(path_of("before"), config_map("1"))
    async with running(informer):
        await server.wait_watchers()
        assert informer.has_synced
        server.put(path_of("after"), config_map("2"))
        await eventually(lambda: sorted(informer.keys()) == ["a/after", "a/before"])
    assert versions(server, "list") == ["0"]
    assert versions(server, "watch") == ["101"]


async def test_r1_r12_expired_list_is_asked_for_the_newest(server, informer):
    """TestReflectorFullListIfExpired: 410 of the watch, then of the list, then ""."""
    async with running(informer):
        await server.wait_watchers()
        server.put(path_of("x"), config_map())
        await eventually(informer.keys)
        server.script("list", answer_status(410, "Expired"))
        server.send_error(410, "Expired", "too old resource version")
        await server.wait_seen("list", 3)
        await server.wait_watchers()
    assert versions(server, "list") == ["0", "101", None]


async def test_r12_watch_refused_with_410_lists_at_the_last_version(server, informer):
    """The watch itself is answered 410; the list at the last version is served, so that is all."""
    server.expired_as_status = True
    async with running(informer):
        await server.wait_watchers()
        server.put(path_of("unseen"), config_map())
        server.bookmark()  # the cache is now behind what compaction leaves
        server.script("watch", answer_status(410, "Gone"))
        server.end_watches()
        await server.wait_seen("list", 2)
        await server.wait_watchers()
    assert versions(server, "list") == ["0", "102"]
    assert versions(server, "watch") == ["100", "102", "102"]


async def test_r12_version_is_named_again_after_a_success(server, informer):
    """TestReflectorExpiredExactResourceVersion: refused once, later lists name a version again."""
    server.script("list", answer_status(410, "Expired"))
    async with running(informer):
        await server.wait_watchers()
        server.send_error(500, "InternalError")
        await server.wait_seen("list", 3)
    assert versions(server, "list") == ["0", None, "100"]


@pytest.mark.parametrize(
    "refusal",
    [pytest.param(TOO_LARGE, id="cause"), pytest.param(TOO_LARGE_OLD_SERVER, id="message")],
)
async def test_r13_too_large_version_lists_the_newest_at_once(server, informer, refusal):
    """TestReflectorFullListIfTooLarge: the newest state is asked for at once, without a pause."""
    server.script("list", refusal)
    async with running(informer):
        await informer.wait_synced()
        assert now() < 0.1
    assert versions(server, "list") == ["0", None]


async def test_r13_server_that_went_back_in_time_is_listed_anew(server, informer):
    """After its etcd was restored a server knows no such version; the cache follows it back."""
    for name in ("kept", "lost", "late"):
        server.put(path_of(name), config_map())
    async with running(informer):
        await server.wait_watchers()
        with server.unseen():
            server.remove(path_of("lost"))
        server.rewind(50)
        server.send_error(410, "Expired")
        await eventually(lambda: informer.last_resource_version == "50")
    assert versions(server, "list")[-2:] == ["103", None]
    assert sorted(informer.keys()) == ["a/kept", "a/late"]


async def test_r14_429_rewatches_same_rv(server, informer):
    """TestNoRelistOnTooManyRequests: neither as HTTP status nor as ERROR event."""
    server.script("watch", answer_status(429, "TooManyRequests"))
    async with running(informer):
        await server.wait_watchers()
        server.send_error(429, "TooManyRequests")
        await server.wait_seen("watch", 3)
        await server.wait_watchers()
    assert versions(server, "list") == ["0"]
    assert versions(server, "watch") == ["100", "100", "100"]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(answer_status(429, headers={"Retry-After": "20"}), id="header"),
        pytest.param(answer_status(429, details={"retryAfterSeconds": 20}), id="details"),
    ],
)
async def test_r14_429_waits_as_long_as_the_server_says(server, informer, refusal):
    """TestBackoffOnTooManyRequests: no watch before the server's own time is over."""
    server.script("watch", refusal)
    async with running(informer):
        await informer.wait_synced()
        before = now()
        await server.wait_watchers()
        assert 20 <= now() - before < 21


async def test_r9_bookmarks_move_the_version_as_events_do(server, informer):
    """TestReflectorResourceVersionUpdate: every event moves it, and so does a bookmark."""
    async with running(informer):
        await server.wait_watchers()
        seen = [informer.last_resource_version]
        for step in (
            lambda: server.put(path_of("x"), config_map("1")),
            lambda: server.put(path_of("x"), config_map("2")),
            server.bookmark,
            lambda: server.remove(path_of("x")),
        ):
            step()
            expected = str(server.revision)
            await eventually(lambda e=expected: informer.last_resource_version == e)
            seen.append(informer.last_resource_version)
        server.end_watches()
        await server.wait_seen("watch", 2)
    assert seen == ["100", "101", "102", "103", "104"]
    assert versions(server, "watch") == ["100", "104"]


async def test_r22_silent_watch_is_reopened_from_the_last_version(server, informer):
    """Kopf's test_inactivity_reconnects_with_last_resource_version: after 90 s without a byte."""
    async with running(informer):
        await server.wait_watchers()
        server.frozen = True
        server.put(path_of("unseen"), config_map())
        before = now()
        await asyncio.sleep(1)
        server.frozen = False  # for the next connection; on this one the event is lost
        await server.wait_seen("watch", 2)
        assert 90 <= now() - before < 92
        await eventually(lambda: informer.keys() == ["a/unseen"])
    assert versions(server, "list") == ["0"]
    assert versions(server, "watch")[:2] == ["100", "100"]


async def test_r22_bookmark_is_a_sign_of_life(server, informer):
    """Kopf's test_bookmark_event_resets_inactivity_timer."""
    async with running(informer):
        await server.wait_watchers()
        for _ in range(3):
            await asyncio.sleep(60)
            server.bookmark()
        await eventually(lambda: informer.last_resource_version == "103")
    assert len(server.seen("watch")) == 1


async def test_r10_watches_that_end_at_once_are_no_hot_loop(server, informer):
    """TestReflectorHandleWatchResultChanClosedBefore: asked a few times a minute, not in a loop."""
    server.on_every("watch", answer_bytes(b""))
    async with running(informer):
        await asyncio.sleep(120)
    assert 4 <= len(server.seen("watch")) <= 10
    assert informer.statistics().reflector.short_watches == len(server.seen("watch"))


async def test_r10_bookmark_before_the_end_is_no_event(server, informer):
    line = event("BOOKMARK", {"metadata": {"resourceVersion": "100"}})
    server.on_every("watch", answer_bytes(line))
    async with running(informer):
        await asyncio.sleep(120)
    assert len(server.seen("watch")) <= 10


async def test_r10_watch_that_ends_after_an_event_is_reopened_at_once(server, informer):
    """TestReflectorHandleWatchResultChanClosedAfter: from that event."""
    async with running(informer):
        await server.wait_watchers()
        server.put(path_of("x"), config_map())
        server.end_watches()
        before = now()
        await server.wait_seen("watch", 2)
        assert now() - before < 0.5
    assert versions(server, "watch") == ["100", "101"]
    assert versions(server, "list") == ["0"]


async def test_r7_watch_asks_for_bookmarks_and_a_random_timeout(server, informer):
    """TestWatchTimeout."""
    async with running(informer):
        for count in range(1, 9):
            await server.wait_seen("watch", count)
            await server.wait_watchers()
            await asyncio.sleep(2)
            server.end_watches()
            await server.wait_watchers(0)
    asked = [int(call.params["timeoutSeconds"]) for call in server.seen("watch")]
    assert all(300 <= seconds <= 600 for seconds in asked)
    assert len(set(asked)) > 1
    assert {call.params["allowWatchBookmarks"] for call in server.seen("watch")} == {"true"}


async def test_r19_backoff_doubles_from_800_ms_to_4_s(server, informer):
    """As TestReflectorListAndWatchInitConnBackoff, with a lower end: see ADR 12."""
    server.on_every("list", answer_status(503))
    times = []
    async with running(informer):
        for count in range(1, 7):
            await server.wait_seen("list", count)
            times.append(now())
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for gap, least in zip(gaps, (0.8, 1.6, 3.2, 4, 4), strict=True):
        assert least <= gap < 2 * least + 0.2


# ---------------------------------------------------------------------- paging
async def test_r3_list_is_paged_where_etcd_answers(server, informer):
    """TestReflectorPaginatingNonConsistentReadsIfWatchCacheDisabled, and the list stays whole."""
    server.watch_cache = False
    for number in range(1201):
        server.put(path_of(f"x{number}"), config_map())
    async with running(informer):
        await server.wait_watchers()
        assert len(informer.keys()) == 1201
        server.send_error(500)
        await server.wait_until(lambda: len(server.seen("list")) == 6)
    pages = [call.params for call in server.seen("list")]
    assert [page.get("limit") for page in pages] == ["500"] * 6
    assert [page.get("resourceVersion") for page in pages] == ["0", None, None, "1301", None, None]


async def test_r3_list_at_a_real_version_has_no_limit(server, informer):
    """TestReflectorNotPaginatingNotConsistentReads: a limit would pass the server's cache by."""
    async with running(informer):
        await server.wait_watchers()
        server.send_error(500)
        await server.wait_seen("list", 2)
    assert [call.params.get("limit") for call in server.seen("list")] == ["500", None]


async def test_r4_expired_page_costs_one_full_list(server, informer):
    """TestListPager_List: a token that expired between pages costs one list without limit."""
    server.watch_cache = False
    for number in range(1001):
        server.put(path_of(f"x{number}"), config_map())
    server.script("list", None, answer_status(410, "Expired"))
    async with running(informer):
        await informer.wait_synced()
    assert len(informer.keys()) == 1001
    assert [call.params for call in server.seen("list")][2] == {"resourceVersion": "0"}


# ---------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("step", "error"),
    [
        pytest.param(abort, TransportError, id="reset"),
        pytest.param(answer_status(403, "Forbidden"), ForbiddenError, id="403"),
        pytest.param(answer_status(404, "NotFound"), NotFoundError, id="404"),
        pytest.param(answer_status(500, "InternalError"), ServerError, id="500"),
        pytest.param(answer_status(410, "Expired"), ExpiredError, id="410 whatever is asked"),
        pytest.param(answer_bytes(b"<html>"), UnreadableError, id="not JSON"),
        pytest.param(answer_bytes(b'{"kind":"Table","metadata":{"resourceVersion":"1"}}'),
                     UnreadableError, id="table"),
        pytest.param(answer_bytes(b'{"kind":"List","metadata":{},"items":[]}'),
                     UnreadableError, id="list without version"),
    ],
)  # fmt: skip
async def test_r18_error_is_visible_until_it_is_over(server, informer, step, error):
    server.on_every("list", step)
    async with running(informer):
        await eventually(lambda: informer.last_error is not None)
        assert isinstance(informer.last_error, error)
        assert informer.statistics().failing_since_s is not None
        assert not informer.has_synced
        server.on_every("list", None)
        await informer.wait_synced()
        assert informer.last_error is None
        assert informer.statistics().failing_since_s is None


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
async def test_r15_refused_watch_is_reopened_without_a_list(server, informer, code):
    server.script("watch", answer_status(code), answer_status(code))
    async with running(informer):
        await eventually(lambda: informer.last_error is not None)
        await server.wait_watchers()
        await eventually(lambda: informer.last_error is None)
    assert len(server.seen("list")) == 1
    assert set(versions(server, "watch")) == {"100"}


async def test_r15_broken_connection_costs_no_list(server, informer):
    """TestRetryWatcher: a broken connection costs no list, and no event is lost or told twice."""
    recorder = Recorder()
    informer.add_handler(recorder)
    async with running(informer):
        for number in range(3):
            await server.wait_watchers()
            server.put(path_of(f"x{number}"), config_map())
            server.abort_watches()
            await server.wait_watchers(0)
        await eventually(lambda: len(recorder.events) == 3)
    assert len(server.seen("list")) == 1
    assert [key for _, key in recorder.events] == ["a/x0", "a/x1", "a/x2"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"type":"ADDED","object":{"kind"\n', id="broken JSON"),
        pytest.param(event("ADDED", {}), id="no metadata"),
        pytest.param(event("ADDED", {"metadata": {"name": "x"}}), id="no version"),
        pytest.param(event("BOOKMARK", {"metadata": {}}), id="bookmark without version"),
        pytest.param(b'{"type":"ERROR","object":{}}\n', id="empty error"),
        pytest.param(b'{"type":"ERROR","object":{"code":500}}\n', id="error without reason"),
    ],
)
async def test_r11_r23_unusable_event_causes_a_list(server, informer, line):
    async with running(informer):
        await server.wait_watchers()
        server.send_line(line)
        await server.wait_seen("list", 2)
        await server.wait_watchers()
        assert informer.last_error is None


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(event("CELEBRATED", {"metadata": FOREIGN}), id="unknown type"),
        pytest.param(event("ADDED", {"metadata": FOREIGN, "kind": "Pod"}), id="other kind"),
        pytest.param(b"\n", id="blank line"),
    ],
)
async def test_r23_foreign_event_is_skipped(server, informer, line):
    """TestReflectorWatchHandler: it is no object of ours, and its version is none either."""
    async with running(informer):
        await server.wait_watchers()
        server.send_line(line)
        server.put(path_of("x"), config_map())
        await eventually(lambda: informer.last_resource_version == "101")
    assert informer.keys() == ["a/x"]
    assert len(server.seen("watch")) == 1


async def test_r8_watch_always_names_the_version_of_a_list(server, informer):
    """Without one a server sends what is there first, in no order of versions."""
    server.script("list", answer_status(410, "Expired"), None, answer_status(410, "Expired"))
    async with running(informer):
        await server.wait_watchers()
        server.send_error(500)
        await server.wait_seen("watch", 2)
    assert versions(server, "list") == ["0", None, "100", None]
    assert versions(server, "watch") == ["100", "100"]


async def test_r16_errors_in_every_watch_cause_no_storm_of_lists(server, informer):
    """A list each time, as what the error hid is unknown; but no more than the backoff allows."""
    failure = {"code": 500, "reason": "InternalError", "message": "etcd is away"}
    line = orjson.dumps({"type": "ERROR", "object": failure}) + b"\n"
    server.on_every("watch", answer_bytes(line))
    async with running(informer):
        await asyncio.sleep(120)
        assert isinstance(informer.last_error, ServerError)
    assert 4 <= len(server.seen("list")) <= 8


@pytest.mark.parametrize("code", [401, 403, 404])
async def test_r18_informer_outlives_hours_of_refusals(server, informer, code):
    async with running(informer):
        await server.wait_watchers()
        server.on_every("*", answer_status(code))
        server.end_watches()
        await asyncio.sleep(7200)
        assert informer.last_error.status == code
        assert len(server.seen("watch")) < 300
        server.put(path_of("x"), config_map())
        server.on_every("*", None)
        await eventually(lambda: informer.keys() == ["a/x"])


async def test_r18_watch_goes_on_with_a_renewed_token(server, source, informer):
    """The old one is refused, a new one is there: no pause, no error to be seen."""

    async def only_new(request):
        if request.headers["Authorization"] == "Bearer new":
            return None
        return await answer_status(401, "Unauthorized")(request)

    async with running(informer):
        await server.wait_watchers()
        source.renewed.append(replace(source.endpoint, authorization="Bearer new"))
        server.on_every("*", only_new)
        await asyncio.sleep(2)
        server.end_watches()
        await server.wait_seen("watch", 3)
        await server.wait_watchers()
    assert informer.statistics().reflector.failures == 0


async def test_r25_managed_fields_are_stored_neither_from_lists_nor_from_watches(server, informer):
    managed = config_map("1")
    managed["metadata"]["managedFields"] = [{"manager": "kubelet", "fieldsV1": {"f:data": {}}}]
    server.put(path_of("listed"), managed)
    async with running(informer):
        await server.wait_watchers()
        server.put(path_of("watched"), managed)
        await eventually(lambda: len(informer.keys()) == 2)
    for name in ("listed", "watched"):
        obj = informer.peek(f"a/{name}")
        assert b"managedFields" not in obj.raw
        assert obj["data"] == {"value": "1"}


async def test_r23_line_cut_off_at_the_end_is_fetched_again(server, informer):
    async with running(informer):
        await server.wait_watchers()
        server.send_line(b'{"type":"ADDED","obj')
        server.end_watches()
        await server.wait_seen("watch", 2)
    assert versions(server, "watch") == ["100", "100"]
    assert len(server.seen("list")) == 1


async def test_r17_object_deleted_unsafely_is_evicted(server, informer):
    """TestReflectorReplacesStoreOnUnsafeDelete: it ends the watch, and the next list is without."""
    server.put(path_of("corrupt"), config_map())
    async with running(informer):
        await server.wait_watchers()
        with server.unseen():
            server.remove(path_of("corrupt"))
        server.send_error(500, "StorageReadError", "object was deleted unsafely")
        await eventually(lambda: informer.keys() == [])


async def test_r24_six_megabyte_event_line_is_read(server, informer):
    """Line readers of asyncio and aiohttp refuse such lines; ours has no limit."""
    big = "x" * 6_000_000
    async with running(informer):
        await server.wait_watchers()
        server.put(path_of("big"), config_map(big))
        await eventually(informer.keys)
        assert informer.get("a/big")["data"]["value"] == big
    assert len(server.seen("watch")) == 1


# ---------------------------------------------------------------------- cancellation
@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_r26_cancel_during_a_request_ends_at_once(server, informer, verb):
    """client-go only abandons its list; here nothing is left behind."""
    server.on_every(verb, hang)
    async with running(informer):
        await server.wait_seen(verb)
        before = now()
    assert now() == before


async def test_r26_cancel_during_backoff_ends_at_once(server, informer):
    server.on_every("list", answer_status(500, headers={}))
    async with running(informer):
        await eventually(lambda: informer.last_error is not None)
        before = now()
    assert now() == before


async def test_r26_cancel_during_a_watch_ends_at_once(server, informer):
    """TestReflectorStopWatch."""
    async with running(informer):
        await server.wait_watchers()
        before = now()
    assert now() == before
    await server.wait_watchers(0)
