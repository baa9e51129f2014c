"""A value as written on etcd's command line → the value that its configuration file wants.

The rules are those of Go's `flag` package, which parses the command line, and of `encoding/json`,
which reads the file: durations there are integer nanoseconds. Pure. Raises ValueError with what was
expected; `etcd.options` adds the option's name.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

if TYPE_CHECKING:
    from etcd.options_table import FileType

FileValue: TypeAlias = bool | int | str | list[str]

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)")
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # micro sign
    "μs": 10**3,  # Greek mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_INT64 = 2**63


def file_value(text: str, kind: FileType) -> FileValue:
    """Converts one value. Raises ValueError, with what should have been written."""
    match kind:
        case "bool":
            return boolean(text)
        case "int":
            return integer(text)
        case "uint":
            return unsigned(text)
        case "duration":
            return nanoseconds(text)
        case "string":
            return text
        case "strings":
            return [part.strip() for part in text.split(",") if part.strip()]
        case _:
            assert_never(kind)


def boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("true or false expected")


def integer(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("a whole number expected, without unit")
    number = int(text, 0)
    if not -_INT64 <= number < _INT64:
        raise ValueError("a number of 64 bits expected")
    return number


def unsigned(text: str) -> int:
    number = integer(text)
    if number < 0:
        raise ValueError("a number of 0 or more expected")
    return number


def nanoseconds(text: str) -> int:
    """Go's durations: `300ms`, `1.5h`, `1h30m`, `-1s`, and `0` alone without a unit."""
    sign = -1 if text.startswith("-") else 1
    bare = text[1:] if text[:1] in {"+", "-"} else text
    if bare == "0":
        return 0
    parts = list(_DURATION_PART.finditer(bare))
    if not parts or "".join(part.group() for part in parts) != bare:
        raise ValueError("a duration with units expected, like 5s, 100ms or 1h30m")
    total = sum(Decimal(part[1]) * _NANOSECONDS[part[2]] for part in parts)
    if total >= _INT64:
        raise ValueError("a duration below 292 years expected")
    return sign * int(total)
