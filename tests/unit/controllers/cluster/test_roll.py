"""A change of the template reaches every member, one by one, and never at the cost of quorum."""

import dataclasses
from datetime import timedelta

import pytest

from api.reasons import Reason
from api.v1alpha1.cluster_status import MemberStatus
from controllers.cluster.observed import Etcd, Problem
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import DeletePod, MoveLeader, Wait
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import (
    NOW,
    REVISION,
    etcd,
    member_id,
    observed,
    pod,
    status_of,
)

IMAGE_PULL_FAILED = Problem(reason=Reason.IMAGE_PULL_FAILED, message="no such tag")
CRASH = Problem(reason=Reason.CRASH_LOOPING, message="exit code 1: bad option")
OLD = "db-old"


def rolling(*, on_newest=(), down=None, of=3, leader=0, **changes):
    """All on the older template but `on_newest`; `down` maps an ordinal to changes of its pod."""
    down = down or {}
    pods = tuple(
        pod(
            n,
            **{
                "revision": REVISION if n in on_newest else OLD,
                "created": NOW - timedelta(seconds=10),
                **({"ready": False, "running": False} | down[n] if n in down else {}),
            },
        )
        for n in range(of)
    )
    statuses = {
        f"db-{n}": status_of(n, leader=member_id(leader)) for n in range(of) if n not in down
    }
    seen = observed(of, pods=pods, etcd=dataclasses.replace(etcd(of), statuses=statuses))
    members = tuple(
        MemberStatus(name=f"db-{n}", healthy_revision=OLD, healthy_claim=f"claim-{n}")
        for n in range(of)
    )
    status = seen.status.model_copy(update={"members": members})
    return dataclasses.replace(seen, status=status, **changes)


def without_quorum(seen):
    lost = dataclasses.replace(seen.etcd, members=None, error="no leader")
    return dataclasses.replace(seen, etcd=lost)


class TestOrder:
    def test_followers_come_before_the_leader(self):
        assert plan(rolling()).step == DeletePod(
            name="db-2", uid="pod-2", why="it is made from an older template"
        )

    def test_leader_hands_over_to_one_that_stays(self):
        step = plan(rolling(on_newest={1}, of=3, leader=0)).step
        assert step.name == "db-2"

        step = plan(rolling(on_newest={1, 2})).step
        assert (type(step), step.leader, step.target) == (MoveLeader, "db-0", "db-1")

    def test_who_led_before_is_last(self):
        step = plan(rolling(on_newest={1, 2}, leader=1)).step

        assert (type(step), step.name) == (DeletePod, "db-0")

    def test_single_member_is_restarted(self):
        step = plan(rolling(of=1)).step

        assert (type(step), step.name) == (DeletePod, "db-0")

    def test_unhealthy_member_comes_first(self):
        seen = rolling(down={1: {"running": True}})
        starting = dataclasses.replace(
            seen.etcd, statuses={**seen.etcd.statuses, "db-1": status_of(1)}
        )

        assert plan(dataclasses.replace(seen, etcd=starting)).step.name == "db-1"


class TestSafety:
    def test_next_waits_until_the_last_is_well(self):
        step = plan(rolling(on_newest={2}, down={2: {}})).step

        assert step.reason is Reason.ROLLING_OUT
        assert "db-2 (container is starting)" in step.message

    def test_next_waits_until_the_last_has_caught_up(self):
        seen = rolling(on_newest={2})
        ahead = {
            name: dataclasses.replace(status, raft_index=90_000, raft_applied_index=90_000)
            for name, status in seen.etcd.statuses.items()
        }
        ahead["db-2"] = dataclasses.replace(ahead["db-2"], raft_applied_index=10)

        step = plan(dataclasses.replace(seen, etcd=dataclasses.replace(seen.etcd, statuses=ahead)))

        assert step.step.reason is Reason.ROLLING_OUT
        assert "db-2" in step.step.message

    def test_two_voters_are_never_rolled(self):
        grown = rolling()
        two = dataclasses.replace(etcd(3), members=etcd(3).members[:2])
        status = grown.status.model_copy(update={"voter_ordinals": (0, 1)})
        pods = grown.pods[:2]

        step = plan(dataclasses.replace(grown, etcd=two, status=status, pods=pods)).step

        assert not isinstance(step, DeletePod | MoveLeader)

    def test_nobody_is_restarted_while_the_controller_has_not_seen_the_template(self):
        seen = rolling()
        made = seen.live["StatefulSet", "db"]
        stale = {**made, "metadata": {**made["metadata"], "generation": 2}}
        seen = dataclasses.replace(seen, live={**seen.live, ("StatefulSet", "db"): stale})

        step = plan(seen).step

        assert isinstance(step, Wait)
        assert step.reason is Reason.ROLLING_OUT


class TestDown:
    @pytest.mark.parametrize("problem", [IMAGE_PULL_FAILED, CRASH, None])
    def test_pod_that_is_down_comes_back_on_the_newest_template_without_quorum(self, problem):
        seen = without_quorum(rolling(down={n: {"problem": problem} for n in range(3)}))

        assert (type(plan(seen).step), plan(seen).step.name) == (DeletePod, "db-0")

    def test_one_that_runs_and_may_vote_is_left(self):
        seen = rolling(down={1: {"running": True}, 2: {"running": True}})
        seen = without_quorum(seen)

        assert isinstance(plan(seen).step, Wait)

    def test_one_that_never_gets_ready_is_started_anew_in_the_end(self):
        early = {"running": True, "created": NOW - timedelta(seconds=61)}
        seen = without_quorum(rolling(of=1))
        late = dataclasses.replace(seen, pods=(pod(0, ready=False, revision=OLD, **early),))

        assert isinstance(plan(late).step, DeletePod)


class TestBlocked:
    def test_roll_stops_at_a_member_that_does_not_get_well(self):
        step = plan(rolling(on_newest={2}, down={2: {"problem": CRASH}})).step

        assert step.reason is Reason.ROLLOUT_BLOCKED
        assert "bad option" in step.message
        assert "db-0, db-1 stay on the older one" in step.message

    def test_silent_member_blocks_after_a_while(self):
        seen = rolling(on_newest={2}, down={2: {"running": True}})
        assert plan(seen).step.reason is Reason.ROLLING_OUT

        later = dataclasses.replace(seen, now=NOW + timedelta(minutes=5))
        assert plan(later).step.reason is Reason.ROLLOUT_BLOCKED

    def test_another_template_reaches_it_at_once(self):
        seen = rolling(down={2: {"problem": CRASH, "revision": "db-bad"}})

        assert (type(plan(seen).step), plan(seen).step.name) == (DeletePod, "db-2")

    def test_it_is_shown(self):
        seen = rolling(on_newest={2}, down={2: {"problem": CRASH}})
        status = next_status(seen, plan(seen), None)
        shown = {c.type: (c.status, c.reason) for c in status.conditions}

        assert shown["UpToDate"] == ("False", "RolloutBlocked")
        assert shown["Stalled"][0] == "True"
        assert shown["MembersHealthy"] == ("False", "MembersUnhealthy")


def test_member_whose_turn_it_is_alarms_nobody():
    seen = rolling(on_newest={2}, down={2: {"running": True}})
    status = next_status(seen, plan(seen), None)
    shown = {c.type: (c.status, c.reason) for c in status.conditions}

    assert status.phase == "Upgrading"
    assert shown["Ready"] == ("False", "RollingOut")
    assert shown["MembersHealthy"] == ("False", "RollingOut")
    assert shown["UpToDate"] == ("False", "RollingOut")
    assert shown["Stalled"][0] == "False"


def test_restart_of_the_only_member_is_no_lost_quorum():
    """Nobody answers for a moment, as was announced."""
    before = settled(observed(1))
    known = before.status.members[0].model_copy(update={"healthy_revision": "db-older"})
    gone = dataclasses.replace(
        before,
        status=before.status.model_copy(update={"members": (known,)}),
        pods=(pod(0, terminating=True, ready=False),),
        etcd=Etcd(error="no member answers"),
    )

    status = next_status(gone, plan(gone), None)

    reasons = {c.type: c.reason for c in status.conditions}
    assert reasons["Ready"] == reasons["QuorumAvailable"] == "RollingOut"
    assert status.phase == "Upgrading"


def test_roll_is_not_over_before_the_last_one_is_back():
    before = settled(observed(3))
    members = [m.model_copy(update={"healthy_revision": "db-older"}) for m in before.status.members]
    status = before.status.model_copy(update={"members": (*before.status.members[:2], members[2])})
    last = dataclasses.replace(
        before, status=status, pods=(*before.pods[:2], pod(2, terminating=True, ready=False))
    )

    found = {c.type: c for c in next_status(last, plan(last), None).conditions}

    assert (found["UpToDate"].status, found["UpToDate"].reason) == ("False", "RollingOut")
    assert "db-2 (pod is terminating)" in found["UpToDate"].message


def settled(of):
    """The same once its status was written."""
    return dataclasses.replace(of, status=next_status(of, plan(of), None))
