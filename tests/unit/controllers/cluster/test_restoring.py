"""A cluster that begins from a backup: the volume of its first member is filled by a pod of its own
before anything else is made, and nothing of it is wiped, forgotten or done twice.
"""

import dataclasses
from datetime import timedelta

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from api.labels import CLAIM_ANNOTATION, restore_pod_epoch, restore_pod_name
from api.reasons import Reason
from api.v1alpha1.restore_source import StoreSource
from controllers.cluster.conditions import NEEDS_SOMEONE
from controllers.cluster.observed import RestorePod
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    DeleteSeedClaim,
    MakeRestorePod,
    MakeSeedClaim,
    RecordRestore,
)
from controllers.cluster.plan.steps import AcceptSpec, ApplyObjects, DisarmAlarm, Wait
from controllers.cluster.render import desired_objects
from controllers.cluster.restore_pods import restore_pods_of
from controllers.cluster.status import next_status
from controllers.restore.order import Restored, RestoreOrder
from controllers.restore_source import Resolved, Unresolved
from etcd.ids import MemberID
from etcd.maintenance import Alarm, AlarmKind
from tests.unit.controllers.cluster.builders import NOW, UID, claim, observed, spec, unborn

FROM = {"restoreFrom": {"backupName": "nightly"}}
STORE = StoreSource.model_validate(
    {
        "storageType": "Local",
        "local": {"claimName": "backups"},
        "path": "00000000deadbeef-1/nightly-0a1b2c3d",
    }
)
ANSWER = Restored.model_validate(
    {
        "token": f"{UID}-1",
        "folder": STORE.path,
        "sourceClusterID": "deadbeef",
        "sourceEpoch": 1,
        "sourceNamespace": "prod",
        "sourceName": "old",
        "etcdVersion": "3.5.21",
        "startedAt": "2026-01-01T00:00:00Z",
        "completedAt": "2026-01-01T00:01:00Z",
        "revision": 42,
        "compactRevision": 7,
        "databaseSize": 20480,
        "backupSize": 4096,
        "restoredRevision": 42,
        "restoredCompactRevision": 7,
        "restoredSize": 20480,
        "authEnabled": False,
    }
)
CLAIM = claim(0, size=spec().storage.size)


def begins(**fields):
    wanted = spec(**{"bootstrap": FROM, "security": {"tls": {"enabled": False}}, **fields})
    return unborn(spec=wanted, restore_source=Resolved(store=STORE), image="operator:1")


def after(seen, outcome=None):
    """What is observed when the step was taken and its record was written."""
    step = plan(seen)
    status = next_status(seen, step, outcome or Done())
    applied = seen.spec if status.applied_spec and seen.applied is None else seen.applied
    if isinstance(step.step, AcceptSpec):
        applied = seen.spec
    return dataclasses.replace(seen, status=status, applied=applied)


def accepted(**fields):
    """The restore is recorded, and nothing is made."""
    return after(begins(**fields))


def with_claim(**fields):
    """The claim is there, and recorded as the one that counts."""
    return after(dataclasses.replace(accepted(**fields), claims=(CLAIM,)))


def pod(**fields):
    known = {"name": "db-1-restore", "uid": "pod-1", "epoch": 1, "claim": CLAIM.uid}
    return RestorePod(**{**known, **fields})


def with_pod(seen=None, **fields):
    return dataclasses.replace(seen or with_claim(), restore_pods=(pod(**fields),))


def record(seen):
    return seen.status.bootstrap.restore


class TestTheSource:
    def test_nothing_is_accepted_while_the_backup_is_not_there(self):
        missing = Unresolved(reason=Reason.BACKUP_NOT_FOUND, message="There is no EtcdBackup x")
        step = plan(dataclasses.replace(begins(), restore_source=missing)).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.BACKUP_NOT_FOUND
        assert "spec.bootstrap.restoreFrom" in step.message

    def test_without_an_image_the_operator_says_how_to_name_it(self):
        step = plan(dataclasses.replace(begins(), image="")).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.OPERATOR_IMAGE_UNKNOWN
        assert "--image" in step.message

    def test_the_record_says_where_it_is_and_that_one_member_has_a_log(self):
        seen = accepted(size=3)
        bootstrap = seen.status.bootstrap

        assert (bootstrap.size, bootstrap.members[0].started) == (1, True)
        assert record(seen).source == "EtcdBackup nightly"
        assert StoreSource.model_validate(record(seen).store) == STORE
        assert record(seen).bump_revision == 0


class TestTheVolume:
    def test_it_is_made_as_the_stateful_set_would(self):
        seen = accepted()
        step = plan(seen).step
        assert isinstance(step, MakeSeedClaim)
        stateful_set = next(o for o in desired_objects(seen) if o["kind"] == "StatefulSet")
        (template,) = stateful_set["spec"]["volumeClaimTemplates"]

        assert step.claim["metadata"]["name"] == "data-db-0"
        assert step.claim["spec"] == template["spec"]
        selector = stateful_set["spec"]["selector"]["matchLabels"]
        assert selector.items() <= step.claim["metadata"]["labels"].items()

    def test_it_counts_once_it_is_recorded_and_only_then_a_pod_is_made(self):
        seen = dataclasses.replace(accepted(), claims=(CLAIM,))
        step = plan(seen).step

        assert isinstance(step, RecordRestore)
        assert step.restore.claim == CLAIM.uid
        assert isinstance(plan(after(seen)).step, MakeRestorePod)

    def test_one_of_somebody_else_is_never_used(self):
        seen = dataclasses.replace(accepted(), claims=(claim(0, cluster_uid="other"),))
        step = plan(seen).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.LEFTOVER_VOLUMES

    def test_one_that_was_made_anew_takes_the_pod_of_the_old_one_along(self):
        again = dataclasses.replace(CLAIM, uid="claim-again")
        seen = after(dataclasses.replace(with_pod(), claims=(again,)))

        assert record(seen).claim == "claim-again"
        assert isinstance(plan(seen).step, DeleteRestorePod)

    def test_another_size_is_had_by_another_claim(self):
        seen = with_claim()
        larger = spec(
            bootstrap=FROM, security={"tls": {"enabled": False}}, storage={"size": "20Gi"}
        )
        edited = after(dataclasses.replace(seen, spec=larger, generation=2))
        given_up = after(edited)

        assert record(given_up).given_up == CLAIM.uid
        step = plan(given_up).step
        assert isinstance(step, DeleteSeedClaim)
        assert step.uid == CLAIM.uid


class TestThePod:
    def test_it_says_what_it_is_to_do_without_a_secret(self):
        step = plan(with_claim(version="3.6.16")).step
        assert isinstance(step, MakeRestorePod)
        fetch, restore = step.pod["spec"]["initContainers"]
        (finish,) = step.pod["spec"]["containers"]
        order = RestoreOrder.model_validate_json(fetch["args"][-1])

        assert (order.token, order.folder, order.member) == (f"{UID}-1", STORE.path, "db-0")
        assert order.etcd_version == "3.6.16"
        assert (fetch["image"], finish["image"]) == ("operator:1", "operator:1")
        assert restore["image"].endswith(":v3.6.16")
        assert restore["command"] == ["/usr/local/bin/etcdutl"]
        assert step.pod["metadata"]["annotations"] == {CLAIM_ANNOTATION: CLAIM.uid}
        assert step.pod["spec"]["restartPolicy"] == "Never"
        assert not step.pod["spec"]["automountServiceAccountToken"]

    def test_its_name_is_no_members(self):
        assert restore_pod_name("db", 2) == "db-2-restore"
        assert restore_pod_epoch("db", "db-2-restore") == 2
        assert restore_pod_epoch("db", "db-2") is None
        assert restore_pod_epoch("db-2", "db-2-restore") is None

    def test_while_it_works_the_cluster_is_restoring_and_nothing_else_is_made(self):
        seen = with_pod(doing="fetching and checking the backup")
        status = next_status(seen, plan(seen), None)

        assert status.phase == "Creating"
        ready = next(c for c in status.conditions if c.type == "Ready")
        assert (ready.status, ready.reason) == ("False", "Restoring")
        assert "fetching" in ready.message

    def test_its_answer_is_recorded_before_it_goes_and_the_member_comes_last(self):
        seen = with_pod(restored=ANSWER)
        done = after(seen)

        assert record(done).done
        assert record(done).restored.revision == 42
        assert isinstance(plan(done).step, DeleteRestorePod)
        going = with_pod(done, restored=ANSWER, terminating=True)
        assert isinstance(plan(going).step, Wait)
        gone = dataclasses.replace(done, restore_pods=())
        assert isinstance(plan(gone).step, ApplyObjects)

    def test_the_file_of_the_seed_is_closed_before_it_first_starts(self):
        done = dataclasses.replace(after(with_pod(restored=ANSWER)), restore_pods=())
        config = next(o for o in desired_objects(done) if o["kind"] == "ConfigMap")
        (text,) = config["data"].values()

        keys = yaml.safe_load(text)
        assert keys["initial-cluster-state"] == "existing"
        assert keys["initial-cluster"].startswith("db-0=http://db-0.")


class TestFailures:
    def failed(self, reason=Reason.STORE_UNAVAILABLE, **fields):
        return with_pod(failure=(reason, "the store's own words"), **fields)

    def test_what_may_pass_is_tried_again_later_and_later(self):
        seen, pauses = with_claim(), []
        for n in range(9):
            seen = after(with_pod(seen, uid=f"p{n}", failure=(Reason.STORE_UNAVAILABLE, "away")))
            pauses.append((record(seen).not_before - seen.now).total_seconds())
            seen = dataclasses.replace(seen, restore_pods=(), now=record(seen).not_before)
            assert isinstance(plan(seen).step, MakeRestorePod)

        assert record(seen).attempts == 9
        assert 7 <= pauses[0] <= 13
        assert pauses[:6] == sorted(pauses[:6])
        assert max(pauses) <= 720

    def test_until_then_the_failed_pod_is_kept_and_the_wait_says_why(self):
        seen = after(self.failed())
        step = plan(seen).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.RESTORING
        assert "StoreUnavailable" in step.message
        assert step.not_before is not None
        later = dataclasses.replace(seen, now=step.not_before)
        assert isinstance(plan(later).step, DeleteRestorePod)

    @pytest.mark.parametrize(
        "reason", [Reason.BACKUP_TOO_NEW, Reason.VOLUME_TOO_SMALL, Reason.TARGET_NOT_EMPTY]
    )
    def test_what_no_time_cures_waits_for_an_edit(self, reason):
        seen = after(self.failed(reason, in_vain=True))
        step = plan(dataclasses.replace(seen, now=NOW + timedelta(days=30))).step

        assert isinstance(step, Wait)
        assert step.reason is reason
        assert step.reason in NEEDS_SOMEONE
        edited = dataclasses.replace(seen, generation=2, now=NOW + timedelta(days=30))
        assert isinstance(plan(edited).step, DeleteRestorePod)

    def test_what_is_cured_elsewhere_is_said_and_looked_at_now_and_then(self):
        seen = after(self.failed(Reason.STORE_FORBIDDEN, in_vain=True))
        step = plan(seen).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.STORE_FORBIDDEN
        assert step.not_before is not None

    def test_another_backup_gets_another_volume(self):
        seen = after(self.failed(Reason.BACKUP_DAMAGED, in_vain=True))
        other = spec(
            bootstrap={"restoreFrom": {"backupName": "older"}},
            security={"tls": {"enabled": False}},
        )
        edited = dataclasses.replace(seen, spec=other, generation=2)

        assert isinstance(plan(edited).step, DeleteRestorePod)
        taken = after(dataclasses.replace(edited, restore_pods=()))
        assert record(taken).source == "EtcdBackup older"
        assert isinstance(plan(taken).step, DeleteSeedClaim)

    def test_once_it_is_done_the_backup_is_as_fixed_as_the_token(self):
        done = dataclasses.replace(after(with_pod(restored=ANSWER)), restore_pods=())
        other = spec(
            bootstrap={"restoreFrom": {"backupName": "older"}},
            security={"tls": {"enabled": False}},
        )
        edited = dataclasses.replace(done, spec=other, generation=2)

        assert not isinstance(plan(edited).step, AcceptSpec)
        status = next_status(edited, plan(edited), Done())
        assert status.bootstrap.restore.source == "EtcdBackup nightly"


class TestWhatComesWithTheData:
    def test_authentication_that_the_spec_does_not_have_stops_the_start(self):
        asks = ANSWER.model_copy(update={"auth_enabled": True})
        seen = dataclasses.replace(after(with_pod(restored=asks)), restore_pods=())
        step = plan(seen).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.AUTH_RESTORED
        assert "spec.security.auth.enabled" in step.message

    @pytest.mark.parametrize("kind", [AlarmKind.NOSPACE, AlarmKind.CORRUPT])
    def test_an_alarm_of_a_member_of_the_old_cluster_is_disarmed(self, kind):
        seen = observed()
        alarm = Alarm(member_id=MemberID(0xDEAD), kind=kind)
        alarmed = dataclasses.replace(seen.etcd, alarms=(alarm,))

        step = plan(dataclasses.replace(seen, etcd=alarmed)).step
        assert step == DisarmAlarm(id=MemberID(0xDEAD), kind=kind)


def ended(name, code, message, *, init=False):
    state = {"terminated": {"exitCode": code, "message": message, "reason": "Error"}}
    return {"name": name, "state": state}, init


@pytest.mark.parametrize(
    ("ends", "restored", "in_vain", "reason"),
    [
        ([ended("agent", 0, ANSWER.model_dump_json(by_alias=True))], True, False, None),
        ([ended("fetch", 4, ANSWER.model_dump_json(by_alias=True), init=True)], True, False, None),
        (
            [ended("fetch", 3, '{"failed": "BackupTooNew", "message": "m"}', init=True)],
            False,
            True,
            Reason.BACKUP_TOO_NEW,
        ),
        (
            [ended("fetch", 1, '{"failed": "StoreUnavailable", "message": "m"}', init=True)],
            False,
            False,
            Reason.STORE_UNAVAILABLE,
        ),
        (
            [ended("fetch", 0, "", init=True), ended("restore", 1, "disk full", init=True)],
            False,
            False,
            Reason.RESTORE_FAILED,
        ),
        ([ended("agent", 0, "not an answer")], False, False, Reason.RESTORE_FAILED),
        ([], False, False, Reason.RESTORE_FAILED),
    ],
)
def test_what_came_of_a_pod_is_read_from_its_containers(ends, restored, in_vain, reason):
    obj = {
        "metadata": {"name": "db-1-restore", "uid": "u"},
        "spec": {},
        "status": {
            "phase": "Succeeded" if restored else "Failed",
            "initContainerStatuses": [one for one, init in ends if init],
            "containerStatuses": [one for one, init in ends if not init],
        },
    }
    (seen,) = restore_pods_of("db", [obj])

    assert (seen.restored is not None, seen.in_vain) == (restored, in_vain)
    assert (seen.failure[0] if seen.failure else None) is reason


WORLDS = st.fixed_dictionaries(
    {
        "claims": st.sampled_from(
            [
                (),
                (CLAIM,),
                (dataclasses.replace(CLAIM, terminating=True),),
                (dataclasses.replace(CLAIM, uid="claim-again"),),
            ]
        ),
        "restore_pods": st.lists(
            st.builds(
                pod,
                uid=st.sampled_from(["pod-1", "pod-2"]),
                claim=st.sampled_from([CLAIM.uid, "claim-again", ""]),
                terminating=st.booleans(),
                restored=st.sampled_from([None, ANSWER]),
                failure=st.sampled_from([None, (Reason.STORE_UNAVAILABLE, "away")]),
            ),
            max_size=1,
        ).map(tuple),
    }
)


@given(st.lists(WORLDS, max_size=8))
def test_whatever_becomes_of_pod_and_volume_no_member_starts_beside_a_preparation(worlds):
    seen = accepted()
    for world in worlds:
        seen = dataclasses.replace(seen, **world)
        step = plan(seen).step
        if isinstance(step, ApplyObjects):
            assert record(seen).done
            assert seen.restore_pods == ()
        if isinstance(step, RecordRestore) and step.restore.done:
            (one,) = seen.restore_pods
            assert one.claim == step.restore.claim == seen.claims[0].uid
            assert not seen.claims[0].terminating
        if isinstance(step, MakeRestorePod):
            assert seen.restore_pods == ()
            assert step.claim == ("data-db-0", seen.claims[0].uid)
        if isinstance(step, DeleteSeedClaim):
            assert not record(seen).done
        seen = after(seen)
