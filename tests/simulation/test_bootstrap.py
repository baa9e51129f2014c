"""A cluster comes to life, and ends, whatever is cut off, killed, deleted, emptied or edited.

Beside the invariants of `judge` and of etcd's model:
1. one bootstrap: the token, once recorded, never changes, and etcd never sees a second one;
2. claims go only when the cluster is deleted by policy;
3. with the policy Delete the finalizer is there before anything is made.
When the faults end, every cluster becomes whole, and every deleted one goes.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.simulation.coverage import simulate
from tests.simulation.operator_model import CutOff
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec

ORDINALS = st.integers(0, 4)


class Bootstrap(RuleBasedStateMachine):
    """Faults in any order between the operator's steps."""

    @initialize(size=st.sampled_from([0, 1, 3, 5]), policy=st.sampled_from(["Retain", "Delete"]))
    def begin(self, size, policy):
        self.world = World(spec(size=size, storage={"deletionPolicy": policy}))
        self.tokens = set()

    @rule(before_act=st.booleans(), before_status=st.booleans(), stale=st.booleans())
    def operator_is_cut_off(self, before_act, before_status, stale):
        cut = CutOff(before_act=before_act, before_status=before_status)
        self.world.reconcile(cut, stale=stale)

    @rule(parts=st.integers(0, 4))
    def operator_dies_within_a_step(self, parts):
        self.world.reconcile(CutOff(parts=parts))

    @rule(rounds=st.integers(1, 6))
    def all_goes_on(self, rounds):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works()
            self.world.time_passes(2)

    @rule(stale=st.booleans())
    def kubernetes_works(self, stale):
        self.world.kubernetes.work(stale=stale)

    @rule(pick=ORDINALS)
    def etcd_works(self, pick):
        self.world.etcd.tick(pick)

    @rule(seconds=st.sampled_from([1, 100, 700]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)

    @rule(ordinal=ORDINALS)
    def pod_is_killed(self, ordinal):
        self.world.kill_pod(ordinal)

    @rule(ordinal=ORDINALS)
    def process_crashes(self, ordinal):
        self.world.crash(ordinal)

    @rule(ordinal=ORDINALS)
    def volume_is_emptied(self, ordinal):
        self.world.empty_volume(ordinal)

    @rule(kind=st.sampled_from(["Service", "ConfigMap", "PodDisruptionBudget", "StatefulSet"]))
    def object_is_deleted(self, kind):
        self.world.kubernetes.delete_object(kind)

    @rule(size=st.sampled_from([0, 1, 3]))
    def user_resizes(self, size):
        self.world.edit(size=size)

    @rule(version=st.sampled_from(["v3.5.21", "v3.6.16"]))
    def user_changes_version(self, version):
        self.world.edit(version=version)

    @rule(invalid=st.booleans(), foreign=st.booleans())
    def spec_or_names_are_refused(self, invalid, foreign):
        self.world.break_spec(broken=invalid)
        self.world.foreign = ("Service db",) if foreign else ()

    @rule(namespace_too=st.booleans())
    def cluster_is_deleted(self, namespace_too):
        self.world.delete()
        self.world.namespace_terminating |= namespace_too

    @invariant()
    def token_is_recorded_once(self):
        if self.world.status.bootstrap is not None:
            self.tokens.add(self.world.status.bootstrap.token)
        assert len(self.tokens) <= 1

    @invariant()
    def claims_go_only_by_policy(self):
        world = self.world
        if world.spec.storage.deletion_policy == "Retain" and world.deleting_since:
            assert not any(claim.terminating for claim in world.kubernetes.claims.values())

    @invariant()
    def finalizer_is_there_before_anything_is_made(self):
        world = self.world
        is_wanted = world.spec.storage.deletion_policy == "Delete" and not world.deleting_since
        if world.kubernetes.live and is_wanted:
            assert world.finalizers

    def teardown(self):
        if not hasattr(self, "world"):
            return
        world = self.world
        world.settle()
        assert world.gone == (world.deleting_since is not None)
        gave_up = world.namespace_terminating or world.now >= 600
        if world.gone and world.spec.storage.deletion_policy == "Delete" and not gave_up:
            assert not world.kubernetes.claims


@pytest.mark.timeout(300)
def test_cluster_comes_to_life_and_ends(record_property):
    simulate(Bootstrap, settings(stateful_step_count=30, max_examples=40), record_property)
