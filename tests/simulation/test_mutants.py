"""The simulation finds what it is for: planners from which one guard was taken are caught.

Each mutant is the real planner but for one decision.  It has to break an invariant, or to keep a
cluster from settling, within a bounded number of runs of the machine of test_membership, or of
test_volumes.
"""

import dataclasses

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from api.labels import volume_claim_name
from api.reasons import Reason
from controllers.cluster import membership, plan, render
from controllers.cluster.plan import (
    claims,
    edits,
    joining,
    leaving,
    moving,
    objects,
    proof,
    repair,
    scale,
    volumes,
)
from controllers.cluster.plan.steps import (
    DeletePod,
    DeleteStatefulSet,
    DiscardClaim,
    PromoteLearner,
    RecordMembership,
    RemoveMember,
)
from controllers.cluster.plan.volume_steps import ReleaseStatefulSet
from tests.simulation.etcd_process import Broken
from tests.simulation.test_membership import Membership
from tests.simulation.test_volumes import Volumes

RUNS = 300


def assert_rules(*names):
    """A rule that was given another name would leave the planner as it is."""
    assert {*names} <= {rule.__name__ for rule in plan.RULES}


def without(*names):
    """The planner without these rules."""

    def mutate(patch):
        assert_rules(*names)
        patch.setattr(plan, "RULES", tuple(r for r in plan.RULES if r.__name__ not in names))

    return mutate


def with_rule(name, changed):
    """The planner with another rule in the place of one; it gets the real one as well."""

    def mutate(patch):
        def instead(real):
            def rule(observed):
                return changed(observed, real)

            rule.__name__ = name
            return rule

        assert_rules(name)
        rules = tuple(instead(rule) if rule.__name__ == name else rule for rule in plan.RULES)
        patch.setattr(plan, "RULES", rules)

    return mutate


def first(name, *, before):
    """The planner with one rule moved before another."""

    def mutate(patch):
        moved = next(rule for rule in plan.RULES if rule.__name__ == name)
        rest = [rule for rule in plan.RULES if rule is not moved]
        at = next(i for i, rule in enumerate(rest) if rule.__name__ == before)
        patch.setattr(plan, "RULES", (*rest[:at], moved, *rest[at:]))

    return mutate


def both(one, other):
    def mutate(patch):
        one(patch)
        other(patch)

    return mutate


def files_are_never_closed(patch):
    real = membership.membership_of

    def opened(status):
        found = real(status)
        return dataclasses.replace(found, late=found.ordinals)

    patch.setattr(render, "membership_of", opened)


def joining_file_stays_open(patch):
    real = membership.membership_of

    def opened(status):
        found, joins = real(status), status.joining
        if joins is None or not joins.id:
            return found
        return dataclasses.replace(found, opened=joins.ordinal, listed=joins.listed)

    patch.setattr(render, "membership_of", opened)


def wakes_from_open_files(patch):
    real = render.desired_objects

    def woken(observed):
        size = observed.applied.size if observed.applied else 0
        started = observed.live.get(("StatefulSet", "db"), {}).get("spec", {}).get("replicas")
        if size and started == 0:
            recorded = observed.status.bootstrap
            members = tuple(m.model_copy(update={"started": False}) for m in recorded.members)
            again = recorded.model_copy(update={"members": members})
            status = observed.status.model_copy(update={"bootstrap": again})
            observed = dataclasses.replace(observed, status=status)
        return real(observed)

    patch.setattr(objects, "desired_objects", woken)


def quorum_is_not_asked_for(patch):
    for room in (leaving, repair):
        patch.setattr(room, "keeps_quorum_without", lambda observed, ordinal: True)


def pods_go_before_members(patch):
    """Replicas follow spec.size at once, as a plain StatefulSet's would."""
    real = objects.desired_objects

    def scaled(observed):
        size = observed.applied.size if observed.applied else 0
        for obj in real(observed):
            replicas = obj["spec"]["replicas"] if obj["kind"] == "StatefulSet" else 0
            smaller = {"replicas": min(replicas, size)}
            yield {**obj, "spec": {**obj["spec"], **smaller}} if size and replicas else obj

    patch.setattr(objects, "desired_objects", lambda observed: tuple(scaled(observed)))


def trouble_is_proof(patch):
    """Whatever keeps a pod from running, or its process from answering, costs the data."""
    real = proof.proof_of_loss

    def believed(observed, view):
        is_down = view.reason and view.member is not None and observed.etcd.members is not None
        if is_down:
            return proof.Proof(reason=Reason.CRASH_LOOPING, message="it is down")
        return real(observed, view)

    patch.setattr(repair, "proof_of_loss", believed)


def wrong_ids_are_ignored(patch):
    patch.setattr(proof, "_foreign", lambda *_: None)


def learners_count_as_voters(observed, real):
    """A join is complete when its process has started."""
    joins = observed.status.joining
    if joins is None or not joins.started or observed.etcd.members is None:
        return real(observed)
    voters = {*membership.voters_of(observed.status), joins.ordinal}
    return RecordMembership(voters=tuple(sorted(voters)), joining=None, why="it has started")


def old_volume_goes_first(observed, real):
    """The volume is given up as soon as a replacement is recorded."""
    joins = observed.status.joining
    claim = observed.claim(joins.ordinal) if joins else None
    if claim is None or claim.uid != joins.old_claim or claim.terminating:
        return real(observed)
    return DiscardClaim(
        name=claim.name, uid=claim.uid, not_member="", keep_volume=False, why="it is replaced"
    )


def old_volume_is_kept(observed, real):
    """Only the pod is made anew, and finds the volume of the member before it."""
    found = real(observed)
    if not isinstance(found, DiscardClaim):
        return found
    pod = observed.pod(observed.status.joining.ordinal)
    return DeletePod(name=pod.name, uid=pod.uid, why="") if pod and not pod.terminating else None


def promoted_before_it_is_recorded(observed, real):
    """The learner votes as soon as etcd lets it, whatever its file says."""
    joins = observed.status.joining
    if joins is None or not joins.id:
        return None
    status = observed.etcd.statuses.get(joins.name)
    if status is None or not status.leader:
        return None
    return PromoteLearner(name=joins.name, id=int(joins.id, 16))


def leftovers_go_by_size(observed, real):
    """Claims beyond spec.size are leftovers, whether their members have left or not."""
    size = observed.applied.size if observed.applied else 0
    for claim in observed.claims:
        if size <= claim.ordinal and not claim.terminating and size:
            name = volume_claim_name(observed.name, claim.ordinal, claim.epoch)
            return DiscardClaim(
                name=name, uid=claim.uid, not_member="", keep_volume=False, why="beyond the size"
            )
    return real(observed)


def sleep_is_a_size_like_others(observed, real):
    """Size 0 takes the members away, too."""
    members = scale.voters(observed)
    if observed.applied.size or not members or observed.etcd.members is None:
        return real(observed)
    last = members[-1]
    if last.member is None or len(members) == 1:
        return RecordMembership(
            voters=membership.voters_of(observed.status)[:-1], joining=None, why=""
        )
    voters = sum(not member.is_learner for member in observed.etcd.members)
    return RemoveMember(name=last.name, id=last.member.id, voters=voters, why="")


MUTANTS = [
    files_are_never_closed,
    joining_file_stays_open,
    wakes_from_open_files,
    quorum_is_not_asked_for,
    pods_go_before_members,
    trouble_is_proof,
    wrong_ids_are_ignored,
    pytest.param(
        with_rule("track_joining", learners_count_as_voters), id="learners_count_as_voters"
    ),
    pytest.param(without("wait_for_joining"), id="two_changes_at_once"),
    pytest.param(without("disarm_gone"), id="alarms_stay"),
    pytest.param(without("annotate_before_vote"), id="claims_fall_behind"),
    pytest.param(without("free_volume"), id="joins_on_the_old_volume"),
    pytest.param(without("sleep"), id="never_sleeps"),
    pytest.param(
        with_rule("remove_old", old_volume_goes_first), id="volume_goes_before_its_member"
    ),
    pytest.param(with_rule("free_volume", old_volume_is_kept), id="old_volume_is_kept"),
    pytest.param(
        both(
            with_rule("promote", promoted_before_it_is_recorded),
            first("promote", before="track_joining"),
        ),
        id="promoted_from_an_open_file",
    ),
    pytest.param(with_rule("discard_leftovers", leftovers_go_by_size), id="leftovers_go_by_size"),
    pytest.param(
        both(
            with_rule("sleep", sleep_is_a_size_like_others), first("sleep", before="correct_drift")
        ),
        id="sleep_removes_members",
    ),
]


def moves_whoever_is_unwell(patch):
    for room in (volumes, joining):
        patch.setattr(room, "can_move", lambda observed: len(scale.voters(observed)) > 2)


def moves_against_the_policy(patch):
    real = moving.moving

    def moved(observed):
        wanted = observed.applied.to_json()
        storage = {**wanted["storage"], "migrationPolicy": "Replace"}
        agreed = type(observed.applied).model_validate({**wanted, "storage": storage})
        return real(dataclasses.replace(observed, applied=agreed))

    for room in (volumes, joining):
        patch.setattr(room, "moving", moved)


def moves_before_the_template_is_renewed(patch):
    patch.setattr(moving, "has_older_templates", lambda observed: False)
    first("migrate", before="release_stateful_set")(patch)


def resizes_what_is_to_move(patch):
    def asked(claim, storage):
        return claim.bound and claim.size not in {None, claims.claim_size(storage)}

    patch.setattr(volumes, "must_resize", asked)


def windows_are_not_waited_for(patch):
    patch.setattr(edits, "may_restart", lambda observed: True)
    patch.setattr(volumes, "may_restart", lambda observed: True)


def released_with_its_pods(observed, real):
    step = real(observed)
    if not isinstance(step, ReleaseStatefulSet):
        return None
    return DeleteStatefulSet(name=step.name, uid=step.uid)


MUTANTS_OF_VOLUMES = [
    moves_whoever_is_unwell,
    moves_against_the_policy,
    moves_before_the_template_is_renewed,
    resizes_what_is_to_move,
    windows_are_not_waited_for,
    pytest.param(
        with_rule("release_stateful_set", released_with_its_pods), id="released_with_its_pods"
    ),
    pytest.param(without("release_stateful_set"), id="templates_stay"),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutate", MUTANTS)
def test_mutant_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    is_caught_by(Membership)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutate", MUTANTS_OF_VOLUMES)
def test_mutant_of_the_rules_of_volumes_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    is_caught_by(Volumes)


def is_caught_by(machine):
    how = settings(
        stateful_step_count=30,
        max_examples=RUNS,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
    )
    with pytest.raises(Broken):
        run_state_machine_as_test(machine, settings=how)
