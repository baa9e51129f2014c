"""When the operator may do what may wait: the maintenance windows of an EtcdCluster."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from api.duration import DURATION_PATTERN, MAX_DURATION_LENGTH, parse_duration
from api.schedule import (
    CRON_PATTERN,
    MAX_CRON_LENGTH,
    MAX_TIME_ZONE_LENGTH,
    TIME_ZONE_PATTERN,
    check_cron,
    check_time_zone,
)
from api.v1alpha1.common import Duration, Model, Text, text_schema

MAX_WINDOWS: Final = 16
_LONGEST_NS: Final = parse_duration("7d")


def _check_length(text: str) -> str:
    if not 0 < parse_duration(text) <= _LONGEST_NS:
        raise ValueError("must be more than 0 and at most 7d, such as 2h")
    return text


Cron = Annotated[
    Text,
    Field(max_length=MAX_CRON_LENGTH),
    AfterValidator(check_cron),
    text_schema(CRON_PATTERN, MAX_CRON_LENGTH),
]
TimeZone = Annotated[
    Text,
    Field(max_length=MAX_TIME_ZONE_LENGTH),
    AfterValidator(check_time_zone),
    text_schema(TIME_ZONE_PATTERN, MAX_TIME_ZONE_LENGTH),
]
WindowLength = Annotated[
    Duration,
    AfterValidator(_check_length),
    text_schema(DURATION_PATTERN, MAX_DURATION_LENGTH),
]


class MaintenanceWindow(Model):
    """A time that comes again and again, in which what may wait is done."""

    schedule: Cron = Field(
        description="When the window opens, as a cron expression of five fields: 0 2 * * 6 is"
        " Saturdays at two. A time that the zone's clock skips is when it jumps; one that it shows"
        " twice is both.",
    )
    duration: WindowLength = Field(
        description="How long it stays open: 2h. More than 0, at most 7d."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="The IANA name of the schedule's time zone: Europe/Berlin."
    )


MaintenanceWindows = Annotated[tuple[MaintenanceWindow, ...], Field(max_length=MAX_WINDOWS)]
