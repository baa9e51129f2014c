"""What the conditions say while membership changes, and while a cluster sleeps."""

import dataclasses

import pytest

from api.conditions import find_condition
from api.reasons import Reason
from api.v1alpha1.cluster_status import JoiningMember, WithdrawnMember
from controllers.cluster.observed import Etcd, Problem
from controllers.cluster.outcome import Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import AddLearner, ApplyObjects, Plan, Wait
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import (
    NOW,
    live_of,
    observed,
    pod,
    spec,
)


def conditions(of, made=None, outcome=None):
    found = next_status(of, made or plan(of), outcome).conditions
    return {kind: find_condition(found, kind) for kind in (c.type for c in found)}


def with_status(of, **changes):
    return dataclasses.replace(of, status=of.status.model_copy(update=changes))


def resized(size, **changes):
    """A healthy cluster of three whose accepted spec has another size."""
    wanted = spec(size=size)
    of = observed(spec=wanted, applied=wanted)
    of = dataclasses.replace(of, **changes)
    return dataclasses.replace(of, live=live_of(of))


def joining(ordinal, reason, **fields):
    return JoiningMember(
        name=f"db-{ordinal}", ordinal=ordinal, reason=reason, since=NOW, id="b7", **fields
    )


def waits(reason):
    return Plan(rule="wait_for_joining", step=Wait(reason=reason, message="db-3 joins"))


class TestSleep:
    asleep = resized(0, pods=(), etcd=Etcd(error="no member answers"))

    def test_sleep_alarms_nobody(self):
        found = conditions(self.asleep)

        assert {kind: c.status for kind, c in found.items() if c.reason == "Stopped"} == {
            "Ready": "False",
            "Reconciling": "False",
            "Stalled": "False",
            "QuorumAvailable": "Unknown",
            "MembersHealthy": "Unknown",
        }
        assert found["UpToDate"].status == "True"

    def test_falling_asleep_is_work_in_progress(self):
        found = conditions(resized(0))

        assert found["Reconciling"].status == "True"
        assert found["QuorumAvailable"].reason == "Stopped"

    @pytest.mark.parametrize(
        ("wanted", "reason"),
        [
            ({"version": "v3.7.3", "size": 3}, Reason.VERSION_REFUSED),
            ({"clusterDomain": "other.local"}, Reason.NOT_SUPPORTED_YET),
        ],
    )
    def test_edit_that_can_not_wake_it_is_refused_and_no_outage(self, wanted, reason):
        of = dataclasses.replace(self.asleep, spec=spec(**{"size": 0, **wanted}))
        shown = next_status(of, plan(of), None)
        found = conditions(of)

        assert shown.plan.reason == reason.value
        assert shown.phase == "Stopped"
        assert found["Stalled"].reason == found["UpToDate"].reason == reason.value
        assert found["QuorumAvailable"].reason == found["MembersHealthy"].reason == "Stopped"

    def test_pause_asleep_is_no_outage(self):
        shown = conditions(dataclasses.replace(self.asleep, spec=spec(size=0, paused=True)))

        assert shown["Paused"].status == "True"
        assert shown["QuorumAvailable"].reason == "Stopped"

    def test_members_that_wake_are_no_outage(self):
        stopped = next_status(self.asleep, plan(self.asleep), None)
        wanted = spec(size=3)
        woken = dataclasses.replace(self.asleep, spec=wanted, applied=wanted, status=stopped)
        woken = dataclasses.replace(woken, live=live_of(woken))

        assert conditions(woken)["MembersHealthy"].reason == "WaitingForPods"
        assert conditions(woken)["QuorumAvailable"].reason == "WaitingForPods"


class TestScaling:
    def test_size_that_is_not_reached_is_not_up_to_date(self):
        found = conditions(resized(5))

        assert (found["UpToDate"].status, found["UpToDate"].reason) == ("False", "Scaling")
        assert "3 members vote, spec.size is 5" in found["UpToDate"].message

    def test_member_that_joins_is_waited_for_and_the_others_are_ready(self):
        of = with_status(resized(5), joining=joining(3, "ScaleOut"))
        found = conditions(of, waits(Reason.MEMBER_JOINING))

        assert found["Reconciling"].status == "True"
        assert found["Reconciling"].reason == "MemberJoining"
        assert found["MembersHealthy"].status == "True"
        assert found["Ready"].status == "True"

    def test_member_that_has_just_left_is_not_missed(self):
        of = observed(size=5)
        wanted = spec(size=3)
        fewer = dataclasses.replace(of.etcd, members=of.etcd.members[:4])
        of = dataclasses.replace(of, spec=wanted, applied=wanted, etcd=fewer)

        assert conditions(of)["MembersHealthy"].status == "True"

    @pytest.mark.parametrize(
        "reason",
        [
            Reason.UNKNOWN_MEMBER,
            Reason.MEMBER_WITHDRAWN,
            Reason.UPGRADE_FIRST,
            Reason.REPLACEMENT_LIMIT,
        ],
    )
    def test_membership_that_cannot_go_on_needs_someone(self, reason):
        found = conditions(observed(), waits(reason))

        assert found["Stalled"].status == "True"
        assert reason.next_step in found["Stalled"].message
        assert found["Reconciling"].status == "False"

    def test_missing_permission_needs_someone(self):
        made = Plan(
            rule="free_volume",
            step=AddLearner(name="db-3", peer_urls=(), claim="", old_claim=""),
        )
        refused = Rejected(reason=Reason.NOT_ALLOWED, message="may not patch")

        assert conditions(observed(), made, refused)["Stalled"].reason == "NotAllowed"

    def test_withdrawn_member_is_told_with_what_kept_it(self):
        withdrawn = WithdrawnMember(
            name="db-3", message="no node takes its pod", not_before=NOW, generation=1
        )
        of = with_status(resized(5), withdrawn=withdrawn)
        of = dataclasses.replace(of, now=NOW.replace(hour=11))

        assert "no node takes its pod" in conditions(of)["Stalled"].message


class TestReplacing:
    problem = Problem(reason=Reason.EMPTY_DATA_DIRECTORY, message="cannot fetch")
    lost = observed(
        pods=(pod(0), pod(1), pod(2, running=False, ready=False, problem=problem)),
    )

    def test_loss_that_is_being_cured_needs_nobody(self):
        of = with_status(self.lost, joining=joining(2, "EmptyDataDirectory"))
        found = conditions(of, waits(Reason.MEMBER_REPLACING))

        assert found["Stalled"].status == "False"
        assert found["Reconciling"].reason == "MemberReplacing"
        assert found["MembersHealthy"].reason == "MemberReplacing"

    def test_loss_without_proof_needs_someone(self):
        assert conditions(self.lost)["Stalled"].reason == "EmptyDataDirectory"

    def test_second_member_down_is_said_as_such(self):
        of = with_status(self.lost, joining=joining(2, "EmptyDataDirectory"))
        of = dataclasses.replace(of, pods=(pod(0), of.pods[2]))

        assert conditions(of)["MembersHealthy"].reason == "MembersUnhealthy"

    def test_replacement_that_would_cost_quorum_says_what_it_waits_for(self):
        of = observed(pods=(pod(0), pod(1, ready=False)))
        of = dataclasses.replace(of, claims=of.claims[:2])
        found = conditions(of)

        assert found["Ready"].reason == "WaitingToReplace"
        assert "db-2" in found["Ready"].message


@pytest.mark.parametrize(
    "edit",
    [
        {"version": "v3.5.35"},
        {"size": 5},
        {"options": {"snapshotCount": 5000}},
        {"storage": {"size": "20Gi"}},
        {"service": {"type": "NodePort"}},
        {"recovery": {"nodeLossSeconds": 700}},
    ],
    ids=str,
)
def test_nobody_who_waits_for_an_edit_is_told_too_early_that_it_runs(edit):
    """From the first look at it until what it changes has been written."""
    of = observed()
    wanted = spec(**{**of.applied.to_json(), **edit})
    of = dataclasses.replace(of, spec=wanted, generation=2)
    steps = 0
    while not isinstance(plan(of).step, Wait) and steps < 5:
        steps += 1
        found = next_status(of, plan(of), Done())
        up_to_date = find_condition(found.conditions, "UpToDate")
        assert (up_to_date.status, up_to_date.observed_generation) == ("False", 2)
        applied = type(wanted).model_validate(found.applied_spec)
        of = dataclasses.replace(of, status=found, applied=applied)
        if isinstance(plan(of).step, ApplyObjects):
            up_to_date = conditions(of)["UpToDate"]
            assert up_to_date.status == "False"
            break
    assert steps
