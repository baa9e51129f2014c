"""The planner: each rule by itself, their order, and what must never be planned.

Left to the integration and end-to-end tests: whether the API server and etcd behave as modelled.
"""

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import FieldError
from api.labels import FINALIZER
from api.reasons import Reason
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.observed import Etcd, Problem
from controllers.cluster.plan import RULES, plan
from controllers.cluster.plan import bootstrap as bootstrap_rules
from controllers.cluster.plan.deletion import GIVE_UP_AFTER
from controllers.cluster.plan.steps import (
    AcceptSpec,
    ApplyObjects,
    DeleteClaims,
    DeletePod,
    DeleteStatefulSet,
    RecordStarted,
    RefreshFiles,
    SetFinalizer,
    Wait,
)
from etcd.ids import ClusterID, member_id_hex
from tests.unit.controllers.cluster.builders import (
    NOW,
    UID,
    accepted,
    bootstrap,
    claim,
    etcd,
    live_of,
    member_id,
    observed,
    pod,
    spec,
    status_of,
    unborn,
)


def told_id(ordinal: int) -> str:
    return member_id_hex(member_id(ordinal))


def waits(of) -> Reason:
    step = plan(of).step
    assert isinstance(step, Wait), step
    return step.reason


class TestBirth:
    def test_new_cluster_gets_its_spec_accepted_before_anything_is_made(self):
        step = plan(unborn()).step

        assert isinstance(step, AcceptSpec)
        assert step.bootstrap.token == f"{UID}-1"
        assert [m.ordinal for m in step.bootstrap.members] == [0, 1, 2]
        assert not any(m.started for m in step.bootstrap.members)

    def test_cluster_domain_of_the_spec_wins_over_the_discovered_one(self):
        step = plan(unborn(spec=spec(clusterDomain="k8s.example"))).step

        assert step.bootstrap.cluster_domain == "k8s.example"

    def test_accepted_cluster_gets_all_objects_at_once(self):
        step = plan(accepted()).step

        kinds = [obj["kind"] for obj in step.objects]
        assert kinds == [
            "Service",
            "Service",
            "ConfigMap",
            "PodDisruptionBudget",
            "NetworkPolicy",
            "StatefulSet",
        ]

    def test_one_member_gets_no_disruption_budget(self):
        kinds = [obj["kind"] for obj in plan(accepted(size=1)).step.objects]

        assert "PodDisruptionBudget" not in kinds

    def test_size_zero_is_stopped_and_makes_nothing(self):
        assert waits(unborn(spec=spec(size=0))) is Reason.STOPPED

    def test_invalid_first_spec_makes_nothing(self):
        bad = unborn()
        bad = dataclasses.replace(
            bad, spec=None, spec_errors=(FieldError("spec.size", "must be odd"),)
        )

        assert waits(bad) is Reason.INVALID_SPEC
        assert "spec.size" in plan(bad).step.message

    def test_volumes_of_another_cluster_are_waited_for_by_name(self):
        left = unborn(claims=(claim(0, cluster_uid="another"),))

        assert waits(left) is Reason.LEFTOVER_VOLUMES
        assert "data-db-0" in plan(left).step.message

    def test_own_volumes_without_a_recorded_bootstrap_are_never_started_on(self):
        assert waits(unborn(claims=(claim(0),))) is Reason.STATUS_LOST

    def test_names_that_somebody_else_holds_are_waited_for(self):
        assert waits(unborn(foreign=("Service db",))) is Reason.NAME_CONFLICT

    def test_delete_policy_puts_the_finalizer_on_before_anything_exists(self):
        step = plan(unborn(spec=spec(storage={"deletionPolicy": "Delete"}))).step

        assert step == SetFinalizer(present=True)


class TestForming:
    def test_members_that_serve_are_recorded_as_started(self):
        step = plan(forming(etcd=etcd(3))).step

        assert isinstance(step, RecordStarted)
        assert all(m.started for m in step.members)
        assert step.cluster_id == "cafe"

    def test_member_that_never_published_is_not_recorded(self):
        answers = etcd(3)
        silent = dataclasses.replace(answers.members[2], client_urls=())
        answers = dataclasses.replace(answers, members=(*answers.members[:2], silent))

        step = plan(forming(etcd=answers)).step

        assert [m.started for m in step.members] == [True, True, False]

    def test_corrected_version_is_accepted_while_nothing_has_formed(self):
        step = plan(edited(forming(), version="v3.5.35")).step

        assert isinstance(step, AcceptSpec)
        assert step.spec["version"] == "v3.5.35"
        assert step.bootstrap == forming().status.bootstrap

    def test_size_is_fixed_once_the_bootstrap_is_recorded(self):
        step = plan(edited(forming(), size=5)).step

        assert step.reason is Reason.NOT_SUPPORTED_YET
        assert "spec.size" in step.message

    def test_pod_of_an_older_template_is_restarted_while_nothing_has_formed(self):
        old = forming(pods=(pod(0, ready=False, running=False, revision="db-old"),))

        assert plan(old).step == DeletePod(
            name="db-0", uid="pod-0", why="it was made from an older spec"
        )

    def test_pods_that_are_not_even_made_are_told_in_the_servers_words(self):
        step = plan(forming(pods_refused="create Pod db-0 failed: exceeded quota")).step

        assert step.reason is Reason.PODS_REFUSED
        assert "exceeded quota" in step.message

    def test_member_list_of_another_cluster_is_not_believed(self):
        strange = observed(etcd=dataclasses.replace(etcd(3), cluster_id=ClusterID(0xBAD)))
        young = dataclasses.replace(
            strange,
            status=strange.status.model_copy(update={"bootstrap": bootstrap(3, started=False)}),
        )

        assert not isinstance(plan(young).step, RecordStarted)

    def test_problem_of_a_pod_is_shown_in_its_own_words(self):
        stuck = pod(
            0,
            ready=False,
            running=False,
            problem=Problem(reason=Reason.IMAGE_PULL_FAILED, message="not found"),
        )

        assert waits(forming(pods=(stuck,))) is Reason.IMAGE_PULL_FAILED


class TestRunning:
    def test_first_pods_get_their_closed_files_at_once_and_are_told_once(self):
        told = pod(0)
        started, down = pod(1, closed_for=""), pod(2, closed_for="", running=False)

        step = plan(observed(pods=(told, started, down))).step

        assert step == RefreshFiles(name="db-1", uid="pod-1", member=told_id(1))
        assert not isinstance(plan(observed(pods=(told, pod(1), down))).step, RefreshFiles), (
            "a pod that does not run yet gets its file when it starts"
        )

    def test_file_that_is_still_open_is_not_brought(self):
        """A first member that is late joins with it; the note would be spent by the time it has."""
        seen = observed()
        first = seen.status.bootstrap
        late = first.members[2].model_copy(update={"started": False, "id": ""})
        first = first.model_copy(update={"members": (*first.members[:2], late)})
        seen = dataclasses.replace(
            seen,
            status=seen.status.model_copy(update={"bootstrap": first}),
            pods=(pod(0), pod(1), pod(2, closed_for="", ready=False)),
            etcd=dataclasses.replace(
                seen.etcd,
                members=(
                    *seen.etcd.members[:2],
                    dataclasses.replace(seen.etcd.members[2], client_urls=()),
                ),
            ),
        )

        assert bootstrap_rules.close_files(seen) is None

    def test_healthy_cluster_needs_nothing(self):
        step = plan(observed()).step

        assert step.settled
        assert step.reason is Reason.CLUSTER_READY

    @pytest.mark.parametrize(
        "kind", ["Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy", "StatefulSet"]
    )
    def test_deleted_object_comes_back(self, kind):
        healthy = observed(pods=tuple(pod(n, controlled=False) for n in range(3)))
        live = {key: obj for key, obj in healthy.live.items() if key[0] != kind}
        orphaned = dataclasses.replace(healthy, live=live)
        assert plan(orphaned).step == SetFinalizer(present=True)

        step = plan(dataclasses.replace(orphaned, finalizers=(FINALIZER,))).step

        assert isinstance(step, ApplyObjects)
        assert {obj["kind"] for obj in step.objects} == {kind}

    def test_pods_of_a_deleted_stateful_set_end_before_it_is_made_anew(self):
        healthy = observed()
        live = {key: obj for key, obj in healthy.live.items() if key[0] != "StatefulSet"}

        step = plan(dataclasses.replace(healthy, live=live)).step

        assert step.reason is Reason.RECONCILING
        assert "db-0, db-1, db-2 to end" in step.message

    def test_edited_service_is_put_right(self):
        healthy = observed()
        live = dict(healthy.live)
        service = live["Service", "db"]
        live["Service", "db"] = {**service, "spec": {**service["spec"], "selector": {"a": "b"}}}

        step = plan(dataclasses.replace(healthy, live=live)).step

        assert [obj["metadata"]["name"] for obj in step.objects] == ["db"]

    def test_edit_that_no_running_cluster_can_take_is_refused_by_name(self):
        step = plan(edited(observed(), clusterDomain="other.local")).step

        assert step.reason is Reason.NOT_SUPPORTED_YET
        assert "spec.clusterDomain" in step.message

    @pytest.mark.parametrize("edit", [{"storage": {"deletionPolicy": "Delete"}}, {"size": 3}])
    def test_edit_that_changes_no_member_is_taken(self, edit):
        step = plan(edited(observed(), **edit)).step

        assert not isinstance(step, Wait) or step.settled

    def test_refused_edit_does_not_stop_the_care_for_objects(self):
        disturbed = edited(observed(), clusterDomain="other.local")
        live = {key: obj for key, obj in disturbed.live.items() if key[0] != "ConfigMap"}

        assert isinstance(plan(dataclasses.replace(disturbed, live=live)).step, ApplyObjects)

    def test_paused_cluster_gets_no_write(self):
        disturbed = edited(observed(live={}), paused=True)

        assert waits(disturbed) is Reason.PAUSED

    def test_lost_quorum_names_who_is_down(self):
        lost = observed(
            etcd=Etcd(
                error="no member knows a leader", statuses={"db-0": status_of(0, leader=None)}
            ),
            pods=(pod(0), pod(1, running=False, ready=False)),
        )

        step = plan(lost).step

        assert step.reason is Reason.QUORUM_LOST
        assert "db-1" in step.message
        assert "db-2 (no pod)" in step.message

    def test_majority_that_lost_its_data_is_not_waited_for(self):
        problem = Problem(reason=Reason.EMPTY_DATA_DIRECTORY, message="cannot fetch")
        lost = {"running": False, "ready": False, "problem": problem}
        hopeless = observed(
            etcd=Etcd(
                error="no member knows a leader", statuses={"db-0": status_of(0, leader=None)}
            ),
            pods=(pod(0, ready=False), pod(1, **lost), pod(2, **lost)),
        )

        assert waits(hopeless) is Reason.QUORUM_UNRECOVERABLE

    def test_ready_pods_that_do_not_answer_are_a_matter_of_the_network(self):
        cut_off = observed(etcd=Etcd(error="no member answers"))

        assert waits(cut_off) is Reason.MEMBERS_UNREACHABLE

    def test_emptied_member_is_shown_and_left_down(self):
        problem = Problem(reason=Reason.EMPTY_DATA_DIRECTORY, message="cannot fetch")
        down = observed(
            pods=(pod(0), pod(1), pod(2, running=False, ready=False, problem=problem)),
            etcd=dataclasses.replace(etcd(3), statuses={f"db-{n}": status_of(n) for n in range(2)}),
        )

        assert waits(down) is Reason.EMPTY_DATA_DIRECTORY


class TestEnd:
    def test_retained_cluster_is_left_to_kubernetes(self):
        assert waits(observed(deleting_since=NOW)) is Reason.DELETING

    def test_policy_changed_to_retain_lets_go_of_the_finalizer(self):
        gone = observed(deleting_since=NOW, finalizers=(FINALIZER,))

        assert plan(gone).step == SetFinalizer(present=False)

    def test_delete_policy_ends_the_pods_first(self):
        assert isinstance(plan(dying()).step, DeleteStatefulSet)

    def test_then_its_own_claims(self):
        claims = (claim(0), claim(1, terminating=True), claim(2, cluster_uid="another"))

        step = plan(dying(live={}, claims=claims)).step

        assert step == DeleteClaims(claims=(("data-db-0", "claim-0"),))

    def test_claims_of_all_epochs_go_with_it(self):
        older = (claim(0, epoch=2), claim(1, epoch=2, terminating=True))

        step = plan(dying(live={}, claims=(), pods=(), other_claims=older)).step

        assert step == DeleteClaims(claims=(("data-2-db-0", "claim-2-0"),))

    def test_finalizer_stays_until_pods_and_claims_are_gone(self):
        assert waits(dying(live={}, claims=())) is Reason.DELETING

    def test_finalizer_goes_last(self):
        assert plan(dying(live={}, claims=(), pods=())).step == SetFinalizer(present=False)

    def test_terminating_namespace_is_not_held_up(self):
        assert plan(dying(namespace_terminating=True)).step == SetFinalizer(present=False)

    def test_deletion_that_takes_too_long_is_given_up_with_a_list(self):
        late = dying(deleting_since=NOW - GIVE_UP_AFTER - timedelta(seconds=1), live={}, pods=())

        step = plan(late).step

        assert step.gave_up[0] == "PersistentVolumeClaim data-db-0"

    def test_edit_that_spoils_the_spec_does_not_change_what_becomes_of_the_data(self):
        errors = (FieldError("spec.size", "must be odd"),)
        spoiled = dataclasses.replace(dying(), spec=None, spec_errors=errors)

        assert isinstance(plan(spoiled).step, DeleteStatefulSet)

    def test_paused_cluster_is_not_deleted_from_under_its_user(self):
        assert waits(edited(dying(), paused=True)) is Reason.PAUSED


def forming(**changes):
    """Accepted, objects made, nothing formed."""
    young = accepted(**changes)
    return dataclasses.replace(young, live=live_of(young))


def dying(**changes):
    """Being deleted with policy Delete."""
    fields = {"storage": {"deletionPolicy": "Delete"}}
    changes = {"deleting_since": NOW, "finalizers": (FINALIZER,), **changes}
    return observed(spec_fields=fields, **changes)


def edited(of, **fields):
    """The same cluster after its spec was edited."""
    wanted = spec(**{**of.spec.to_json(), **fields})
    deletes = wanted.storage.deletion_policy == "Delete"
    return dataclasses.replace(of, spec=wanted, deletes_data=deletes)


# ---------------------------------------------------------------- whatever is observed
def etcds():
    silent = st.just(Etcd(error="no member answers"))
    return st.one_of(silent, st.just(etcd(3)))


def anything():
    """Clusters in any state, sensible or not."""
    pods = st.lists(
        st.builds(
            pod,
            st.integers(0, 4),
            running=st.booleans(),
            ready=st.booleans(),
            terminating=st.booleans(),
            revision=st.sampled_from(["db-5d4f", "db-old"]),
        ),
        max_size=5,
    ).map(tuple)
    claims = st.lists(
        st.builds(claim, st.integers(0, 4), cluster_uid=st.sampled_from([UID, "another", None])),
        max_size=4,
    ).map(tuple)
    changes = {
        "pods": pods,
        "claims": claims,
        "etcd": etcds(),
        "deleting_since": st.sampled_from([None, NOW, NOW - GIVE_UP_AFTER]),
        "finalizers": st.sampled_from([(), (FINALIZER,)]),
        "namespace_terminating": st.booleans(),
        "foreign": st.sampled_from([(), ("Service db",)]),
    }
    base = st.sampled_from([unborn(), accepted(), forming(), observed(), dying(), observed(size=1)])
    return st.builds(
        lambda of, changed: dataclasses.replace(of, **changed), base, st.fixed_dictionaries(changes)
    )


@given(anything())
def test_there_is_always_exactly_one_plan_and_it_is_repeatable(of):
    assert plan(of) == plan(of)


@given(anything())
def test_claims_are_only_deleted_by_policy_after_deletion_and_only_ours(of):
    step = plan(of).step
    if isinstance(step, DeleteClaims):
        assert of.deleting_since is not None
        assert of.deletes_data
        ours = {c.uid for c in of.claims if c.cluster_uid == UID}
        assert {uid for _, uid in step.claims} <= ours


@given(anything())
def test_nothing_is_applied_to_a_cluster_that_is_being_deleted(of):
    if of.deleting_since is not None:
        assert not isinstance(plan(of).step, (ApplyObjects, AcceptSpec, RecordStarted))


@given(anything())
def test_only_an_older_template_restarts_a_pod_of_a_formed_cluster_and_no_voter_without_quorum(of):
    step = plan(of).step
    if of.status.cluster_id and isinstance(step, DeletePod):
        restarted = [one for one in of.pods if one.uid == step.uid and one.revision == "db-old"]
        assert restarted
        assert of.etcd.members or not all(one.running for one in restarted)


@given(anything())
def test_a_new_bootstrap_is_only_planned_where_nothing_was_ever_started(of):
    step = plan(of).step
    if isinstance(step, AcceptSpec) and of.status.bootstrap is None:
        assert of.status == ClusterStatus()
        assert not of.claims


def test_every_rule_has_a_name_of_its_own():
    names = [rule.__name__ for rule in RULES]

    assert len(set(names)) == len(names)
