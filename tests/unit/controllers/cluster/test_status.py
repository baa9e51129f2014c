"""Status: what users read of an observation, when it is written, and which events tell of it."""

import dataclasses
from datetime import timedelta

import pytest

from api.conditions import find_condition
from api.labels import FINALIZER
from api.reasons import Reason
from controllers.cluster.happenings import happenings
from controllers.cluster.observed import Etcd, Problem
from controllers.cluster.outcome import Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.deletion import GIVE_UP_AFTER
from controllers.cluster.space import shown_size
from controllers.cluster.status import next_status
from etcd.ids import ClusterID
from etcd.maintenance import Alarm, AlarmKind
from tests.unit.controllers.cluster.builders import (
    NOW,
    accepted,
    etcd,
    live_of,
    member_id,
    observed,
    pod,
    spec,
    status_of,
    unborn,
)


def status_after(of, outcome=None):
    return next_status(of, plan(of), outcome)


def condition(of, kind, outcome=None):
    return find_condition(status_after(of, outcome).conditions, kind)


def settled(of):
    """The same observation after its status was written."""
    return dataclasses.replace(of, status=status_after(of))


def told(of, outcome=None):
    made = plan(of)
    new = next_status(of, made, outcome)
    return [h.reason for h in happenings(of, made, outcome, new)]


class TestHealthy:
    def test_conditions_are_all_good(self):
        by_type = {c.type: c.status for c in status_after(observed()).conditions}

        assert by_type == {
            "Ready": "True",
            "Reconciling": "False",
            "Stalled": "False",
            "QuorumAvailable": "True",
            "MembersHealthy": "True",
            "UpToDate": "True",
            "TLSReady": "False",
            "AuthReady": "False",
            "SpaceAvailable": "True",
            "DataConsistent": "True",
            "Paused": "False",
        }

    def test_members_are_shown_with_id_role_and_version(self):
        first, second, _ = status_after(observed()).members

        assert (first.name, first.id, first.role) == ("db-0", "a0", "leader")
        assert (second.role, second.version, second.ready) == ("follower", "v3.5.21", True)

    def test_summary_names_leader_phase_and_selector(self):
        status = status_after(observed())

        assert (status.leader, status.leader_id, status.phase) == ("db-0", "a0", "Running")
        assert (status.ready_replicas, status.replicas) == (3, 3)
        assert "app.kubernetes.io/instance=db" in status.selector

    def test_unchanged_observation_is_not_written_again(self):
        written = settled(observed())
        later = dataclasses.replace(written, now=NOW + timedelta(hours=1))

        assert status_after(later) is later.status

    def test_time_of_update_moves_only_with_a_change(self):
        written = settled(observed())
        later = dataclasses.replace(
            written, now=NOW + timedelta(hours=1), pods=(pod(0), pod(1), pod(2, ready=False))
        )

        assert status_after(later).last_update_time == later.now


class TestTrouble:
    def test_member_down_is_named_with_its_reason(self):
        down = dataclasses.replace(settled(observed()), pods=(pod(0), pod(1)))

        assert condition(down, "MembersHealthy").message == "db-2: no pod"
        assert condition(down, "Ready").reason == "MembersUnhealthy"
        assert status_after(down).phase == "Recovering"

    def test_lost_quorum_is_a_failed_cluster(self):
        lost = observed(etcd=Etcd(error="no member answers"), pods=())

        assert condition(lost, "QuorumAvailable").status == "False"
        assert status_after(lost).phase == "Failed"

    def test_what_is_known_of_a_silent_member_is_kept(self):
        written = settled(observed())
        silent = dataclasses.replace(written, etcd=Etcd(error="no member answers"))

        first = status_after(silent).members[0]

        assert (first.id, first.version, first.ready) == ("a0", "v3.5.21", False)

    def test_alarm_names_the_member_that_raised_it(self):
        alarm = Alarm(member_id=member_id(1), kind=AlarmKind.NOSPACE)
        full = observed(etcd=dataclasses.replace(etcd(3), alarms=(alarm,)))

        assert condition(full, "SpaceAvailable").reason == "NoSpace"
        assert "db-1" in condition(full, "SpaceAvailable").message

    def test_corruption_is_seen(self):
        alarm = Alarm(member_id=member_id(2), kind=AlarmKind.CORRUPT)
        corrupt = observed(etcd=dataclasses.replace(etcd(3), alarms=(alarm,)))

        assert condition(corrupt, "DataConsistent").reason == "DataCorrupt"

    def test_database_near_its_quota_is_told_before_it_is_full(self):
        statuses = {"db-0": status_of(0, db_size=int(1.9 * 2**30))}
        near = observed(etcd=dataclasses.replace(etcd(3), statuses=statuses))

        assert condition(near, "SpaceAvailable").reason == "SpaceLow"

    def test_member_of_another_cluster_is_seen(self):
        statuses = {f"db-{n}": status_of(n) for n in range(2)}
        statuses["db-2"] = status_of(2, cluster_id=ClusterID(0xBAD))
        strange = observed(etcd=dataclasses.replace(etcd(3), statuses=statuses))

        assert condition(strange, "DataConsistent").reason == "ClusterIDMismatch"

    def test_emptied_member_stalls_with_the_next_step(self):
        problem = Problem(reason=Reason.EMPTY_DATA_DIRECTORY, message="cannot fetch")
        down = observed(pods=(pod(0), pod(1), pod(2, running=False, ready=False, problem=problem)))

        stalled = condition(down, "Stalled")

        assert (stalled.status, stalled.reason) == ("True", "EmptyDataDirectory")
        assert Reason.EMPTY_DATA_DIRECTORY.next_step in stalled.message


class TestEdits:
    def test_refused_edit_is_not_ready_and_not_up_to_date(self):
        edited = dataclasses.replace(observed(), spec=spec(clusterDomain="other.local"))

        assert condition(edited, "Ready").reason == "NotSupportedYet"
        assert condition(edited, "UpToDate").status == "False"
        assert condition(edited, "QuorumAvailable").status == "True"

    def test_acceptance_records_spec_and_bootstrap(self):
        status = status_after(unborn(), Done())

        assert status.applied_spec == unborn().spec.to_json()
        assert status.bootstrap.size == 3
        assert status.client_endpoints == ("http://db.prod.svc.cluster.local:2379",)

    def test_rejected_spec_records_nothing(self):
        refused = Rejected(reason=Reason.TEMPLATE_REFUSED, message="spec.template: bad")
        status = status_after(unborn(), refused)

        assert (status.applied_spec, status.bootstrap) == (None, None)
        assert find_condition(status.conditions, "Ready").reason == "TemplateRefused"

    def test_cluster_is_closed_when_all_members_have_started(self):
        young = accepted()
        young = dataclasses.replace(young, live=live_of(young), etcd=etcd(3))

        status = status_after(young, Done())

        assert status.bootstrap.closed
        assert status.cluster_id == "cafe"

    def test_paused_cluster_shows_its_health_all_the_same(self):
        paused = dataclasses.replace(observed(), spec=spec(size=3, paused=True))

        assert condition(paused, "Paused").status == "True"
        assert condition(paused, "Ready").status == "True"


class TestEvents:
    def test_ready_is_told_once(self):
        first = observed()

        assert "ClusterReady" in told(first)
        assert told(settled(first)) == []

    def test_trouble_is_told_with_its_reason_once_however_many_conditions_share_it(self):
        down = dataclasses.replace(settled(observed()), pods=(pod(0), pod(1)))

        assert told(down) == ["MembersUnhealthy"]

    def test_cluster_that_comes_up_alarms_nobody(self):
        young = settled(accepted())
        up = dataclasses.replace(
            observed(pods=(pod(0), pod(1))),
            status=observed().status.model_copy(update={"conditions": young.status.conditions}),
        )

        assert "MembersUnhealthy" not in told(up)

    def test_new_leader_is_told(self):
        written = settled(observed())
        statuses = {f"db-{n}": status_of(n, leader=member_id(1)) for n in range(3)}
        moved = dataclasses.replace(written, etcd=dataclasses.replace(etcd(3), statuses=statuses))

        assert told(moved) == ["LeaderChanged"]

    def test_return_of_quorum_is_told(self):
        lost = settled(observed(etcd=Etcd(error="no member answers"), pods=()))
        back = dataclasses.replace(lost, etcd=etcd(3), pods=observed().pods)

        assert "QuorumRestored" in told(back)

    def test_deleted_object_that_came_back_is_told(self):
        whole = settled(observed())
        live = {key: obj for key, obj in whole.live.items() if key[0] != "ConfigMap"}

        assert "DriftCorrected" in told(dataclasses.replace(whole, live=live), Done())

    def test_pause_and_its_end_are_told(self):
        pausing = dataclasses.replace(settled(observed()), spec=spec(size=3, paused=True))
        resumed = dataclasses.replace(settled(pausing), spec=spec(size=3))

        assert told(pausing) == ["Paused"]
        assert told(resumed) == ["Resumed"]

    def test_deletion_of_data_is_told(self):
        gone = observed(
            spec_fields={"storage": {"deletionPolicy": "Delete"}},
            deleting_since=NOW,
            finalizers=(FINALIZER,),
            live={},
        )

        assert "VolumesDeleted" in told(gone, Done())

    def test_what_could_not_be_deleted_is_listed(self):
        late = observed(
            spec_fields={"storage": {"deletionPolicy": "Delete"}},
            deleting_since=NOW - GIVE_UP_AFTER,
            finalizers=(FINALIZER,),
        )
        made = plan(late)
        new = next_status(late, made, Done())
        (first, *_) = happenings(late, made, Done(), new)

        assert first.reason == "CleanupIncomplete"
        assert "PersistentVolumeClaim data-db-0" in first.message

    def test_first_objects_are_not_called_drift(self):
        assert "DriftCorrected" not in told(accepted(), Done())


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        pytest.param(None, 100, 100, id="first"),
        pytest.param(100, None, 100, id="silent"),
        pytest.param(10_000, 10_900, 10_000, id="less than a tenth"),
        pytest.param(100, 9_000, 100, id="a tenth, but little of the quota"),
        pytest.param(100_000, 111_000, 111_000, id="a tenth"),
        pytest.param(890_000, 901_000, 901_000, id="crossed the threshold"),
    ],
)
def test_size_is_shown_anew_when_it_tells_something_new(old, new, shown):
    assert shown_size(old, new, quota=1_000_000) == shown
