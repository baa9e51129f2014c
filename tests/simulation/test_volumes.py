"""The volumes of a cluster change while it serves: their size, their class, or both.

Beside the invariants of `judge`, `judge_volumes`, `volume_world` and of etcd's model.  When the
faults end, every cluster settles, or says why it refuses the edit; set back, it settles too.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from api.quantity import parse_quantity
from controllers.cluster.plan import edits, volumes
from tests.simulation.coverage import simulate
from tests.simulation.operator_model import CutOff
from tests.simulation.storage_model import FAST, MISSING, NEVER, RIGID, STANDARD
from tests.simulation.volume_world import CLOSED, VolumeWorld
from tests.unit.controllers.cluster.builders import spec

GIB = 2**30
SIZES = st.sampled_from(["1Gi", "2Gi", "4Gi", "4Gi", "8Gi"]).map(parse_quantity)
CLASSES = st.sampled_from([STANDARD, FAST, FAST, RIGID, MISSING, "", None])
GROWTH = st.sampled_from([0.0, 30.0, NEVER])
POLICIES = st.sampled_from(["Replace", "Replace", "Refuse"])
ORDINALS = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4])
RUNS = 300
COVERED = {
    volumes.accept_volumes,
    volumes.resize_claims,
    volumes.release_stateful_set,
    volumes.wait_for_release,
    volumes.migrate,
    volumes.wait_to_migrate,
    volumes.wait_for_size,
    edits.wait_for_window,
}


class Volumes(RuleBasedStateMachine):
    """Edits and faults in any order, between the operator's steps and within them."""

    @initialize(
        size=st.sampled_from([1, 3, 3, 3, 5]),
        policy=POLICIES,
        named=st.sampled_from([STANDARD, FAST, RIGID, None]),
        first=st.sampled_from(["1Gi", "2Gi"]),
        unit=st.sampled_from([1, 1, 3 * GIB]),
        growth_s=GROWTH,
        recovers=st.booleans(),
    )
    def begin(self, size, policy, named, first, unit, growth_s, recovers):
        storage = {"size": first, "migrationPolicy": policy}
        if named is not None:
            storage["storageClassName"] = named
        self.world = VolumeWorld(spec(size=size, storage=storage))
        storage = self.world.kubernetes.storage
        storage.unit, storage.recovers = unit, recovers
        self.world.settle()
        storage.growth_s = growth_s
        self.world.files_arrive()

    # ------------------------------------------------------------------ everybody's work
    @rule(rounds=st.integers(1, 4), pick=st.integers(0, 3))
    def all_goes_on(self, rounds, pick):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works(pick)
            self.world.time_passes(2)

    @rule(rounds=st.integers(6, 20))
    def much_goes_on(self, rounds):
        self.all_goes_on(rounds, 0)

    @rule(
        cut=st.sampled_from(
            [CutOff(before_act=True), CutOff(before_status=True), CutOff(parts=0), CutOff(parts=1)]
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

    @rule(pick=st.integers(0, 4))
    def etcd_works(self, pick):
        self.world.etcd.tick(pick)

    @rule(seconds=st.sampled_from([6, 100, 700]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)

    # ------------------------------------------------------------------ the user
    @rule(size=SIZES)
    def user_names_a_size(self, size):
        self.world.edit_storage(size=size)

    @rule(named=CLASSES)
    def user_names_a_class(self, named):
        self.world.edit_storage(storage_class_name=named)

    @rule(size=SIZES, named=CLASSES, policy=POLICIES)
    def user_changes_all_of_it(self, size, named, policy):
        self.world.edit_storage(size=size, storage_class_name=named, migration_policy=policy)

    @rule(policy=POLICIES)
    def user_changes_the_policy(self, policy):
        self.world.edit_storage(migration_policy=policy)

    @rule()
    def user_takes_the_edit_back(self):
        self.world.take_back()

    @rule(size=st.sampled_from([0, 1, 3, 3, 5]))
    def user_resizes_the_cluster(self, size):
        self.world.edit(size=size)

    @rule(closed=st.booleans())
    def user_sets_windows(self, closed):
        self.world.edit(maintenance_windows=CLOSED if closed else ())

    @rule(db_size=st.sampled_from([20480, 700 * 2**20]))
    def clients_fill_the_volumes(self, db_size):
        self.world.fill(db_size)

    @rule(everywhere=st.booleans())
    def client_writes(self, everywhere):
        self.world.etcd.write(everywhere=everywhere)

    # ------------------------------------------------------------------ what goes wrong
    @rule(growth_s=GROWTH, full=st.booleans(), tells=st.booleans())
    def storage_is_slow_or_full(self, growth_s, full, tells):
        storage = self.world.kubernetes.storage
        storage.growth_s, storage.full, storage.tells_classes = growth_s, full, tells

    @rule(pick=st.integers(0, 4))
    def leader_changes(self, pick):
        self.world.etcd.step_down()
        self.world.etcd.elect(pick)

    @rule(ordinal=ORDINALS, only_process=st.booleans())
    def pod_ends(self, ordinal, only_process):
        if only_process:
            self.world.crash(ordinal)
        else:
            self.world.kill_pod(ordinal)

    @rule(ordinal=ORDINALS)
    def pod_is_deleted(self, ordinal):
        self.world.evict(ordinal)

    @rule(ordinal=ORDINALS, how=st.sampled_from(["emptied", "volume", "claim", "node"]))
    def volume_is_lost(self, ordinal, how):
        match how:
            case "emptied":
                self.world.empty_volume(ordinal)
            case "volume":
                self.world.lose_volume(ordinal)
            case "claim":
                self.world.delete_claim(ordinal, and_pod=True)
            case "node":
                self.world.lose_node(ordinal)

    @rule(ordinal=ORDINALS)
    def node_falls_silent(self, ordinal):
        self.world.silence_node(ordinal)

    @rule()
    def nodes_come_back(self):
        self.world.kubernetes.revive()

    @rule(full=st.booleans(), slow=st.booleans())
    def new_pods_are_in_trouble(self, full, slow):
        self.world.kubernetes.full = full
        self.world.etcd.slow = slow

    @rule(orphan=st.booleans())
    def stateful_set_is_deleted(self, orphan):
        self.world.kubernetes.delete_object("StatefulSet", orphan=orphan)

    def teardown(self):
        if not hasattr(self, "world"):
            return
        self.world.settle()
        self.world.take_back()
        self.world.settle()


@pytest.mark.timeout(300)
def test_volumes_change_while_the_cluster_serves(record_property):
    how = settings(stateful_step_count=30, max_examples=RUNS)
    fired = simulate(Volumes, how, record_property)
    assert {rule.__name__ for rule in COVERED} <= fired.keys()
