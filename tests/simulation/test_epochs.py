"""A cluster is restored in place, and goes back, whatever is cut off, killed, lost or asked for.

Beside the invariants of `judge` and of etcd's model those of `judge_epochs`.  When the faults end,
the members run on the recorded epoch, all of them well, and what was asked for is answered.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from controllers.cluster.plan import epochs, switching
from tests.simulation.coverage import simulate
from tests.simulation.epoch_world import EpochWorld
from tests.simulation.operator_model import NOWHERE, CutOff
from tests.unit.controllers.cluster.builders import spec

RUNS = 150
ORDINALS = st.sampled_from([0, 0, 1, 1, 2])
OLD_DATA = st.sampled_from(["Keep", "PutBack", "PutBack", "Discard", "Discard", ""])
CUTS = st.sampled_from(
    [
        NOWHERE,
        NOWHERE,
        CutOff(before_act=True),
        CutOff(before_status=True),
        CutOff(parts=0),
        CutOff(parts=1),
    ]
)
BACKUPS = st.sampled_from(["data", "data", "data", "away", "vain"])
# Nobody but this operator makes a StatefulSet here: unit tests hold `drop_former_members`.
COVERED = {
    epochs.take_restore_request,
    epochs.give_up_restore,
    epochs.clear_failed_restore,
    epochs.prepare_epoch,
    epochs.begin_switch,
    epochs.put_back_old_data,
    epochs.discard_old_data,
    epochs.wait_for_next_epoch,
    switching.stop_members,
    switching.switch_epoch,
    switching.complete_switch,
}


class Epochs(RuleBasedStateMachine):
    """Restores and faults in any order, between the operator's steps and within them."""

    @initialize(
        size=st.sampled_from([1, 3, 3, 3, 5]),
        rounds=st.sampled_from([0, 3, 6, 9, 12, 20, 60, 60]),
        lost=st.sampled_from([False, False, False, True]),
        backup=BACKUPS,
        old_data=OLD_DATA,
    )
    def begin(self, size, rounds, lost, backup, old_data):
        self.world = EpochWorld(spec(size=size))
        self.world.settle()
        self.world.etcd.write(everywhere=True)
        self.world.kubernetes.backup = backup
        if lost:
            self.world.lose_quorum()
        self.world.ask()
        self.all_goes_on(rounds)
        self.world.old_data = old_data

    # ------------------------------------------------------------------ everybody's work
    @rule(
        rounds=st.sampled_from([1, 1, 2, 4, 8, 16, 25]),
        pick=st.integers(0, 3),
        cut=CUTS,
        every=st.integers(1, 3),
        stale=st.booleans(),
    )
    def all_goes_on(self, rounds, pick=0, cut=NOWHERE, every=1, *, stale=False):
        """The operator dies, or is behind, in every second or third of its looks, or always."""
        for n in range(rounds):
            is_cut = n % every == 0
            self.world.reconcile(cut if is_cut else NOWHERE, stale=stale and is_cut)
            self.world.everybody_works(pick)
            self.world.time_passes(2)

    @rule(steps=st.integers(1, 4))
    def operator_is_faster_than_others(self, steps):
        for _ in range(steps):
            self.world.reconcile()

    @rule(who=st.sampled_from(["kubernetes", "slow kubernetes", "etcd", "client"]))
    def somebody_works(self, who):
        match who:
            case "kubernetes" | "slow kubernetes":
                self.world.kubernetes.work(stale=who != "kubernetes")
            case "etcd":
                self.world.etcd.tick()
            case _:
                self.world.etcd.write(everywhere=True)

    @rule(seconds=st.sampled_from([6, 100, 700, 7 * 3600]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)

    # ------------------------------------------------------------------ the user
    @rule(what=st.sampled_from(["ask", "take back"]), rounds=st.sampled_from([0, 40]))
    def user_wants_a_backup(self, what, rounds):
        if what == "ask":
            self.world.ask()
        else:
            self.world.request = None
        self.all_goes_on(rounds)

    @rule(old_data=OLD_DATA, when=st.sampled_from(["at once", "at once", "while a member is down"]))
    def user_says_what_becomes_of_old_data(self, old_data, when):
        if when != "at once":
            self.world.crash(0)
        self.world.old_data = old_data
        self.world.reconcile()

    @rule(size=st.sampled_from([None, None, 1, 3, 5]), paused=st.booleans())
    def user_edits(self, size, paused):
        self.world.edit(size=size or self.world.spec.size, paused=paused)

    # ------------------------------------------------------------------ what goes wrong
    @rule(backup=BACKUPS)
    def store_is_in_trouble(self, backup):
        self.world.kubernetes.backup = backup

    @rule(ordinal=ORDINALS, how=st.sampled_from(["crash", "end", "orphaned", "all end"]))
    def pods_end(self, ordinal, how):
        match how:
            case "crash":
                self.world.crash(ordinal)
            case "end":
                self.world.kill_pod(ordinal)
            case "orphaned" | "all end":
                self.world.kubernetes.delete_object("StatefulSet", orphan=how == "orphaned")

    @rule(ordinal=ORDINALS, how=st.sampled_from(["lost", "silent", "back", "back", "full", "all"]))
    def nodes_are_in_trouble(self, ordinal, how):
        match how:
            case "all":
                self.world.lose_quorum()
            case "lost":
                self.world.lose_node(ordinal)
            case "silent":
                self.world.silence_node(ordinal)
            case "back":
                self.world.kubernetes.revive()
                self.world.kubernetes.full = False
            case "full":
                self.world.kubernetes.full = True

    def teardown(self):
        if hasattr(self, "world"):
            self.world.settle()


@pytest.mark.timeout(900)
def test_a_cluster_is_restored_in_place_at_any_moment(record_property):
    how = settings(stateful_step_count=20, max_examples=RUNS)
    fired = simulate(Epochs, how, record_property)
    assert {rule.__name__ for rule in COVERED} <= fired.keys()
