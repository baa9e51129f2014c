"""What can go wrong between us and an API server, as one tree.

    KubeError
     ├── TransportError          no answer, or half of one: try again
     │    ├── StreamIdleError    a stream said nothing for too long: the peer may be gone
     │    ├── ForwardError       the node could not connect to the pod's port
     │    └── UnreadableError    an answer came, and it is not what the API promises
     ├── ConfigurationError      kubeconfig or service account unusable: a human must act
     └── StatusError             the server's own answer, with its reason
          ├── UnauthorizedError             401
          ├── ForbiddenError                403
          ├── NotFoundError                 404
          ├── AlreadyExistsError            409, reason AlreadyExists
          ├── ConflictError                 409, any other reason
          ├── ExpiredError                  410: that resourceVersion is no longer served
          ├── InvalidError                  422
          ├── TooManyRequestsError          429
          └── ServerError                   5xx
               └── ResourceVersionTooLargeError  the server has not got that far, or went back

Nothing here does I/O. The messages are the server's; they never hold our request's body or token.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

# A Status is small; what a proxy answers in its place can be a page of HTML.
_MESSAGE_LIMIT = 500


class KubeError(Exception):
    """Anything that kept a call to the API server from succeeding."""


class TransportError(KubeError):
    """No whole answer came: refused, reset, timed out, cut off or unreadable.

    Whether a write took effect is unknown.
    """


def transport_error(what: str, error: Exception) -> TransportError:
    """A foreign error as ours; `what` was being done. Many of them have no text of their own."""
    default = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
    return TransportError(f"{what}: {str(error) or default}")


class StreamIdleError(TransportError):
    """An open stream brought no byte within its idle deadline; reconnecting is the remedy."""


class ForwardError(TransportError):
    """A port-forward that was let through ended at the pod; the words are the node's."""


class UnreadableError(TransportError):
    """An answer or event that is not JSON, or lacks what the API promises to be there."""


class ConfigurationError(KubeError):
    """The kubeconfig, the service account or the credential plugin gave nothing usable."""


class StatusError(KubeError):
    """The API server refused: HTTP status, machine-readable reason, and its advice on retrying."""

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        details: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{status} {reason or 'Unknown'}: {message}" if message else str(status))
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after_s = retry_after_s


class UnauthorizedError(StatusError): ...


class ForbiddenError(StatusError): ...


class NotFoundError(StatusError): ...


class AlreadyExistsError(StatusError): ...


class ConflictError(StatusError): ...


class ExpiredError(StatusError): ...


class InvalidError(StatusError): ...


class TooManyRequestsError(StatusError): ...


class ServerError(StatusError): ...


class ResourceVersionTooLargeError(ServerError): ...


_BY_STATUS: dict[int, type[StatusError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: InvalidError,
    429: TooManyRequestsError,
}


def error_from_status(
    http_status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> StatusError:
    """The typed error for an HTTP answer; `body` may be a Status, anything else, or empty.

    Never raises. `headers` gives Retry-After; of that and the Status' retryAfterSeconds the
    longer one counts.
    """
    status = _decode_object(body)
    if status.get("kind") != "Status":
        text = body[:_MESSAGE_LIMIT].decode(errors="replace").strip()
        status = {"message": text}
    return error_from_object(status, http_status=http_status, headers=headers)


def error_from_object(
    status: Mapping[str, Any],
    *,
    http_status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> StatusError:
    """The typed error for a decoded Status, such as a watch's ERROR event carries. Never raises."""
    code = http_status if http_status is not None else _code(status.get("code"))
    reason = _text(status.get("reason"))
    message = _text(status.get("message"))[:_MESSAGE_LIMIT]
    raw_details = status.get("details")
    details: dict[str, Any] = dict(raw_details) if isinstance(raw_details, dict) else {}
    waits = (_number(details.get("retryAfterSeconds")), _retry_after(headers or {}))
    retry_after_s = max((wait for wait in waits if wait is not None and wait >= 0), default=None)
    error_type = _classify(code, reason, message, details)
    return error_type(code, reason, message, details, retry_after_s)


def _classify(
    code: int, reason: str, message: str, details: Mapping[str, Any]
) -> type[StatusError]:
    if _is_too_large(reason, message, details):
        return ResourceVersionTooLargeError
    if reason in {"Expired", "Gone"}:
        return ExpiredError
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExistsError
    return _BY_STATUS.get(code, ServerError if code >= 500 else StatusError)


def _is_too_large(reason: str, message: str, details: Mapping[str, Any]) -> bool:
    """New servers name the cause; older ones only say it, in exactly these words.

    Source: kubernetes/kubernetes issues 91073, 94316 and 107133.
    """
    listed = details.get("causes")
    causes = [c for c in listed if isinstance(c, dict)] if isinstance(listed, list) else []
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        return True
    words = "Too large resource version"
    said = words in message or any(words in _text(cause.get("message")) for cause in causes)
    return reason == "Timeout" and said


def _decode_object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by RFC 9110 section 10.2.3; of a date, the distance from the answer's own."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return float(value) if value.strip().isdigit() else _date_distance(value, headers)
    except (TypeError, ValueError):
        return None


def _date_distance(value: str, headers: Mapping[str, str]) -> float | None:
    date = headers.get("Date")
    if date is None:
        return None
    return (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _code(value: object) -> int:
    """An ERROR event without a usable code is the server's fault: 500."""
    return value if isinstance(value, int) and 100 <= value <= 599 else 500


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
