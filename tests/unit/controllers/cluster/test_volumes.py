"""Another size or class of the volumes: where they are, or on new ones, member by member."""

import dataclasses
from datetime import timedelta
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.labels import FINALIZER
from api.quantity import parse_quantity
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec, Storage
from api.v1alpha1.cluster_status import RefusedEdit
from controllers.cluster.outcome import Done, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.claims import is_outdated, must_move, must_resize
from controllers.cluster.plan.steps import (
    ApplyObjects,
    DeletePod,
    RecordMembership,
    RecordSpec,
    SetFinalizer,
    Wait,
)
from controllers.cluster.plan.volume_steps import ReleaseStatefulSet, ResizeClaims, VolumeTrial
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import (
    NOW,
    REVISION,
    annotated,
    claim,
    live_of,
    observed,
    pod,
    status_of,
)

GIB = parse_quantity("1Gi")
ALL = tuple((f"data-db-{n}", f"claim-{n}") for n in range(3))


def quantity(text):
    return parse_quantity(text) if text else None


def volumes(size="10Gi", *, storage_class="standard", capacity=None, members=3, **changes):
    """Claims of all members, bound to volumes of this size."""
    return tuple(
        claim(
            n,
            size=quantity(size),
            capacity=quantity(capacity or size),
            storage_class=storage_class,
            **changes,
        )
        for n in range(members)
    )


def running(members=3, *, claims=None, version="v3.5.35", **storage):
    """Members that are well, of a spec whose storage is this."""
    fields = {"version": version, "storage": {"size": "10Gi", **storage}}
    of = observed(members, spec_fields=fields)
    of = dataclasses.replace(of, claims=claims or volumes(members=members))
    return dataclasses.replace(of, claims=annotated(of))


def edited(of, storage=None, **fields):
    wanted = {**of.spec.to_json(), **fields}
    wanted["storage"] = {
        key: value
        for key, value in {**wanted["storage"], **(storage or {})}.items()
        if value is not None
    }
    spec = ClusterSpec.model_validate(wanted)
    return dataclasses.replace(of, spec=spec, generation=of.generation + 1)


def resized(of, size):
    return edited(of, {"size": size})


def after(of, outcome=None):
    """The same once the step was taken, its record is in force, and objects follow it."""
    planned = plan(of)
    status = next_status(of, planned, outcome or Done())
    applied = ClusterSpec.model_validate(status.applied_spec)
    return dataclasses.replace(of, status=status, applied=applied)


def consenting(of, storage):
    """The edit of this storage once its migration policy, which is in force at once, is."""
    policy = edited(of, {"migrationPolicy": storage["migrationPolicy"]})
    return edited(after(policy), storage)


def held(of):
    """The same with the finalizer, which is there before the StatefulSet leaves its pods."""
    assert plan(of).step == SetFinalizer(present=True)
    return dataclasses.replace(of, finalizers=(FINALIZER,))


def made_anew(of):
    """The StatefulSet as it is once it was released and applied again."""
    bare = {key: obj for key, obj in of.live.items() if key[0] != "StatefulSet"}
    return dataclasses.replace(of, live=live_of(dataclasses.replace(of, live=bare)))


def up_to_date(of):
    status = next_status(of, plan(of), None)
    return next(c for c in status.conditions if c.type == "UpToDate")


class TestGrowth:
    def test_server_is_asked_before_it_is_accepted(self):
        step = plan(resized(running(), "20Gi")).step

        assert isinstance(step, RecordSpec)
        assert step.spec["storage"]["size"] == "20Gi"
        assert step.trial == VolumeTrial(
            resize=ResizeClaims(claims=ALL, size="20Gi"), storage_class=""
        )

    def test_claims_first_then_the_stateful_set_without_its_pods(self):
        of = held(after(resized(running(), "20Gi")))
        assert plan(of).step == ResizeClaims(claims=ALL, size="20Gi")

        of = dataclasses.replace(of, claims=with_size(of, "20Gi"))
        released = plan(of).step
        assert released == ReleaseStatefulSet(name="db", uid="uid-StatefulSet-db")

        gone = {key: obj for key, obj in of.live.items() if key[0] != "StatefulSet"}
        orphaned = tuple(dataclasses.replace(p, controlled=False) for p in of.pods)
        step = plan(dataclasses.replace(of, live=gone, pods=orphaned)).step
        assert isinstance(step, ApplyObjects)
        (made,) = step.objects
        template = made["spec"]["volumeClaimTemplates"][0]
        assert template["spec"]["resources"]["requests"]["storage"] == "20Gi"

    def test_nothing_happens_while_the_stateful_set_is_going(self):
        of = held(after(resized(running(), "20Gi")))
        of = dataclasses.replace(of, claims=with_size(of, "20Gi"))
        step = plan(dataclasses.replace(of, live=going_without_pods(of))).step

        assert isinstance(step, Wait)
        assert "made anew around its running pods" in step.message

    def test_a_pod_that_ends_is_waited_for_first(self):
        of = dataclasses.replace(
            after(resized(running(), "20Gi")),
            claims=with_size(running(), "20Gi"),
            pods=(pod(0), pod(1), pod(2, terminating=True)),
        )

        assert not isinstance(plan(of).step, ReleaseStatefulSet)

    def test_a_full_disk_is_made_larger_without_quorum(self):
        of = resized(running(), "20Gi")
        lost = dataclasses.replace(
            of.etcd, members=None, statuses={}, error="no quorum", cluster_id=None
        )
        of = dataclasses.replace(of, etcd=lost)

        assert isinstance(plan(of).step, RecordSpec)
        assert isinstance(plan(held(after(of))).step, ResizeClaims)

    def test_what_the_storage_has_not_given_yet_is_said(self):
        of = running(claims=volumes("20Gi", capacity="10Gi", resizing="Resizing"), size="20Gi")

        condition = up_to_date(of)

        assert (condition.status, condition.reason) == ("False", "VolumeResizing")
        assert "data-db-0 (Resizing)" in condition.message
        assert plan(of).step.reason is Reason.VOLUME_RESIZING

    def test_claims_without_a_volume_are_left_until_they_have_one(self):
        claims = (*volumes(members=2), *volumes(bound=False)[2:])

        step = plan(held(after(resized(running(claims=claims), "20Gi")))).step

        assert step == ResizeClaims(claims=ALL[:2], size="20Gi")

    def test_refusal_is_told_and_tried_again_a_minute_later(self):
        of = resized(running(), "20Gi")
        refused = Rejected(reason=Reason.VOLUME_REFUSED, message="the class can't be resized")
        of = dataclasses.replace(of, status=next_status(of, plan(of), refused))

        step = plan(of).step

        assert step.reason is Reason.VOLUME_REFUSED
        assert "the class can't be resized" in step.message
        later = dataclasses.replace(of, now=NOW + timedelta(minutes=1))
        assert isinstance(plan(later).step, RecordSpec)
        assert after(later).status.refused_edit is None

    def test_refusal_of_the_real_thing_keeps_nothing_else_from_being_done(self):
        of = held(after(resized(running(), "20Gi")))
        refused = Rejected(reason=Reason.VOLUME_REFUSED, message="exceeded quota")
        of = dataclasses.replace(of, status=next_status(of, plan(of), refused))
        sick = dataclasses.replace(of, pods=(pod(0), pod(1), pod(2, ready=False)))

        assert isinstance(of.status.refused_edit, RefusedEdit)
        assert not isinstance(plan(sick).step, ResizeClaims)

    def test_a_growth_that_never_came_is_taken_back_in_place(self):
        of = running(claims=volumes("20Gi", capacity="10Gi"), size="20Gi")

        assert plan(resized(of, "12Gi")).step.trial.resize.size == "12Gi"

    def test_volumes_that_were_larger_from_the_start_stay(self):
        of = running(claims=volumes("50Gi"))

        assert plan(of).rule == "settled"
        assert up_to_date(of).reason == "VolumesDiffer"


class TestDeletionMeanwhile:
    """Pods without a StatefulSet would outlive their cluster."""

    def deleted(self, **changes):
        of = running(**changes.pop("storage", {}))
        return dataclasses.replace(of, deleting_since=NOW, finalizers=(FINALIZER,), **changes)

    def test_pods_that_nobody_controls_are_deleted_first(self):
        of = self.deleted(pods=(pod(0), pod(1, controlled=False)), live={})
        assert plan(of).step == DeletePod(name="db-1", uid="pod-1", why="its cluster is deleted")

        gone = dataclasses.replace(of, pods=(pod(0), pod(1, controlled=False, terminating=True)))
        assert plan(gone).step == SetFinalizer(present=False)

    def test_stateful_set_that_is_just_going_is_waited_for(self):
        of = running()
        going = going_without_pods(of)

        step = plan(self.deleted(live=going)).step

        assert isinstance(step, Wait)
        assert "set its pods free" in step.message

    def test_finalizer_goes_when_the_pods_have_an_owner_again(self):
        of = dataclasses.replace(running(), finalizers=(FINALIZER,))

        assert plan(of).step == SetFinalizer(present=False)


def going_without_pods(of):
    key = ("StatefulSet", "db")
    metadata = {
        **of.live[key]["metadata"],
        "deletionTimestamp": "2026-01-01T12:00:00Z",
        "finalizers": ["orphan"],
    }
    return {**of.live, key: {**of.live[key], "metadata": metadata}}


class TestMoves:
    new: ClassVar = {"storageClassName": "fast", "migrationPolicy": "Replace"}

    def moving(self, **more):
        """Accepted, and the StatefulSet makes new claims of the new class."""
        of = running(**{**self.new, **more})
        return made_anew(of)

    @pytest.mark.parametrize("change", [{"storageClassName": "fast"}, {"size": "5Gi"}])
    def test_without_consent_it_is_refused_with_both_ways_out(self, change):
        of = edited(running(storageClassName="standard"), change)

        step = plan(of).step

        assert step.reason is Reason.VOLUME_REFUSED
        assert "data-db-0, data-db-1, data-db-2" in step.message
        assert "migrationPolicy to Replace" in step.message
        assert "set it back" in step.message
        assert up_to_date(of).status == "False"

    def test_two_members_could_not_spare_one(self):
        of = edited(running(1), self.new)

        assert "Set spec.size to 3 as well" in plan(of).step.message
        grown = edited(of, self.new, size=3)
        assert isinstance(plan(grown).step, RecordSpec)

    def test_data_has_to_fit(self):
        of = running()
        full = {f"db-{n}": status_of(n, db_size=3 * 2**30) for n in range(3)}
        of = dataclasses.replace(of, etcd=dataclasses.replace(of.etcd, statuses=full))

        step = plan(consenting(of, {"size": "6Gi", "migrationPolicy": "Replace"})).step

        assert "the largest database has 3221225472 bytes" in step.message

    def test_no_class_is_nothing_to_move_to(self):
        of = running(storageClassName="standard")

        assert (
            'Set it back to "standard".' in plan(edited(of, {"storageClassName": ""})).step.message
        )

    def test_the_class_that_the_volumes_have_anyway_moves_nobody(self):
        step = plan(edited(running(), {"storageClassName": "standard"})).step

        assert isinstance(step, RecordSpec)
        assert step.trial == VolumeTrial(resize=None, storage_class="standard")

    def test_new_members_only_where_promotions_survive(self):
        of = running(version="v3.5.17")

        assert "Upgrade to 3.5.20 or newer" in plan(consenting(of, self.new)).step.message

    def test_it_waits_for_a_window(self):
        of = edited(running(), maintenanceWindows=[{"schedule": "0 3 * * 0", "duration": "1h"}])
        of = consenting(after(of), self.new)

        assert plan(of).step.reason is Reason.WAITING_FOR_WINDOW
        grown = edited(of, {"size": "20Gi", "storageClassName": None})
        assert isinstance(plan(grown).step, RecordSpec)

    def test_template_first(self):
        of = running(**self.new)
        old = running()
        assert isinstance(
            plan(held(dataclasses.replace(of, live=old.live))).step, ReleaseStatefulSet
        )

    def test_one_after_the_other_the_leader_last(self):
        of, order = self.moving(), []
        for _ in range(3):
            step = plan(of).step
            assert isinstance(step, RecordMembership)
            assert step.joining.reason == "VolumeMigration"
            assert step.joining.old_claim == f"claim-{step.joining.ordinal}"
            order.append(step.joining.name)
            moved = tuple(
                dataclasses.replace(c, storage_class="fast", uid=f"new-{c.ordinal}")
                if c.ordinal == step.joining.ordinal
                else c
                for c in of.claims
            )
            of = dataclasses.replace(of, claims=moved)

        assert order == ["db-2", "db-1", "db-0"]  # db-0 leads
        assert plan(of).rule == "settled"
        assert up_to_date(of).status == "True"

    def on_its_way(self):
        """db-2 is off etcd's list and has not joined again."""
        of = after(self.moving())
        members = tuple(m for m in of.etcd.members if m.name != "db-2")
        statuses = {name: s for name, s in of.etcd.statuses.items() if name != "db-2"}
        return dataclasses.replace(
            of,
            etcd=dataclasses.replace(of.etcd, members=members, statuses=statuses),
            pods=(pod(0), pod(1), pod(2, terminating=True)),
        )

    def test_it_alarms_nobody_and_is_not_over_before_it_is(self):
        of = self.on_its_way()

        found = {c.type: c for c in next_status(of, plan(of), None).conditions}

        assert {found[kind].reason for kind in ("Ready", "UpToDate")} == {"VolumeMigration"}
        assert {found[kind].status for kind in ("Ready", "UpToDate", "Stalled")} == {"False"}
        assert next_status(of, plan(of), None).phase == "Upgrading"

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"pods": (pod(0), pod(1, ready=False), pod(2))}, "needed where it is"),
            ({"claims": volumes(storage_class="fast")}, "its volume can stay"),
        ],
        ids=["another is unwell", "nothing to move for"],
    )
    def test_who_has_not_left_yet_stays_where_the_ground_is_gone(self, change, why):
        of = after(self.moving())
        assert plan(of).rule == "remove_old"

        step = plan(dataclasses.replace(of, **change)).step

        assert isinstance(step, RecordMembership)
        assert step.joining is step.withdrawn is None
        assert why in step.why

    def test_who_has_left_comes_back_whoever_is_unwell(self):
        of = after(self.moving())
        rest = tuple(m for m in of.etcd.members if m.name != "db-2")
        of = dataclasses.replace(
            of,
            etcd=dataclasses.replace(of.etcd, members=rest),
            pods=(pod(0), pod(1, ready=False), pod(2)),
        )

        assert plan(of).rule == "add_learner"

    def test_corrected_class_is_accepted_though_a_claim_waits_for_the_wrong_one(self):
        waits = volumes(bound=False, storage_class="fats")[2:]
        of = running(claims=(*volumes(members=2), *waits), storageClassName="fats")

        step = plan(edited(of, {"storageClassName": "standard"})).step

        assert isinstance(step, RecordSpec)
        assert step.spec["storage"]["storageClassName"] == "standard"

    def test_it_is_not_counted_as_a_loss(self):
        of = self.moving()

        assert next_status(of, plan(of), Done()).replacements == ()

    @pytest.mark.parametrize(
        "sick",
        [{"ready": False}, {"revision": "db-older"}, {"terminating": True}],
    )
    def test_nobody_moves_while_somebody_is_not_well(self, sick):
        of = self.moving()
        of = dataclasses.replace(of, pods=(pod(0), pod(1, **sick), pod(2)))

        planned = plan(of)

        assert not (
            isinstance(planned.step, RecordMembership)
            and planned.step.joining
            and planned.step.joining.reason == "VolumeMigration"
        )

    def test_what_it_waits_for_is_said(self):
        full = {f"db-{n}": status_of(n, db_size=6 * 2**30) for n in range(3)}
        of = self.moving()
        of = dataclasses.replace(of, etcd=dataclasses.replace(of.etcd, statuses=full))

        step = plan(of).step

        assert step.reason is Reason.VOLUME_MIGRATION
        assert "db-0, db-1, db-2 are to move to a new volume of 10Gi, class fast" in step.message
        assert "takes a volume of" in step.message

    def test_a_corrected_class_reaches_the_member_that_waits_for_a_volume(self):
        of = self.moving(storageClassName="fats")
        of = after(of)
        learner = of.status.joining.model_copy(update={"id": "abc", "listed": (0, 1, 2)})
        pending = claim(
            2, uid="new", bound=False, storage_class="fats", size=parse_quantity("10Gi")
        )
        of = dataclasses.replace(
            of,
            status=of.status.model_copy(update={"joining": learner}),
            claims=(*of.claims[:2], pending),
            etcd=dataclasses.replace(
                of.etcd,
                members=tuple(
                    dataclasses.replace(m, id=0xABC, is_learner=True, client_urls=())
                    if m.name == "db-2"
                    else m
                    for m in of.etcd.members
                ),
                statuses={name: s for name, s in of.etcd.statuses.items() if name != "db-2"},
            ),
            pods=of.pods[:2],
        )
        while isinstance(plan(of).step, ApplyObjects):
            of = dataclasses.replace(of, live=live_of(of))
        assert isinstance(plan(of).step, Wait)

        mended = made_anew(after(edited(of, {"storageClassName": "fast"})))
        step = plan(mended).step

        assert isinstance(step, RecordMembership)
        assert step.joining.old_claim == "new"


def with_size(of, size):
    grown = parse_quantity(size)
    return tuple(dataclasses.replace(c, size=grown, capacity=grown) for c in of.claims)


SIZES = st.sampled_from(["1Gi", "1024Mi", "5Gi", "10Gi", "20Gi"]).map(parse_quantity)
CLASSES = st.sampled_from(["standard", "fast", None])


@given(
    asked=st.none() | SIZES,
    has=st.none() | SIZES,
    theirs=CLASSES,
    bound=st.booleans(),
    size=SIZES,
    named=CLASSES,
)
def test_a_claim_has_at_most_one_way_to_go_and_then_none(asked, has, theirs, bound, size, named):
    storage = Storage.model_validate({"size": size.text, "storageClassName": named})
    one = claim(0, size=asked, capacity=has, storage_class=theirs, bound=bound)

    ways = [must_move(one, storage), must_resize(one, storage)]
    assert sum(ways) <= 1
    if must_resize(one, storage):
        assert not must_resize(dataclasses.replace(one, size=size), storage)
        assert has is None or asked < size or has <= size  # never below what it holds
    new = dataclasses.replace(one, size=size, capacity=size, storage_class=named or theirs)
    assert not must_move(new, storage)
    assert not must_resize(new, storage)
    assert not is_outdated(dataclasses.replace(new, bound=False), storage)


def test_revision_of_the_builders_pods_is_that_of_the_template():
    assert {p.revision for p in running().pods} == {REVISION}
