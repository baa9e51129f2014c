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
AS_IT_WAS = "as it was"
SIZES = st.sampled_from(["1Gi", "2Gi", "4Gi", "4Gi", "8Gi"]).map(parse_quantity)
CLASSES = st.sampled_from([STANDARD, FAST, FAST, RIGID, MISSING, "", None])
GROWTH = st.sampled_from([0.0, 30.0, NEVER])
POLICIES = st.sampled_from(["Replace", "Replace", "Refuse"])
ORDINALS = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4])
LITTLE, MUCH = 20480, 700 * 2**20  # twice the latter and etcd's log need 2Gi
RUNS = 200
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
        closed=st.sampled_from([False, False, False, True]),
        then=SIZES,
        elsewhere=st.sampled_from([False, True, True]),
        rounds=st.integers(0, 9),
        db_size=st.sampled_from([LITTLE, LITTLE, MUCH]),
        what=st.sampled_from(["nothing", "drain", "silence", "silence", "policy"]),
    )
    def begin(
        self,
        size,
        policy,
        named,
        first,
        unit,
        growth_s,
        recovers,
        closed,
        then,
        elsewhere,
        rounds,
        db_size,
        what,
    ):
        storage = {"size": first, "migrationPolicy": policy}
        if named is not None:
            storage["storageClassName"] = named
        self.world = VolumeWorld(spec(size=size, storage=storage))
        storage = self.world.kubernetes.storage
        storage.unit, storage.recovers = unit, recovers
        self.world.settle()
        self.world.files_arrive()
        storage.growth_s = growth_s
        self.world.fill(db_size)
        self.world.edit(maintenance_windows=CLOSED if closed else ())
        self.user_edits_volumes(then, FAST if elsewhere else AS_IT_WAS, None)
        self.all_goes_on(rounds, 0)
        self.happens_meanwhile(what)

    def happens_meanwhile(self, what):
        """What matters between two certain steps, which chance alone seldom hits."""
        match what:
            case "drain":
                self.world.evict(1)
            case "silence":
                self.world.silence_node(0)
            case "policy":
                self.world.edit_storage(migration_policy="Refuse")
        self.all_goes_on(4, 0)

    # ------------------------------------------------------------------ everybody's work
    @rule(rounds=st.integers(1, 15), pick=st.integers(0, 3))
    def all_goes_on(self, rounds, pick):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works(pick)
            self.world.time_passes(2)

    @rule(
        cut=st.sampled_from(
            [
                CutOff(),
                CutOff(before_act=True),
                CutOff(before_status=True),
                CutOff(parts=0),
                CutOff(parts=1),
            ]
        ),
        stale=st.booleans(),
    )
    def operator_dies_or_is_behind(self, cut, stale):
        self.world.reconcile(cut, stale=stale)

    @rule(
        who=st.sampled_from(["kubernetes", "slow kubernetes", "etcd", "client", "lagging client"])
    )
    def somebody_works(self, who):
        match who:
            case "kubernetes" | "slow kubernetes":
                self.world.kubernetes.work(stale=who != "kubernetes")
            case "etcd":
                self.world.etcd.tick()
            case _:
                self.world.etcd.write(everywhere=who == "client")

    @rule(seconds=st.sampled_from([6, 100, 700]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)

    # ------------------------------------------------------------------ the user
    @rule(size=st.none() | SIZES, named=st.just(AS_IT_WAS) | CLASSES, policy=st.none() | POLICIES)
    def user_edits_volumes(self, size, named, policy):
        storage = self.world.spec.storage
        self.world.edit_storage(
            size=size or storage.size,
            storage_class_name=storage.storage_class_name if named == AS_IT_WAS else named,
            migration_policy=policy or storage.migration_policy,
        )

    @rule(
        what=st.sampled_from(["volumes again", "windows", "data"]),
        yes=st.booleans(),
    )
    def user_changes_what_edits_depend_on(self, what, yes):
        match what:
            case "volumes again":
                self.world.take_back()
            case "windows":
                self.world.edit(maintenance_windows=CLOSED if yes else ())
            case "data":
                self.world.fill(MUCH if yes else LITTLE)

    @rule(size=st.sampled_from([0, 1, 3, 3, 5]))
    def user_resizes_the_cluster(self, size):
        self.world.edit(size=size)

    # ------------------------------------------------------------------ what goes wrong
    @rule(growth_s=GROWTH, full=st.booleans(), tells=st.booleans())
    def storage_is_slow_or_full(self, growth_s, full, tells):
        storage = self.world.kubernetes.storage
        storage.growth_s, storage.full, storage.tells_classes = growth_s, full, tells

    @rule(ordinal=ORDINALS, how=st.sampled_from(["crash", "end", "drain", "leader"]))
    def pod_ends(self, ordinal, how):
        match how:
            case "crash":
                self.world.crash(ordinal)
            case "end":
                self.world.kill_pod(ordinal)
            case "drain":
                self.world.evict(ordinal)
            case "leader":
                self.world.etcd.step_down()
                self.world.etcd.elect(ordinal)

    @rule(ordinal=ORDINALS, how=st.sampled_from(["emptied", "volume", "claim"]))
    def volume_is_lost(self, ordinal, how):
        match how:
            case "emptied":
                self.world.empty_volume(ordinal)
            case "volume":
                self.world.lose_volume(ordinal)
            case "claim":
                self.world.delete_claim(ordinal, and_pod=True)

    @rule(ordinal=ORDINALS, how=st.sampled_from(["lost", "silent", "back", "full", "slow"]))
    def nodes_are_in_trouble(self, ordinal, how):
        match how:
            case "lost":
                self.world.lose_node(ordinal)
            case "silent":
                self.world.silence_node(ordinal)
            case "back":
                self.world.kubernetes.revive()
                self.world.kubernetes.full = self.world.etcd.slow = False
            case "full":
                self.world.kubernetes.full = True
            case "slow":
                self.world.etcd.slow = True

    @rule(orphan=st.booleans())
    def stateful_set_is_deleted(self, orphan):
        self.world.kubernetes.delete_object("StatefulSet", orphan=orphan)

    def teardown(self):
        if not hasattr(self, "world"):
            return
        self.world.settle()
        self.world.take_back()
        self.world.settle()
        assert self.world.reconcile().rule in {"settled", "sleep"}


@pytest.mark.timeout(300)
def test_volumes_change_while_the_cluster_serves(record_property):
    how = settings(stateful_step_count=30, max_examples=RUNS)
    fired = simulate(Volumes, how, record_property)
    assert {rule.__name__ for rule in COVERED} <= fired.keys()
