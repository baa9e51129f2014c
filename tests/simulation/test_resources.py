"""Members are given other resources while the cluster serves, whatever the server and the nodes say
to that, together with edits that only a restart can bring.

The invariants are in `judge`, `judge_versions` and `judge_resources`; they are checked at every
step.  When the faults end, every member has in force what the newest template names.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from controllers.cluster.plan import edits, resize
from tests.simulation.coverage import simulate
from tests.simulation.operator_model import CutOff
from tests.simulation.resize_model import DEFERRED, GIVEN, INFEASIBLE, TOO_LITTLE, UNSUPPORTED
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec

RUNS = 200
ORDINALS = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4])
ANSWERS = st.sampled_from([GIVEN, GIVEN, DEFERRED, INFEASIBLE, UNSUPPORTED])
RESOURCES = st.sampled_from(
    [
        {},
        {"requests": {"memory": "256Mi"}},
        {"requests": {"memory": "512Mi"}},
        {"requests": {"memory": TOO_LITTLE}},
        {"requests": {"memory": "512Mi", "cpu": "1"}},
        {"requests": {"memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        {"limits": {"memory": "1Gi"}},
    ]
)
# The simulation begins on a Thursday at noon, UTC.
WINDOWS = st.sampled_from(
    [
        [],
        [{"schedule": "0 13 * * *", "duration": "1h"}],
        [{"schedule": "*/30 * * * *", "duration": "5m"}],
    ]
)
# What test_membership leaves to this simulation.
COVERED = {resize.resize, edits.accept_operator_changes}


class Resources(RuleBasedStateMachine):
    """Edits and faults in any order, between the operator's steps and within them."""

    @initialize(
        size=st.sampled_from([1, 3, 3, 3, 5]), first=RESOURCES, older_operator=st.booleans()
    )
    def begin(self, size, first, older_operator):
        first = {} if TOO_LITTLE in str(first) else first
        self.world = World(spec(size=size, resources=first))
        self.world.older_operator = older_operator
        self.world.settle()
        self.world.files_arrive()

    @rule(rounds=st.integers(1, 4), pick=st.integers(0, 3))
    def all_goes_on(self, rounds, pick):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works(pick)
            self.world.time_passes(2)

    @rule(rounds=st.integers(5, 20))
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

    @rule(stale=st.booleans())
    def kubernetes_works(self, stale):
        self.world.kubernetes_works(stale=stale)

    @rule(seconds=st.sampled_from([1, 6, 61, 700]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)
        self.world.everybody_works()

    # ------------------------------------------------------------------ the user
    @rule(resources=RESOURCES, answer=ANSWERS, rounds=st.integers(0, 15))
    def user_changes_resources(self, resources, answer, rounds):
        self.world.kubernetes.resizes = answer
        self.world.edit(resources=spec(resources=resources).resources)
        self.all_goes_on(rounds, 0)

    @rule(label=st.sampled_from(["a", "b"]))
    def user_changes_labels(self, label):
        template = {"metadata": {"labels": {"team": label}}}
        self.world.edit(pod_template=spec(podTemplate=template).pod_template)

    @rule(value=st.sampled_from(["1", "2"]))
    def user_asks_for_restart(self, value):
        self.world.restart_asked = value

    @rule(windows=WINDOWS)
    def user_sets_windows(self, windows):
        wanted = spec(maintenanceWindows=windows)
        self.world.edit(maintenance_windows=wanted.maintenance_windows)

    @rule(accept=st.booleans())
    def user_accepts_operator_changes(self, accept):
        self.world.edit(accept_operator_changes=accept)

    @rule(size=st.sampled_from([0, 1, 3, 3, 5]))
    def user_resizes(self, size):
        self.world.edit(size=size)

    # ------------------------------------------------------------------ what goes wrong
    @rule(answer=ANSWERS)
    def nodes_think_otherwise(self, answer):
        self.world.kubernetes.resizes = answer

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

    def teardown(self):
        if not hasattr(self, "world"):
            return
        if TOO_LITTLE in str(self.world.spec.resources):
            self.world.edit(resources=spec(resources={}).resources)
        self.world.settle()


@pytest.mark.timeout(600)
def test_resources_change_while_the_cluster_serves(record_property):
    how = settings(stateful_step_count=30, max_examples=RUNS)
    fired = simulate(Resources, how, record_property)
    assert {rule.__name__ for rule in COVERED} <= fired.keys()
