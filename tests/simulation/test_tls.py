"""TLS is switched on and off while members fail, join and are replaced, and the operator dies.

The invariants are in `judge_tls`, `judge` and in etcd's model; they are checked at every step.
When the faults end, every cluster speaks TLS with whom it was wished last, and with nobody else.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from controllers.cluster.listeners import Phase
from controllers.cluster.plan import certificates, tls_switching
from tests.simulation.coverage import simulate
from tests.simulation.operator_model import CutOff
from tests.simulation.tls_world import TlsWorld
from tests.unit.controllers.cluster.builders import spec

SIZES = st.sampled_from([1, 3, 3, 3, 5])
ORDINALS = st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4])
RUNS = 120
COVERED = {
    certificates.make_authorities,
    certificates.record_authorities,
    certificates.issue_leaves,
    tls_switching.name_members,
    tls_switching.switch,
    tls_switching.wait_for_switch,
}


class Toggles(RuleBasedStateMachine):
    """Switches and faults in any order, between the operator's steps and within them."""

    @initialize(
        size=SIZES,
        version=st.sampled_from(["v3.5.21", "v3.6.16"]),
        was=st.tuples(st.booleans(), st.booleans()),
        wished=st.tuples(st.booleans(), st.booleans()),
    )
    def begin(self, size, version, was, wished):
        client, peer = was
        tls = {"enabled": client, "clientTLSEnabled": client, "peerTLSEnabled": peer}
        self.world = TlsWorld(spec(size=size, version=version, security={"tls": tls}))
        self.world.settle()
        self.world.files_arrive()
        self.world.wish(client=wished[0], peer=wished[1])

    # ------------------------------------------------------------------ everybody's work
    @rule(rounds=st.integers(1, 12), pick=st.integers(0, 3), seconds=st.sampled_from([2, 2, 100]))
    def all_goes_on(self, rounds, pick, seconds):
        for _ in range(rounds):
            self.world.reconcile()
            self.world.everybody_works(pick)
            self.world.time_passes(seconds)

    @rule(phase=st.sampled_from(Phase), turns=st.booleans())
    def a_phase_begins(self, phase, turns):
        """If it comes soon; then the user may turn round."""
        for _ in range(40):
            change = self.world.status.tls.change if self.world.status.tls else None
            if change is not None and change.phase == phase:
                break
            self.all_goes_on(1, 0, 2)
        else:
            self.world.time_passes(3600)
        if turns:
            self.world.turn_round()

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
        self.world.kubernetes_works(stale=stale)

    @rule(pick=st.integers(0, 4))
    def etcd_works(self, pick):
        self.world.etcd.tick(pick)

    @rule(seconds=st.sampled_from([6, 100, 3600]))
    def time_passes(self, seconds):
        self.world.time_passes(seconds)

    @rule(everywhere=st.booleans())
    def client_writes(self, everywhere):
        self.world.etcd.write(everywhere=everywhere)

    # ------------------------------------------------------------------ the user
    @rule(client=st.booleans(), peer=st.booleans())
    def user_switches_tls(self, client, peer):
        self.world.wish(client=client, peer=peer)

    @rule(size=st.sampled_from([0, 1, 3, 3, 5]))
    def user_resizes(self, size):
        self.world.edit(size=size)

    @rule(number=st.integers(1, 9))
    def user_asks_for_a_restart(self, number):
        self.world.restart_asked = str(number)

    @rule(ordinal=ORDINALS)
    def user_asks_for_replacement(self, ordinal):
        self.world.ask_to_replace(ordinal, on_pod=False)

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

    @rule(ordinal=ORDINALS, how=st.sampled_from(["emptied", "corrupt", "volume", "node"]))
    def data_is_lost(self, ordinal, how):
        match how:
            case "emptied":
                self.world.empty_volume(ordinal)
            case "corrupt":
                self.world.corrupt(ordinal, noticed=True)
            case "volume":
                self.world.lose_volume(ordinal)
            case "node":
                self.world.lose_node(ordinal)

    @rule(ordinal=ORDINALS, back=st.booleans())
    def node_falls_silent(self, ordinal, back):
        if back:
            self.world.kubernetes.revive()
        else:
            self.world.silence_node(ordinal)

    @rule(full=st.booleans(), slow=st.booleans())
    def new_pods_are_in_trouble(self, full, slow):
        self.world.kubernetes.full = full
        self.world.etcd.slow = slow

    @rule(kind=st.sampled_from(["ConfigMap", "StatefulSet"]), orphan=st.booleans())
    def object_is_deleted(self, kind, orphan):
        self.world.kubernetes.delete_object(kind, orphan=orphan)

    def teardown(self):
        if hasattr(self, "world"):
            self.world.settle()


@pytest.mark.timeout(600)
def test_tls_is_switched_while_the_cluster_serves(record_property):
    how = settings(stateful_step_count=30, max_examples=RUNS)
    fired = simulate(Toggles, how, record_property)
    assert {rule.__name__ for rule in COVERED} <= fired.keys()
