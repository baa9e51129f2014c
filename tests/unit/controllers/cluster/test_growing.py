"""A cluster that grows on goes by etcd's word of its newest voter; whatever takes one away or
restarts one goes by readiness all the same.
"""

import dataclasses
from datetime import timedelta

import pytest

from api.conditions import ConditionType, find_condition
from api.reasons import Reason
from controllers.cluster.happenings import happenings
from controllers.cluster.observed import Problem
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import (
    AddLearner,
    AnnotateClaims,
    DeletePod,
    PromoteLearner,
    RecordMembership,
    RefreshFiles,
    RemoveMember,
    Wait,
)
from controllers.cluster.status import next_status
from etcd.ids import MemberID, member_id_hex
from etcd.maintenance import Alarm, AlarmKind
from tests.unit.controllers.cluster.builders import (
    NOW,
    annotated,
    claim,
    live_of,
    member_id,
    pod,
    status_of,
)
from tests.unit.controllers.cluster.test_membership import (
    NEW_ID,
    joining,
    known,
    learner,
    recorded,
    sized,
    with_learner,
)

CLOSED = member_id_hex(NEW_ID)
CRASH = Problem(reason=Reason.CRASH_LOOPING, message="exit code 1")


def promoted(*, size=5, of=3, reason="ScaleOut", pod_changes=None, answer=None, **etcd_changes):
    """The next member has just become a voter; kubelet's last look found a learner."""
    state = joining(of, id=CLOSED, listed=tuple(range(of + 1)), started=True, reason=reason)
    url = f"http://db-{of}.db-peer.prod.svc.cluster.local:2379"
    new = learner(of, is_learner=False, name=f"db-{of}", client_urls=(url,))
    seen = with_learner(sized(size, of=of), new)
    statuses = {
        **seen.etcd.statuses,
        f"db-{of}": status_of(of, **{"member_id": NEW_ID, **(answer or {})}),
    }
    changes = {"ready": False, "closed_for": CLOSED, **(pod_changes or {})}
    seen = dataclasses.replace(
        seen,
        pods=(*seen.pods, pod(of, **changes)),
        claims=(*seen.claims, claim(of)),
        etcd=dataclasses.replace(seen.etcd, **{"statuses": statuses, **etcd_changes}),
    )
    return recorded(
        seen, joining=state, members=known(*range(of)), applied_spec=seen.applied.to_json()
    )


def after(seen, *, at=NOW, **changes):
    """The same once the step was taken and its record written."""
    made = plan(seen)
    status = next_status(seen, made, Done())
    seen = dataclasses.replace(seen, status=status, now=at, **changes)
    return dataclasses.replace(seen, live=live_of(seen))


def last_promoted():
    """db-3 is ready and db-4, the last one, has just become a voter."""
    seen, new_id = disturbed(after(promoted()), 3, ready=True), MemberID(0xB8)
    url = "http://db-4.db-peer.prod.svc.cluster.local:2379"
    new = learner(4, id=new_id, is_learner=False, name="db-4", client_urls=(url,))
    answers = {**seen.etcd.statuses, "db-4": status_of(4, member_id=new_id)}
    state = joining(4, id=member_id_hex(new_id), listed=(0, 1, 2, 3, 4), started=True)
    told = pod(4, ready=False, closed_for=member_id_hex(new_id))
    seen = dataclasses.replace(seen, pods=(*seen.pods, told), claims=(*seen.claims, claim(4)))
    seen = recorded(with_learner(seen, new, statuses=answers), joining=state)
    return dataclasses.replace(seen, claims=annotated(seen))


def disturbed(seen, ordinal, **changes):
    pods = tuple(
        dataclasses.replace(p, **changes) if p.ordinal == ordinal else p for p in seen.pods
    )
    return dataclasses.replace(seen, pods=pods)


def goes_on(seen):
    made = plan(seen)
    return made.rule == "grow_on"


def ready_condition(seen):
    status = next_status(seen, plan(seen), None)
    return find_condition(status.conditions, ConditionType.READY)


class TestGoingOn:
    def test_next_one_is_decided_as_soon_as_etcd_counts_on_the_one_before(self):
        step = plan(promoted()).step

        assert isinstance(step, RecordMembership)
        assert step.voters == (0, 1, 2, 3)
        assert (step.joining.name, step.joining.id) == ("db-4", "")

    def test_and_added_before_anything_is_noted_on_the_claims(self):
        step = plan(after(promoted())).step

        assert isinstance(step, AddLearner)
        assert step.name == "db-4"

    def test_from_one_member_too(self):
        assert plan(promoted(size=3, of=1)).step.joining.name == "db-2"

    def test_the_decision_is_told(self):
        seen = promoted()
        made = plan(seen)

        told = happenings(seen, made, Done(), next_status(seen, made, Done()))

        assert "Grow from 4 to 5 members: db-4 is next" in [one.message for one in told]

    def test_last_one_is_complete_when_its_pod_is_ready(self):
        seen = last_promoted()

        assert plan(seen).step.reason is Reason.MEMBER_JOINING
        step = plan(disturbed(seen, 4, ready=True)).step
        assert (step.voters, step.joining) == ((0, 1, 2, 3, 4), None)

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param({"leader": None}, id="knows no leader"),
            pytest.param({"is_learner": True}, id="has not heard of its promotion"),
            pytest.param({"raft_applied_index": -991}, id="lacks more than a thousand entries"),
            pytest.param({"member_id": MemberID(0xBAD)}, id="runs under another ID"),
        ],
    )
    def test_not_on_a_voter_that_is_not_well_by_its_own_word(self, answer):
        assert not goes_on(promoted(answer=answer))

    def test_not_on_a_voter_that_does_not_answer(self):
        seen = promoted()
        statuses = {name: s for name, s in seen.etcd.statuses.items() if name != "db-3"}

        assert not goes_on(
            dataclasses.replace(seen, etcd=dataclasses.replace(seen.etcd, statuses=statuses))
        )

    @pytest.mark.parametrize("kind", AlarmKind)
    def test_not_while_an_alarm_is_raised(self, kind):
        assert not goes_on(promoted(alarms=(Alarm(member_id=member_id(0), kind=kind),)))

    @pytest.mark.parametrize(
        "changes",
        [{"terminating": True}, {"problem": CRASH}, {"running": False}],
        ids=lambda changes: next(iter(changes)),
    )
    def test_not_on_a_pod_that_ends_or_is_in_trouble(self, changes):
        assert not goes_on(promoted(pod_changes=changes))

    def test_not_before_its_file_is_closed(self):
        assert isinstance(plan(promoted(pod_changes={"closed_for": ""})).step, RefreshFiles)

    def test_not_while_another_member_is_not_ready(self):
        assert not goes_on(disturbed(promoted(), 1, ready=False))

    def test_not_after_a_replacement(self):
        assert not goes_on(promoted(reason="VolumeLost"))

    def test_not_where_a_roll_comes_first(self):
        assert not goes_on(disturbed(promoted(), 1, revision="db-older"))

    def test_not_where_a_replacement_comes_first(self):
        assert not goes_on(dataclasses.replace(promoted(), asked_to_replace=("db-0",)))

    def test_not_over_the_volume_of_a_former_member(self):
        seen = promoted()

        assert not goes_on(dataclasses.replace(seen, claims=(*seen.claims, claim(4))))


class TestHealth:
    def test_new_voter_is_not_missed_before_kubelet_had_the_time_to_look(self):
        seen = after(promoted())

        assert seen.status.voter_ordinals == (0, 1, 2, 3)
        ready = ready_condition(seen)
        assert (ready.status, ready.message) == ("True", "3 of 3 members are healthy")

    def test_it_is_counted_when_it_is_ready(self):
        seen = disturbed(after(promoted()), 3, ready=True)

        assert ready_condition(after(seen)).message == "4 of 4 members are healthy"

    @pytest.mark.parametrize(("late_s", "status"), [(14, "True"), (15, "False")])
    def test_it_is_missed_when_kubelet_does_not_call_it_ready(self, late_s, status):
        ready = ready_condition(after(promoted(), at=NOW + timedelta(seconds=late_s)))

        assert ready.status == status

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"problem": CRASH, "running": False}, id="crashed"),
            pytest.param({"terminating": True}, id="its pod ends"),
        ],
    )
    def test_it_is_missed_when_it_is_down(self, changes):
        assert ready_condition(disturbed(after(promoted()), 3, **changes)).status == "False"

    def test_it_is_missed_when_it_was_ready_before(self):
        seen = after(disturbed(after(promoted()), 3, ready=True))

        assert ready_condition(disturbed(seen, 3, ready=False)).status == "False"

    def test_others_are_missed_at_once(self):
        ready = ready_condition(disturbed(after(promoted()), 1, ready=False))

        assert (ready.status, ready.reason) == ("False", "MembersUnhealthy")

    def test_nobody_else_is_taken_away_on_the_strength_of_it(self):
        """Of the other three one is not ready: a quorum of them needs the new one."""
        seen = dataclasses.replace(after(promoted()), asked_to_replace=("db-1",))
        seen = recorded(disturbed(seen, 2, ready=False), joining=None)
        seen = dataclasses.replace(seen, claims=annotated(seen))

        assert isinstance(plan(seen).step, Wait)
        step = plan(disturbed(seen, 3, ready=True)).step
        assert (step.joining.name, step.joining.reason) == ("db-1", "ReplacementRequested")

    def test_nobody_else_is_restarted_on_the_strength_of_it(self):
        seen = recorded(disturbed(after(promoted()), 1, revision="db-older"), joining=None)

        assert not isinstance(plan(seen).step, DeletePod | RemoveMember)
        ready = disturbed(seen, 3, ready=True)
        assert plan(dataclasses.replace(ready, claims=annotated(ready))).step == DeletePod(
            name="db-1", uid="pod-1", why="it is made from an older template"
        )


class TestRecordOnClaims:
    def listed(self, **changes):
        """db-4 is listed and its objects are there; the claims name three voters."""
        new_id = MemberID(0xB8)
        before = after(promoted())
        state = joining(
            4, id=member_id_hex(new_id), listed=(0, 1, 2, 3, 4), **{"since": NOW, **changes}
        )
        return recorded(with_learner(before, learner(4, id=new_id)), joining=state)

    def test_is_brought_up_to_date_while_the_next_one_starts(self):
        step = plan(self.listed()).step

        assert isinstance(step, AnnotateClaims)
        assert [name for name, _ in step.claims] == [f"data-db-{n}" for n in range(4)]
        assert '"voters":[0,1,2,3]' in step.record

    def test_at_the_latest_before_it_votes(self):
        seen = self.listed(started=True)
        answer = status_of(4, member_id=MemberID(0xB8), is_learner=True)
        told = pod(4, ready=False, closed_for=member_id_hex(MemberID(0xB8)))
        seen = dataclasses.replace(
            seen,
            pods=(*seen.pods, told),
            etcd=dataclasses.replace(seen.etcd, statuses={**seen.etcd.statuses, "db-4": answer}),
        )

        assert isinstance(plan(seen).step, AnnotateClaims)
        done = dataclasses.replace(seen, claims=annotated(seen))
        assert plan(done).step == PromoteLearner(name="db-4", id=MemberID(0xB8))
