"""What obstore raises → `StoreError`s: by class where there is one, else by the store's answer.

obstore's text is the cause in one line, then a dump of its own structures. The line goes on; of
the dump only the words that tell one failure from another are read. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapshots.errors import (
    ObjectExistsError,
    ObjectMissingError,
    ObjectTruncatedError,
    StoreConfigError,
    StoreError,
    StoreForbiddenError,
    StoreFullError,
    StoreMissingError,
    StoreRefusedError,
    StoreTimeoutError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_BY_CLASS: dict[str, type[StoreError]] = {
    "PermissionDeniedError": StoreForbiddenError,
    "UnauthenticatedError": StoreForbiddenError,
    "AlreadyExistsError": ObjectExistsError,
    "UnknownConfigurationKeyError": StoreConfigError,
    "InvalidPathError": StoreConfigError,
}
_STATUS = re.compile(r"status code: (\d{3})")
_ELAPSED = re.compile(r" in [0-9.]+(ns|µs|ms|s)\b(, after [0-9]+ retries, [^-]*)?")
_MISSING_STORE = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
# Some stores answer 404 or 400 for a key that nobody has: then nothing is known of the object.
_NOBODY = re.compile(r"InvalidAccessKeyId|SignatureDoesNotMatch|UserNotFound|AuthenticationFailed")
_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|StorageFull|InsufficientStorage|QuotaExceeded"
    r"|minimum free drive threshold",
    re.IGNORECASE,
)
_TRUNCATED = re.compile(r"kind: Decode|kind: Body|NoContentRange|error decoding response body")
_TIMEOUT = re.compile(r"kind: Timeout")
_NO_ANSWER = re.compile(r"kind: (Connect|Request|Interrupted)|HTTP error|error sending request")
# Neither is a 5xx for the usual reason: repeating them is as useless as repeating a 400.
_NEVER = frozenset({501, 505})
_MAX_WORDS = 500
# Shorter ones are no secrets, and in every word.
_MIN_SECRET = 4


def translate(
    failure: BaseException, *, operation: str, where: str, secrets: Iterable[str] = ()
) -> StoreError:
    """The error of ours for a failure of obstore's. secrets: are blotted out of the text."""
    text = str(failure)
    for secret in secrets:
        if len(secret) >= _MIN_SECRET:
            text = text.replace(secret, "***")
    line, _, dump = text.partition("\n\nDebug source:")
    words = _ELAPSED.sub("", " ".join(line.split()))
    if len(words) > _MAX_WORDS:
        words = f"{words[:_MAX_WORDS]}..."
    return _kind(failure, line, dump)(words, operation=operation, where=where)


def lacks_conditions(failure: StoreError) -> bool:
    """Whether a store refused `create` because it has no conditional writes."""
    return isinstance(failure, StoreRefusedError) and (
        "status code: 501" in failure.message or "NotImplemented" in failure.message
    )


def _kind(failure: BaseException, line: str, dump: str) -> type[StoreError]:
    if _NOBODY.search(line):
        return StoreForbiddenError
    if isinstance(failure, FileNotFoundError):
        return StoreMissingError if _MISSING_STORE.search(line) else ObjectMissingError
    if isinstance(failure, ValueError | TypeError):
        return StoreConfigError
    known = _BY_CLASS.get(type(failure).__name__)
    if known is not None:
        return known
    status = _STATUS.search(line)
    if _FULL.search(line):
        return StoreFullError
    return _of_status(int(status[1]), line) if status else _without_answer(line + dump)


def _of_status(status: int, line: str) -> type[StoreError]:
    if status in {401, 403}:
        return StoreForbiddenError
    if status == 404:
        return StoreMissingError if _MISSING_STORE.search(line) else ObjectMissingError
    if status == 507:
        return StoreFullError
    if status in {408, 409, 429} or (status >= 500 and status not in _NEVER):
        return StoreUnavailableError
    return StoreRefusedError


def _without_answer(text: str) -> type[StoreError]:
    if _TIMEOUT.search(text):
        return StoreTimeoutError
    if _TRUNCATED.search(text):
        return ObjectTruncatedError
    return StoreUnavailableError if _NO_ANSWER.search(text) else StoreRefusedError
