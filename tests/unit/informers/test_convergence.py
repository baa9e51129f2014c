"""Whatever the server does and however it fails, in the end the cache is right.

Random scripts of writes and faults, in virtual time over real HTTP. After the last fault the store
must equal the server's state, and the handler (which checks each call itself) must know the same.
"""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from informers.informer import Informer
from informers.kubeconfig import Endpoint
from informers.wire import connect_to
from tests.unit.informers.api_faults import abort, answer_bytes, answer_status, hang
from tests.unit.informers.api_server import ApiServer, running_server
from tests.unit.informers.conftest import FixedSource
from tests.unit.informers.watching import (
    CONFIG_MAPS,
    Recorder,
    config_map,
    eventually,
    path_of,
    running,
)

FAULTS = {
    "abort": abort,
    "hang": hang,
    "401": answer_status(401, "Unauthorized"),
    "403": answer_status(403, "Forbidden"),
    "410": answer_status(410, "Expired"),
    "429": answer_status(429, "TooManyRequests", headers={"Retry-After": "1"}),
    "500": answer_status(500, "InternalError"),
    "too large": answer_status(504, "Timeout", "Too large resource version: 9, current: 8"),
    "html": answer_bytes(b"<html>", code=502, content_type="text/html"),
    "empty": answer_bytes(b""),
    "cut": answer_bytes(b'{"kind":"List","metadata":{"resourceVersion":"1"},"ite'),
}


async def play(server: ApiServer, step: tuple) -> None:
    match step:
        case ("put" | "remove" | "lose", name, *value):
            write(server, step[0], name, *value)
        case ("fault", verb, fault):
            server.script(verb, FAULTS[fault])
        case ("error event", code):
            server.send_error(code)
        case ("wait", seconds):
            await asyncio.sleep(seconds)
        case ("freeze",):
            server.frozen = True  # the open watch is dead from now on
            await asyncio.sleep(0.1)
            server.frozen = False
        case (name,):
            UPSETS[name](server)


def write(server: ApiServer, how: str, name: str, value: int = 0) -> None:
    if how == "put":
        server.put(path_of(name), config_map(str(value)))
    elif f"a/{name}" not in server.objects("configmaps"):
        return
    elif how == "remove":
        server.remove(path_of(name))
    else:
        with server.unseen():
            server.remove(path_of(name))
        server.send_error(410, "Expired")


def cut_line(server: ApiServer) -> None:
    server.send_line(b'{"type":"MODIFIED","object":{"kind":"Conf')
    server.end_watches()


UPSETS = {
    "bookmark": ApiServer.bookmark,
    "end": ApiServer.end_watches,
    "abort": ApiServer.abort_watches,
    "compact": ApiServer.compact,
    "cut line": cut_line,
}


names = st.sampled_from(["x", "y", "z"])
steps = st.one_of(
    st.tuples(st.just("put"), names, st.integers(0, 3)),
    st.tuples(st.just("remove"), names),
    st.tuples(
        st.just("fault"), st.sampled_from(["list", "watch", "*"]), st.sampled_from([*FAULTS])
    ),
    st.tuples(st.just("error event"), st.sampled_from([410, 429, 500])),
    st.tuples(st.just("lose"), names),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 1.0, 100.0])),
    st.sampled_from([("freeze",), *((name,) for name in UPSETS)]),
)


def content(server: ApiServer) -> dict[str, str]:
    held = server.objects("configmaps")
    return {key: obj["metadata"]["resourceVersion"] for key, obj in held.items()}


@pytest.mark.looptime
@pytest.mark.timeout(60)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=st.lists(steps, max_size=12), streaming=st.booleans(), seed=st.integers(0, 2**16))
@example(script=[("put", "x", 1), ("wait", 1.0), ("lose", "x")], streaming=False, seed=0)
@example(
    script=[("put", "x", 1), ("wait", 1.0), ("freeze",), ("put", "x", 2), ("compact",)],
    streaming=False,
    seed=0,
)
async def test_any_script_of_events_and_faults_converges(script, streaming, seed):
    async with running_server() as server:
        source = FixedSource(Endpoint(url=server.url, namespace="a"))
        async with await connect_to(source, user_agent="t") as api:
            recorder = Recorder()
            rng = random.Random(seed)
            informer = Informer(api, CONFIG_MAPS, rng=rng, streaming=streaming)
            informer.add_handler(recorder)
            async with running(informer):
                for step in script:
                    await play(server, step)
                await eventually(
                    lambda: informer.has_synced and recorder.known == content(server), 3600
                )
            keys = informer.keys()
            held = {key: informer.peek(key).resource_version for key in keys}
            assert held == content(server)
