"""How soon an informer is right again after a server's bad time, and what it asks meanwhile.

Virtual time, over real HTTP. A server that is started anew remembers no version from before, so
each such start costs every informer a list (`restart`).
"""

from __future__ import annotations

import asyncio

import pytest

from informers.informer import Informer
from tests.unit.informers.api_faults import abort, answer_status, hang
from tests.unit.informers.watching import CONFIG_MAPS, config_map, eventually, path_of, running

pytestmark = pytest.mark.looptime

REFUSALS = [
    pytest.param(abort, id="down"),
    pytest.param(answer_status(503), id="starting"),
    pytest.param(answer_status(403, "Forbidden"), id="without its roles"),
    pytest.param(answer_status(404, "NotFound"), id="without its kinds"),
    pytest.param(
        answer_status(429, "TooManyRequests", headers={"Retry-After": "1"}), id="overloaded"
    ),
]


@pytest.fixture(params=[True, False], ids=["streaming", "listing"])
def informer(request, api) -> Informer:
    return Informer(api, CONFIG_MAPS, streaming=request.param)


def now() -> float:
    return asyncio.get_running_loop().time()


async def restart(server, *, away_s: float) -> None:
    """Cut all off, be away for so long, and be back without any history."""
    server.on_every("*", abort)
    server.abort_watches()
    await server.wait_watchers(0)
    await asyncio.sleep(away_s)
    server.put(path_of(f"x{server.revision}"), config_map())
    server.compact()
    server.on_every("*", None)


async def wait_right(server, informer) -> None:
    """Ten seconds are enough for the cache to be right, and a watch to be open."""
    async with asyncio.timeout(10):
        await eventually(
            lambda: informer.last_resource_version == str(server.revision), longest_pause_s=0.1
        )
        await server.wait_watchers()
    assert set(informer.keys()) == set(server.objects("configmaps"))


@pytest.mark.parametrize("away_s", [15, 119, 240])
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_r19_server_that_was_bad_at_the_start_is_found_soon(
    server, informer, refusal, away_s
):
    """An operator that starts in an outage has two minutes for its caches; see the manager."""
    server.on_every("*", refusal)
    async with running(informer):
        await asyncio.sleep(away_s)
        server.on_every("*", None)
        await wait_right(server, informer)


@pytest.mark.parametrize("away_s", [0, 5, 60])
async def test_r19_restarted_servers_are_followed_soon_each_time(server, informer, away_s):
    """Six of them, 40 s between them: none makes the next one slower."""
    async with running(informer):
        await server.wait_watchers()
        for _ in range(6):
            await restart(server, away_s=away_s)
            await wait_right(server, informer)
            await asyncio.sleep(40)


@pytest.mark.parametrize("refusal", [*REFUSALS[1:], pytest.param(hang, id="frozen")])
async def test_r19_bad_server_is_asked_about_ten_times_a_minute(server, informer, refusal):
    async with running(informer):
        await server.wait_watchers()
        server.on_every("*", refusal)
        server.abort_watches()
        await server.wait_watchers(0)
        server.calls.clear()
        await asyncio.sleep(600)
    assert 30 <= len(server.calls) <= 110


@pytest.mark.parametrize("lasts_s", [0.5, 3, 9])
async def test_r19_watches_that_break_soon_are_opened_about_ten_times_a_minute(
    server, informer, lasts_s
):
    """A success that does not last forgives nothing."""
    async with running(informer):
        await server.wait_watchers()
        server.calls.clear()
        end = now() + 600
        while now() < end:
            await asyncio.sleep(lasts_s)
            server.abort_watches()
            await server.wait_watchers(0)
            await server.wait_watchers()
    assert {call.verb for call in server.calls} == {"watch"}
    assert len(server.calls) <= 110


@pytest.mark.parametrize("lasts_s", [0.5, 10, 25])
async def test_r19_relists_stay_rare_however_often_they_are_needed(server, informer, lasts_s):
    """A list is dear, unlike a watch: about one and a half a minute in the long run."""
    async with running(informer):
        await server.wait_watchers()
        server.calls.clear()
        end = now() + 1200
        while now() < end:
            await asyncio.sleep(lasts_s)
            server.send_error(410, "Expired")
            await server.wait_watchers(0)
            await server.wait_watchers()
    lists = [call for call in server.calls if "sendInitialEvents" in call.params]
    assert len(lists) + len(server.seen("list")) <= 20 * 2 + 4


async def test_r19_repeated_failure_is_told_of_once_a_minute(server, informer, caplog):
    server.on_every("*", answer_status(403, "Forbidden"))
    async with running(informer):
        await asyncio.sleep(600)
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    assert 8 <= len(warnings) <= 11
