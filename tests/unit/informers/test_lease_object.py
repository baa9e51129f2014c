"""What is written into a Lease."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers import lease_object
from informers.lease_object import micro_time

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2030-01-02T03:04:05.000006Z"),
        (datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), "2030-01-02T03:04:05.000000Z"),
        (
            datetime(2030, 1, 2, 0, 30, tzinfo=timezone(timedelta(hours=2))),
            "2030-01-01T22:30:00.000000Z",
        ),
    ],
    ids=["microseconds", "whole second", "another zone"],
)
def test_micro_time_is_utc_with_six_digits(moment, written):
    assert micro_time(moment) == written


ZONES = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(timezone)


@given(st.datetimes(min_value=datetime(1970, 1, 2), timezones=ZONES))  # noqa: DTZ001
def test_micro_time_reads_back_as_the_same_moment(moment):
    written = micro_time(moment)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", written)
    assert datetime.fromisoformat(written) == moment.astimezone(UTC)


def test_micro_time_of_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        micro_time(datetime(2030, 1, 2))  # noqa: DTZ001


@pytest.mark.parametrize("spec", [{}, {"spec": {}}, {"spec": None}], ids=["none", "empty", "null"])
def test_lease_without_a_spec_is_free(spec):
    """TestUpdateWithNilLabelsOnLease: whatever another writer left out is no error."""
    assert lease_object.holder_of(spec) == ""
    assert lease_object.duration_of(spec, default_s=15) == 15
    taken = lease_object.claimed(spec, identity="me", duration_s=15, now=NOW)
    assert taken["spec"]["leaseTransitions"] == 1


def test_duration_is_written_in_whole_seconds_rounded_up():
    lease = lease_object.new(namespace="ns", name="n", identity="me", duration_s=1.2, now=NOW)

    assert lease["spec"]["leaseDurationSeconds"] == 2


def test_what_was_read_is_not_changed():
    lease = {"metadata": {"name": "n"}, "spec": {"holderIdentity": "other"}}
    lease_object.claimed(lease, identity="me", duration_s=15, now=NOW)
    lease_object.released(lease, now=NOW)

    assert lease == {"metadata": {"name": "n"}, "spec": {"holderIdentity": "other"}}
