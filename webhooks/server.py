"""The admission server: HTTPS in, a verdict out.

Every request has a bounded size and a bounded time, and a plain answer whatever its bytes are:
an AdmissionReview, or 400, 408, 413.  A defect of ours is logged and answered with 500; then the
API server does as its configuration's failurePolicy says.
"""

import asyncio
import ssl
import time
from typing import Final, Protocol

import structlog
from aiohttp import web

from webhooks.judge import PARSERS, Rules, judge
from webhooks.review import Review, ReviewError, answer, read_review

log = structlog.get_logger(__name__)

PATH: Final = "/validate"
# An object of 3 MiB as it was and as it shall be, and something around them.
MOST_BYTES: Final = 7 * 1024 * 1024
# The API server waits for 2 s (manifests/operator/webhook.yaml).
DEADLINE_S: Final = 2.0
_SHUTDOWN_S: Final = 0.5
_OPERATIONS: Final = frozenset({"CREATE", "UPDATE", "DELETE"})
_UNKNOWN: Final = "unknown"


class Observer(Protocol):
    """Hears of each request that was answered."""

    def on_review(self, kind: str, operation: str, outcome: str, seconds: float) -> None:
        """`outcome`: allowed, refused, unreadable, or failed."""
        ...


class AdmissionServer:
    """Serves `POST /validate` on one address.

    `tls` may get another certificate at any time: it serves the connections made from then on.
    None: without TLS, for tests.
    """

    def __init__(
        self,
        *,
        host: str | None,
        port: int,
        tls: ssl.SSLContext | None,
        rules: Rules,
        observer: Observer,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._rules = rules
        self._observer = observer
        self._runner: web.AppRunner | None = None

    def application(self) -> web.Application:
        """What is served, without anything that listens."""
        app = web.Application(client_max_size=MOST_BYTES)
        app.add_routes([web.post(PATH, self._validate)])
        return app

    async def start(self) -> None:
        """Listen. Raises OSError if the address can't be had."""
        self._runner = web.AppRunner(
            self.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S
        )
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls)
            await site.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close all connections. Safe to repeat, and before `start`."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        assert self._runner is not None
        port: int = self._runner.addresses[0][1]
        return port

    async def _validate(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        review: Review | None = None
        outcome = "failed"
        try:
            async with asyncio.timeout(DEADLINE_S):
                review = read_review(await request.read())
                verdict = await judge(review, self._rules)
            outcome = "allowed" if verdict.allowed else "refused"
            return web.Response(body=answer(review.uid, verdict), content_type="application/json")
        except TimeoutError:
            return web.Response(status=408, text="the request took too long\n")
        except ReviewError as error:
            outcome = "unreadable"
            return web.Response(status=400, text=f"{error}\n")
        except (web.RequestPayloadError, ConnectionError):
            outcome = "unreadable"
            return web.Response(status=400, text="the body can't be unpacked, or has no end\n")
        except web.HTTPException as refusal:  # larger than MOST_BYTES
            outcome = "unreadable"
            return web.Response(status=refusal.status, text=f"{refusal.reason}\n")
        except Exception:
            log.exception("a request for admission could not be judged")
            return web.Response(status=500, text="the operator has a defect; see its log\n")
        finally:
            kind, operation = _labels(review)
            self._observer.on_review(kind, operation, outcome, time.perf_counter() - started)


def _labels(review: Review | None) -> tuple[str, str]:
    """Few values, whatever anybody sends."""
    if review is None:
        return _UNKNOWN, _UNKNOWN
    kind = review.kind if review.kind in PARSERS else _UNKNOWN
    return kind, review.operation if review.operation in _OPERATIONS else _UNKNOWN
