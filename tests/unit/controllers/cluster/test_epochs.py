"""A restore in place: a backup's data are prepared as the next epoch while the members serve, then
the members change over, and what they had before stays until somebody says what becomes of it.
"""

import dataclasses
from datetime import timedelta
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.labels import FINALIZER
from api.reasons import Reason
from api.v1alpha1.auth import AuthStatus, AuthUserStatus
from api.v1alpha1.cluster_status import JoiningMember
from api.v1alpha1.restore_request import (
    COMPLETED,
    FAILED,
    PREPARING,
    PUT_BACK,
    SWITCHING,
)
from api.v1alpha1.restore_source import RestoreSource, StoreSource
from controllers.cluster.happenings import happenings
from controllers.cluster.observed import Etcd, LostNode, RestorePod
from controllers.cluster.outcome import Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.epoch_steps import DeleteEpoch, RecordEpochs, SwitchEpoch
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    MakeRestorePod,
    MakeSeedClaim,
    RecordRestore,
)
from controllers.cluster.plan.steps import (
    ApplyObjects,
    DeletePod,
    DeleteStatefulSet,
    RecordMembership,
    Wait,
)
from controllers.cluster.status import next_status
from controllers.restore_source import Resolved, Unresolved
from tests.unit.controllers.cluster.builders import NOW, UID, claim, observed, pod, unborn
from tests.unit.controllers.cluster.epoch_world import (
    BEFORE,
    FROM_BACKUP,
    REQUEST,
    STATEFUL_SET,
    STORE,
    World,
    answer,
    asked,
    running,
)
from tests.unit.controllers.cluster.test_upgrade import going

UNANSWERED = Etcd(error="no member knows a leader")


def after(seen, outcome=None):
    """The same with what status holds after the next step."""
    return dataclasses.replace(seen, status=next_status(seen, plan(seen), outcome or Done()))


def restore_of(seen):
    return seen.status.restore


def coming(seen):
    return seen.status.next_epoch


def with_status(seen, **fields):
    return dataclasses.replace(seen, status=seen.status.model_copy(update=fields))


def preparing(size=3, **changes):
    """The request is taken, and nothing made for it."""
    return after(asked(running(size, **changes)))


def in_preparation(seen, **record):
    """The same with these things known of the restore."""
    epoch = seen.status.next_epoch
    known = epoch.bootstrap.restore.model_copy(update=record)
    bootstrap = epoch.bootstrap.model_copy(update={"restore": known})
    return with_status(seen, next_epoch=epoch.model_copy(update={"bootstrap": bootstrap}))


def ready_to_switch(size=3, **changes):
    """The data are in their place, and the pod that put them there is gone."""
    seen = preparing(size, **changes)
    seen = dataclasses.replace(seen, other_claims=(claim(0, epoch=2),))
    return in_preparation(seen, done=True, claim="claim-2-0")


def switching(size=3, **changes):
    return after(ready_to_switch(size, **changes))


def stopped(seen=None):
    """All members have ended."""
    seen = seen or switching()
    live = {key: obj for key, obj in seen.live.items() if key != STATEFUL_SET}
    return dataclasses.replace(seen, live=live, pods=(), etcd=UNANSWERED)


def failed(reason=Reason.STORE_FORBIDDEN):
    """It was given up, and what was prepared is still there."""
    seen = preparing()
    restore = RestorePod(name="db-2-restore", uid="pod-2", epoch=2, claim="claim-2-0")
    seen = dataclasses.replace(seen, other_claims=(claim(0, epoch=2),), restore_pods=(restore,))
    return after(in_preparation(seen, failure=reason.value, message="403", stalled=True))


@lru_cache
def _restored(size):
    world = restored(size)
    world.goes_on_until(lambda: plan(world.seen).rule == "settled")
    return world.seen


def changed_over(size=3, phase=COMPLETED, old_data=""):
    """A healthy cluster in its second epoch; the first one is set aside."""
    seen = dataclasses.replace(_restored(size), old_data_asked=old_data)
    return with_status(seen, restore=_ended(seen, phase))


def told(seen, outcome=None):
    """Reason and words of the events about the next step."""
    made, outcome = plan(seen), outcome or Done()
    news = happenings(seen, made, outcome, next_status(seen, made, outcome))
    return [(one.reason, one.message) for one in news]


class TestTheRequest:
    def test_it_is_taken_as_another_epoch_while_all_stays_as_it_is(self):
        seen = preparing()

        assert plan(asked(running())).rule == "take_restore_request"
        assert restore_of(seen).phase == PREPARING
        assert (restore_of(seen).epoch, seen.status.last_epoch) == (2, 2)
        assert seen.status.bootstrap == running().status.bootstrap
        assert seen.status.cluster_id == running().status.cluster_id
        assert seen.status.set_aside == ()

    def test_the_epoch_begins_with_one_member_under_a_token_of_its_own(self):
        bootstrap = coming(preparing()).bootstrap

        assert (bootstrap.token, bootstrap.epoch, bootstrap.size) == (f"{UID}-2", 2, 1)
        assert [(m.name, m.started, m.id) for m in bootstrap.members] == [("db-0", True, "")]
        assert not bootstrap.closed
        assert StoreSource.model_validate(bootstrap.restore.store) == STORE

    @pytest.mark.parametrize(
        ("source", "bump"),
        [
            pytest.param({}, 1_000_000_000, id="watchers never go back"),
            pytest.param({"bumpRevision": 5}, 5, id="asked for"),
            pytest.param({"bumpRevision": 0}, 0, id="asked for none"),
        ],
    )
    def test_revisions_jump_ahead_of_all_that_was_ever_seen(self, source, bump):
        source = RestoreSource.model_validate({"backupName": "nightly", **source})

        assert coming(after(asked(source=source))).bootstrap.restore.bump_revision == bump

    def test_a_backup_whose_hash_is_wrong_is_taken_only_where_that_was_said(self):
        seen = dataclasses.replace(
            asked(), requested_source=Resolved(store=STORE, skip_hash_check=True)
        )

        assert coming(after(seen)).bootstrap.restore.skip_hash_check
        assert not coming(preparing()).bootstrap.restore.skip_hash_check

    def test_it_is_taken_once(self):
        seen = preparing()
        ended = with_status(seen, next_epoch=None, restore=_ended(seen, FAILED))

        assert plan(seen).rule != "take_restore_request"
        assert plan(ended).rule == "settled"

    def test_another_attempt_is_another_request(self):
        seen = preparing()
        ended = with_status(seen, next_epoch=None, restore=_ended(seen, FAILED))
        again = after(asked(ended, attempt="second"))

        assert (restore_of(again).phase, restore_of(again).attempt) == (PREPARING, "second")
        assert restore_of(again).epoch == 3

    @pytest.mark.parametrize(
        "busy", [failed, switching, stopped], ids=["failed", "switching", "stopped"]
    )
    def test_the_next_one_waits_until_nothing_of_the_last_is_left_to_do(self, busy):
        seen = asked(busy(), uid="other")

        assert plan(seen).rule != "take_restore_request"
        assert restore_of(after(seen)).uid == "restore-uid"

    def test_restored_data_that_are_lost_before_all_serve_give_way_to_the_next_request(self):
        """Without it nothing would ever come to an end, where the old data are lost as well."""
        begun = after(stopped())
        formed = with_status(begun, cluster_id="caff")

        for lost in (begun, formed):
            again = after(asked(lost, uid="other"))
            assert (restore_of(again).phase, restore_of(again).epoch) == (PREPARING, 3)
        serves = dataclasses.replace(formed, etcd=running(1).etcd)
        assert plan(asked(serves, uid="other")).rule != "take_restore_request"

    def test_a_number_is_never_given_twice(self):
        seen = asked(with_status(running(), last_epoch=7))
        beside = dataclasses.replace(asked(), other_claims=(claim(1, epoch=4),))

        assert coming(after(seen)).epoch == 8
        assert coming(after(beside)).epoch == 5

    def test_paused_cluster_takes_none(self):
        assert plan(asked(running(spec_fields={"paused": True}))).rule == "paused"

    def test_it_is_told(self):
        message = "Prepare the backup that EtcdRestore again names as epoch 2"

        assert told(asked())[0] == ("DataChanges", message)


def _ended(seen, phase):
    return restore_of(seen).model_copy(update={"phase": phase})


JOINING = JoiningMember(name="db-3", ordinal=3, id="a3", since=NOW, reason="ScaleOut")


def upgrading(seen):
    """The same on its way to the next minor version."""
    wanted = seen.spec.model_copy(update={"version": "v3.6.16"})
    change = going(seen.applied.version, "v3.6.16")
    return dataclasses.replace(with_status(seen, upgrade=change), spec=wanted)


class TestRefusals:
    @pytest.mark.parametrize(
        ("seen", "words"),
        [
            pytest.param(
                with_status(running(), cluster_id=""), "has not formed yet", id="not formed"
            ),
            pytest.param(running(spec_fields={"size": 0}), "spec.size is 0", id="asleep"),
            pytest.param(running(image=""), "--image", id="no image"),
            pytest.param(
                running(spec_fields={"version": "v3.5.19"}), "3.5.20 or newer", id="old etcd"
            ),
            pytest.param(with_status(running(), joining=JOINING), "db-3 is joining", id="joining"),
            pytest.param(upgrading(running()), "version is being changed", id="upgrading"),
        ],
    )
    def test_what_speaks_against_it_is_said_and_nothing_is_begun(self, seen, words):
        refused = after(asked(seen))

        assert (restore_of(refused).phase, restore_of(refused).reason) == (
            FAILED,
            Reason.RESTORE_REFUSED,
        )
        assert words in restore_of(refused).message
        assert coming(refused) is None
        assert restore_of(refused).epoch is None

    def test_one_member_needs_no_promotion(self):
        seen = after(asked(running(1, spec_fields={"version": "v3.5.19"})))

        assert restore_of(seen).phase == PREPARING

    @pytest.mark.parametrize(
        "half_way",
        [with_status(running(), joining=JOINING), upgrading(running())],
        ids=["joining", "upgrading"],
    )
    def test_a_cluster_that_lost_its_quorum_is_restored_whatever_it_was_at(self, half_way):
        seen = dataclasses.replace(half_way, etcd=UNANSWERED)

        assert restore_of(after(asked(seen))).phase == PREPARING

    def test_a_backup_that_is_not_there_is_said_in_its_own_words(self):
        missing = Unresolved(reason=Reason.BACKUP_NOT_FOUND, message="There is no EtcdBackup x")
        seen = after(dataclasses.replace(asked(), requested_source=missing))

        assert (restore_of(seen).phase, restore_of(seen).reason) == (
            FAILED,
            Reason.BACKUP_NOT_FOUND,
        )
        assert "There is no EtcdBackup x" in restore_of(seen).message

    @pytest.mark.parametrize(
        ("waited", "phase"),
        [(timedelta(minutes=59), PREPARING), (timedelta(hours=1), FAILED)],
        ids=["in time", "forgotten"],
    )
    def test_a_request_that_was_not_heard_for_an_hour_surprises_nobody(self, waited, phase):
        seen = after(asked(asked_at=NOW - waited))

        assert restore_of(seen).phase == phase
        assert phase != FAILED or "within an hour" in restore_of(seen).message

    def test_a_request_without_a_time_stands(self):
        assert restore_of(after(asked(asked_at=None))).phase == PREPARING

    def test_before_a_spec_was_accepted_nothing_is_answered(self):
        assert plan(asked(unborn())).rule != "take_restore_request"


class TestThePreparation:
    def test_the_volume_of_the_next_epochs_first_member_is_made_filled_and_left_alone(self):
        seen = preparing()
        step = plan(seen).step
        assert isinstance(step, MakeSeedClaim)
        assert (step.epoch, step.claim["metadata"]["name"]) == (2, "data-2-db-0")

        seen = dataclasses.replace(seen, other_claims=(claim(0, epoch=2),))
        assert isinstance(plan(seen).step, RecordRestore)
        seen = after(seen)
        assert coming(seen).bootstrap.restore.claim == "claim-2-0"
        step = plan(seen).step
        assert isinstance(step, MakeRestorePod)
        assert step.claim == ("data-2-db-0", "claim-2-0")

        seen = with_restore_pod(seen, restored=answer())
        seen = after(seen)
        assert coming(seen).bootstrap.restore.done
        assert isinstance(plan(seen).step, DeleteRestorePod)

    def test_meanwhile_the_members_are_as_they_were(self):
        seen = with_restore_pod(ready_pod(), doing="fetching and checking the backup")
        made = plan(seen)
        status = next_status(seen, made, None)

        assert made.rule == "wait_for_next_epoch"
        assert made.step.reason is Reason.PREPARING_DATA
        assert "fetching" in made.step.message
        assert status.phase == "Running"
        assert _ready(status).status == "True"
        assert [one.name for one in status.members] == ["db-0", "db-1", "db-2"]

    def test_care_for_the_members_goes_on_beside_it(self):
        seen = with_restore_pod(ready_pod())
        dropped = {key: obj for key, obj in seen.live.items() if key[0] != "PodDisruptionBudget"}

        assert isinstance(plan(dataclasses.replace(seen, live=dropped)).step, ApplyObjects)

    @pytest.mark.parametrize("step", ["claim", "pod"])
    def test_what_the_server_does_not_take_ends_it_in_the_servers_words(self, step):
        seen = preparing() if step == "claim" else ready_pod()
        refused = after(seen, Rejected(reason=Reason.VOLUME_REFUSED, message="exceeded quota"))

        assert (restore_of(refused).phase, restore_of(refused).reason) == (
            FAILED,
            Reason.VOLUME_REFUSED,
        )
        assert restore_of(refused).message == "exceeded quota"


def ready_pod():
    """The volume is recorded; next is the pod."""
    seen = dataclasses.replace(preparing(), other_claims=(claim(0, epoch=2),))
    return after(seen)


def with_restore_pod(seen, **fields):
    known = {"name": "db-2-restore", "uid": "pod-2", "epoch": 2, "claim": "claim-2-0"}
    return dataclasses.replace(seen, restore_pods=(RestorePod(**{**known, **fields}),))


def _ready(status):
    return next(one for one in status.conditions if one.type == "Ready")


class TestGivingUp:
    def test_a_request_that_was_taken_away_ends_it(self):
        seen = after(dataclasses.replace(preparing(), restore_request=None))

        assert (restore_of(seen).phase, restore_of(seen).reason) == (
            FAILED,
            Reason.RESTORE_WITHDRAWN,
        )

    def test_another_request_in_its_place_ends_it_first(self):
        seen = after(asked(preparing(), uid="other"))

        assert (restore_of(seen).uid, restore_of(seen).phase) == ("restore-uid", FAILED)

    def test_what_no_time_cures_ends_it_at_once(self):
        assert restore_of(failed()).reason == Reason.STORE_FORBIDDEN
        assert restore_of(failed()).message == "403"

    @pytest.mark.parametrize(("attempts", "ends"), [(7, False), (8, True)])
    def test_what_may_pass_is_tried_eight_times(self, attempts, ends):
        seen = in_preparation(
            preparing(),
            failure=Reason.STORE_UNAVAILABLE.value,
            message="away",
            attempts=attempts,
            not_before=NOW + timedelta(minutes=10),
            generation=1,
        )

        assert (plan(seen).rule == "give_up_restore") is ends

    @pytest.mark.parametrize(
        ("waited", "ends"), [(timedelta(hours=5, minutes=59), False), (timedelta(hours=6), True)]
    )
    def test_after_six_hours_nobody_is_given_old_data_any_more(self, waited, ends):
        seen = dataclasses.replace(with_restore_pod(ready_pod()), now=NOW + waited)

        assert (plan(seen).rule == "give_up_restore") is ends
        assert not ends or restore_of(after(seen)).reason == Reason.RESTORE_FAILED

    @pytest.mark.parametrize(("enabled", "ends"), [(False, True), (True, False)])
    def test_users_of_the_backup_need_a_spec_with_users(self, enabled, ends):
        tls = {"clientSecretName": ""} if enabled else {"enabled": False}
        fields = {"security": {"tls": {k: v for k, v in tls.items() if v != ""}}}
        if enabled:
            fields["security"]["auth"] = {"enabled": True}
        seen = with_restore_pod(ready_pod(), restored=answer(auth=True))
        applied = running(spec_fields=fields).applied if enabled else seen.applied
        seen = dataclasses.replace(after(seen), applied=applied)

        assert (plan(seen).rule == "give_up_restore") is ends
        assert not ends or restore_of(after(seen)).reason == Reason.AUTH_RESTORED

    def test_it_is_no_longer_given_up_once_the_members_change_over(self):
        seen = dataclasses.replace(switching(), restore_request=None)

        assert plan(seen).rule == "stop_members"


class TestWhatWasPreparedInVain:
    def test_the_pod_goes_first_then_the_volume_then_the_epoch_is_forgotten(self):
        seen = failed()
        assert isinstance(plan(seen).step, DeleteRestorePod)

        seen = dataclasses.replace(seen, restore_pods=())
        step = plan(seen).step
        assert isinstance(step, DeleteEpoch)
        assert (step.epoch, step.claims) == (2, (("data-2-db-0", "claim-2-0"),))

        going = dataclasses.replace(seen, other_claims=(claim(0, epoch=2, terminating=True),))
        assert not isinstance(plan(going).step, (DeleteEpoch, RecordEpochs))

        seen = after(dataclasses.replace(seen, other_claims=()))
        assert coming(seen) is None
        assert (restore_of(seen).phase, restore_of(seen).epoch) == (FAILED, 2)
        assert plan(seen).rule == "settled"

    def test_no_other_volume_is_touched(self):
        seen = dataclasses.replace(failed(), restore_pods=())
        beside = (claim(0, epoch=2), claim(0, epoch=3))

        step = plan(dataclasses.replace(seen, other_claims=beside)).step
        assert step.claims == (("data-2-db-0", "claim-2-0"),)

    def test_a_volume_goes_only_after_the_last_pod_that_writes_to_it(self):
        ending = tuple(dataclasses.replace(one, terminating=True) for one in failed().restore_pods)
        seen = dataclasses.replace(failed(), restore_pods=ending, other_claims=())

        assert plan(seen).rule != "clear_failed_restore"


class TestTheChange:
    def test_it_begins_when_the_data_are_ready_and_no_pod_writes_to_them(self):
        seen = ready_to_switch()

        assert plan(seen).rule == "begin_switch"
        assert plan(with_restore_pod(seen)).rule != "begin_switch"
        assert plan(with_restore_pod(seen, terminating=True)).rule != "begin_switch"
        assert restore_of(after(seen)).phase == SWITCHING

    def test_it_is_recorded_before_the_first_member_stops(self):
        seen = switching()

        assert coming(seen).epoch == 2
        assert seen.status.bootstrap.epoch == 1
        step = plan(seen).step
        assert isinstance(step, DeleteStatefulSet)
        assert step.uid == seen.live[STATEFUL_SET]["metadata"]["uid"]

    def test_without_a_quorum_it_goes_the_same_way(self):
        world = World(3)
        world.lost = {"db-1", "db-2"}
        world.ask()
        stop = world.phase_is(SWITCHING)
        world.goes_on_until(stop)
        world.lost = set()
        world.goes_on_until(world.phase_is(COMPLETED))

        assert world.served() == {FROM_BACKUP}

    def test_the_last_pod_is_waited_for(self):
        seen = switching()
        live = {key: obj for key, obj in seen.live.items() if key != STATEFUL_SET}
        one = dataclasses.replace(seen, live=live, pods=(pod(2, terminating=True),))

        step = plan(one).step
        assert isinstance(step, Wait)
        assert "db-2" in step.message
        assert next_status(one, plan(one), None).phase == "Recovering"

    def test_that_nobody_answers_meanwhile_is_no_alarm(self):
        seen = switching()
        ending = tuple(dataclasses.replace(one, terminating=True) for one in seen.pods)
        live = {key: obj for key, obj in seen.live.items() if key != STATEFUL_SET}
        seen = dataclasses.replace(seen, live=live, pods=ending, etcd=UNANSWERED)
        status = next_status(seen, plan(seen), None)

        quorum = next(one for one in status.conditions if one.type == "QuorumAvailable")
        assert (quorum.status, quorum.reason) == ("False", "Restoring")
        assert {reason for reason, _ in told(seen)} & {"QuorumLost", "MembersUnreachable"} == set()

    def test_a_stateful_set_that_is_going_is_waited_for(self):
        seen = switching()
        made = seen.live[STATEFUL_SET]
        going = {**made, "metadata": {**made["metadata"], "deletionTimestamp": "2026-01-01"}}
        one = dataclasses.replace(seen, live={STATEFUL_SET: going}, pods=())

        assert isinstance(plan(one).step, Wait)

    def test_a_pod_that_no_stateful_set_ends_is_deleted(self):
        orphan = pod(1, controlled=False)
        seen = dataclasses.replace(stopped(), pods=(orphan,), finalizers=(FINALIZER,))

        assert isinstance(plan(seen).step, DeletePod)
        assert plan(seen).step.uid == "pod-1"

    @pytest.mark.parametrize(("certain", "forced"), [(True, True), (False, False)])
    def test_a_pod_is_forced_to_end_only_where_its_node_is_known_not_to_run_it(
        self, certain, forced
    ):
        node = LostNode(name="node-1", since=NOW, certain=certain, why="is gone")
        seen = dataclasses.replace(stopped(), pods=(pod(1, terminating=True),), nodes_lost=(node,))
        step = plan(seen).step

        assert (isinstance(step, DeletePod) and step.force) is forced

    def test_then_the_next_epoch_is_the_current_one_and_the_old_one_is_set_aside_as_it_was(self):
        before = stopped()
        step = plan(before).step
        assert isinstance(step, SwitchEpoch)
        seen = after(before)

        assert (seen.status.bootstrap.epoch, coming(seen), seen.status.cluster_id) == (2, None, "")
        (aside,) = seen.status.set_aside
        assert (aside.epoch, aside.size, aside.version) == (1, 3, before.applied.version)
        assert aside.claims == ("data-db-0", "data-db-1", "data-db-2")
        assert aside.bootstrap == before.status.bootstrap
        assert (aside.cluster_id, aside.voter_ordinals) == (before.status.cluster_id, (0, 1, 2))
        assert restore_of(seen).phase == SWITCHING

    def test_the_first_member_starts_on_the_volume_of_its_epoch_under_the_same_name(self):
        seen = after(stopped())
        seen = dataclasses.replace(seen, claims=(claim(0, epoch=2),), other_claims=())
        made = next(o for o in plan(seen).step.objects if o["kind"] == "StatefulSet")
        (template,) = made["spec"]["volumeClaimTemplates"]

        assert (made["metadata"]["name"], made["spec"]["replicas"]) == ("db", 1)
        assert template["metadata"]["name"] == "data-2"

    def test_it_is_complete_when_all_members_serve(self):
        seen = changed_over(phase=SWITCHING)
        one_down = dataclasses.replace(
            seen, pods=(pod(0), pod(1, ready=False, running=False), pod(2))
        )

        assert plan(one_down).rule != "complete_switch"
        assert plan(seen).rule == "complete_switch"
        assert restore_of(after(seen)).phase == COMPLETED
        assert len(after(seen).status.set_aside) == 1

    def test_a_stateful_set_of_another_epoch_that_somebody_made_again_goes(self):
        made = running().live[STATEFUL_SET]
        seen = changed_over()
        seen = dataclasses.replace(seen, live={**seen.live, STATEFUL_SET: made})

        assert plan(seen).rule == "drop_former_members"
        assert isinstance(plan(seen).step, DeleteStatefulSet)

    def test_each_step_of_it_is_told(self):
        reason, message = told(stopped())[0]

        assert reason == "DataSetAside"
        assert "data-db-0, data-db-1, data-db-2" in message
        assert told(ready_to_switch())[0][0] == "DataChanges"

    def test_that_the_data_are_restored_is_told_when_they_are_and_not_begun_again(self):
        reasons = [reason for reason, _ in told(stopped(has_restored()))]

        assert "DataRestored" in reasons
        assert "RestoreBegun" not in reasons


def has_restored():
    """The pod that restored has said what it did."""
    seen = ready_to_switch()
    seen = dataclasses.replace(seen, status=preparing().status)
    seen = with_restore_pod(in_preparation(seen, claim="claim-2-0"), restored=answer())
    return after(dataclasses.replace(after(seen), restore_pods=()))


class TestTheWayBack:
    def test_nothing_is_told_anew_of_data_that_were_there_before(self):
        begun = after(stopped(has_restored()))
        claims = {"claims": begun.other_claims, "other_claims": begun.claims}
        begun = dataclasses.replace(begun, **claims, old_data_asked="PutBack")
        back = stopped(after(begun))
        reasons = {reason for reason, _ in told(back)}
        assert "DataSetAside" in reasons
        assert reasons & {"BootstrapCompleted", "DataRestored", "RestoreBegun"} == set()

        on_it = after(back)
        assert isinstance(plan(on_it).step, ApplyObjects)
        assert "DriftCorrected" not in {reason for reason, _ in told(on_it)}

    def test_the_old_epoch_comes_back_exactly_as_it_was(self):
        seen = after(changed_over(old_data="PutBack"))
        aside = seen.status.set_aside[0]

        assert restore_of(seen).phase == SWITCHING
        assert coming(seen) == aside
        again = after(stopped(seen))
        assert again.status.bootstrap == aside.bootstrap
        assert again.status.cluster_id == aside.cluster_id
        assert [one.epoch for one in again.status.set_aside] == [2]

    def test_it_is_open_before_the_new_members_are_all_there(self):
        seen = after(stopped())

        assert plan(dataclasses.replace(seen, old_data_asked="PutBack")).rule == "put_back_old_data"

    @pytest.mark.parametrize("asked_for", ["", "Keep", "putback", "Discard"])
    def test_it_is_gone_only_when_asked_for(self, asked_for):
        assert plan(changed_over(old_data=asked_for)).rule != "put_back_old_data"

    def test_what_was_said_with_a_request_is_not_meant_for_another_ones_data(self):
        seen = dataclasses.replace(
            asked(changed_over(old_data="PutBack"), uid="other"), requested_source=None
        )

        assert plan(seen).rule == "take_restore_request"
        assert restore_of(after(seen)).phase == FAILED
        serves = dataclasses.replace(
            after(stopped()), etcd=running(1).etcd, old_data_asked="PutBack"
        )
        assert plan(serves).rule == "put_back_old_data"
        assert plan(asked(serves, uid="other")).rule != "put_back_old_data"
        gone = dataclasses.replace(changed_over(old_data="PutBack"), restore_request=None)
        assert plan(gone).rule == "put_back_old_data"

    @pytest.mark.parametrize("phase", [FAILED, PREPARING, PUT_BACK])
    def test_there_is_no_way_back_from_what_was_not_changed(self, phase):
        assert plan(changed_over(phase=phase, old_data="PutBack")).rule != "put_back_old_data"

    @pytest.mark.parametrize(
        ("lost", "words"),
        [
            (lambda n: None if n == 1 else claim(n), "db-1"),
            (lambda n: claim(n, terminating=n == 2), "db-2"),
            (lambda n: claim(n, lost=n == 0), "db-0"),
        ],
        ids=["gone", "going", "without a volume"],
    )
    def test_all_its_volumes_are_needed(self, lost, words):
        left = tuple(filter(None, map(lost, range(3))))
        seen = after(dataclasses.replace(changed_over(old_data="PutBack"), other_claims=left))

        assert (restore_of(seen).phase, restore_of(seen).reason) == (
            COMPLETED,
            Reason.OLD_DATA_UNUSABLE,
        )
        assert f"the volumes of {words} are gone" in restore_of(seen).message
        assert plan(seen).rule == "settled"

    def test_another_minor_version_does_not_start_on_it(self):
        seen = changed_over(old_data="PutBack")
        aside = seen.status.set_aside[0].model_copy(update={"version": "v3.6.16"})
        seen = after(with_status(seen, set_aside=(aside,)))

        assert restore_of(seen).reason == Reason.OLD_DATA_UNUSABLE
        assert "set spec.version" in restore_of(seen).message

    def test_a_change_of_version_comes_to_its_end_first(self):
        seen = after(upgrading(changed_over(old_data="PutBack")))

        assert restore_of(seen).reason == Reason.OLD_DATA_UNUSABLE
        assert "being changed" in restore_of(seen).message

    def test_when_the_members_serve_again_it_is_told_as_put_back(self):
        seen = after(stopped(after(changed_over(old_data="PutBack"))))
        healthy = running()
        back = dataclasses.replace(
            seen,
            pods=healthy.pods,
            claims=healthy.claims,
            other_claims=tuple(claim(n, epoch=2) for n in range(3)),
            live=healthy.live,
            etcd=healthy.etcd,
        )

        assert plan(back).rule == "complete_switch"
        assert restore_of(after(back)).phase == PUT_BACK


class TestWhatWasSetAside:
    @pytest.mark.parametrize("asked_for", ["", "Keep", "discard", "Delete", "PutBack"])
    def test_it_is_deleted_only_by_the_word(self, asked_for):
        seen = changed_over(phase=PUT_BACK, old_data=asked_for)

        assert not isinstance(plan(seen).step, DeleteEpoch)
        assert isinstance(plan(changed_over(old_data="Discard")).step, DeleteEpoch)

    @pytest.mark.parametrize("phase", [PREPARING, FAILED])
    def test_it_is_deleted_only_when_the_change_is_complete(self, phase):
        assert plan(changed_over(phase=phase, old_data="Discard")).rule != "discard_old_data"

    def test_it_is_deleted_only_while_all_members_serve(self):
        seen = changed_over(old_data="Discard")

        assert plan(dataclasses.replace(seen, etcd=UNANSWERED)).rule != "discard_old_data"
        two = dataclasses.replace(seen, pods=seen.pods[:2])
        assert plan(two).rule != "discard_old_data"

    def test_what_was_said_with_a_request_waits_for_what_comes_of_it(self):
        seen = asked(changed_over(old_data="Discard"), uid="other")

        assert plan(seen).rule == "take_restore_request"
        assert not isinstance(plan(after(seen)).step, DeleteEpoch)

    def test_the_claims_go_and_then_it_is_forgotten(self):
        seen = changed_over(old_data="Discard")
        step = plan(seen).step
        assert step.epoch == 1
        assert [name for name, _ in step.claims] == ["data-db-0", "data-db-1", "data-db-2"]
        assert told(seen)[0][0] == "DataDiscarded"

        going = tuple(dataclasses.replace(one, terminating=True) for one in seen.other_claims)
        going = dataclasses.replace(seen, other_claims=going)
        assert plan(going).rule != "discard_old_data"

        gone = after(dataclasses.replace(seen, other_claims=()))
        assert gone.status.set_aside == ()
        assert restore_of(gone).phase == COMPLETED
        assert plan(gone).rule == "settled"

    def test_users_of_the_other_data_are_given_their_passwords_anew(self):
        auth = AuthStatus(enabled=True, users=(AuthUserStatus(name="app", password_from="u/7"),))
        seen = after(with_status(stopped(), auth=auth))

        assert seen.status.auth.enabled
        assert seen.status.auth.users == (AuthUserStatus(name="app"),)


def restored(size=3, **changes):
    """A world in which a restore in place is complete."""
    world = World(size, **changes)
    world.ask()
    world.goes_on_until(world.phase_is(COMPLETED))
    return world


class TestWholeStories:
    @pytest.mark.parametrize("size", [1, 3])
    def test_the_members_have_the_backups_data_and_the_old_ones_are_kept(self, size):
        world = restored(size)

        assert world.served() == {FROM_BACKUP}
        assert sorted(world.mounts) == [f"db-{n}" for n in range(size)]
        assert world.kept() == [f"data-db-{n}" for n in range(size)]

    def test_the_way_back_keeps_what_was_restored(self):
        world = restored()
        world.say("PutBack")
        world.goes_on_until(world.phase_is(PUT_BACK))

        assert world.served() == {BEFORE}
        assert sorted(world.mounts) == ["db-0", "db-1", "db-2"]
        assert "data-2-db-0" in world.claims

    def test_after_the_way_back_the_other_data_go_by_the_word(self):
        world = restored()
        world.say("PutBack")
        world.goes_on_until(world.phase_is(PUT_BACK))
        world.say("Discard")
        world.goes_on_until(lambda: not world.status.set_aside)

        assert sorted(world.claims) == ["data-db-0", "data-db-1", "data-db-2"]
        assert world.served() == {BEFORE}

    def test_discarded_data_are_gone_and_the_members_serve(self):
        world = restored()
        world.say("Discard")
        world.goes_on_until(lambda: not world.status.set_aside)

        assert world.kept() == []
        assert world.served() == {FROM_BACKUP}

    def test_a_second_restore_sets_both_aside(self):
        world = restored()
        world.ask(uid="second")
        world.goes_on_until(lambda: world.status.last_epoch == 3)
        world.goes_on_until(world.phase_is(COMPLETED))

        assert [one.epoch for one in world.status.set_aside] == [2, 1]
        assert world.serving() == {3}
        assert world.kept() == ["data-db-0", "data-db-1", "data-db-2"]

    def test_a_request_that_is_taken_away_half_way_leaves_no_trace(self):
        world = World()
        world.ask()
        world.goes_on_until(lambda: world.restoring is not None)
        world.seen = dataclasses.replace(world.seen, restore_request=None)
        world.goes_on_until(lambda: world.phase_is(FAILED)() and world.status.next_epoch is None)

        assert sorted(world.claims) == ["data-db-0", "data-db-1", "data-db-2"]
        assert world.served() == {BEFORE}
        assert world.restoring is None
        assert "stop_members" not in world.rules


# How many reconciles the longest story has: there and back again, with a margin.
STORY = 60


class TestTheOperatorDies:
    """Before it has recorded what it did, wherever that is; another one goes on."""

    @pytest.mark.parametrize("at", range(STORY))
    def test_at_any_one_step_all_comes_as_it_would_have(self, at):
        world = World()
        world.ask()
        used = world.goes_on_until(world.phase_is(COMPLETED), dies_at={at})
        assert world.served() == {FROM_BACKUP}
        assert world.kept() == ["data-db-0", "data-db-1", "data-db-2"]
        world.say("PutBack")
        used += world.goes_on_until(world.phase_is(PUT_BACK), dies_at={at - used})
        assert world.served() == {BEFORE}
        world.say("Discard")
        used += world.goes_on_until(lambda: not world.status.set_aside, dies_at={at - used})

        assert sorted(world.claims) == ["data-db-0", "data-db-1", "data-db-2"]
        assert used <= STORY

    @settings(max_examples=20)
    @given(st.sets(st.integers(0, STORY), max_size=30))
    def test_at_many_steps_no_data_are_lost_that_nobody_gave_up(self, dies_at):
        world = World()
        world.ask()
        world.goes_on_until(world.phase_is(COMPLETED), dies_at=dies_at)

        assert world.served() == {FROM_BACKUP}
        assert world.kept() == ["data-db-0", "data-db-1", "data-db-2"]


EPOCHS = st.lists(
    st.builds(
        claim,
        st.integers(0, 2),
        epoch=st.sampled_from([1, 2, 3]),
        terminating=st.booleans(),
        lost=st.booleans(),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
).map(tuple)
PODS = st.lists(
    st.builds(pod, st.integers(0, 2), terminating=st.booleans(), controlled=st.booleans()),
    max_size=3,
    unique_by=lambda one: one.ordinal,
).map(tuple)
STATES = st.sampled_from(
    [running, preparing, ready_to_switch, switching, stopped, failed, changed_over]
)
REQUESTS = st.sampled_from([None, REQUEST, REQUEST.model_copy(update={"uid": "other"})])


@st.composite
def anything(draw):
    seen = draw(STATES)()
    claims = draw(EPOCHS)
    epoch = seen.epoch
    phase = draw(st.sampled_from([None, PREPARING, SWITCHING, COMPLETED, FAILED, PUT_BACK]))
    if phase and seen.status.restore:
        seen = with_status(seen, restore=_ended(seen, phase))
    return dataclasses.replace(
        seen,
        restore_request=draw(REQUESTS),
        requested_source=Resolved(store=STORE),
        old_data_asked=draw(st.sampled_from(["", "Keep", "Discard", "PutBack"])),
        claims=draw(st.sampled_from([seen.claims, tuple(c for c in claims if c.epoch == epoch)])),
        other_claims=tuple(one for one in claims if one.epoch != epoch),
        pods=draw(st.sampled_from([seen.pods]) | PODS),
        etcd=draw(st.sampled_from([seen.etcd, UNANSWERED])),
    )


@given(anything())
def test_old_data_go_only_by_the_word_and_only_when_others_are_served(seen):
    step = plan(seen).step
    if not isinstance(step, DeleteEpoch):
        return
    assert step.epoch != seen.epoch
    in_vain = seen.status.next_epoch
    if in_vain is not None and in_vain.epoch == step.epoch:
        assert seen.status.restore.phase == FAILED
        return
    assert seen.old_data_asked == "Discard"
    assert seen.status.restore.phase in {COMPLETED, PUT_BACK}
    assert len([one for one in seen.pods if one.ready]) == seen.applied.size


@given(anything())
def test_no_member_starts_and_no_membership_changes_while_the_members_stop(seen):
    step = plan(seen).step
    on_the_way = seen.status.restore is not None and seen.status.restore.phase == SWITCHING
    if on_the_way and seen.status.next_epoch is not None:
        assert not isinstance(step, (ApplyObjects, RecordMembership))
    if isinstance(step, SwitchEpoch):
        assert seen.pods == ()
        assert STATEFUL_SET not in seen.live


def test_builders_are_what_they_say():
    """A mistake in them would make the refusals above prove nothing."""
    assert plan(running()).rule == plan(observed()).rule == "settled"
    assert plan(changed_over()).rule in {"settled", "annotate_claims", "correct_drift"}
