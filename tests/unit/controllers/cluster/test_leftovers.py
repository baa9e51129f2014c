"""Volumes that were there before their cluster: refused, discarded, or adopted."""

import dataclasses
import json

import pytest
import yaml

from api.reasons import Reason
from api.v1alpha1.cluster_status import JoiningMember
from controllers.cluster.claim_record import ClaimRecord, record_of
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.leftovers import annotate_claims
from controllers.cluster.plan.steps import (
    AcceptSpec,
    AdoptClaims,
    AnnotateClaims,
    ApplyObjects,
    DiscardLeftovers,
    Wait,
)
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import (
    CLUSTER_ID,
    NOW,
    UID,
    claim,
    observed,
    spec,
    unborn,
)

RECORD = ClaimRecord(
    cluster_id=f"{CLUSTER_ID:x}",
    voters=(0, 1, 2),
    namespace="prod",
    cluster_domain="cluster.local",
    scheme="http",
    version="v3.5.21",
)


def left(*ordinals, record=RECORD, **changes):
    """Claims that an earlier cluster left, with its record on them."""
    text = record.text if record else ""
    return tuple(
        claim(n, **{"cluster_uid": "earlier", "membership": text, **changes}) for n in ordinals
    )


def told(policy, claims, **spec_fields):
    """A new EtcdCluster that finds these claims under its names, told what to do about them."""
    wanted = spec(storage={"existingVolumes": policy}, **spec_fields)
    return unborn(spec=wanted, claims=claims)


def step_for(policy, claims, **spec_fields):
    return plan(told(policy, claims, **spec_fields)).step


def taken_over(of):
    """The same after its AdoptClaims was taken."""
    named = plan(of).step.claims
    ours = tuple(
        dataclasses.replace(one, cluster_uid=UID) if (one.name, one.uid) in named else one
        for one in of.claims
    )
    return dataclasses.replace(of, claims=ours)


class TestRefuse:
    def test_claims_of_another_cluster_are_waited_for_with_both_ways_out(self):
        wait = step_for("Refuse", left(0, 1))

        assert wait.reason is Reason.LEFTOVER_VOLUMES
        for word in ("data-db-0, data-db-1", "existingVolumes", "Adopt", "Discard"):
            assert word in wait.message

    def test_adopting_is_the_remedy_for_a_lost_status(self):
        wait = step_for("Refuse", left(0, cluster_uid=UID))

        assert wait.reason is Reason.STATUS_LOST
        assert "spec.storage.existingVolumes to Adopt" in wait.message


class TestDiscard:
    def test_all_claims_under_our_names_are_deleted_by_uid(self):
        claims = (*left(0), claim(4, cluster_uid=None))

        assert step_for("Discard", claims) == DiscardLeftovers(
            claims=(("data-db-0", "claim-0"), ("data-db-4", "claim-4"))
        )

    def test_nothing_starts_before_they_are_gone(self):
        wait = step_for("Discard", left(0, terminating=True))

        assert isinstance(wait, Wait)
        assert "data-db-0" in wait.message

    def test_without_leftovers_a_cluster_is_formed(self):
        assert isinstance(step_for("Discard", ()), AcceptSpec)

    def test_volumes_of_this_very_cluster_are_never_discarded(self):
        claims = (*left(1), claim(0))

        assert step_for("Discard", claims).reason is Reason.STATUS_LOST

    @pytest.mark.parametrize("policy", ["Discard", "Adopt"])
    def test_the_field_is_not_read_once_a_spec_was_accepted(self, policy):
        running = observed(
            claims=(claim(0, cluster_uid="earlier"),),
            spec_fields={"storage": {"existingVolumes": policy}},
        )

        assert not isinstance(plan(running).step, DiscardLeftovers | AdoptClaims | AcceptSpec)


class TestAdopt:
    def test_claims_become_ours_before_anything_is_recorded(self):
        assert step_for("Adopt", left(0, 1, 2)) == AdoptClaims(
            claims=tuple((f"data-db-{n}", f"claim-{n}") for n in range(3))
        )

    def test_membership_is_resumed_from_the_record(self):
        step = plan(taken_over(told("Adopt", left(0, 1, 2)))).step

        assert isinstance(step, AcceptSpec)
        assert step.adopted == RECORD.cluster_id
        assert step.bootstrap.closed
        assert [m.name for m in step.bootstrap.members] == ["db-0", "db-1", "db-2"]
        assert all(m.started for m in step.bootstrap.members)

    def test_the_recorded_members_start_whatever_size_is_wanted(self):
        of = taken_over(told("Adopt", left(0, 1, 2), size=7))

        assert plan(of).step.dry_run["spec"]["replicas"] == 3

    def test_members_start_from_closed_files(self):
        of = taken_over(told("Adopt", left(0, 1, 2)))
        accepted = next_status(of, plan(of), Done())
        of = dataclasses.replace(of, status=accepted, applied=of.spec)

        applied = plan(of).step
        assert isinstance(applied, ApplyObjects)
        (data,) = (o["data"] for o in applied.objects if o["kind"] == "ConfigMap")
        files = [yaml.safe_load(text) for text in data.values()]
        assert {file["initial-cluster-state"] for file in files} == {"existing"}
        assert [file["initial-cluster"].partition("=")[0] for file in files] == [
            "db-0",
            "db-1",
            "db-2",
        ]

    def test_adopted_cluster_is_starting_and_not_without_quorum(self):
        of = taken_over(told("Adopt", left(0, 1, 2)))
        accepted = next_status(of, plan(of), Done())
        started = observed(
            status=accepted,
            pods=(),
            etcd=dataclasses.replace(of.etcd, error="no member answers"),
            spec_fields={"storage": {"existingVolumes": "Adopt"}},
        )

        assert accepted.cluster_id == RECORD.cluster_id
        assert plan(started).step.reason is Reason.WAITING_FOR_PODS

    def test_crash_between_two_claims_is_gone_on_from(self):
        halfway = (*left(0, cluster_uid=UID), *left(1, 2))

        assert step_for("Adopt", halfway) == AdoptClaims(
            claims=(("data-db-1", "claim-1"), ("data-db-2", "claim-2"))
        )

    def test_record_that_was_mended_by_hand_need_not_look_the_same(self):
        spaced = json.dumps(json.loads(RECORD.text), indent=1)
        claims = (*left(0, 1), *left(2, membership=spaced))

        assert isinstance(step_for("Adopt", claims), AdoptClaims)

    def test_lost_status_is_mended_from_the_claims(self):
        step = step_for("Adopt", left(0, 1, 2, cluster_uid=UID))

        assert isinstance(step, AcceptSpec)
        assert step.adopted == RECORD.cluster_id

    def test_claims_beyond_the_voters_come_along_first(self):
        claims = (*left(0, 1, 2), *left(3, record=None))

        assert step_for("Adopt", claims).claims[0] == ("data-db-3", "claim-3")

    def test_claim_of_somebody_else_beyond_the_voters_is_left_alone(self):
        claims = (*left(0, 1, 2), *left(3, record=None, cluster_uid="third"))

        assert len(step_for("Adopt", claims).claims) == 3

    def test_without_volumes_a_cluster_is_formed(self):
        step = step_for("Adopt", ())

        assert isinstance(step, AcceptSpec)
        assert not step.adopted

    def test_size_zero_adopts_nothing_yet(self):
        assert step_for("Adopt", left(0, 1, 2), size=0).reason is Reason.STOPPED

    @pytest.mark.parametrize(
        ("claims", "words"),
        [
            (left(0, 1, 2, record=None), "no record"),
            (left(0, 1, 2, record=dataclasses.replace(RECORD, voters=(0, 2))), "no record"),
            (left(0, 2), "data-db-1"),
            ((*left(0, 1), *left(2, record=None)), "data-db-2 carry no record"),
            ((*left(0, 1), *left(2, terminating=True)), "data-db-2"),
            ((*left(0, 1), *left(2, lost=True)), "data-db-2"),
        ],
        ids=["nothing", "gaps", "missing", "not alike", "terminating", "lost"],
    )
    def test_claims_that_are_no_whole_cluster_are_refused(self, claims, words):
        wait = step_for("Adopt", claims)

        assert wait.reason is Reason.LEFTOVER_VOLUMES
        assert words in wait.message

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("scheme", "https", "spec.security.tls.enabled"),
            ("cluster_domain", "other.example", "spec.clusterDomain"),
            ("namespace", "test", "namespace test"),
            ("version", "v3.6.1", "spec.version"),
            ("version", "v3.4.30", "spec.version"),
        ],
    )
    def test_members_that_could_not_start_here_are_refused(self, field, value, words):
        record = dataclasses.replace(RECORD, **{field: value})
        wait = step_for("Adopt", left(0, 1, 2, record=record))

        assert wait.reason is Reason.LEFTOVER_VOLUMES
        assert words in wait.message

    def test_domain_of_the_spec_makes_up_for_the_operators(self):
        record = dataclasses.replace(RECORD, cluster_domain="other.example")
        step = step_for("Adopt", left(0, 1, 2, record=record), clusterDomain="other.example")

        assert isinstance(step, AdoptClaims)


class TestSeveralEpochs:
    def test_no_empty_cluster_is_formed_beside_a_later_epochs_data(self):
        wait = step_for("Refuse", left(0, epoch=2))

        assert wait.reason is Reason.LEFTOVER_VOLUMES
        assert "data-2-db-0" in wait.message

    def test_later_epochs_data_of_this_very_cluster_is_a_lost_status(self):
        assert step_for("Refuse", left(0, epoch=2, cluster_uid=UID)).reason is Reason.STATUS_LOST

    def test_all_epochs_are_discarded_on_request(self):
        step = step_for("Discard", (*left(0), *left(0, epoch=3)))

        assert [name for name, _ in step.claims] == ["data-db-0", "data-3-db-0"]

    def test_the_newest_epoch_is_adopted_and_the_others_stay_as_they_are(self):
        of = told("Adopt", (*left(0, 1, 2), *left(0, 1, 2, epoch=2)))
        assert {name[:10] for name, _ in plan(of).step.claims} == {"data-2-db-"}

        step = plan(taken_over(of)).step

        assert isinstance(step, AcceptSpec)
        assert (step.bootstrap.epoch, step.bootstrap.token) == (2, f"{UID}-2")
        (template,) = step.dry_run["spec"]["volumeClaimTemplates"]
        assert template["metadata"]["name"] == "data-2"

    def test_an_epoch_that_is_not_whole_gives_way_to_the_one_before(self):
        unfinished = left(0, epoch=2, record=None)
        incomplete = left(0, 1, epoch=3)
        of = taken_over(told("Adopt", (*left(0, 1, 2), *unfinished, *incomplete)))

        assert plan(of).step.bootstrap.epoch == 1

    def test_what_keeps_every_epoch_from_being_adopted_is_said_of_the_first_record(self):
        wait = step_for("Adopt", (*left(0, epoch=2, record=None), *left(0, 1, epoch=3)))

        assert "data-3-db-2" in wait.message


class TestRecord:
    def test_formed_cluster_notes_its_membership_on_every_claim(self):
        bare = observed(claims=tuple(claim(n) for n in range(3)))
        step = plan(bare).step

        assert isinstance(step, AnnotateClaims)
        assert [name for name, _ in step.claims] == ["data-db-0", "data-db-1", "data-db-2"]
        assert ClaimRecord.parse(step.record) == RECORD

    def test_record_that_is_right_is_written_once(self):
        assert plan(observed()).step.settled

    def test_only_claims_that_differ_are_written_to(self):
        good = observed()
        claims = (dataclasses.replace(good.claims[0], membership="{}"), *good.claims[1:])
        step = plan(dataclasses.replace(good, claims=claims)).step

        assert [name for name, _ in step.claims] == ["data-db-0"]

    def test_what_joins_has_no_record_before_it_votes(self):
        joining = JoiningMember(name="db-2", ordinal=2, reason="VolumeLost", since=NOW)
        status = observed().status.model_copy(update={"joining": joining})
        of = observed(status=status, claims=tuple(claim(n) for n in range(3)))

        noted = annotate_claims(of)

        assert [name for name, _ in noted.claims] == ["data-db-0", "data-db-1"]

    def test_cluster_that_has_not_formed_has_no_record(self):
        assert record_of(unborn()) is None

    def test_fields_of_a_newer_operator_are_passed_over(self):
        text = json.dumps({**json.loads(RECORD.text), "new": [1]})

        assert ClaimRecord.parse(text) == RECORD

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "null", "{}", '{"clusterID":""}', RECORD.text.replace("v3.5.21", "latest")],
    )
    def test_what_no_operator_wrote_is_no_record(self, text):
        assert ClaimRecord.parse(text) is None
