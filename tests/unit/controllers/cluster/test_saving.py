"""A backup before what can't be taken back: another version, or the deletion of all data."""

import dataclasses
from datetime import timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.event_reasons import EventReason
from api.labels import FINALIZER, SCHEDULE_UID_LABEL
from api.reasons import Reason
from api.v1alpha1.cluster_status import DataHash
from controllers.cluster.happenings import happenings
from controllers.cluster.known_backups import by_cluster_name, known_backup
from controllers.cluster.observed import KnownBackup
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.deletion import GIVE_UP_AFTER
from controllers.cluster.plan.steps import (
    DeleteClaims,
    DeleteStatefulSet,
    RecordSpec,
    SetFinalizer,
    Wait,
)
from controllers.cluster.plan.version_steps import MakeBackup, RecordUpgrade
from controllers.cluster.status import next_status
from controllers.resources import BACKUPS
from informers.decode import decode_object
from tests.unit.controllers.cluster.builders import NOW, observed, unborn
from tests.unit.controllers.cluster.test_upgrade import THREE, going, running

HASH = DataHash(revision=7, compact_revision=1, hash=9)
UP = going("v3.5.21", "v3.5.35", probed=True, before=HASH)
BEFORE = f"db-before-v3-5-35-{UP.since:%Y%m%d%H%M%S}"
LAST = "db-last-" + observed().uid[:8]
PLACE = {"clusterName": "db", "storageType": "Local", "local": {"claimName": "store"}}


def schedule(**changes):
    one = KnownBackup(name="nightly", phase="Scheduled", completed=NOW, message="", template=PLACE)
    return dataclasses.replace(one, **changes)


def single(name, phase, **changes):
    completed = NOW if phase == "Completed" else None
    one = KnownBackup(name=name, phase=phase, completed=completed, message="", template=None)
    return dataclasses.replace(one, **changes)


def upgrading(*backups, upgrade=UP, **changes):
    of = running(*("3.5.21",) * 3, wanted="v3.5.35", upgrade=upgrade)
    return dataclasses.replace(of, backups=backups, **changes)


def deleted(*backups, policy="SnapshotThenDelete", **changes):
    of = observed(3, spec_fields={"storage": {"deletionPolicy": policy}})
    return dataclasses.replace(
        of,
        deletes_data=policy != "Retain",
        saves_first=policy == "SnapshotThenDelete",
        deleting_since=NOW,
        finalizers=(FINALIZER,),
        backups=backups,
        **changes,
    )


def to_sleep(*backups, generation=2, **changes):
    of = observed(3)
    asked = of.spec.model_copy(update={"size": 0})
    return dataclasses.replace(
        of, **{"spec": asked, "generation": generation, "backups": backups, **changes}
    )


class TestBeforeSleep:
    NAME = f"db-before-sleep-{observed().uid[:8]}-2"

    def test_a_backup_is_made_first(self):
        step = plan(to_sleep(schedule())).step

        assert isinstance(step, MakeBackup)
        assert step.backup["metadata"]["name"] == self.NAME
        assert step.backup["spec"] == PLACE

    @pytest.mark.parametrize("phase", ["", "Pending", "Running"])
    def test_the_members_serve_until_it_is_completed(self, phase):
        of = to_sleep(schedule(), single(self.NAME, phase))
        step = plan(of).step

        assert isinstance(step, Wait)
        assert (step.reason, step.settled) == (Reason.RECONCILING, False)
        assert f"waiting for EtcdBackup {self.NAME}" in step.message

    @pytest.mark.parametrize("phase", ["Completed", "Failed"])
    def test_then_the_size_is_taken(self, phase):
        """Failed as well: the volumes are kept, and who asks for sleep gets it."""
        step = plan(to_sleep(schedule(), single(self.NAME, phase))).step

        assert isinstance(step, RecordSpec)
        assert step.spec["size"] == 0

    def test_what_else_was_edited_does_not_wait(self):
        of = to_sleep(schedule(), single(self.NAME, "Running"))
        of = dataclasses.replace(
            of, spec=of.spec.model_copy(update={"accept_operator_changes": True})
        )
        step = plan(of).step

        assert isinstance(step, RecordSpec)
        assert (step.spec["size"], step.spec["acceptOperatorChanges"]) == (3, True)

    @pytest.mark.parametrize(
        "of",
        [
            pytest.param(to_sleep(), id="no schedule"),
            pytest.param(to_sleep(single("by-hand", "Completed")), id="no place to save to"),
            pytest.param(
                to_sleep(schedule(), etcd=dataclasses.replace(observed().etcd, statuses={})),
                id="nobody answers",
            ),
        ],
    )
    def test_where_none_can_be_taken_it_sleeps_at_once(self, of):
        step = plan(of).step

        assert isinstance(step, RecordSpec)
        assert step.spec["size"] == 0

    def test_another_edit_is_saved_again(self):
        of = to_sleep(schedule(), single(self.NAME, "Completed"), generation=4)

        assert plan(of).step.backup["metadata"]["name"] == f"{self.NAME[:-1]}4"


class TestBeforeAnotherVersion:
    def test_a_backup_like_those_of_the_schedule_is_made(self):
        step = plan(upgrading(schedule())).step

        assert isinstance(step, MakeBackup)
        assert step.backup["metadata"] == {"name": BEFORE, "namespace": "prod"}
        assert step.backup["spec"] == PLACE

    @pytest.mark.parametrize("phase", ["", "Pending", "Running"])
    def test_no_member_is_touched_while_it_runs(self, phase):
        step = plan(upgrading(schedule(), single(BEFORE, phase))).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.UPGRADING
        assert BEFORE in step.message

    def test_what_keeps_it_is_said_in_its_own_words(self):
        message = "Job x tries again: http://127.0.0.1:9: connection refused"

        step = plan(upgrading(schedule(), single(BEFORE, "Running", message=message))).step

        assert step.reason is Reason.UPGRADING
        assert step.message.endswith(f"waiting for EtcdBackup {BEFORE} ({message})")

    def test_it_is_recorded_and_the_version_goes_on(self):
        saved = plan(upgrading(schedule(), single(BEFORE, "Completed"))).step
        assert isinstance(saved, RecordUpgrade)
        assert saved.upgrade.saved == BEFORE

        then = plan(upgrading(schedule(), upgrade=saved.upgrade)).step

        assert isinstance(then, RecordSpec)
        assert then.spec["version"] == "v3.5.35"

    def test_one_that_failed_stops_the_change_and_says_what_to_do(self):
        failed = single(BEFORE, "Failed", message="403 Forbidden")
        of = upgrading(schedule(), failed)

        step = plan(of).step

        assert step.reason is Reason.NOT_SAVED
        assert "403 Forbidden" in step.message
        assert "etcd.etcd.io/upgrade-without-backup=v3.5.35" in step.message
        shown = {c.type: c.status for c in next_status(of, plan(of), None).conditions}
        assert shown["Stalled"] == "True"

    @pytest.mark.parametrize(("asked", "goes_on"), [("v3.5.35", True), ("v3.5.34", False)])
    def test_the_annotation_lets_exactly_that_version_go_on(self, asked, goes_on):
        of = upgrading(schedule(), single(BEFORE, "Failed"), unsaved_asked=asked)

        assert isinstance(plan(of).step, RecordSpec) == goes_on

    def test_without_a_schedule_it_goes_on_and_was_told_so(self):
        assert isinstance(plan(upgrading()).step, RecordSpec)
        assert isinstance(plan(upgrading(single("by-hand", "Completed"))).step, RecordSpec)

    @pytest.mark.parametrize(("backups", "told"), [((), True), ((schedule(),), False)])
    def test_the_warning_is_for_who_has_no_schedule(self, backups, told):
        of = dataclasses.replace(running(*THREE, wanted="v3.6.16"), backups=backups)
        then = plan(of)

        reasons = {one.reason for one in happenings(of, then, Done(), of.status)}

        assert (EventReason.UPGRADE_UNSAVED in reasons) == told

    def test_the_schedule_that_last_worked_is_taken(self):
        old = schedule(name="a", completed=NOW - timedelta(days=1), template={"from": "a"})
        new = schedule(name="b", template={"from": "b"})
        never = schedule(name="c", completed=None, template={"from": "c"})

        assert plan(upgrading(old, new, never)).step.backup["spec"] == {"from": "b"}
        assert plan(upgrading(never)).step.backup["spec"] == {"from": "c"}

    def test_a_path_of_two_versions_is_saved_once(self):
        first = going("v3.5.35", "v3.6.16", "v3.7.3", probed=True, saved="db-before")
        of = running(*("3.6.16",) * 3, wanted="v3.7.3", upgrade=first)
        of = dataclasses.replace(of, backups=(schedule(),))

        step = plan(of).step

        assert step.then.saved == "db-before"


class TestBeforeDeletion:
    def test_the_last_backup_comes_before_the_first_pod_goes(self):
        step = plan(deleted(schedule())).step

        assert isinstance(step, MakeBackup)
        assert step.backup["metadata"]["name"] == LAST
        assert isinstance(
            plan(deleted(schedule(), single(LAST, "Completed"))).step, DeleteStatefulSet
        )

    def test_nothing_is_deleted_while_it_runs_however_long(self):
        later = {"now": NOW + GIVE_UP_AFTER * 3}
        step = plan(deleted(schedule(), single(LAST, "Running"), **later)).step

        assert isinstance(step, Wait)
        assert LAST in step.message

    @pytest.mark.parametrize(
        "backups", [(), (schedule(), single(LAST, "Failed", message="no space"))]
    )
    def test_without_one_the_data_is_kept_and_the_object_let_go_in_the_end(self, backups):
        waits = plan(deleted(*backups)).step
        assert waits.reason is Reason.NOT_SAVED

        then = plan(deleted(*backups, now=NOW + GIVE_UP_AFTER)).step

        assert isinstance(then, SetFinalizer)
        assert "PersistentVolumeClaim data-db-0" in then.gave_up

    def test_the_deadline_of_the_deletion_begins_with_the_backup(self):
        saved = single(LAST, "Completed", completed=NOW + GIVE_UP_AFTER)

        step = plan(deleted(schedule(), saved, now=NOW + GIVE_UP_AFTER * 1.5)).step

        assert isinstance(step, DeleteStatefulSet)

    def test_a_cluster_that_never_was_has_nothing_to_save(self):
        of = unborn(
            deletes_data=True,
            saves_first=True,
            deleting_since=NOW,
            finalizers=(FINALIZER,),
        )

        assert plan(of).step == SetFinalizer(present=False)

    @given(
        phases=st.sets(st.sampled_from(["", "Pending", "Running", "Failed"])),
        has_schedule=st.booleans(),
        minutes=st.integers(0, 60),
    )
    def test_no_data_goes_without_a_completed_backup(self, phases, has_schedule, minutes):
        backups = [single(LAST, phase) for phase in sorted(phases)[:1]]
        backups += [schedule()] if has_schedule else []

        step = plan(deleted(*backups, now=NOW + timedelta(minutes=minutes))).step

        assert not isinstance(step, (DeleteStatefulSet, DeleteClaims))


class TestLastBackupTime:
    def test_it_is_the_newest_and_outlives_its_object(self):
        older, newer = NOW - timedelta(days=1), NOW
        of = dataclasses.replace(
            observed(), backups=(schedule(completed=older), single("x", "Completed"))
        )
        status = next_status(of, plan(of), None)
        assert status.last_backup_time == newer

        without = dataclasses.replace(of, backups=(), status=status)
        assert next_status(without, plan(without), None).last_backup_time == newer


class TestKnown:
    def backup(self, *, labels=None, status=None, **spec):
        return {
            "apiVersion": "etcd.etcd.io/v1alpha1",
            "kind": "EtcdBackup",
            "metadata": {
                "name": "nightly",
                "namespace": "prod",
                "uid": "u",
                "resourceVersion": "1",
                "generation": 1,
                "labels": labels or {},
            },
            "spec": {**PLACE, **spec},
            "status": status or {},
        }

    def test_a_schedule_is_a_target_without_what_makes_it_one(self):
        found = known_backup(
            self.backup(
                schedule="0 2 * * *",
                compression=True,
                status={"phase": "Scheduled", "lastSuccessfulTime": "2026-01-01T02:00:05Z"},
            )
        )

        assert found.template == {**PLACE, "local": {"claimName": "store"}, "compression": True}
        assert found.completed.isoformat() == "2026-01-01T02:00:05+00:00"

    def test_an_invalid_one_is_none(self):
        assert known_backup(self.backup(schedule="every night")).template is None

    @pytest.mark.parametrize(
        ("labels", "spec", "keys"),
        [
            ({}, {}, ("prod/db",)),
            ({}, {"clusterNamespace": "prod"}, ("prod/db",)),
            ({}, {"clusterNamespace": "other"}, ()),
            ({SCHEDULE_UID_LABEL: "u"}, {}, ()),
        ],
    )
    def test_the_index_leaves_out_children_and_other_namespaces(self, labels, spec, keys):
        obj = decode_object(orjson.dumps(self.backup(labels=labels, **spec)), BACKUPS)

        assert by_cluster_name(obj) == keys
