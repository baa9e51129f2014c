"""A port of a pod through the API server: what is asked, what arrives, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from dataclasses import replace

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from informers import errors
from informers.port_forward import Channels
from tests.unit.informers.api_faults import abort, answer_bytes, answer_status, hang
from tests.unit.informers.pod_port import echo, freeze, pod_port, stay_silent

DB = {"namespace": "team", "pod": "db-0", "port": 2379}


def now() -> float:
    return asyncio.get_running_loop().time()


async def read_exactly(forward, size):
    received = bytearray()
    while len(received) < size:
        received += await forward.read()
    return bytes(received)


@pytest.fixture
def pod(server):
    """Gives every port-forward from now on a behaviour."""
    return lambda behaviour, **options: server.on_every("get", pod_port(behaviour, **options))


# ---------------------------------------------------------------------- opening
async def test_port_is_asked_for_with_our_credentials_and_protocol(server, api, pod):
    pod(echo)
    async with api.port_forward(**DB):
        pass
    (call,) = server.seen("get")
    assert call.path == "/api/v1/namespaces/team/pods/db-0/portforward"
    assert call.params == {"ports": "2379"}
    assert call.headers["Authorization"] == "Bearer old"
    assert call.headers["User-Agent"] == "informers-tests"
    assert call.headers["Sec-WebSocket-Protocol"] == "v4.channel.k8s.io"
    assert call.headers["Accept"] == "*/*"


async def test_renewed_credentials_are_used_after_a_401(server, api, source, pod):
    source.renewed.append(replace(source.endpoint, authorization="Bearer new"))
    pod(echo)
    server.script("get", answer_status(401, "Unauthorized"))
    async with api.port_forward(**DB) as forward:
        await forward.write(b"x")
        assert await forward.read() == b"x"
    used = [call.headers["Authorization"] for call in server.seen("get")]
    assert used == ["Bearer old", "Bearer new"]


async def test_second_401_is_told(server, api, source):
    source.renewed.append(replace(source.endpoint, authorization="Bearer new"))
    server.on_every("get", answer_status(401, "Unauthorized"))
    with pytest.raises(errors.UnauthorizedError):
        async with api.port_forward(**DB):
            pass
    assert len(server.seen("get")) == 2


@pytest.mark.parametrize(
    ("step", "expected", "words"),
    [
        pytest.param(
            answer_status(403, "Forbidden", 'User "me" cannot create resource "pods/portforward"'),
            errors.ForbiddenError,
            "cannot create resource",
            id="not allowed",
        ),
        pytest.param(
            answer_status(404, "NotFound", 'pods "db-0" not found'),
            errors.NotFoundError,
            'pods "db-0" not found',
            id="no pod",
        ),
        pytest.param(
            answer_bytes(b"error dialing backend: no route to host", code=502),
            errors.ServerError,
            "no route to host",
            id="no node",
        ),
        pytest.param(answer_bytes(b"{}"), errors.StatusError, "200", id="no upgrade"),
        pytest.param(abort, errors.TransportError, "get|connect", id="no answer"),
    ],
)
async def test_refusal_comes_in_the_servers_words(server, api, step, expected, words):
    server.on_every("get", step)
    with pytest.raises(expected, match=words):
        async with api.port_forward(**DB):
            pass


async def test_redirect_does_not_get_the_token(server, api):
    async def elsewhere(_):
        return web.Response(status=302, headers={"Location": "/api/v1/namespaces/a/pods/x"})

    server.script("get", elsewhere)
    with pytest.raises(errors.StatusError, match="302"):
        async with api.port_forward(**DB):
            pass
    assert len(server.seen("get")) == 1


@pytest.mark.looptime
async def test_opening_has_a_deadline(server, api):
    server.script("get", hang)
    with pytest.raises(errors.TransportError, match="timed out"):
        async with api.port_forward(**DB, timeout_s=3):
            pass
    assert now() == pytest.approx(3, abs=0.1)


async def test_closed_client_opens_nothing(server, api):
    await api.close()
    with pytest.raises(errors.TransportError, match="closed"):
        async with api.port_forward(**DB):
            pass


# ---------------------------------------------------------------------- data
async def test_bytes_go_both_ways_in_order(api, pod):
    pod(echo)
    sent = bytes(range(256)) * 4096  # 1 MiB
    async with api.port_forward(**DB) as forward, asyncio.TaskGroup() as group:
        group.create_task(forward.write(sent))
        assert await read_exactly(forward, len(sent)) == sent


async def test_what_is_written_is_cut_into_messages_as_the_node_has_them(api, pod):
    sizes = []

    async def note(side):
        await side.receive_exactly(100_000)
        sizes.extend(side.messages)

    pod(note)
    async with api.port_forward(**DB) as forward:
        await forward.write(bytes(100_000))
        assert await forward.read() == b""
    assert sizes == [32769, 32769, 32769, 1697]


async def test_many_streams_at_once_keep_to_themselves(api, pod):
    pod(echo)

    async def talk(number):
        sent = bytes([number]) * 50_000
        async with api.port_forward(**DB) as forward:
            await forward.write(sent)
            assert await read_exactly(forward, len(sent)) == sent

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(talk(number))


async def test_sender_waits_while_nobody_reads(api, pod):
    """128 MiB to a reader that falls behind: what piles up here stays below 2 MiB."""
    piece, pieces = bytes(32 * 1024), 4096
    sent = 0

    async def flood(side):
        nonlocal sent
        for _ in range(pieces):
            await side.send(piece)
            sent += len(piece)

    pod(flood)
    async with api.port_forward(**DB) as forward:
        received = len(await forward.read())
        tracemalloc.start()
        try:
            received += await stalled_reading(forward, lambda: sent)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2 * 2**20
        while data := await forward.read():
            received += len(data)
    assert received == pieces * len(piece)


async def stalled_reading(forward, sent):
    """Reads a little, each time after the sender has come to a halt; returns the bytes read."""
    received = 0
    for _ in range(4):
        before = -1
        while before != sent():
            before = sent()
            await asyncio.sleep(0.02)
        assert before < 64 * 2**20, "the sender was not held back"
        for _ in range(64):
            received += len(await forward.read())
    return received


@pytest.mark.looptime
async def test_writer_waits_while_nobody_receives_but_not_for_ever(api, pod):
    pod(freeze)
    async with api.port_forward(**DB) as forward:
        with pytest.raises(errors.TransportError, match="timed out"):
            await forward.write(bytes(64 * 2**20))


# ---------------------------------------------------------------------- the end
async def test_end_of_the_pods_side_is_the_end(api, pod):
    async def say_and_go(side):
        await side.send(b"bye")

    pod(say_and_go)
    async with api.port_forward(**DB) as forward:
        assert await forward.read() == b"bye"
        assert await forward.read() == b""


async def test_connection_that_breaks_is_no_end(api, pod):
    async def say_and_die(side):
        await side.send(b"by")
        await side.receive()
        side.drop()

    pod(say_and_die)
    async with api.port_forward(**DB) as forward:
        assert await forward.read() == b"by"
        await forward.write(b"now")
        with pytest.raises(errors.TransportError, match="port 2379 of pod team/db-0"):
            await forward.read()


async def test_words_on_the_error_channel_are_raised(api, pod):
    async def refuse(side):
        await side.send(b"dial tcp4 127.0.0.1:2379: connect: connection refused\n", channel=1)

    pod(refuse)
    async with api.port_forward(**DB) as forward:
        with pytest.raises(errors.ForwardError, match=r"connection refused$"):
            await forward.read()


async def test_leaving_says_goodbye(server, api, pod):
    said = asyncio.get_running_loop().create_future()

    async def listen(side):
        await stay_silent(side)
        said.set_result(side.websocket.close_code)

    pod(listen)
    async with api.port_forward(**DB):
        pass
    async with asyncio.timeout(5):
        assert await said == 1000


@pytest.mark.looptime
async def test_leaving_does_not_wait_for_a_frozen_peer(api, pod):
    pod(freeze)
    async with api.port_forward(**DB):
        left_at = now()
    assert now() - left_at <= 1.1


@pytest.mark.parametrize("step", [hang, pod_port(freeze), pod_port(echo)])
async def test_cancelling_leaves_no_connection(server, api, step):
    ended = asyncio.Event()

    async def noting_the_end(request):
        try:
            return await step(request)
        finally:
            ended.set()

    async def talk():
        async with api.port_forward(**DB) as forward:
            await forward.read()

    server.script("get", noting_the_end)
    talking = asyncio.get_running_loop().create_task(talk())
    await server.wait_seen("get")
    await asyncio.sleep(0)
    talking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await talking
    assert talking.cancelled()
    async with asyncio.timeout(5):
        await ended.wait()


# ---------------------------------------------------------------------- signs of life
@pytest.mark.looptime
async def test_peer_that_gives_no_sign_of_life_is_given_up(api, pod):
    pod(freeze)
    async with api.port_forward(**DB) as forward:
        began = now()
        with pytest.raises(errors.StreamIdleError, match="15 s"):
            await forward.read()
        assert now() - began == pytest.approx(15, abs=0.5)


@pytest.mark.looptime
@pytest.mark.parametrize(("written_after_s", "given_up_after_s"), [(0, 7), (3, 10), (9, 15)])
async def test_peer_that_does_not_answer_is_given_up_sooner(
    api, pod, written_after_s, given_up_after_s
):
    pod(freeze)

    async def ask(forward):
        await asyncio.sleep(written_after_s)
        await forward.write(b"how are you?")

    async with api.port_forward(**DB) as forward, asyncio.TaskGroup() as group:
        asking = group.create_task(ask(forward))
        with pytest.raises(errors.StreamIdleError):
            await forward.read()
        assert asking.done()
        assert now() == pytest.approx(given_up_after_s, abs=0.5)


@pytest.mark.looptime
async def test_an_answer_ends_the_hurry(api, pod):
    """One question, answered; then silence, as between two looks at a member."""

    async def answer_once(side):
        await side.receive()
        await side.send(b"fine")
        await freeze(side)

    pod(answer_once)
    async with api.port_forward(**DB) as forward:
        await forward.write(b"how are you?")
        assert await forward.read() == b"fine"
        with pytest.raises(errors.StreamIdleError):
            await forward.read()
        assert now() == pytest.approx(15, abs=0.5)


@pytest.mark.looptime
async def test_silent_peer_that_answers_pings_is_kept(api, pod):
    async def think_first(side):
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(stay_silent(side))
            await asyncio.sleep(100)
            await side.send(b"at last")
            await listening

    pod(think_first)
    async with api.port_forward(**DB) as forward:
        assert await forward.read() == b"at last"
        assert now() >= 100


async def test_ping_of_the_peer_is_answered(api, pod):
    answered = asyncio.Event()

    async def ask(side):
        await side.websocket.ping(b"there?")
        message = await side.websocket.receive()
        assert message.data == b"there?"
        answered.set()

    pod(ask, autoping=False)
    async with api.port_forward(**DB) as forward:
        assert await forward.read() == b""
    assert answered.is_set()


# ---------------------------------------------------------------------- the protocol
PORT = (2379).to_bytes(2, "little")


def channels():
    return Channels("port 2379", 2379)


@given(st.lists(st.binary(max_size=50)))
def test_channels_give_all_data_and_nothing_else(pieces):
    parser = channels()
    messages = [b"\0" + PORT, b"\1" + PORT, b"\1", *(b"\0" + piece for piece in pieces)]
    assert b"".join(map(parser.feed, messages)) == b"".join(pieces)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([b""], id="no channel"),
        pytest.param([b"\2" + PORT], id="another channel"),
        pytest.param([b"\0"], id="no port"),
        pytest.param([b"\0" + PORT + b"x"], id="more than a port"),
        pytest.param([b"\0\x01\x00"], id="another port"),
        pytest.param([b"\0" + PORT, b"\1oops"], id="words before the port"),
    ],
)
def test_what_is_not_the_protocol_is_unreadable(messages):
    parser = channels()
    *before, last = messages
    assert all(parser.feed(message) == b"" for message in before)
    with pytest.raises(errors.UnreadableError):
        parser.feed(last)


@given(st.lists(st.binary(max_size=8)))
def test_channels_raise_nothing_but_their_errors(messages):
    parser = channels()
    with contextlib.suppress(errors.TransportError):
        for message in messages:
            parser.feed(message)


async def test_text_is_no_message_of_the_protocol(api, pod):
    async def chat(side):
        await side.websocket.send_str("hello")

    pod(chat)
    async with api.port_forward(**DB) as forward:
        with pytest.raises(errors.TransportError, match="hello"):
            await forward.read()
