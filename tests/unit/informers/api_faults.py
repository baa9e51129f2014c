"""Faults a test can give to the API server: each is a step that answers a request in its place.

A step gets the request and answers it, or returns None and the request is served as usual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

Json = dict[str, Any]
Step = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def answer_status(
    code: int,
    reason: str = "",
    message: str = "",
    *,
    details: Json | None = None,
    headers: Mapping[str, str] | None = None,
) -> Step:
    """The request is answered with a Kubernetes Status instead of being served."""

    async def step(_: web.Request) -> web.StreamResponse:
        return json_response(status_body(code, reason, message, details), code, headers)

    return step


def answer_bytes(body: bytes, *, code: int = 200, content_type: str = "application/json") -> Step:
    """The request is answered with exactly these bytes."""

    async def step(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=code, content_type=content_type)

    return step


async def abort(request: web.Request) -> None:
    """The connection breaks before an answer, as when a server dies."""
    assert request.transport is not None
    request.transport.abort()


async def hang(_: web.Request) -> None:
    """The request is accepted and never answered, as by a stopped process."""
    await asyncio.get_running_loop().create_future()


def slow(delay_s: float) -> Step:
    """The request is served after a while."""

    async def step(_: web.Request) -> None:
        await asyncio.sleep(delay_s)

    return step


def status_body(
    code: int, reason: str = "", message: str = "", details: Json | None = None
) -> Json:
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body |= {"message": message or reason, "code": code}
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = details
    return body


def json_response(
    body: Any, code: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=code, headers=headers, content_type="application/json"
    )
