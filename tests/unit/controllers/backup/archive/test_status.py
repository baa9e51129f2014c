"""What the status of an EtcdBackup tells of its changes: ArchiverReady and why, windows, lag."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from api.reasons import Reason
from api.v1alpha1.backup import MAX_WINDOWS, ArchiveStatus, BackupStatus
from controllers.backup.archive.observed import Silence
from controllers.backup.happenings import happenings
from controllers.backup.order import failed
from controllers.backup.outcome import Done, Rejected
from controllers.backup.plan import plan
from controllers.backup.status import next_status
from tests.unit.controllers.backup.archive.builders import (
    at_work,
    backup,
    pod,
    report,
    told,
    window,
)
from tests.unit.controllers.backup.builders import NOW, child, cluster

NAME = "nightly-0123abcd-changes"
JUST_NOW = NOW - timedelta(seconds=20)
LONG_AGO = NOW - timedelta(minutes=2)


def starts(**fields):
    return at_work(pod=pod(started=None, **fields), report=None)


def silent(started, said):
    return at_work(pod=pod(started=started), report=said)


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        pytest.param(
            {},
            ("False", "ArchiverStarting", f"Deployment {NAME} has no pod yet"),
            id="nothing is there yet",
        ),
        pytest.param(
            {"archiver": at_work(pod=None, report=None)},
            ("False", "ArchiverStarting", f"Deployment {NAME} has no pod yet"),
            id="no pod yet",
        ),
        pytest.param(
            {"archiver": at_work(pod=None, report=None, refusal="exceeded quota: pods")},
            ("False", "PodsRefused", "exceeded quota: pods"),
            id="pods are refused",
        ),
        pytest.param(
            {"archiver": starts(obstacle=(Reason.POD_UNSCHEDULABLE, "no claim"))},
            ("False", "PodUnschedulable", "Pod changes-0: no claim"),
            id="pod can't start",
        ),
        pytest.param(
            {"archiver": starts()},
            ("False", "ArchiverStarting", "Pod changes-0 starts"),
            id="pod starts",
        ),
        pytest.param(
            {"archiver": starts(last_words="no such key")},
            ("False", "ArchiverStarting", "Pod changes-0 starts, after it ended: no such key"),
            id="pod starts again",
        ),
        pytest.param(
            {"archiver": starts(failure=failed(Reason.ENCRYPTION_KEY_REFUSED, "it has 3 bytes"))},
            ("False", "EncryptionKeyRefused", "Pod changes-0 starts again: it has 3 bytes"),
            id="pod ends every time",
        ),
        pytest.param(
            {"archiver": silent(JUST_NOW, Silence(why="no answer within 3 s"))},
            ("False", "ArchiverStarting", "Pod changes-0 has begun"),
            id="silent at first",
        ),
        pytest.param(
            {"archiver": silent(LONG_AGO, Silence(why="no answer within 3 s"))},
            ("Unknown", "ArchiverSilent", "Pod changes-0: no answer within 3 s"),
            id="silent",
        ),
        pytest.param(
            {"archiver": silent(LONG_AGO, None)},
            ("Unknown", "ArchiverSilent", "Pod changes-0: it has no address"),
            id="nobody could be asked",
        ),
        pytest.param(
            {"archiver": at_work(report=report(failing=failed(Reason.STORE_FULL, "no space")))},
            ("False", "StoreFull", "Pod changes-0: no space"),
            id="fails",
        ),
        pytest.param(
            {"archiver": at_work(report=report(base_needed="compacted"))},
            ("False", "BaseNeeded", "compacted"),
            id="needs a base",
        ),
        pytest.param(
            {"archiver": at_work()},
            ("True", "Archiving", "Changes are kept as they come"),
            id="at work",
        ),
        pytest.param(
            {"suspend": True, "archiver": at_work()},
            ("False", "Suspended", "spec.suspend is true: no changes are kept"),
            id="suspended",
        ),
        pytest.param(
            {"cluster": None, "archiver": at_work()},
            (
                "False",
                "ClusterNotFound",
                "spec.clusterName: there is no EtcdCluster db in the namespace",
            ),
            id="no cluster",
        ),
        pytest.param(
            {"cluster": cluster(phase="Stopped"), "archiver": at_work()},
            ("False", "NoMemberRuns", "EtcdCluster db has no member whose changes could be kept"),
            id="cluster sleeps",
        ),
        pytest.param(
            {"cluster": cluster([])},
            ("False", "NoMemberRuns", "EtcdCluster db has no member whose changes could be kept"),
            id="no member",
        ),
        pytest.param(
            {"image": ""},
            (
                "False",
                "OperatorImageUnknown",
                (
                    "The operator does not know its own image: start it with --image, or"
                    " OPERATOR_IMAGE"
                ),
            ),
            id="no image",
        ),
        pytest.param(
            {"cluster": cluster([]), "archiver": at_work()},
            ("True", "Archiving", "Changes are kept as they come"),
            id="members that nobody sees at the moment",
        ),
        pytest.param({"continuous": None}, None, id="not asked for"),
        pytest.param({"continuous": {"enabled": False}}, None, id="switched off"),
    ],
)
def test_archiver_ready_says_what_becomes_of_the_changes(fields, verdict):
    assert told(backup(**fields)) == verdict


def test_what_the_server_refuses_is_said_in_its_words():
    refused = Rejected(reason=Reason.PODS_REFUSED, message="Deployment: quota used up")

    assert told(backup(), outcome=refused) == ("False", "PodsRefused", "Deployment: quota used up")


def ready(seen):
    status = next_status(seen, plan(seen), None)
    return next((c.status, c.reason) for c in status.conditions if c.type == "Ready")


@pytest.mark.parametrize(
    ("archiver", "verdict"),
    [
        (at_work(), ("True", "Scheduled")),
        (at_work(report=report(base_needed="compacted")), ("False", "BaseNeeded")),
        (silent(LONG_AGO, Silence(why="x")), ("True", "Scheduled")),  # it may well be at work
    ],
)
def test_a_schedule_is_as_ready_as_what_keeps_the_changes(archiver, verdict):
    made = (child(NOW - timedelta(minutes=1)),)

    assert ready(backup(archiver=archiver, children=made)) == verdict


def test_a_backup_that_failed_is_told_before_the_changes_after_it():
    needy = at_work(report=report(base_needed="compacted"))

    failing = backup(archiver=needy, children=(child(NOW - timedelta(minutes=1), "Failed"),))
    assert ready(failing) == ("False", "BackupFailed")


def test_what_is_not_wanted_any_more_leaves_no_condition_behind():
    before = backup(archiver=at_work())
    status = next_status(before, plan(before), None)

    after = backup(continuous=None, status=status)
    assert "ArchiverReady" not in [c.type for c in next_status(after, plan(after), None).conditions]


def test_an_event_tells_when_changes_begin_not_to_be_kept():
    needy = backup(archiver=at_work(report=report(base_needed="compacted")), created=NOW)
    made = (child(NOW - timedelta(minutes=1)),)
    needy = replace(needy, children=made)
    told = []
    for _ in range(2):
        step = plan(needy)
        status = next_status(needy, step, None)
        told += [(one.type, one.reason) for one in happenings(needy, step, None, status)]
        needy = replace(needy, status=status)

    assert told == [("Warning", "BaseNeeded")]


@pytest.mark.parametrize(("archiver", "did"), [(None, "Made"), (at_work(), "Corrected")])
def test_an_event_tells_what_was_done_to_the_deployment(archiver, did):
    seen = backup(archiver=archiver, image="registry/operator:2")
    step = plan(seen)
    status = next_status(seen, step, Done())

    events = happenings(seen, step, Done(), status)

    assert ("ArchiverApplied", f"{did} Deployment {NAME}") in [
        (one.reason, one.message) for one in events
    ]


class TestNumbers:
    """How far the changes are kept: from what the pod told, no more than once a minute."""

    def seen(self, said=None, status=None, **fields):
        archiver = at_work(report=said or report())
        seen = backup(archiver=archiver, status=status or BackupStatus(), **fields)
        return next_status(seen, plan(seen), None)

    def test_all_is_written_at_first(self):
        status = self.seen()

        assert status.windows == (window(),)
        assert status.archive == ArchiveStatus(
            name=NAME,
            revision=200,
            time=NOW - timedelta(seconds=10),
            cluster_revision=205,
            lag_seconds=10,
        )

    def later(self, seconds, *, revision=300, **fields):
        """What a pod says that goes on as if nothing were."""
        time = NOW + timedelta(seconds=seconds - 10)
        said = report(
            revision=revision, time=time, windows=(window(end=revision, ended=time),), **fields
        )
        return self.seen(said, self.seen())

    def test_what_only_moves_on_is_written_once_a_minute(self):
        before = self.seen()

        assert self.later(59) == before
        after = self.later(60)
        assert after.archive.revision == 300
        assert after.windows[0].end_revision == 300

    def test_a_window_that_begins_is_written_at_once(self):
        windows = (window(), window(begin=250, end=260, base="abc-1/later-4567cdef"))

        status = self.seen(report(windows=windows), self.seen())

        assert status.windows == windows

    def test_a_window_that_is_gone_is_gone_at_once(self):
        assert self.seen(report(windows=()), self.seen()).windows == ()

    def test_a_condition_that_turns_takes_the_numbers_along(self):
        failing = failed(Reason.STORE_UNAVAILABLE, "no route")

        assert self.later(5, failing=failing).archive.revision == 300

    def test_only_the_newest_windows_are_written(self):
        windows = tuple(window(begin=n, end=n + 1) for n in range(1, 100))

        status = self.seen(report(windows=windows))

        assert status.windows == windows[-MAX_WINDOWS:]

    def test_a_pod_that_is_silent_takes_nothing_back(self):
        before = self.seen()

        seen = backup(archiver=silent(LONG_AGO, Silence(why="x")), status=before)
        after = next_status(seen, plan(seen), None)

        assert (after.archive, after.windows) == (before.archive, before.windows)

    def test_a_pod_that_knows_nothing_yet_takes_the_end_back(self):
        """Its store can't be read: until it can, nobody knows how far the changes are kept."""
        empty = report(windows=(), revision=None, time=None, cluster_revision=None)

        status = self.seen(empty, self.seen())

        assert (status.archive.revision, status.archive.time) == (None, None)

    def test_the_deployment_is_named_before_it_says_anything(self):
        seen = backup()

        assert next_status(seen, plan(seen), None).archive == ArchiveStatus(name=NAME)

    def test_switched_off_the_windows_stay_and_the_end_goes(self):
        """What was kept can still be restored."""
        seen = backup(continuous=None, status=self.seen())

        status = next_status(seen, plan(seen), None)

        assert (status.archive, status.windows) == (None, (window(),))

    def test_a_spec_that_is_refused_changes_none_of_it(self):
        before = self.seen()
        seen = replace(backup(status=before), spec=None)

        status = next_status(seen, plan(seen), None)

        assert (status.archive, status.windows) == (before.archive, before.windows)
        assert "ArchiverReady" in [c.type for c in status.conditions]
