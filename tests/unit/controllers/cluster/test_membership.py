"""Changes of membership, decision by decision: who joins, who leaves, what is proof, what waits."""

import dataclasses
from datetime import timedelta

import pytest

from api.reasons import Reason
from api.v1alpha1.cluster_status import (
    BootstrapMember,
    JoiningMember,
    MemberStatus,
    Replacement,
    WithdrawnMember,
)
from controllers.cluster.membership import SCALE_OUT
from controllers.cluster.observed import LostNode, Observed, Problem
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import (
    AddLearner,
    ApplyObjects,
    DeletePod,
    DisarmAlarm,
    DiscardClaim,
    DropRequest,
    MoveLeader,
    PromoteLearner,
    RecordMembership,
    RecordSpec,
    RefreshFiles,
    RemoveMember,
    Wait,
)
from etcd.cluster import Member
from etcd.ids import MemberID, member_id_hex
from etcd.maintenance import Alarm, AlarmKind
from tests.unit.controllers.cluster.builders import (
    NOW,
    REVISION,
    claim,
    etcd,
    live_of,
    member_id,
    observed,
    pod,
    status_of,
)

NEW_ID = MemberID(0xB7)


def recorded(seen: Observed, **status) -> Observed:
    """With this in status, and the objects as they follow from it."""
    after = dataclasses.replace(seen, status=seen.status.model_copy(update=status))
    return dataclasses.replace(after, live=live_of(after))


def sized(size: int, *, of: int = 3, **changes) -> Observed:
    """A healthy cluster of `of` members for which another size has just been accepted."""
    seen = observed(of, **changes)
    wanted = seen.spec.model_copy(update={"size": size})
    edited = dataclasses.replace(seen, spec=wanted, applied=wanted)
    return dataclasses.replace(edited, live=live_of(edited))


def joining(ordinal: int, **changes) -> JoiningMember:
    fields = {"name": f"db-{ordinal}", "ordinal": ordinal, "reason": SCALE_OUT, "since": NOW}
    return JoiningMember.model_validate({**fields, **changes}, by_name=True)


def learner(ordinal: int, **changes) -> Member:
    url = f"http://db-{ordinal}.db-peer.prod.svc.cluster.local:2380"
    new = Member(id=NEW_ID, name="", peer_urls=(url,), client_urls=(), is_learner=True)
    return dataclasses.replace(new, **changes)


def with_learner(seen: Observed, new: Member, **changes) -> Observed:
    members = tuple(m for m in seen.etcd.members if m.peer_urls != new.peer_urls)
    answers = dataclasses.replace(seen.etcd, members=(*members, new), **changes)
    return dataclasses.replace(seen, etcd=answers)


def growing(**changes) -> Observed:
    """db-3 is listed and recorded as a learner and its objects are there; its pod starts."""
    state = joining(3, id=member_id_hex(NEW_ID), listed=(0, 1, 2, 3), **changes)
    return recorded(with_learner(sized(5), learner(3)), joining=state)


def known(*ordinals: int) -> tuple[MemberStatus, ...]:
    return tuple(
        MemberStatus(name=f"db-{n}", healthy_revision=REVISION, healthy_claim=f"claim-{n}")
        for n in ordinals
    )


def lost(ordinal: int, *, of: int = 3, **changes) -> Observed:
    """A member whose pod ended with nothing in its data directory."""
    problem = Problem(reason=Reason.EMPTY_DATA_DIRECTORY, message="nothing there")
    pods = tuple(
        pod(n, ready=False, running=False, problem=problem) if n == ordinal else pod(n)
        for n in range(of)
    )
    answers = etcd(of)
    statuses = {name: s for name, s in answers.statuses.items() if name != f"db-{ordinal}"}
    leader = member_id(next(n for n in range(of) if n != ordinal))
    statuses = {name: dataclasses.replace(s, leader=leader) for name, s in statuses.items()}
    seen = observed(of, pods=pods, etcd=dataclasses.replace(answers, statuses=statuses))
    return recorded(seen, **{"members": known(*range(of)), **changes})


def replacing(ordinal: int = 1, **changes) -> Observed:
    fields = {
        "reason": "EmptyDataDirectory",
        "old_id": member_id_hex(member_id(ordinal)),
        "old_claim": f"claim-{ordinal}",
        **changes,
    }
    return recorded(lost(ordinal), joining=joining(ordinal, **fields))


class TestEdits:
    def test_new_size_is_recorded_before_anything_is_done_about_it(self):
        seen = observed()
        edited = dataclasses.replace(seen, spec=seen.spec.model_copy(update={"size": 5}))

        step = plan(edited).step

        assert isinstance(step, RecordSpec)
        assert step.spec["size"] == 5


class TestGrowing:
    def test_next_ordinal_is_recorded_first(self):
        step = plan(sized(5)).step

        assert isinstance(step, RecordMembership)
        assert (step.joining.name, step.joining.ordinal, step.joining.id) == ("db-3", 3, "")
        assert step.voters == (0, 1, 2)

    def test_then_it_is_added_as_a_learner(self):
        step = plan(recorded(sized(5), joining=joining(3))).step

        assert isinstance(step, AddLearner)
        assert step.peer_urls == ("http://db-3.db-peer.prod.svc.cluster.local:2380",)

    def test_id_and_list_that_etcd_gave_are_recorded(self):
        seen = recorded(with_learner(sized(5), learner(3)), joining=joining(3))

        step = plan(seen).step

        assert (step.joining.id, step.joining.listed) == (member_id_hex(NEW_ID), (0, 1, 2, 3))

    def test_only_then_it_gets_its_open_file_and_its_pod(self):
        before = recorded(with_learner(sized(5), learner(3)), joining=joining(3))
        state = joining(3, id=member_id_hex(NEW_ID), listed=(0, 1, 2, 3))
        step = plan(
            dataclasses.replace(before, status=before.status.model_copy(update={"joining": state}))
        ).step

        assert isinstance(step, ApplyObjects)
        files = next(o for o in step.objects if o["kind"] == "ConfigMap")["data"]
        text = next(text for name, text in files.items() if name.startswith("db-3-"))
        assert "db-0=" in text
        assert "db-3=" in text
        made = next(o for o in step.objects if o["kind"] == "StatefulSet")
        assert made["spec"]["replicas"] == 4

    def test_learner_that_has_started_is_recorded_and_its_file_closed(self):
        running = status_of(3, member_id=NEW_ID, is_learner=True)
        seen = growing()
        statuses = {**seen.etcd.statuses, "db-3": running}
        seen = dataclasses.replace(seen, etcd=dataclasses.replace(seen.etcd, statuses=statuses))

        step = plan(seen).step

        assert step.joining.started
        after = dataclasses.replace(
            seen, status=seen.status.model_copy(update={"joining": step.joining})
        )
        (config,) = plan(after).step.objects
        text = next(text for name, text in config["data"].items() if name.startswith("db-3-"))
        assert "db-0=" not in text

    def test_started_learner_gets_its_closed_file_before_it_is_promoted(self):
        running = status_of(3, member_id=NEW_ID, is_learner=True)
        seen = growing(started=True)
        statuses = {**seen.etcd.statuses, "db-3": running}
        seen = dataclasses.replace(seen, etcd=dataclasses.replace(seen.etcd, statuses=statuses))
        fresh, told = pod(3, ready=False), pod(3, ready=False, closed_for=member_id_hex(NEW_ID))

        seen = dataclasses.replace(seen, pods=(*seen.pods, fresh))
        assert plan(seen).step == RefreshFiles(
            name="db-3", uid="pod-3", member=member_id_hex(NEW_ID)
        )
        seen = dataclasses.replace(seen, pods=(*seen.pods[:3], told))

        assert plan(seen).step == PromoteLearner(name="db-3", id=NEW_ID)

    def test_voter_whose_pod_is_ready_completes_the_change(self):
        seen = with_learner(
            growing(started=True),
            learner(3, is_learner=False, name="db-3", client_urls=("http://db-3:2379",)),
        )
        statuses = {**seen.etcd.statuses, "db-3": status_of(3, member_id=NEW_ID)}
        seen = dataclasses.replace(
            seen,
            pods=(*seen.pods, pod(3)),
            etcd=dataclasses.replace(seen.etcd, statuses=statuses),
        )

        step = plan(seen).step

        assert (step.voters, step.joining) == ((0, 1, 2, 3), None)

    def test_what_holds_a_pod_up_is_said(self):
        problem = Problem(reason=Reason.IMAGE_PULL_FAILED, message="no such tag")
        seen = growing()
        pods = (*seen.pods, pod(3, ready=False, running=False, problem=problem))

        step = plan(dataclasses.replace(seen, pods=pods)).step

        assert step.reason is Reason.MEMBER_JOINING
        assert "no such tag" in step.message
        assert step.not_before == NOW + timedelta(seconds=600)

    @pytest.mark.parametrize(
        ("late", "size"), [(timedelta(seconds=600), 5), (timedelta(0), 3)], ids=["late", "unwanted"]
    )
    def test_learner_that_comes_too_late_or_is_not_wanted_any_more_is_taken_back(self, late, size):
        seen = dataclasses.replace(growing(), now=NOW + late)
        wanted = seen.spec.model_copy(update={"size": size})
        seen = dataclasses.replace(seen, spec=wanted, applied=wanted)
        seen = dataclasses.replace(seen, live=live_of(seen))

        step = plan(seen).step

        assert isinstance(step, RemoveMember)
        assert (step.id, step.voters) == (NEW_ID, 3)

    def test_what_came_too_late_is_not_tried_at_once_again(self):
        late = dataclasses.replace(growing(), now=NOW + timedelta(seconds=600), etcd=etcd(3))

        step = plan(late).step

        assert step.joining is None
        assert step.withdrawn.not_before == NOW + timedelta(seconds=1200)
        after = recorded(sized(5), withdrawn=step.withdrawn)
        assert plan(after).step.reason is Reason.MEMBER_WITHDRAWN
        edited = dataclasses.replace(after, generation=2)
        assert isinstance(plan(edited).step, RecordMembership)

    def test_voter_is_never_taken_back_for_being_late(self):
        seen = with_learner(growing(started=True), learner(3, is_learner=False))
        step = plan(dataclasses.replace(seen, now=NOW + timedelta(seconds=600))).step

        assert isinstance(step, RecordMembership)
        assert step.voters == (0, 1, 2, 3)

    def test_learner_that_was_removed_by_hand_is_added_again_on_a_new_volume(self):
        seen = dataclasses.replace(growing(started=True), etcd=etcd(3))
        seen = dataclasses.replace(seen, claims=(*seen.claims, claim(3)))

        step = plan(seen).step

        assert (step.joining.id, step.joining.started) == ("", False)
        assert step.joining.old_claim == "claim-3"

    def test_nothing_is_added_while_a_member_is_down(self):
        seen = sized(5, etcd=etcd(3), pods=(pod(0), pod(1), pod(2, ready=False)))

        step = plan(seen).step

        assert step.reason is Reason.SCALING
        assert "db-2 (not ready)" in step.message

    def test_volume_of_a_former_member_goes_first(self):
        seen = sized(5)
        seen = dataclasses.replace(seen, claims=(*seen.claims, claim(3)))

        step = plan(seen).step

        assert isinstance(step, DiscardClaim)
        assert (step.uid, step.keep_volume) == ("claim-3", False)

    def test_unknown_member_stands_in_the_way(self):
        other = learner(8, is_learner=False)

        step = plan(with_learner(sized(5), other)).step

        assert step.reason is Reason.UNKNOWN_MEMBER
        assert "db-8" in step.message

    def test_version_that_loses_promotions_does_not_grow(self):
        seen = observed(3, spec_fields={"version": "v3.5.15"})
        wanted = seen.spec.model_copy(update={"size": 5})
        edited = dataclasses.replace(seen, spec=wanted, applied=wanted)
        seen = dataclasses.replace(edited, live=live_of(edited))

        assert plan(seen).step.reason is Reason.UPGRADE_FIRST


class TestShrinking:
    def test_highest_ordinal_leaves(self):
        step = plan(sized(3, of=5)).step

        assert isinstance(step, RemoveMember)
        assert (step.name, step.id, step.voters) == ("db-4", member_id(4), 5)

    def test_leader_hands_over_first(self):
        answers = etcd(5)
        leads = {
            name: dataclasses.replace(s, leader=member_id(4))
            for name, s in answers.statuses.items()
        }
        seen = sized(3, of=5, etcd=dataclasses.replace(answers, statuses=leads))

        step = plan(seen).step

        assert step == MoveLeader(leader="db-4", target="db-0", target_id=member_id(0))

    def test_who_is_off_the_list_goes_off_the_record(self):
        answers = etcd(5)
        seen = sized(3, of=5, etcd=dataclasses.replace(answers, members=answers.members[:4]))

        step = plan(seen).step

        assert isinstance(step, RecordMembership)
        assert step.voters == (0, 1, 2, 3)

    def test_nobody_leaves_while_the_rest_would_be_no_quorum(self):
        pods = (pod(0), pod(1, ready=False), pod(2, ready=False))

        step = plan(sized(1, pods=pods)).step

        assert step.reason is Reason.SCALING
        assert "db-1 (not ready)" in step.message

    def test_sick_member_beyond_the_size_leaves_before_a_healthy_one(self):
        pods = (pod(0), pod(1, ready=False), pod(2))

        step = plan(sized(1, pods=pods)).step

        assert isinstance(step, RemoveMember)
        assert step.name == "db-1"

    def test_size_zero_keeps_everybody_in_the_list(self):
        seen = sized(0)

        step = plan(seen).step

        assert step.reason is Reason.STOPPED
        assert seen.live["StatefulSet", "db"]["spec"]["replicas"] == 0
        assert ("PodDisruptionBudget", "db") not in seen.live


class TestProof:
    def test_emptied_member_is_replaced_on_record(self):
        step = plan(lost(1)).step

        assert isinstance(step, RecordMembership)
        new = step.joining
        assert (new.ordinal, new.old_id, new.old_claim) == (1, "a1", "claim-1")
        assert step.replaced == Replacement(name="db-1", reason="EmptyDataDirectory", time=NOW)

    def test_last_words_prove_nothing_under_another_template(self):
        changed = tuple(m.model_copy(update={"healthy_revision": "old"}) for m in known(0, 1, 2))

        step = plan(lost(1, members=changed)).step

        assert isinstance(step, Wait)
        assert "no data is given up" in step.message

    @pytest.mark.parametrize("reason", [Reason.CRASH_LOOPING, Reason.IMAGE_PULL_FAILED])
    def test_member_that_is_merely_down_keeps_its_data(self, reason):
        seen = lost(1)
        problem = Problem(reason=reason, message="bad option")
        pods = tuple(
            dataclasses.replace(p, problem=problem if p.problem else None) for p in seen.pods
        )

        assert isinstance(plan(dataclasses.replace(seen, pods=pods)).step, Wait)

    def test_volume_that_was_made_anew_is_lost(self):
        seen = lost(1)
        pods = tuple(dataclasses.replace(p, problem=None) for p in seen.pods)
        claims = (claim(0), claim(1, uid="other"), claim(2))

        step = plan(dataclasses.replace(seen, pods=pods, claims=claims)).step

        assert step.joining.reason == "VolumeLost"

    def test_alarm_names_the_corrupt_member(self):
        alarm = Alarm(member_id=member_id(2), kind=AlarmKind.CORRUPT)
        seen = observed(etcd=etcd(3, alarms=(alarm,)))

        assert plan(seen).step.joining.name == "db-2"

    def test_alarm_that_makes_everybody_unready_does_not_keep_its_member(self):
        alarm = Alarm(member_id=member_id(2), kind=AlarmKind.CORRUPT)
        pods = tuple(pod(n, ready=False) for n in range(3))

        step = plan(observed(pods=pods, etcd=etcd(3, alarms=(alarm,)))).step

        assert step.joining.name == "db-2"

    def test_alarm_of_a_member_that_is_gone_is_disarmed(self):
        alarm = Alarm(member_id=MemberID(0xDEAD), kind=AlarmKind.CORRUPT)
        seen = recorded(observed(etcd=etcd(3, alarms=(alarm,))), members=known(0, 1, 2))

        assert plan(seen).step == DisarmAlarm(id=MemberID(0xDEAD), kind=AlarmKind.CORRUPT)

    def test_member_that_was_removed_by_hand_is_put_back(self):
        answers = etcd(3)
        seen = observed(etcd=dataclasses.replace(answers, members=answers.members[:2]))

        step = plan(seen).step

        assert (step.joining.name, step.joining.reason) == ("db-2", "MemberRemoved")

    @pytest.mark.parametrize(("silent_s", "acts"), [(599, False), (600, True)])
    def test_node_that_is_silent_for_long_is_lost(self, silent_s, acts):
        node = LostNode(
            name="n1", since=NOW - timedelta(seconds=silent_s), certain=False, why="is silent"
        )

        step = plan(self.on_nodes(node)).step

        assert isinstance(step, RecordMembership) is acts

    @pytest.mark.parametrize("tied", [True, False])
    def test_node_that_is_gone_is_lost_when_the_volume_is_tied_to_it(self, tied):
        node = LostNode(name="n1", since=NOW, certain=True, why="is gone")
        seen = self.on_nodes(node)
        problem = Problem(reason=Reason.POD_UNSCHEDULABLE, message="volume node affinity conflict")
        pending = pod(1, node=None, ready=False, running=False, problem=problem if tied else None)
        seen = dataclasses.replace(seen, pods=(seen.pods[0], pending, seen.pods[2]))
        members = tuple(m.model_copy(update={"node": "n1"}) for m in known(0, 1, 2))

        step = plan(recorded(seen, members=members)).step

        assert isinstance(step, RecordMembership) is tied

    def on_nodes(self, node: LostNode) -> Observed:
        seen = lost(1)
        pods = tuple(dataclasses.replace(p, problem=None, node=f"n{p.ordinal}") for p in seen.pods)
        return dataclasses.replace(seen, pods=pods, nodes_lost=(node,))

    def test_request_by_annotation(self):
        step = plan(observed(asked_to_replace=("db-1",))).step

        assert step.joining.reason == "ReplacementRequested"

    def test_no_replacement_that_costs_quorum(self):
        seen = lost(1)
        pods = (pod(0, ready=False), *seen.pods[1:])

        step = plan(dataclasses.replace(seen, pods=pods)).step

        assert step.reason is Reason.WAITING_TO_REPLACE

    def test_third_replacement_within_an_hour_wants_consent(self):
        recent = tuple(
            Replacement(name=f"db-{n}", reason="VolumeLost", time=NOW - timedelta(minutes=n))
            for n in range(2)
        )
        seen = lost(1, replacements=recent)

        assert plan(seen).step.reason is Reason.REPLACEMENT_LIMIT
        asked = dataclasses.replace(seen, asked_to_replace=("db-1",))
        assert isinstance(plan(asked).step, RecordMembership)

    def test_first_members_start_before_one_of_them_is_replaced(self):
        seen = lost(1)
        first = seen.status.bootstrap
        late = (*first.members[:2], BootstrapMember(name="db-2", ordinal=2))
        seen = recorded(seen, bootstrap=first.model_copy(update={"members": late}))
        members = tuple(
            dataclasses.replace(m, client_urls=()) if m.id == member_id(2) else m
            for m in seen.etcd.members
        )
        seen = dataclasses.replace(seen, etcd=dataclasses.replace(seen.etcd, members=members))

        assert plan(seen).step.reason is Reason.WAITING_TO_REPLACE


class TestReplacing:
    def test_old_member_leaves_the_list_first(self):
        step = plan(replacing()).step

        assert isinstance(step, RemoveMember)
        assert step.id == member_id(1)

    def test_then_the_new_one_is_added(self):
        seen = replacing()
        members = tuple(m for m in seen.etcd.members if m.id != member_id(1))
        seen = dataclasses.replace(seen, etcd=dataclasses.replace(seen.etcd, members=members))

        step = plan(seen).step

        assert isinstance(step, AddLearner)
        assert step.old_claim == "claim-1"

    def test_claim_that_kubernetes_makes_in_the_meantime_is_given_up_as_well(self):
        seen = replacing()
        members = tuple(m for m in seen.etcd.members if m.id != member_id(1))
        claims = (claim(0), claim(1, uid="made-since"), claim(2))
        listed = dataclasses.replace(seen.etcd, members=members)

        step = plan(dataclasses.replace(seen, etcd=listed, claims=claims)).step

        assert isinstance(step, RecordMembership)
        assert step.joining.old_claim == "made-since"

    def test_further_lost_members_leave_first_where_etcd_adds_nobody_beside_them(self):
        seen = lost(1, of=5)
        members = tuple(m for m in seen.etcd.members if m.id != member_id(1))
        statuses = {name: s for name, s in seen.etcd.statuses.items() if name != "db-3"}
        seen = dataclasses.replace(
            seen,
            pods=(
                *seen.pods[:3],
                dataclasses.replace(seen.pods[1], name="db-3", ordinal=3),
                seen.pods[4],
            ),
            etcd=dataclasses.replace(seen.etcd, members=members, statuses=statuses),
        )
        state = joining(
            1, reason="EmptyDataDirectory", old_id=member_id_hex(member_id(1)), old_claim="claim-1"
        )

        step = plan(recorded(seen, joining=state)).step

        assert isinstance(step, RemoveMember)
        assert step.name == "db-3"

    def listed(self, **changes) -> Observed:
        state = {"id": member_id_hex(NEW_ID), "listed": (0, 1, 2), **changes}
        seen = replacing()
        joined = seen.status.joining.model_copy(update=state)
        return recorded(with_learner(seen, learner(1)), joining=joined)

    def test_then_the_old_volume_goes_before_its_pod(self):
        step = plan(self.listed()).step

        assert isinstance(step, DiscardClaim)
        assert step.uid == "claim-1"

    def test_then_the_pod_that_holds_it(self):
        claims = (claim(0), claim(1, terminating=True), claim(2))

        step = plan(dataclasses.replace(self.listed(), claims=claims)).step

        assert step == DeletePod(name="db-1", uid="pod-1", why="its volume is being replaced")

    def test_pod_on_a_lost_node_is_not_waited_for(self):
        claims = (claim(0), claim(1, terminating=True), claim(2))
        node = LostNode(name="node-1", since=NOW, certain=True, why="is gone")
        seen = dataclasses.replace(self.listed(), claims=claims)
        ending = tuple(dataclasses.replace(p, terminating=p.ordinal == 1) for p in seen.pods)

        assert isinstance(plan(dataclasses.replace(seen, pods=ending)).step, Wait)
        step = plan(dataclasses.replace(seen, pods=ending, nodes_lost=(node,))).step
        assert step.force

    def test_corrupt_data_is_kept_aside(self):
        step = plan(self.listed(reason="DataCorrupt")).step

        assert step.keep_volume

    def test_process_under_another_id_spoils_the_join(self):
        seen = self.listed()
        wrong = {**seen.etcd.statuses, "db-1": status_of(1)}
        claims = (claim(0), claim(1, uid="new"), claim(2))
        seen = dataclasses.replace(
            seen, claims=claims, etcd=dataclasses.replace(seen.etcd, statuses=wrong)
        )

        step = plan(seen).step

        assert isinstance(step, RemoveMember)
        assert step.id == NEW_ID

    def test_request_is_acknowledged_once_it_is_recorded(self):
        seen = dataclasses.replace(replacing(), asked_to_replace=("db-1",))

        assert plan(seen).step == DropRequest(name="db-1")

    def test_failed_replacement_is_not_repeated_at_once(self):
        withdrawn = WithdrawnMember(
            name="db-1", message="no node", not_before=NOW + timedelta(seconds=5), generation=1
        )

        assert plan(lost(1, withdrawn=withdrawn)).step.reason is Reason.MEMBER_WITHDRAWN


def test_pod_that_waits_for_a_claim_that_is_gone_is_made_anew():
    problem = Problem(
        reason=Reason.POD_UNSCHEDULABLE, message='persistentvolumeclaim "x" not found'
    )
    seen = lost(1)
    pods = tuple(dataclasses.replace(p, problem=problem if p.problem else None) for p in seen.pods)

    step = plan(dataclasses.replace(seen, pods=pods, claims=(claim(0), claim(2)))).step

    assert step == DeletePod(name="db-1", uid="pod-1", why="its volume claim is gone")


@pytest.mark.parametrize(("scheduled_s", "acts"), [(4, False), (5, True)])
def test_pod_whose_claim_was_made_anew_after_it_got_its_node_is_made_anew_too(scheduled_s, acts):
    seen = replacing(id=member_id_hex(NEW_ID), listed=(0, 1, 2))
    seen = recorded(with_learner(seen, learner(1)), joining=seen.status.joining)
    since = NOW - timedelta(seconds=scheduled_s)
    waits = dataclasses.replace(seen.pods[1], running=False, problem=None, scheduled_since=since)
    claims = (claim(0), claim(1, uid="made-since", unassigned=True), claim(2))

    step = plan(
        dataclasses.replace(seen, pods=(seen.pods[0], waits, seen.pods[2]), claims=claims)
    ).step

    anew = DeletePod(name="db-1", uid="pod-1", why="its volume claim is a newer one")
    assert (step == anew) is acts
