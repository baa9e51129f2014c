"""Bytes → one request for admission, and a verdict → the bytes of the answer.  Pure.

The form is admission.k8s.io/v1 AdmissionReview.  Any bytes give a `Review` or a `ReviewError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

_API_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
# The API server cuts longer ones, or all of them when they are too many (apiserver, warning.go).
_LONGEST_WARNING: Final = 256
_MOST_WARNINGS: Final = 10

JsonObject: TypeAlias = Mapping[str, Any]


class ReviewError(ValueError):
    """These bytes are no request that can be answered; the message quotes nothing of them."""


class _Kind(msgspec.Struct):
    group: str = ""
    kind: str = ""


class _Request(msgspec.Struct, rename="camel"):
    uid: str
    kind: _Kind
    operation: str
    sub_resource: str = ""
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: _Request


_DECODER: Final = msgspec.json.Decoder(_Review)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One request: `obj` is None for a deletion, `stored` for a creation."""

    uid: str
    group: str
    kind: str
    operation: str
    subresource: str
    obj: JsonObject | None
    stored: JsonObject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer. `message` is what the user reads; empty when it is allowed."""

    message: str = ""
    warnings: tuple[str, ...] = ()
    is_invalid: bool = True  # the object itself is wrong, as opposed to what is done with it

    @property
    def allowed(self) -> bool:
        return not self.message


ALLOWED: Final = Verdict()


def read_review(body: bytes) -> Review:
    """Raises ReviewError."""
    try:
        review = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ReviewError("the body is no AdmissionReview in JSON") from error
    if (review.api_version, review.kind) != (_API_VERSION, _KIND):
        message = f"the body is no {_KIND} of {_API_VERSION}"
        raise ReviewError(message)
    request = review.request
    return Review(
        uid=request.uid,
        group=request.kind.group,
        kind=request.kind.kind,
        operation=request.operation,
        subresource=request.sub_resource,
        obj=request.object,
        stored=request.old_object,
    )


def answer(uid: str, verdict: Verdict) -> bytes:
    """The body of the answer."""
    response: dict[str, Any] = {"uid": uid, "allowed": verdict.allowed}
    if verdict.warnings:
        shown = verdict.warnings[:_MOST_WARNINGS]
        response["warnings"] = [warning[:_LONGEST_WARNING] for warning in shown]
    if not verdict.allowed:
        code, reason = (422, "Invalid") if verdict.is_invalid else (403, "Forbidden")
        response["status"] = {"code": code, "reason": reason, "message": verdict.message}
    return msgspec.json.encode({"apiVersion": _API_VERSION, "kind": _KIND, "response": response})
