"""Asks the API server whether a caller may read /metrics: who holds the token, and what he may.

The HTTP server calls it for each scrape.  A verdict is remembered for a moment, by the token's hash
and never with the token, so that scrapes cost the API server little; and only a few questions run
at once, so that strangers can't make us flood it.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import structlog

from informers.errors import KubeError
from informers.resource import Resource
from informers.wire import KubeApi

log = structlog.get_logger()

_TOKEN_REVIEWS: Final = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False
)
_ACCESS_REVIEWS: Final = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
PATH: Final = "/metrics"

# A right that is taken away works for so long; one that is granted is seen after the shorter time.
ALLOWED_S: Final = 60.0
REFUSED_S: Final = 10.0
MOST_REMEMBERED: Final = 256
MOST_AT_ONCE: Final = 4
_TIMEOUT_S: Final = 5.0
_SAY_AGAIN_S: Final = 60.0


class Verdict(Enum):
    """Whether a caller may; the value is the answer's HTTP status."""

    ALLOWED = 200
    UNKNOWN_CALLER = 401
    NOT_ALLOWED = 403
    CANNOT_TELL = 503


@dataclass(frozen=True, slots=True)
class _Remembered:
    verdict: Verdict
    until: float


class MetricsAuth:
    """Decides by TokenReview, then by SubjectAccessReview for `get` of the URL."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._verdicts: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._running = 0
        self._silent_until = 0.0

    async def decide(self, authorization: str) -> Verdict:
        """`authorization` is the header's value, empty without one. Never raises KubeError."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return Verdict.UNKNOWN_CALLER
        key = hashlib.sha256(token.strip().encode()).digest()
        known = self._verdicts.get(key)
        if known is not None and _now() < known.until:
            return known.verdict
        if self._running >= MOST_AT_ONCE:
            return Verdict.CANNOT_TELL
        self._running += 1
        try:
            verdict = await self._ask(token.strip())
        except KubeError as error:
            self._complain(error)
            return Verdict.CANNOT_TELL
        finally:
            self._running -= 1
        self._remember(key, verdict)
        return verdict

    async def _ask(self, token: str) -> Verdict:
        review = _review(_TOKEN_REVIEWS, {"token": token})
        found = await self._api.create(_TOKEN_REVIEWS, review, timeout_s=_TIMEOUT_S)
        status = found.get("status") or {}
        if not status.get("authenticated"):
            return Verdict.UNKNOWN_CALLER
        user = status.get("user") or {}
        wanted = {
            "user": user.get("username", ""),
            "uid": user.get("uid", ""),
            "groups": user.get("groups") or [],
            "extra": user.get("extra") or {},
            "nonResourceAttributes": {"path": PATH, "verb": "get"},
        }
        access = _review(_ACCESS_REVIEWS, wanted)
        answer = await self._api.create(_ACCESS_REVIEWS, access, timeout_s=_TIMEOUT_S)
        is_allowed = (answer.get("status") or {}).get("allowed") is True
        return Verdict.ALLOWED if is_allowed else Verdict.NOT_ALLOWED

    def _remember(self, key: bytes, verdict: Verdict) -> None:
        for_s = ALLOWED_S if verdict is Verdict.ALLOWED else REFUSED_S
        self._verdicts.pop(key, None)
        self._verdicts[key] = _Remembered(verdict, _now() + for_s)
        if len(self._verdicts) > MOST_REMEMBERED:
            self._verdicts.popitem(last=False)

    def _complain(self, error: KubeError) -> None:
        """Once a minute: whoever asks without a right must not fill the log."""
        if _now() < self._silent_until:
            return
        self._silent_until = _now() + _SAY_AGAIN_S
        log.warning(
            "callers of /metrics can't be checked; the operator needs create on tokenreviews and"
            " subjectaccessreviews (manifests/operator/metrics-auth.yaml)",
            error=str(error),
        )


def _review(resource: Resource, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}


def _now() -> float:
    return asyncio.get_running_loop().time()
