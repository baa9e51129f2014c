"""A cluster changes its members while it serves, whatever is cut off, killed, lost or asked for.

The invariants are in `judge` and in etcd's model; they are checked at every step.  When the faults
end, every cluster settles: as many healthy voters as the spec says, on volumes of their own.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from controllers.cluster.plan import (
    RULES,
    admission,
    auth,
    bootstrap,
    certificates,
    deletion,
    health,
    joining,
    leftovers,
    repair,
    restoring,
    rotation,
    saving,
    scale,
    switching,
)
from tests.simulation.coverage import simulate
from tests.simulation.operator_model import CutOff
from tests.simulation.test_epochs import COVERED as OF_EPOCHS
from tests.simulation.test_resources import COVERED as OF_RESOURCES
from tests.simulation.test_tls import COVERED as OF_TLS
from tests.simulation.test_versions import RULES as OF_VERSIONS
from tests.simulation.test_volumes import COVERED as OF_VOLUMES
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec

SIZES = st.sampled_from([1, 3, 3, 3, 5, 5, 7, 9])
# Most clusters are small, and the first members are in all of them.
ORDINALS = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 8])
RUNS = 1_600
# Before a cluster has formed, when it ends, what changes volumes (OF_VOLUMES), resources and what a
# newer operator makes otherwise (OF_RESOURCES), version or template (OF_VERSIONS), how it is called
# (OF_TLS), and which data it has (OF_EPOCHS) is for other simulations.  Some runs never wait before
# they shrink, and refused edits of a cluster that sleeps are rare, and no cluster changes
# authorities, has users, is saved before something is done or begins from a backup: unit tests hold
# these.
ELSEWHERE = {
    deletion.delete_orphans,
    deletion.let_go,
    deletion.give_up,
    deletion.delete_pods,
    deletion.delete_claims,
    deletion.finish,
    deletion.keep_finalizer,
    admission.refuse_first_spec,
    admission.wait_for_names,
    admission.refuse_edit_too_early,
    admission.refuse_edit_asleep,
    bootstrap.sleep_unborn,
    certificates.wait_for_certificates,
    certificates.order_certificates,
    certificates.copy_certificates,
    certificates.record_owners,
    rotation.drop_rotation_request,
    rotation.make_next_authority,
    rotation.forget_lost_authority,
    rotation.begin_rotation,
    rotation.announce_certificate,
    rotation.rotate,
    rotation.wait_for_rotation,
    switching.drop_former_members,
    auth.record_auth,
    auth.switch_auth_off,
    auth.change_auth,
    auth.switch_auth_on,
    auth.wait_for_credentials,
    health.wait_for_access,
    bootstrap.restart_on_corrected_spec,
    leftovers.adopt,
    leftovers.wait_for_lost_status,
    leftovers.discard,
    leftovers.refuse,
    health.wait_for_cluster_id,
    repair.wait_for_template,
    restoring.wait_for_source,
    restoring.prepare_seed,
    restoring.wait_for_auth,
    saving.save_before_deletion,
    saving.keep_unsaved,
    saving.save_before_version,
    saving.save_before_sleep,
    saving.wait_to_sleep,
    saving.wait_for_backup,
    scale.wait_to_shrink,
    joining.nudge,
}


class Membership(RuleBasedStateMachine):
    """Edits and faults in any order, between the operator's steps and within them."""

    @initialize(
        size=SIZES,
        version=st.sampled_from(["v3.5.21", "v3.6.16"]),
        newest=st.booleans(),
        policy=st.sampled_from(["Delete", "Keep"]),
    )
    def begin(self, size, version, newest, policy):
        storage = {"removedMemberPolicy": policy}
        self.world = World(spec(size=size, version=version, storage=storage), newest=newest)
        self.world.settle()
        self.world.files_arrive()

    # ------------------------------------------------------------------ everybody's work
    @rule(rounds=st.integers(1, 4), pick=st.integers(0, 3))
    def all_goes_on(self, rounds, pick):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works(pick)
            self.world.time_passes(2)

    @rule(rounds=st.integers(3, 12))
    def much_goes_on(self, rounds):
        self.all_goes_on(rounds, 0)

    @rule(
        cut=st.sampled_from(
            [
                CutOff(before_act=True),
                CutOff(before_status=True),
                CutOff(parts=0),
                CutOff(parts=1),
            ]
        ),
        stale=st.booleans(),
    )
    def operator_dies(self, cut, stale):
        self.world.reconcile(cut, stale=stale)

    @rule(steps=st.integers(1, 4))
    def operator_reconciles_from_old_caches(self, steps):
        for _ in range(steps):
            self.world.reconcile(stale=True)

    @rule(stale=st.booleans())
    def kubernetes_works(self, stale):
        self.world.kubernetes.work(stale=stale)

    @rule(pick=st.integers(0, 8))
    def etcd_works(self, pick):
        self.world.etcd.tick(pick)

    @rule(seconds=st.sampled_from([1, 6, 100, 700, 4000]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)

    @rule(everywhere=st.booleans())
    def client_writes(self, everywhere):
        self.world.etcd.write(everywhere=everywhere)

    # ------------------------------------------------------------------ the user
    @rule(size=st.sampled_from([0, 1, 1, 3, 3, 5, 7, 9]))
    def user_resizes(self, size):
        self.world.edit(size=size)

    @rule(paused=st.booleans())
    def user_pauses(self, paused):
        self.world.edit(paused=paused)

    @rule(ordinal=ORDINALS, on_pod=st.booleans())
    def user_asks_for_replacement(self, ordinal, on_pod):
        self.world.ask_to_replace(ordinal, on_pod=on_pod)

    @rule(ordinal=ORDINALS)
    def user_removes_member_by_hand(self, ordinal):
        self.world.remove_by_hand(ordinal)

    @rule()
    def user_adds_member_by_hand(self):
        self.world.add_by_hand(0)

    # ------------------------------------------------------------------ what goes wrong
    @rule(pick=st.integers(0, 8))
    def leader_changes(self, pick):
        self.world.etcd.step_down()
        self.world.etcd.elect(pick)

    @rule(ordinal=ORDINALS, only_process=st.booleans())
    def pod_ends(self, ordinal, only_process):
        if only_process:
            self.world.crash(ordinal)
        else:
            self.world.kill_pod(ordinal)

    @rule(ordinal=ORDINALS, how=st.sampled_from(["emptied", "bad", "corrupt", "swapped"]))
    def data_is_lost(self, ordinal, how):
        match how:
            case "emptied":
                self.world.empty_volume(ordinal)
            case "bad" | "corrupt":
                self.world.corrupt(ordinal, noticed=how == "corrupt")
            case "swapped":
                self.world.swap_data(ordinal)

    @rule(ordinal=ORDINALS, how=st.sampled_from(["claim", "claim and pod", "volume", "node"]))
    def volume_is_lost(self, ordinal, how):
        match how:
            case "claim" | "claim and pod":
                self.world.delete_claim(ordinal, and_pod=how == "claim and pod")
            case "volume":
                self.world.lose_volume(ordinal)
            case "node":
                self.world.lose_node(ordinal)

    @rule(ordinal=ORDINALS)
    def node_falls_silent(self, ordinal):
        self.world.silence_node(ordinal)

    @rule()
    def nodes_come_back(self):
        self.world.kubernetes.revive()

    @rule(missing=st.booleans(), full=st.booleans(), slow=st.booleans())
    def new_pods_are_in_trouble(self, missing, full, slow):
        self.world.kubernetes.image_missing = missing
        self.world.kubernetes.full = full
        self.world.etcd.slow = slow

    @rule(
        kind=st.sampled_from(["Service", "ConfigMap", "PodDisruptionBudget", "StatefulSet"]),
        orphan=st.booleans(),
    )
    def object_is_deleted(self, kind, orphan):
        self.world.kubernetes.delete_object(kind, orphan=orphan)

    def teardown(self):
        if hasattr(self, "world"):
            self.world.settle()


@pytest.mark.timeout(900)
def test_members_change_while_the_cluster_serves(record_property):
    how = settings(stateful_step_count=30, max_examples=RUNS)
    fired = simulate(Membership, how, record_property)
    others = OF_EPOCHS | OF_TLS | OF_RESOURCES | OF_VERSIONS | OF_VOLUMES
    elsewhere = {rule.__name__ for rule in ELSEWHERE | others}
    assert {rule.__name__ for rule in RULES} - elsewhere <= fired.keys()
