"""Who may read /metrics, as the API server says, asked seldom and never too much at once."""

import asyncio

import orjson
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from controllers.metrics_auth import (
    ALLOWED_S,
    MOST_AT_ONCE,
    MOST_REMEMBERED,
    REFUSED_S,
    MetricsAuth,
    Verdict,
)
from tests.unit.informers.api_faults import answer_status, json_response

pytestmark = pytest.mark.looptime

USERS = {"prometheus-token": "prometheus", "shop-token": "shop"}
READERS = {"prometheus": True}


async def review(request: web.Request) -> web.Response:
    """The API server's part: knows the tokens, and who may get /metrics."""
    body = orjson.loads(await request.read())
    spec = body["spec"]
    if body["kind"] == "TokenReview":
        user = USERS.get(spec["token"])
        status = {"authenticated": user is not None, "user": {"username": user, "groups": ["g"]}}
        return json_response({**body, "status": status}, 201)
    assert spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
    assert spec["groups"] == ["g"]
    return json_response({**body, "status": {"allowed": spec["user"] in READERS}}, 201)


@pytest.fixture
def auth(api, server):
    server.on_every("create", review)
    return MetricsAuth(api)


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ("Bearer prometheus-token", Verdict.ALLOWED),
        ("bearer  prometheus-token", Verdict.ALLOWED),
        ("Bearer shop-token", Verdict.NOT_ALLOWED),
        ("Bearer nobodys", Verdict.UNKNOWN_CALLER),
    ],
)
async def test_the_api_server_decides(auth, header, verdict):
    assert await auth.decide(header) is verdict


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic cHJvbTpwcm9t", "x"])
async def test_without_a_token_nobody_is_asked(auth, server, header):
    assert await auth.decide(header) is Verdict.UNKNOWN_CALLER
    assert server.seen("create") == []


async def test_allowed_caller_costs_two_questions_a_minute(auth, server):
    for _ in range(3):
        assert await auth.decide("Bearer prometheus-token") is Verdict.ALLOWED
    assert len(server.seen("create")) == 2

    await asyncio.sleep(ALLOWED_S + 1)
    await auth.decide("Bearer prometheus-token")
    assert len(server.seen("create")) == 4


async def test_granted_right_is_seen_soon(auth, monkeypatch):
    assert await auth.decide("Bearer shop-token") is Verdict.NOT_ALLOWED
    monkeypatch.setitem(READERS, "shop", True)
    assert await auth.decide("Bearer shop-token") is Verdict.NOT_ALLOWED
    await asyncio.sleep(REFUSED_S + 1)

    assert await auth.decide("Bearer shop-token") is Verdict.ALLOWED


async def test_strangers_make_only_a_few_questions_at_once(auth, server):
    verdicts = await asyncio.gather(*(auth.decide(f"Bearer guess-{n}") for n in range(50)))

    assert verdicts.count(Verdict.UNKNOWN_CALLER) == MOST_AT_ONCE
    assert verdicts.count(Verdict.CANNOT_TELL) == 50 - MOST_AT_ONCE
    assert len(server.seen("create")) == MOST_AT_ONCE
    assert await auth.decide("Bearer prometheus-token") is Verdict.ALLOWED


async def test_memory_is_bounded_and_holds_no_token(auth):
    for n in range(MOST_REMEMBERED + 10):
        await auth.decide(f"Bearer guess-{n}-secret")

    kept = vars(auth)["_verdicts"]
    assert len(kept) == MOST_REMEMBERED
    assert b"secret" not in b"".join(kept)


async def test_when_the_api_server_fails_nobody_gets_in_and_it_is_told_once(api, server):
    server.on_every("create", answer_status(403, "Forbidden", "may not create tokenreviews"))
    auth = MetricsAuth(api)
    with capture_logs() as lines:
        assert await auth.decide("Bearer prometheus-token") is Verdict.CANNOT_TELL
        assert await auth.decide("Bearer shop-token") is Verdict.CANNOT_TELL

    (line,) = lines
    assert "metrics-auth.yaml" in line["event"]
    assert "prometheus-token" not in str(line)
    server.on_every("create", review)
    assert await auth.decide("Bearer prometheus-token") is Verdict.ALLOWED
