"""Checks the texts that say when something recurs: cron expressions and names of time zones.

Called by the models; pure, as the zones are those of the package tzdata, the same everywhere. What
passes here always has a next time: whoever computes it needs to expect no failure.
"""

import re
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Final

from cronsim import CronSim, CronSimError

_FIELD: Final = r"[0-9A-Za-z*/,#-]+"
CRON_PATTERN: Final = rf"^{_FIELD}( +{_FIELD}){{4}}$"
CRON_MESSAGE: Final = "must be a cron expression of five fields, such as 0 2 * * 6"
MAX_CRON_LENGTH: Final = 128
TIME_ZONE_PATTERN: Final = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"
MAX_TIME_ZONE_LENGTH: Final = 64

# cron's words (crontab(5)), which cronsim does not know.
_WORDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

# Any would do: a year is no part of a cron expression, and cronsim looks 50 years ahead.
_LONG_AGO: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - the time of a wall clock


def expand_cron(text: str) -> str:
    """Return one of cron's own words as five fields, and five fields with '*' for '?'."""
    return _WORDS.get(text, text).replace("?", "*")


def check_cron(text: str) -> str:
    """Return the text if it is a cron expression of five fields that can ever be due.

    Raises ValueError with what is wrong and an example otherwise.
    """
    # Asked first, because in six fields cronsim reads seconds.
    if re.fullmatch(CRON_PATTERN, text) is None:
        raise ValueError(CRON_MESSAGE)
    try:
        due = next(CronSim(text, _LONG_AGO), None)
    except CronSimError as problem:
        message = f"{CRON_MESSAGE} ({str(problem).lower()})"
        raise ValueError(message) from problem
    if due is None:
        raise ValueError("must name a day that there is, such as 0 2 * * 6")
    return text


def check_time_zone(name: str) -> str:
    """Return the name if it is one of a time zone; raises ValueError ("must be ...") otherwise."""
    if name not in _time_zones():
        raise ValueError("must be the IANA name of a time zone, such as UTC or Europe/Berlin")
    return name


@cache
def _time_zones() -> frozenset[str]:
    """Names as tzdata lists them: the system may know others, and aliases such as localtime."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())
