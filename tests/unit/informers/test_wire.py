"""The wire against a real HTTP server on loopback: what is sent, and what becomes of answers."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from informers import errors, transport
from informers.wire import JSON_PATCH, STRATEGIC_MERGE_PATCH, connect_to
from tests.unit.informers.api_faults import abort, answer_bytes, answer_status, hang, slow
from tests.unit.informers.watching import CONFIG_MAPS, config_map, path_of

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def stored(server):
    return server.put(path_of("x"), config_map("1"))


X = {"namespace": "a", "name": "x"}


# ---------------------------------------------------------------------- verbs
async def test_get_returns_the_object(api, stored):
    assert await api.get(CONFIG_MAPS, **X) == stored


async def test_create_twice_is_already_exists(api):
    body = {"metadata": {"name": "x"}}
    created = await api.create(CONFIG_MAPS, body, namespace="a")
    assert created["metadata"]["uid"]
    with pytest.raises(errors.AlreadyExistsError):
        await api.create(CONFIG_MAPS, body, namespace="a")


async def test_dry_run_changes_nothing(server, api, stored):
    await api.create(CONFIG_MAPS, {"metadata": {"name": "y"}}, namespace="a", dry_run=True)
    await api.apply(CONFIG_MAPS, {"data": {"b": "2"}}, **X, field_manager="me", dry_run=True)
    assert server.objects("configmaps") == {"a/x": stored}


async def test_replace_of_an_outdated_version_is_a_conflict(server, api, stored):
    server.put(path_of("x"), config_map("2"))
    with pytest.raises(errors.ConflictError):
        await api.replace(CONFIG_MAPS, stored, **X)


async def test_apply_is_forced_and_names_its_manager(server, api):
    applied = await api.apply(CONFIG_MAPS, {"data": {"a": "1"}}, **X, field_manager="me")
    assert applied["data"] == {"a": "1"}
    (call,) = server.seen("patch")
    assert call.headers["Content-Type"] == "application/apply-patch+yaml"
    assert call.params == {"fieldManager": "me", "force": "true"}


async def test_apply_with_a_uid_does_not_create_anew(api):
    with pytest.raises(errors.ConflictError):
        await api.apply(CONFIG_MAPS, {"metadata": {"uid": "u"}}, **X, field_manager="me")


@pytest.mark.parametrize(
    "content_type", ["application/merge-patch+json", STRATEGIC_MERGE_PATCH, JSON_PATCH]
)
async def test_patch_says_what_it_is(server, api, stored, content_type):
    server.script("patch", answer_bytes(b"{}"))
    await api.patch(CONFIG_MAPS, {}, **X, content_type=content_type, subresource="status")
    (call,) = server.seen("patch")
    assert call.headers["Content-Type"] == content_type
    assert call.path.endswith("/a/configmaps/x/status")


async def test_delete_sends_its_preconditions(server, api, stored):
    await api.delete(
        CONFIG_MAPS,
        **X,
        uid=stored["metadata"]["uid"],
        resource_version=stored["metadata"]["resourceVersion"],
        propagation="Background",
        grace_period_s=0,
    )
    (call,) = server.seen("delete")
    assert call.body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {
            "uid": stored["metadata"]["uid"],
            "resourceVersion": stored["metadata"]["resourceVersion"],
        },
        "propagationPolicy": "Background",
        "gracePeriodSeconds": 0,
    }
    assert server.objects("configmaps") == {}


@pytest.mark.parametrize("other", [{"uid": "other"}, {"resource_version": "1"}])
async def test_delete_of_another_object_is_a_conflict(api, stored, other):
    with pytest.raises(errors.ConflictError):
        await api.delete(CONFIG_MAPS, **X, **other)


async def test_list_joins_all_pages(server, api):
    for number in range(1001):
        server.put(path_of(f"x{number}"), config_map(app="etcd" if number else ""))
    listed = await api.list(CONFIG_MAPS, namespace="a", label_selector="app=etcd")
    assert len(listed) == 1000
    assert {item["kind"] for item in listed} == {"ConfigMap"}
    assert [call.params.get("labelSelector") for call in server.seen("list")] == ["app=etcd"] * 2


async def test_any_path_can_be_asked_for(server, api):
    server.script("list", answer_bytes(b'{"major":"1"}'))
    assert await api.request("GET", "/api/v1/version", params={"a": "b"}) == b'{"major":"1"}'


# ---------------------------------------------------------------------- headers
async def test_requests_say_who_we_are_and_want_plain_json(server, api, stored):
    await api.get(CONFIG_MAPS, **X)
    headers = server.calls[0].headers
    assert headers["User-Agent"] == "informers-tests"
    assert headers["Authorization"] == "Bearer old"
    assert headers["Accept"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"


async def test_redirect_is_an_error_not_followed_with_the_token(server, api):
    server.script("get", answer_status(307, headers={"Location": "http://elsewhere/"}))
    with pytest.raises(errors.StatusError, match="307"):
        await api.get(CONFIG_MAPS, **X)


# ---------------------------------------------------------------------- deadlines
async def test_call_ends_at_its_deadline(server, api):
    server.script("get", hang)
    before = now()
    with pytest.raises(errors.TransportError, match=r"get .*/configmaps/x: timed out"):
        await api.get(CONFIG_MAPS, **X, timeout_s=7)
    assert now() - before == pytest.approx(7, abs=0.1)


async def test_deadline_covers_the_retries(server, api):
    server.on_every("get", answer_status(503, headers={"Retry-After": "2"}))
    before = now()
    with pytest.raises(errors.ServerError):
        await api.get(CONFIG_MAPS, **X, timeout_s=7)
    assert now() - before < 7
    assert 2 <= len(server.seen("get")) <= 4


async def test_watch_that_is_not_answered_ends_at_its_deadline(server, api):
    server.script("watch", hang)
    with pytest.raises(errors.TransportError, match="timed out"):
        async with api.watch(CONFIG_MAPS, params={}, timeout_s=7):
            pass


async def test_r26_cancelling_a_call_breaks_the_connection(server, api):
    ended = asyncio.Event()

    async def held(request):
        try:
            await hang(request)
        finally:
            ended.set()

    server.script("list", held)
    task = asyncio.ensure_future(api.list_page(CONFIG_MAPS, params={}))
    await server.wait_seen("list")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await ended.wait()


# ---------------------------------------------------------------------- retries
@pytest.mark.parametrize("code", [429, 500, 503])
async def test_r20_429_and_5xx_with_retry_after_are_sent_again(server, api, stored, code):
    """TestCheckRetryHandles429And5xx: only when the server says when."""
    server.script("patch", answer_status(code, headers={"Retry-After": "3"}))
    before = now()
    await api.patch(CONFIG_MAPS, {"data": {"b": "2"}}, **X)
    assert 3 <= now() - before < 4
    first, second = server.seen("patch")
    assert first.body == second.body


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_r20_refusal_without_retry_after_is_raised_at_once(server, api, code):
    server.on_every("get", answer_status(code, details={"retryAfterSeconds": 5}))
    with pytest.raises(errors.StatusError) as caught:
        await api.get(CONFIG_MAPS, **X)
    assert caught.value.retry_after_s == 5
    assert len(server.calls) == 1


@pytest.mark.parametrize("code", [400, 404, 409, 422])
async def test_r20_other_refusals_are_not_retried(server, api, code):
    server.on_every("get", answer_status(code, headers={"Retry-After": "1"}))
    with pytest.raises(errors.StatusError):
        await api.get(CONFIG_MAPS, **X)
    assert len(server.calls) == 1


async def test_r20_ten_attempts_are_the_most(server, api):
    """TestRequestMaxRetries: ten attempts, also when the server says "at once"."""
    server.on_every("get", answer_status(429, headers={"Retry-After": "0"}))
    with pytest.raises(errors.TooManyRequestsError):
        await api.get(CONFIG_MAPS, **X, timeout_s=60)
    assert len(server.calls) == 10


# ---------------------------------------------------------------------- credentials
async def test_r18_401_loads_the_credentials_anew_and_tries_again(server, api, source, stored):
    source.renewed.append(replace(source.endpoint, authorization="Bearer new"))
    server.script("get", answer_status(401, "Unauthorized"))
    assert await api.get(CONFIG_MAPS, **X) == stored
    assert [call.headers["Authorization"] for call in server.calls] == ["Bearer old", "Bearer new"]


async def test_r18_401_with_new_credentials_too_is_raised(server, api, source):
    source.renewed.append(replace(source.endpoint, authorization="Bearer new"))
    server.on_every("get", answer_status(401, "Unauthorized"))
    with pytest.raises(errors.UnauthorizedError):
        await api.get(CONFIG_MAPS, **X)
    assert len(server.calls) == 2


async def test_r18_many_refused_calls_load_the_credentials_once(server, api, source, monkeypatch):
    loads = []

    async def load():
        loads.append(now())
        await asyncio.sleep(1)
        return replace(source.endpoint, authorization="Bearer new")

    monkeypatch.setattr(source, "load", load)
    server.on_every("get", answer_status(401, "Unauthorized"))
    calls = [api.get(CONFIG_MAPS, **X) for _ in range(5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {errors.UnauthorizedError}
    assert len(loads) == 1


async def test_failing_reload_leaves_the_refusal_as_the_error(server, api, source, monkeypatch):
    async def load():
        raise errors.ConfigurationError("the plugin is gone")

    monkeypatch.setattr(source, "load", load)
    server.on_every("get", answer_status(401, "Unauthorized"))
    with pytest.raises(errors.UnauthorizedError):
        await api.get(CONFIG_MAPS, **X)


async def test_ageing_token_is_read_again_before_it_is_refused(server, source, stored):
    source.max_age_s = 60
    async with await connect_to(source, user_agent="t") as api:
        await api.get(CONFIG_MAPS, **X)
        source.renewed.append(replace(source.endpoint, authorization="Bearer new"))
        await asyncio.sleep(61)
        await api.get(CONFIG_MAPS, **X)
    assert [call.headers["Authorization"] for call in server.calls] == ["Bearer old", "Bearer new"]


async def test_r18_watch_loads_the_credentials_anew_too(server, api, source):
    source.renewed.append(replace(source.endpoint, authorization="Bearer new"))
    server.script("watch", answer_status(401, "Unauthorized"))
    async with api.watch(CONFIG_MAPS, params={"resourceVersion": "100"}):
        pass
    assert server.calls[-1].headers["Authorization"] == "Bearer new"


# ---------------------------------------------------------------------- transport
@pytest.mark.parametrize(
    "body", [pytest.param(b"<html>", id="html"), pytest.param(b"[]", id="no object")]
)
async def test_answer_that_is_no_json_object_is_unreadable(server, api, body):
    server.script("get", answer_bytes(body))
    with pytest.raises(errors.UnreadableError):
        await api.get(CONFIG_MAPS, **X)


async def test_broken_connection_is_a_transport_error(server, api):
    server.on_every("patch", abort)
    with pytest.raises(errors.TransportError):
        await api.patch(CONFIG_MAPS, {}, **X)


async def test_watches_do_not_take_connections_from_calls(server, api, stored):
    """A Lease must be renewed however many watches are open."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_watch(api)) for _ in range(100)]
        await server.wait_watchers(100)
        assert await api.get(CONFIG_MAPS, **X, timeout_s=1) == stored
        for task in tasks:
            task.cancel()


async def _watch(api) -> None:
    async with api.watch(CONFIG_MAPS, params={"resourceVersion": "101"}) as stream:
        await stream.lines(idle_s=60)


async def test_r22_quiet_watch_is_given_up_after_its_idle_deadline(server, api):
    async with api.watch(CONFIG_MAPS, params={"resourceVersion": "100"}) as stream:
        before = now()
        with pytest.raises(errors.StreamIdleError):
            await stream.lines(idle_s=90)
        assert now() - before == pytest.approx(90, abs=0.1)


async def test_every_request_is_observed(server, source, stored):
    class Observer:
        def __init__(self):
            self.seen = []

        def on_request(self, verb, resource, code, seconds):
            self.seen.append((verb, resource, code, round(seconds)))

    observer = Observer()
    server.script("get", slow(2), answer_status(404), hang)
    async with await connect_to(source, user_agent="t", observer=observer) as api:
        await api.get(CONFIG_MAPS, **X)
        with pytest.raises(errors.NotFoundError):
            await api.get(CONFIG_MAPS, **X)
        with pytest.raises(errors.TransportError):
            await api.get(CONFIG_MAPS, **X, timeout_s=5)
        async with api.watch(CONFIG_MAPS, params={"resourceVersion": "101"}):
            pass
    assert observer.seen == [
        ("get", "configmaps", "200", 2),
        ("get", "configmaps", "404", 0),
        ("get", "configmaps", "error", 5),
        ("watch", "configmaps", "200", 0),
    ]


async def test_closing_ends_what_is_running(server, api):
    async with api.watch(CONFIG_MAPS, params={"resourceVersion": "100"}) as stream:
        waiting = asyncio.ensure_future(stream.lines(idle_s=60))
        await server.wait_watchers()
        await api.close()
        with pytest.raises(errors.TransportError):
            await waiting


async def test_call_after_closing_is_a_transport_error(api):
    await api.close()
    with pytest.raises(errors.TransportError, match="closed"):
        await api.get(CONFIG_MAPS, **X)


async def test_r21_dead_peers_are_noticed_by_the_kernel():
    """HTTP/1.1 has no ping: TCP asks, and unacknowledged data is given up after 30 s."""
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))
    with transport._socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
