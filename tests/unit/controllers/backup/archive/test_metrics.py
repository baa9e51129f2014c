"""What Prometheus can ask: the seconds of changes that would be lost now, whoever is silent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controllers.backup.archive.metrics import ArchiveMetrics
from controllers.backup.archive.observed import Silence
from controllers.backup.plan import plan
from controllers.backup.status import next_status
from tests.unit.controllers.backup.archive.builders import at_work, backup, report
from tests.unit.controllers.backup.builders import NOW, cluster

LABELS = {"namespace": "prod", "cluster": "db", "backup": "nightly"}


class Clock:
    """The time that a scrape sees."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def metrics(clock):
    return ArchiveMetrics(clock)


def look(metrics, seen):
    """One reconcile; returns the status that it leaves."""
    status = next_status(seen, plan(seen), None)
    metrics.observe(seen, status)
    return status


def values(metrics):
    """By name, without the part that all have in common."""
    found = {}
    for family in metrics.collect():
        for sample in family.samples:
            assert sample.labels == LABELS
            found[sample.name.removeprefix("etcd_operator_backup_")] = sample.value
    return found


def test_what_would_be_lost_is_told(metrics):
    look(metrics, backup(archiver=at_work()))

    assert values(metrics) == {
        "unarchived_seconds": 10.0,
        "unarchived_revisions": 5.0,
        "archiver_ready": 1.0,
    }


def test_silence_shows_as_seconds_that_go_on(metrics, clock):
    seen = backup(archiver=at_work())
    status = look(metrics, seen)
    clock.now += timedelta(minutes=5)
    assert values(metrics)["unarchived_seconds"] == 310.0

    silent = backup(archiver=at_work(report=Silence(why="x")), status=status, now=clock.now)
    look(metrics, silent)

    assert values(metrics) == {
        "unarchived_seconds": 310.0,
        "unarchived_revisions": 0.0,
        "archiver_ready": 0.0,
    }


def test_where_nothing_was_ever_kept_all_since_the_beginning_would_be_lost(metrics):
    look(metrics, backup(created=NOW - timedelta(hours=3)))

    assert values(metrics)["unarchived_seconds"] == 3 * 3600


def test_a_clock_that_is_behind_the_pods_gives_no_negative_number(metrics, clock):
    look(metrics, backup(archiver=at_work(report=report(time=NOW + timedelta(seconds=9)))))

    assert values(metrics)["unarchived_seconds"] == 0.0


def test_a_revision_that_is_kept_and_was_not_seen_is_no_negative_number(metrics):
    """A pod that has just begun has read the store, and heard nothing of etcd yet."""
    look(metrics, backup(archiver=at_work(report=report(cluster_revision=None))))

    assert values(metrics)["unarchived_revisions"] == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"continuous": None},
        {"cluster": cluster(phase="Stopped")},
        {"cluster": None},
    ],
)
def test_what_keeps_nothing_has_no_numbers(metrics, change):
    look(metrics, backup(archiver=at_work()))

    look(metrics, backup(archiver=at_work(), **change))

    assert values(metrics) == {}


def test_a_backup_that_is_gone_has_no_numbers(metrics):
    seen = backup(archiver=at_work())
    look(metrics, seen)

    metrics.forget(seen.key)

    assert values(metrics) == {}
