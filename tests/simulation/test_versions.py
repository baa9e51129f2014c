"""A cluster changes its version and its template while it serves, whatever is cut off, killed, lost
or asked for in between.

The invariants are in `judge`, in `judge_versions` and in etcd's model; they are checked at every
step.  When the faults end, every member runs what the spec names, or the edit was refused.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from controllers.cluster.plan import (
    admission,
    downgrade,
    edits,
    prepare,
    probe,
    roll,
    upgrade,
)
from tests.simulation.coverage import simulate
from tests.simulation.operator_model import CutOff
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec

RUNS = 450
NEXT_SIZE = {0: 1, 1: 3, 3: 5, 5: 3}
ORDINALS = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4])
VERSIONS = st.sampled_from(["v3.5.35", "v3.5.35", "v3.6.16", "v3.6.16", "v3.6.16", "v3.7.3"])
ANY_VERSIONS = VERSIONS | st.sampled_from(["v3.5.21", "v3.8.0"])
# What test_membership leaves to this simulation.
RULES = {
    admission.refuse_edit,
    edits.accept_template,
    edits.accept_restart,
    roll.restart_down,
    roll.restart_next,
    roll.wait_for_turn,
    upgrade.accept_image_at_once,
    upgrade.redirect,
    upgrade.begin,
    upgrade.complete,
    upgrade.hold,
    upgrade.wait_for_version,
    probe.drop_probe,
    probe.make_probe,
    probe.refuse_image,
    prepare.give_up_comparing,
    prepare.compare_before,
    prepare.leave_old_entries_behind,
    prepare.watch_data_fit,
    prepare.enable_downgrade,
    prepare.take_version,
    downgrade.stay_newer,
    downgrade.retreat,
    downgrade.cancel_for_joining,
    downgrade.cancel_downgrade,
}
# Too rare for chance to find each time: test_version_scenarios goes there.
RARE = {
    downgrade.stay_newer,
    downgrade.retreat,
    downgrade.cancel_for_joining,
    upgrade.hold,
    prepare.give_up_comparing,
    prepare.leave_old_entries_behind,
}
OPTIONS = st.sampled_from(
    [
        {},
        {"snapshotCount": 50000},
        {"snapshotCount": 2000},
        {"extra": {"experimental-peer-skip-client-san-verification": "true"}},
    ]
)


class Versions(RuleBasedStateMachine):
    """Edits and faults in any order, between the operator's steps and within them."""

    @initialize(
        size=st.sampled_from([1, 3, 3, 3, 5]),
        version=st.sampled_from(["v3.5.21", "v3.5.35", "v3.5.35", "v3.6.16", "v3.6.16", "v3.7.3"]),
    )
    def begin(self, size, version):
        self.world = World(spec(size=size, version=version))
        self.world.settle()
        self.world.files_arrive()

    # ------------------------------------------------------------------ everybody's work
    @rule(rounds=st.integers(1, 4), pick=st.integers(0, 3))
    def all_goes_on(self, rounds, pick):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works(pick)
            self.world.time_passes(2)

    @rule(rounds=st.integers(5, 30))
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
        times=st.integers(1, 3),
    )
    def operator_dies(self, cut, stale, times):
        for _ in range(times):
            self.world.reconcile()
        self.world.reconcile(cut, stale=stale)

    @rule(steps=st.integers(1, 4))
    def operator_reconciles_from_old_caches(self, steps):
        for _ in range(steps):
            self.world.reconcile(stale=True)

    @rule(stale=st.booleans())
    def kubernetes_works(self, stale):
        self.world.kubernetes_works(stale=stale)

    @rule(seconds=st.sampled_from([1, 6, 100, 700]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)
        self.world.everybody_works()

    @rule(everywhere=st.booleans())
    def client_writes(self, everywhere):
        self.world.etcd.write(everywhere=everywhere)

    # ------------------------------------------------------------------ the user
    @rule(version=ANY_VERSIONS)
    def user_changes_version(self, version):
        self.world.edit(version=version)

    @rule(
        version=VERSIONS,
        rounds=st.integers(3, 25),
        then=st.sampled_from(["back", "size", "volume"]),
        ordinal=ORDINALS,
    )
    def user_changes_version_and_then(self, version, rounds, then, ordinal):
        """Something comes in between, wherever the change of version is by then."""
        before = self.world.spec.version
        self.world.edit(version=version)
        self.all_goes_on(rounds, 0)
        match then:
            case "back":
                self.world.edit(version=before)
            case "size":
                self.world.edit(size=NEXT_SIZE[self.world.spec.size])
            case "volume":
                self.world.empty_volume(ordinal)
        self.all_goes_on(rounds, 0)

    @rule()
    def user_takes_edit_back(self):
        self.world.take_edit_back()

    @rule(options=OPTIONS)
    def user_changes_options(self, options):
        self.world.edit(options=spec(options=options).options)

    @rule(label=st.sampled_from(["a", "b"]))
    def user_changes_labels(self, label):
        template = {"metadata": {"labels": {"team": label}}}
        self.world.edit(pod_template=spec(podTemplate=template).pod_template)

    @rule(value=st.sampled_from(["1", "2"]))
    def user_asks_for_restart(self, value):
        self.world.restart_asked = value

    @rule(size=st.sampled_from([0, 1, 3, 3, 5]), version=st.none() | ANY_VERSIONS)
    def user_resizes(self, size, version):
        self.world.edit(size=size, version=version or self.world.spec.version)

    # ------------------------------------------------------------------ what goes wrong
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
    def volume_is_emptied(self, ordinal):
        self.world.empty_volume(ordinal)

    @rule(missing=st.booleans(), instead=st.sampled_from(["", "", "3.6.1"]))
    def registry_is_in_trouble(self, missing, instead):
        registry = self.world.kubernetes.registry
        registry.missing, registry.instead = missing, instead

    @rule(missing=st.booleans())
    def new_pods_are_in_trouble(self, missing):
        self.world.kubernetes.image_missing = missing

    @rule(compacting=st.booleans(), unsure=st.booleans())
    def members_say_what_does_not_last(self, compacting, unsure):
        self.world.etcd.compacting = compacting
        self.world.etcd.version.unsure = unsure

    def teardown(self):
        if hasattr(self, "world"):
            self.world.settle()


@pytest.mark.timeout(900)
def test_versions_change_while_the_cluster_serves(record_property):
    how = settings(stateful_step_count=30, max_examples=RUNS)
    fired = simulate(Versions, how, record_property)
    assert {rule.__name__ for rule in RULES - RARE} <= fired.keys()
