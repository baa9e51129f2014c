"""What is told of changes of membership, of sleep, and of volumes that were there before."""

import dataclasses

import pytest

from api.v1alpha1.cluster_status import JoiningMember, WithdrawnMember
from controllers.cluster.happenings import happenings
from controllers.cluster.observed import Etcd
from controllers.cluster.outcome import Done, NotYet
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import (
    AddLearner,
    AnnotateClaims,
    ApplyObjects,
    DeletePod,
    DiscardClaim,
    DiscardLeftovers,
    MoveLeader,
    Plan,
    PromoteLearner,
    RecordMembership,
    RemoveMember,
)
from controllers.cluster.render import desired_objects
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import (
    NOW,
    claim,
    live_of,
    member_id,
    observed,
    pod,
    spec,
    unborn,
)
from tests.unit.controllers.cluster.test_leftovers import left, taken_over
from tests.unit.controllers.cluster.test_leftovers import told as left_to


def settled(of):
    """The same observation after its status was written: nothing but the step is news."""
    return dataclasses.replace(of, status=next_status(of, plan(of), None))


def told(step, of=None, outcome=None):
    """(reason, message) of all events after this step."""
    of = settled(of or observed())
    made = Plan(rule="rule", step=step)
    outcome = outcome or Done()
    news = happenings(of, made, outcome, next_status(of, made, outcome))
    return [(one.reason, one.message) for one in news]


def joining(ordinal, reason="ScaleOut", **fields):
    return JoiningMember(name=f"db-{ordinal}", ordinal=ordinal, reason=reason, since=NOW, **fields)


def with_status(of, **changes):
    return dataclasses.replace(of, status=of.status.model_copy(update=changes))


def discard(*, keep):
    return DiscardClaim(
        name="data-db-2", uid="u", not_member="x", keep_volume=keep, why="it was replaced"
    )


REMOVED = RemoveMember(name="db-2", id=member_id(2), voters=3, why="spec.size is 1")


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        (
            AddLearner(name="db-3", peer_urls=(), claim="", old_claim=""),
            "MemberAdded",
            "db-3 was added as a learner",
        ),
        (
            PromoteLearner(name="db-3", id=member_id(3)),
            "MemberPromoted",
            "db-3 has caught up and votes",
        ),
        (REMOVED, "MemberRemoved", "db-2 (a2) was removed: spec.size is 1"),
        (
            MoveLeader(leader="db-2", target="db-0", target_id=member_id(0)),
            "LeaderMoved",
            "db-2 handed leadership to db-0",
        ),
        (discard(keep=False), "VolumeDiscarded", "data-db-2 was deleted: it was replaced"),
        (
            discard(keep=True),
            "VolumeKept",
            "data-db-2 was deleted and its volume kept: it was replaced",
        ),
        (
            DiscardLeftovers(claims=(("data-db-0", "u"),)),
            "VolumeDiscarded",
            "data-db-0 of an earlier cluster were deleted (spec.storage.existingVolumes)",
        ),
    ],
)
def test_each_step_that_is_not_taken_back_is_told(step, reason, message):
    assert told(step) == [(reason, message)]


def test_step_that_etcd_put_off_is_not_told():
    promote = PromoteLearner(name="db-3", id=member_id(3))

    assert told(promote, outcome=NotYet(message="learner is not ready")) == []


def test_notes_on_claims_are_no_news():
    assert told(AnnotateClaims(claims=(("data-db-0", "u"),), record="{}")) == []


class TestJoining:
    def test_decision_is_told_with_its_reason(self):
        step = RecordMembership(voters=(0, 1, 2), joining=joining(3), why="Grow from 3 to 5")

        assert told(step) == [("Planned", "Grow from 3 to 5")]

    def test_progress_is_left_to_the_plan_in_status(self):
        known = joining(3, id="b7")
        step = RecordMembership(voters=(0, 1, 2), joining=known, why="db-3 is listed as b7")

        assert told(step, with_status(observed(), joining=joining(3))) == []

    def test_replacement_is_told_when_the_new_member_votes(self):
        before = with_status(observed(), joining=joining(1, "VolumeLost", id="b7", started=True))
        step = RecordMembership(voters=(0, 1, 2), joining=None, why="db-1 has become a voter")

        assert told(step, before) == [("MemberReplaced", "db-1 was replaced (VolumeLost)")]

    def test_replacement_that_never_began_is_not_called_done(self):
        before = with_status(observed(), joining=joining(1, "VolumeMigration", old_id="a1"))
        step = RecordMembership(voters=(0, 1, 2), joining=None, why="Give up on db-1")
        made = Plan(rule="withdraw", step=step)

        news = happenings(before, made, Done(), next_status(before, made, Done()))

        assert "MemberReplaced" not in [one.reason for one in news]

    def test_replacement_that_is_no_longer_wanted_is_not_called_done(self):
        before = observed(spec_fields={"size": 1})
        before = with_status(before, voter_ordinals=(0, 1, 2), joining=joining(1, "VolumeLost"))
        step = RecordMembership(voters=(0, 1, 2), joining=None, why="Give up on db-1")

        assert "MemberReplaced" not in [reason for reason, _ in told(step, before)]

    def test_withdrawal_says_what_was_missing_and_when_it_is_tried_again(self):
        withdrawn = WithdrawnMember(
            name="db-3",
            message="db-3 joins; its pod: ImagePullFailed",
            not_before=NOW,
            generation=1,
        )
        step = RecordMembership(voters=(0, 1, 2), joining=None, withdrawn=withdrawn, why="Give up")
        before = with_status(observed(), joining=joining(3, id="b7"))
        ((reason, message),) = told(step, before)

        assert reason == "MemberWithdrawn"
        assert "ImagePullFailed" in message
        assert "12:00:00 UTC" in message

    def test_withdrawal_is_not_told_again_while_it_is_waited_for(self):
        withdrawn = WithdrawnMember(name="db-3", message="no", not_before=NOW, generation=1)
        of = sized(5, 3, status=observed().status.model_copy(update={"withdrawn": withdrawn}))
        of = dataclasses.replace(of, now=NOW.replace(hour=11))
        made = plan(of)

        assert made.step.reason.value == "MemberWithdrawn"
        news = happenings(of, made, None, next_status(of, made, None))
        assert "MemberWithdrawn" not in [one.reason for one in news]


def sized(size, was, **changes):
    """A cluster of `was` members that has accepted another size, and is not told of it."""
    wanted = spec(size=size)
    of = observed(size=was, spec=wanted, applied=wanted, **changes)
    return dataclasses.replace(of, live=live_of(of))


class TestSize:
    def edited(self, after, before=3, **changes):
        of = observed(size=3, applied=spec(size=before), **changes)
        of = dataclasses.replace(of, spec=spec(size=after))
        made = plan(of)
        news = happenings(of, made, Done(), next_status(of, made, Done()))
        return {one.reason: one.message for one in news}

    def test_new_size_is_told_when_it_is_accepted(self):
        assert self.edited(5)["Scaling"] == "spec.size is 5, it was 3"

    def test_waking_names_the_members_that_start(self):
        woken = self.edited(5, before=0, etcd=Etcd(error="no member answers"), pods=())

        assert woken["Woken"] == "spec.size is 5: starting db-0, db-1, db-2"
        assert "Scaling" not in woken

    def test_reached_size_is_told_once(self):
        before = with_status(observed(), voter_ordinals=(0, 1, 2, 3))
        step = RecordMembership(voters=(0, 1, 2), joining=None, why="db-3 has left")

        assert ("Scaled", "The cluster has 3 voters") in told(step, before)

    def test_size_on_the_way_is_not_told(self):
        before = with_status(sized(1, 3), voter_ordinals=(0, 1, 2))
        step = RecordMembership(voters=(0, 1), joining=None, why="db-2 has left")

        assert "Scaled" not in [reason for reason, _ in told(step, before)]

    def test_sleep_is_told_once_and_alarms_nobody(self):
        asleep = sized(0, 3, pods=(), etcd=Etcd(error="no member answers"))
        made = plan(asleep)
        news = happenings(asleep, made, None, next_status(asleep, made, None))

        assert [(one.type, one.reason) for one in news] == [("Normal", "Stopped")]


class TestStatefulSet:
    def apply(self, **pod_fields):
        of = observed(pods=tuple(pod(n, **pod_fields) for n in range(3)))
        (made,) = [o for o in desired_objects(of) if o["kind"] == "StatefulSet"]
        live = {key: obj for key, obj in of.live.items() if key[0] != "StatefulSet"}
        of = dataclasses.replace(of, live=live)
        return [reason for reason, _ in told(ApplyObjects(objects=(made,)), of)]

    def test_one_that_somebody_deleted_is_put_right(self):
        assert self.apply() == ["DriftCorrected"]

    def test_one_that_was_released_from_its_pods_is_made_anew(self):
        assert self.apply(controlled=False) == ["StatefulSetRenewed"]


class TestShortOutage:
    restart = DeletePod(name="db-0", uid="pod-0", why="it is asked to")

    def test_restart_of_the_only_member_is_announced(self):
        ((reason, message),) = told(self.restart, observed(size=1))

        assert reason == "ShortOutage"
        assert "db-0" in message

    def test_restart_of_one_of_several_is_no_outage(self):
        assert [reason for reason, _ in told(self.restart)] == ["MemberRestarted"]

    def test_restart_of_a_member_that_is_down_is_no_outage(self):
        down = observed(size=1, pods=(pod(0, running=False, ready=False),))

        assert "ShortOutage" not in [reason for reason, _ in told(self.restart, down)]


class TestLeftovers:
    def test_adoption_is_told_instead_of_a_bootstrap(self):
        of = taken_over(left_to("Adopt", left(0, 1, 2)))
        made = plan(of)
        news = happenings(of, made, Done(), next_status(of, made, Done()))

        assert [one.reason for one in news if one.type == "Normal"] == ["Adopted"]

    def test_leftovers_are_a_warning_with_the_way_out(self):
        of = unborn(claims=(claim(0, cluster_uid="earlier"),))
        made = plan(of)
        (news,) = happenings(of, made, None, next_status(of, made, None))

        assert (news.type, news.reason) == ("Warning", "LeftoverVolumes")
        assert "existingVolumes" in news.message
