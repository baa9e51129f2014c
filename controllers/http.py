"""Turns checks and a metrics registry into `/healthz`, `/readyz` and `/metrics` over HTTP.

The manager starts it first and stops it last but one, so that it answers through the whole life of
the process. Kubelet and Prometheus call it. Answers name checks, never reasons: those may hold
addresses or tokens and go to the log alone. Checks must not wait for anything, and nothing keeps
the loop: the text of metrics is written in a thread.

`GET /readyz` answers 200 if every check passes, else 500; `/readyz/<name>` one check;
`?exclude=<name>` (repeatable) leaves one out; `?verbose` lists them, as every failure does
(the format of k8s.io/apiserver's healthz).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from controllers.metrics_auth import Verdict

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterator, Mapping

    from prometheus_client import CollectorRegistry

    from controllers.bind import Bind
    from controllers.metrics_auth import MetricsAuth

log = structlog.get_logger(__name__)

# Passes if it returns, fails by raising; never waits.
Check = Callable[[], None]

# For answers under way when we stop; they take milliseconds.
_SHUTDOWN_S = 0.5


def report(
    title: str, checks: Mapping[str, Check], *, exclude: Collection[str] = (), verbose: bool = False
) -> tuple[bool, str]:
    """Run the checks; whether all passed, and the text to answer with."""
    lines, passed = [], True
    for name, check in checks.items():
        if name in exclude:
            lines.append(f"[+]{name} excluded: ok")
        elif _passes(title, name, check):
            lines.append(f"[+]{name} ok")
        else:
            passed = False
            lines.append(f"[-]{name} failed: reason withheld")
    unknown = sorted(set(exclude) - set(checks))
    if unknown:
        lines.append(f"warn: some checks cannot be excluded: no matches for {', '.join(unknown)}")
    if passed and not verbose:
        return True, "ok"
    lines.append(f"{title} check {'passed' if passed else 'failed'}")
    return passed, "\n".join(lines) + "\n"


def _passes(title: str, name: str, check: Check) -> bool:
    try:
        check()
    except Exception as error:  # noqa: BLE001 - failing is what a check does by raising
        log.warning("check failed", endpoint=title, check=name, error=str(error))
        return False
    return True


class HttpServer:
    """Serves health on one address and metrics on another, or on the same one.

    live, ready: checks by name. A bind of None switches that part off. tls: of the metrics alone,
    which must have an address of their own then. auth: who may read them; None: everybody.
    """

    def __init__(
        self,
        *,
        health: Bind | None,
        metrics: Bind | None,
        registry: CollectorRegistry,
        live: Mapping[str, Check] | None = None,
        ready: Mapping[str, Check] | None = None,
        tls: ssl.SSLContext | None = None,
        auth: MetricsAuth | None = None,
    ) -> None:
        self._registry = registry
        self._auth = auth
        self._tls = {metrics: tls}
        self._checks = {"healthz": dict(live or {}), "readyz": dict(ready or {})}
        self._routes: dict[Bind, list[web.RouteDef]] = {}
        if health is not None:
            self._routes.setdefault(health, []).extend(self._health_routes())
        if metrics is not None:
            self._routes.setdefault(metrics, []).append(web.get("/metrics", self._metrics))
        self._runners: dict[Bind, web.AppRunner] = {}

    async def start(self) -> None:
        """Listen. Raises OSError if an address can't be had, after which nothing listens."""
        try:
            for bind, routes in self._routes.items():
                app = web.Application()
                app.add_routes(routes)
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
                await runner.setup()
                self._runners[bind] = runner
                tls = self._tls.get(bind)
                await web.TCPSite(runner, bind.host, bind.port, ssl_context=tls).start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close all connections. Safe to repeat, and before `start`."""
        while self._runners:
            _, runner = self._runners.popitem()
            await runner.cleanup()

    def port(self, bind: Bind) -> int:
        """The port that is really listened on for this bind."""
        port: int = self._runners[bind].addresses[0][1]
        return port

    def _health_routes(self) -> list[web.RouteDef]:
        routes = []
        for title in self._checks:
            routes.append(web.get(f"/{title}", self._health))
            routes.append(web.get(f"/{title}/{{name}}", self._one_check))
        return routes

    async def _health(self, request: web.Request) -> web.Response:
        title = request.path.strip("/")
        passed, text = report(
            title,
            self._checks[title],
            exclude=request.query.getall("exclude", []),
            verbose="verbose" in request.query,
        )
        return _answer(text, passed=passed)

    async def _one_check(self, request: web.Request) -> web.Response:
        title, _, name = request.path.strip("/").partition("/")
        check = self._checks[title].get(name)
        if check is None:
            raise web.HTTPNotFound
        passed, text = report(title, {name: check}, verbose="verbose" in request.query)
        return _answer(text, passed=passed)

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._auth is not None:
            verdict = await self._auth.decide(request.headers.get("Authorization", ""))
            if verdict is not Verdict.ALLOWED:
                return _refusal(verdict)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        families = _Families()
        for family in self._registry.collect():
            families.append(family)
            await asyncio.sleep(0)
        # A thousand EtcdClusters are ten thousand lines, which take a tenth of a second.
        body = await asyncio.to_thread(encode, families)
        return web.Response(body=body, headers={"Content-Type": content_type})


class _Families(list[Metric], Collector):
    """What was collected, to be encoded."""

    @override
    def collect(self) -> Iterator[Metric]:
        return iter(self)


def _refusal(verdict: Verdict) -> web.Response:
    is_unknown = verdict is Verdict.UNKNOWN_CALLER
    headers = {"WWW-Authenticate": "Bearer"} if is_unknown else {}
    return web.Response(status=verdict.value, headers=headers)


def _answer(text: str, *, passed: bool) -> web.Response:
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, private"}
    return web.Response(text=text, status=200 if passed else 500, headers=headers)
