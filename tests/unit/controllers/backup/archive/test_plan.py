"""The pod that keeps the changes is there while changes are to be kept and can be; where they go on
from no backup, one is made at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.v1alpha1.cluster_status import ClusterStatus
from controllers.backup.archive.observed import Silence
from controllers.backup.archive.order import ArchiveOrder
from controllers.backup.archive.steps import ApplyArchiver, DeleteArchiver
from controllers.backup.happenings import happenings
from controllers.backup.plan import plan
from controllers.backup.steps import Await, MakeChild, Suspended, Wait
from tests.unit.controllers.backup.archive.builders import (
    at_work,
    backup,
    deployment,
    report,
)
from tests.unit.controllers.backup.builders import MEMBERS, NOW, after, child, cluster, member, spec

TONIGHT = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
MINUTE = NOW.replace(second=0)
WHY = "there is no backup yet that changes could go on from"
STOPPED = cluster(phase="Stopped")
UNFORMED = replace(cluster(), status=ClusterStatus())


def test_the_deployment_is_made_once():
    made = plan(backup())

    assert isinstance(made, ApplyArchiver)
    assert made.uid is None
    assert plan(backup(archiver=at_work())) == Await(due=TONIGHT)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"image": "registry/operator:2"}, id="image"),
        pytest.param({"continuous": {"enabled": True, "flushInterval": "5s"}}, id="interval"),
        pytest.param({"cluster": cluster(MEMBERS[:2])}, id="members"),
        pytest.param({"serviceAccountName": "backups"}, id="identity"),
        pytest.param({"encryption": {"keySecret": "k"}}, id="key"),
    ],
)
def test_a_deployment_that_is_not_what_it_should_be_is_corrected(change):
    step = plan(backup(archiver=at_work(), **change))

    assert isinstance(step, ApplyArchiver)
    assert step.uid == "deployment-uid"


def test_a_deployment_that_somebody_changed_is_corrected():
    live = deployment()
    live["spec"] = {**live["spec"], "replicas": 2}

    assert isinstance(plan(backup(archiver=at_work(live=live))), ApplyArchiver)


def test_who_leads_or_is_ready_is_no_reason_for_another_pod():
    moved = cluster([member("db-1", role="leader"), member("db-0", ready=False), MEMBERS[2]])

    assert plan(backup(archiver=at_work(), cluster=moved)) == Await(due=TONIGHT)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"continuous": None}, "spec.continuous.enabled is not set"),
        ({"continuous": {"enabled": False}}, "spec.continuous.enabled is not set"),
        ({"suspend": True}, "spec.suspend is true"),
        ({"cluster": STOPPED}, "EtcdCluster db has no members"),
        ({"cluster": None}, "EtcdCluster db has no members"),
    ],
)
def test_where_nothing_is_to_be_kept_there_is_no_pod(change, why):
    seen = backup(archiver=at_work(), **change)

    step = plan(seen)

    name = seen.archiver.name
    assert step == DeleteArchiver(name=name, uid="deployment-uid", why=why)
    (event,) = list(happenings(seen, step, None, seen.status))
    assert (event.reason, event.message) == (
        "ArchiverDeleted",
        f"Deleted Deployment {name}: {why}",
    )
    gone = plan(replace(seen, archiver=None))
    assert isinstance(gone, Suspended if "suspend" in change else Await)


def test_a_schedule_that_was_taken_back_takes_the_pod_with_it():
    seen = replace(backup(archiver=at_work()), spec=spec())

    assert isinstance(plan(seen), DeleteArchiver)


@pytest.mark.parametrize("change", [{"cluster": UNFORMED}, {"cluster": cluster([])}, {"image": ""}])
def test_a_pod_at_work_goes_on_where_a_new_one_could_not_be_told_anything(change):
    assert plan(backup(archiver=at_work(), **change)) == Await(due=TONIGHT)
    assert plan(backup(**change)) == Await(due=TONIGHT)


def test_a_deployment_on_its_way_out_is_waited_for():
    going = at_work(live=deployment(deletionTimestamp="2026-03-01T12:00:00Z"))

    assert plan(backup(archiver=going)) == Await(due=TONIGHT)
    assert plan(backup(archiver=going, continuous=None)) == Await(due=TONIGHT)


def test_a_backup_that_is_due_comes_before_the_pod():
    step = plan(backup(created=NOW - timedelta(days=1)))

    assert isinstance(step, MakeChild)
    assert step.base_for == ""


def test_a_backup_in_the_way_of_the_next_one_is_not_in_the_way_of_the_pod():
    waits = {
        "created": NOW - timedelta(days=1),
        "children": (child(NOW - timedelta(days=1), "Running"),),
    }

    assert isinstance(plan(backup(**waits)), ApplyArchiver)
    assert isinstance(plan(backup(archiver=at_work(), **waits)), Wait)


class TestBase:
    def seen(self, *children, **fields):
        needy = at_work(report=report(base_needed=WHY, windows=()))
        return backup(archiver=needy, children=children, **fields)

    def test_one_is_made_at_once_and_the_event_says_for_what(self):
        seen = self.seen()

        step = plan(seen)

        assert isinstance(step, MakeChild)
        assert (step.scheduled, step.base_for) == (MINUTE, WHY)
        name = step.body["metadata"]["name"]
        assert name == "nightly-202603011200"
        (event,) = happenings(seen, step, None, seen.status)
        assert (event.reason, event.message) == (
            "BaseMade",
            f"Made EtcdBackup {name} at once: {WHY}",
        )

    def test_it_counts_as_one_of_the_schedule_and_the_next_time_stays(self):
        seen = self.seen()

        status = after(seen, plan(seen))

        assert status.last_schedule_time == MINUTE
        assert status.next_schedule_time == TONIGHT

    def test_it_keeps_no_changes_itself(self):
        body = plan(self.seen()).body

        assert "continuous" not in body["spec"]
        assert "schedule" not in body["spec"]

    def test_none_is_made_where_none_is_needed(self):
        assert plan(backup(archiver=at_work())) == Await(due=TONIGHT)

    @pytest.mark.parametrize("said", [None, Silence(why="no answer within 3 s")])
    def test_none_is_made_for_what_nobody_said(self, said):
        assert plan(backup(archiver=at_work(report=said))) == Await(due=TONIGHT)

    @pytest.mark.parametrize("phase", ["", "Pending", "Running"])
    def test_one_on_its_way_is_enough(self, phase):
        hours_ago = child(NOW - timedelta(hours=5), phase)

        assert plan(self.seen(hours_ago)) == Await(due=TONIGHT)

    @pytest.mark.parametrize(
        ("phases", "minutes"),
        [
            (["Completed"], 5),
            (["Failed", "Completed"], 5),
            (["Failed"], 10),
            (["Completed", "Failed", "Failed"], 20),
            (["Failed"] * 6, 60),
            (["Failed"] * 40, 60),
        ],
    )
    def test_the_pause_to_the_next_one_grows_with_each_that_failed(self, phases, minutes):
        """A pod finds the backup that it asked for within minutes; one that fails, fails again."""
        begin = NOW.replace(second=0) - timedelta(hours=len(phases))
        times = [begin + timedelta(hours=n) for n in range(len(phases))]
        children = [child(time, phase) for time, phase in zip(times, phases, strict=True)]
        seen = self.seen(*children, created=begin - timedelta(days=1), schedule="0 2 1 1 *")
        due = times[-1] + timedelta(minutes=minutes)

        early = plan(replace(seen, now=due - timedelta(seconds=1)))
        late = plan(replace(seen, now=due))

        assert isinstance(early, Await)
        assert isinstance(late, MakeChild)
        assert late.base_for == WHY

    def test_the_pod_is_corrected_first(self):
        assert isinstance(plan(self.seen(image="registry/operator:2")), ApplyArchiver)


def test_the_order_names_the_log_after_the_backup():
    args = plan(backup()).body["spec"]["template"]["spec"]["containers"][0]["args"]

    order = ArchiveOrder.model_validate_json(args[-1])
    assert (order.name, order.cluster_id, order.epoch) == ("nightly-0123abcd", "abc", 1)
