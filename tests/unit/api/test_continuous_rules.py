"""What an EtcdBackup may ask of the changes between its backups."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.backup_rules import backup_errors, backup_not_supported_yet
from api.v1alpha1.backup import BackupSpec

LOCAL = {"clusterName": "db", "storageType": "Local", "local": {"claimName": "backups"}}


def spec(schedule="0 2 * * *", **continuous):
    return BackupSpec.model_validate(
        {**LOCAL, "schedule": schedule, "continuous": {"enabled": True, **continuous}}
    )


def errors(asked):
    return [str(error) for error in backup_errors(asked)]


def test_changes_are_kept_between_the_backups_of_a_schedule():
    assert errors(spec()) == []
    assert backup_not_supported_yet(spec(), "prod") == ()
    (error,) = errors(spec(schedule=None))
    assert error.startswith("spec.continuous.enabled keeps the changes between the backups of a")
    assert "there is no spec.schedule" in error


@pytest.mark.parametrize("interval", ["1s", "20s", "1m30s", "10m"])
def test_intervals_from_a_second_to_ten_minutes_are_taken(interval):
    assert errors(spec(flushInterval=interval)) == []


@pytest.mark.parametrize("interval", ["0s", "999ms", "10m1s", "1h"])
def test_shorter_and_longer_ones_are_refused(interval):
    (error,) = errors(spec(flushInterval=interval))

    assert error.startswith("spec.continuous.flushInterval must be from 1s to 10m")


@pytest.mark.parametrize("size", [2**16 - 1, 2**26 + 1, 0])
def test_sizes_that_make_too_many_or_too_large_objects_are_refused(size):
    with pytest.raises(ValidationError, match="maxBytes"):
        spec(maxBytes=size)


@pytest.mark.parametrize("off", [None, {}, {"enabled": False}, {"flushInterval": "1h"}])
def test_what_is_switched_off_needs_no_schedule(off):
    assert errors(BackupSpec.model_validate({**LOCAL, "continuous": off})) == []
