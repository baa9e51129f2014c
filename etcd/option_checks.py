"""What etcd would die of though the type is right: values, and options it looks at together.

Pure; called by `etcd.options`. Each rule was seen to keep etcd from starting.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from etcd.option_errors import BadValueError
from etcd.option_values import FileValue, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

# Values of which etcd takes only these.
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "auto-compaction-mode": ("periodic", "revision"),
    "backend-bbolt-freelist-type": ("array", "map"),
    "log-format": ("json", "console"),
    "log-level": ("debug", "info", "warn", "error", "panic", "fatal"),
    "logger": ("zap",),
    "metrics": ("basic", "extensive"),
    "tls-max-version": ("TLS1.2", "TLS1.3"),
    "tls-min-version": ("TLS1.2", "TLS1.3"),
}
MODE: Final = "auto-compaction-mode"
RETENTION: Final = "auto-compaction-retention"
HEARTBEAT: Final = "heartbeat-interval"
ELECTION: Final = "election-timeout"
MAX_ELECTION_MS: Final = 50_000

_ORIGIN = re.compile(r"https?://[^/\s,]+:[0-9]+")


def check_value(name: str, value: FileValue) -> None:
    """Raises BadValueError for a value that this option doesn't take. name: the plain one."""
    choices = CHOICES.get(name)
    if choices is not None and value not in choices:
        raise BadValueError(name, f"{value!r} is none of {', '.join(choices)}")
    if name == "cors":
        _check_origins(str(value))


def _check_origins(text: str) -> None:
    """Etcd's file parser panics on an origin without a port."""
    for origin in text.split(","):
        if origin != "*" and _ORIGIN.fullmatch(origin) is None:
            raise BadValueError("cors", f"{origin!r} is neither * nor like https://host:port")


def check_together(keys: Mapping[str, object]) -> None:
    """Raises BadValueError where values don't fit each other."""
    _check_times(_number(keys, HEARTBEAT, 100), _number(keys, ELECTION, 1000))
    if RETENTION in keys:
        _check_retention(str(keys[RETENTION]), str(keys.get(MODE, "periodic")))


def _number(keys: Mapping[str, object], name: str, default: int) -> int:
    value = keys.get(name, default)
    return value if isinstance(value, int) else default


def _check_times(heartbeat_ms: int, election_ms: int) -> None:
    if heartbeat_ms == 0:
        raise BadValueError(HEARTBEAT, "must not be 0")
    if election_ms < 5 * heartbeat_ms:
        raise BadValueError(
            ELECTION,
            f"{election_ms} ms is less than five times the heartbeat interval, {heartbeat_ms} ms",
        )
    if election_ms > MAX_ELECTION_MS:
        raise BadValueError(ELECTION, f"{election_ms} ms is more than {MAX_ELECTION_MS}")


def _check_retention(retention: str, mode: str) -> None:
    if retention.isascii() and retention.isdigit():
        return
    if mode == "revision":
        raise BadValueError(RETENTION, f"{retention!r} is no number of revisions")
    try:
        if nanoseconds(retention) >= 0:
            return
    except ValueError as problem:
        raise BadValueError(RETENTION, f"{retention!r} is wrong: {problem}") from problem
    raise BadValueError(RETENTION, f"{retention!r} is negative")
