"""A cluster is made anew over the volumes of an earlier one, or after its status was lost.

Adopt goes on with the recorded members and their data; Discard begins a new cluster on new volumes;
Refuse waits until somebody decides.  The invariants are in `judge` and in etcd's model.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.coverage import simulate
from tests.simulation.operator_model import CutOff
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec

POLICIES = st.sampled_from(["Refuse", "Adopt", "Discard"])


class Leftovers(RuleBasedStateMachine):
    """One cluster after the other, each over what the last one left."""

    @initialize(size=st.sampled_from([1, 3, 5]), resize=st.sampled_from([1, 3, 5]))
    def begin(self, size, resize):
        self.world = World(spec(size=size))
        self.world.settle()
        self.world.edit(size=resize)
        self.world.settle()

    @rule(
        cut=st.sampled_from([CutOff(), CutOff(before_act=True), CutOff(before_status=True)]),
        parts=st.sampled_from([None, 0, 1]),
    )
    def operator_works(self, cut, parts):
        self.world.reconcile(cut if parts is None else CutOff(parts=parts))

    @rule(rounds=st.integers(1, 6))
    def all_goes_on(self, rounds):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works()
            self.world.time_passes(2)

    @rule()
    def kubernetes_works(self):
        self.world.kubernetes.work()

    @rule(size=st.sampled_from([1, 3, 5]))
    def user_resizes(self, size):
        self.world.edit(size=size)

    @rule(policy=POLICIES)
    def cluster_is_created_again(self, policy):
        self.world.settle()  # the claims say whose data they hold: only then can anybody go on
        self.world.create_again(policy)

    @rule(policy=st.sampled_from(["Refuse", "Adopt"]))
    def status_is_lost(self, policy):
        self.world.settle()
        self.world.lose_status(policy)

    def teardown(self):
        if hasattr(self, "world"):
            self.world.settle()


@pytest.mark.timeout(300)
def test_volumes_of_an_earlier_cluster(record_property):
    simulate(Leftovers, settings(stateful_step_count=15, max_examples=60), record_property)
