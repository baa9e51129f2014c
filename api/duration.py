"""Turns durations ("30d", "12h", "1h30m", "250ms") into nanoseconds.

The grammar is Go's `time.ParseDuration` without a sign, plus `d` for 24 hours, which people write
for the age of backups. Nanoseconds, because etcd's configuration files want them and because
integers compare exactly.
"""

import re
from decimal import Decimal
from typing import Final

_UNITS_NS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 24 * 3600 * 10**9,
}
_PART: Final = r"([0-9]+(\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)"
DURATION_PATTERN: Final = rf"^({_PART})+$"
MAX_DURATION_LENGTH: Final = 32

# What Go's int64 of nanoseconds holds: about 292 years.
_LONGEST_NS: Final = 2**63 - 1


def parse_duration(text: str) -> int:
    """Return the nanoseconds that `text` means; a fraction of one is dropped, as Go does.

    Raises ValueError when it is malformed or longer than 292 years.
    """
    if len(text) > MAX_DURATION_LENGTH or re.fullmatch(DURATION_PATTERN, text) is None:
        raise ValueError("must be a duration such as 30d, 12h or 1h30m")
    total = sum(
        int(Decimal(number) * _UNITS_NS[unit]) for number, _, unit in re.findall(_PART, text)
    )
    if total > _LONGEST_NS:
        raise ValueError("is longer than 292 years")
    return total
