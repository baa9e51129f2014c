"""What an archiver's page tells of the state that its work is in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.reasons import Reason
from cli.agent.archive import State, report_of
from controllers.backup.archive.order import MOST_WINDOWS, ArchiverReport, read_report
from etcd.errors import NoLeaderError
from snapshots.changes.archiver import Progress
from snapshots.changes.history import Base, Chain
from snapshots.changes.layout import LogFolder
from snapshots.changes.segment import Header
from snapshots.errors import (
    BaseNeededError,
    FencedError,
    KeyMissingError,
    StoreForbiddenError,
    StoreUnavailableError,
)
from snapshots.layout import BackupFolder

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SAFE = NOW - timedelta(seconds=7, milliseconds=250)
LOG = LogFolder(cluster_id=0xABC, epoch=1, name="nightly-0123abcd")
AWAY = StoreUnavailableError("no route", operation="create", where="s3://b")


def chain(first, last):
    """Of one segment, as its header tells."""
    header = Header(
        cluster="abc",
        epoch=1,
        chain=first,
        number=0,
        first_revision=first,
        last_revision=last,
        complete_until=SAFE,
        previous="",
        compression="none",
        encryption=None,
        body_size=1,
        body_sha256="0" * 64,
    )
    return Chain(folder=LOG.chain(first), last=header, sha256="0" * 64)


def base(revision, *, name="nightly-202603010200", completed=NOW - timedelta(hours=1)):
    folder = BackupFolder(cluster_id=0xABC, epoch=1, name=name)
    return folder, Base(path=folder.path, revision=revision, completed=completed)


def state(*, chains=(), bases=(), **progress):
    of_chains = {one.folder: one for one in chains}
    settings = {"revision": 200, "seen": 205, "safe": SAFE, "chains": of_chains}
    return State(progress=Progress(**settings | progress), bases=dict(bases))


def test_it_tells_how_far_it_is():
    report = report_of(state(chains=[chain(101, 200)], bases=[base(150)]), NOW)

    (window,) = report.windows
    assert (window.start_revision, window.end_revision) == (150, 200)
    assert window.base == "abc-1/nightly-202603010200"
    assert window.end_time == SAFE.replace(microsecond=0)
    assert (report.revision, report.cluster_revision) == (200, 205)
    assert report.time == SAFE.replace(microsecond=0)
    assert report.unarchived_seconds == 7.25
    assert (report.base_needed, report.failing) == ("", None)


def test_one_that_has_just_begun_knows_nothing():
    assert report_of(State(), NOW) == ArchiverReport()


def test_a_clock_that_is_behind_the_one_before_gives_no_negative_number():
    assert report_of(state(safe=NOW + timedelta(minutes=1)), NOW).unarchived_seconds == 0.0


def test_changes_without_a_backup_before_them_are_no_window():
    assert report_of(state(chains=[chain(101, 200)], bases=[base(99)]), NOW).windows == ()


def test_the_newest_windows_are_told_and_the_operator_can_read_them():
    """A store of years may have more than fit into a status."""
    firsts = [n * 10 for n in range(1, MOST_WINDOWS + 50)]
    chains = [chain(first, first + 5) for first in firsts]
    bases = [base(first, name=f"b-{first}") for first in firsts]

    report = report_of(state(chains=chains, bases=bases), NOW)

    assert len(report.windows) == MOST_WINDOWS
    assert report.windows[-1].start_revision == firsts[-1]
    assert read_report(report.model_dump_json(by_alias=True).encode()) == report


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (FencedError("changes-x/1/2 was written by another archiver"), Reason.ARCHIVER_FAILING),
        (NoLeaderError("no leader"), Reason.ARCHIVER_FAILING),
        (KeyMissingError("no key"), Reason.ENCRYPTION_KEY_MISSING),
        (StoreForbiddenError("403", operation="list", where="s3://b"), Reason.STORE_FORBIDDEN),
        (AWAY, Reason.STORE_UNAVAILABLE),
    ],
)
def test_what_work_ended_with_is_what_it_fails_with(failure, reason):
    at_work = state()
    at_work.note(failure)

    failing = report_of(at_work, NOW).failing

    assert failing.reason is reason
    assert str(failure) in failing.message


def test_it_counts_no_longer_once_work_goes_on():
    at_work = state()
    at_work.note(FencedError("written by another archiver"))

    at_work.progress.safe = NOW

    assert report_of(at_work, NOW).failing is None


def test_a_backup_that_is_needed_is_asked_for_and_is_no_failure():
    needy = state()
    needy.note(BaseNeededError("etcd has compacted what comes before revision 300" + "!" * 2000))

    report = report_of(needy, NOW)

    assert report.failing is None
    assert report.base_needed.startswith("etcd has compacted what comes before revision 300")
    assert len(report.base_needed) == 1000


def test_a_store_that_does_not_take_what_it_is_given_is_told_while_it_is_tried_again():
    assert report_of(state(trouble=AWAY), NOW).failing.reason is Reason.STORE_UNAVAILABLE
