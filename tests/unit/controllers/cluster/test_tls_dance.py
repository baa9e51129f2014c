"""Nobody is cut off while TLS is switched on and off, in whatever order things happen.

At every moment each member that runs can be called by each other one, serves the operator, every
endpoint that clients are told of, and every application that follows within the grace period.  The
operator may end between any two writes, and the user may change his mind at any time.
The mutants show that this can fail: each leaves out one thing that a phase is for, or waits for.
"""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import controllers.cluster.plan as planner
from controllers.cluster import listeners
from controllers.cluster.listeners import Phase
from controllers.cluster.plan import RULES, tls_switching
from controllers.cluster.plan.template import is_rolled_out
from tests.unit.controllers.cluster.dances import assert_caught
from tests.unit.controllers.cluster.tls_world import SIZE, World

pytestmark = pytest.mark.timeout(180)
MEMBERS = st.integers(0, SIZE - 1)
SECRETS = ["db-server-tls", "db-peer-tls", "db-client-tls", "db-operator-tls"]


class Dance(RuleBasedStateMachine):
    @initialize(
        client=st.booleans(), peer=st.booleans(), to=st.tuples(st.booleans(), st.booleans())
    )
    def begins(self, client: bool, peer: bool, to: tuple[bool, bool]) -> None:
        self.world = World(client=client, peer=peer)
        self.user_wishes(*to)

    @rule(client=st.booleans(), peer=st.booleans())
    def user_wishes(self, client: bool, peer: bool) -> None:
        self.wished = client, peer
        self.world.wish(client=client, peer=peer)

    def user_changes_his_mind(self) -> None:
        """About what is just being switched."""
        change, (client, peer) = self.world.change, self.wished
        if change is None:
            return
        if change.listener == listeners.CLIENT:
            self.user_wishes(not change.enabled, peer)
        else:
            self.user_wishes(client, not change.enabled)

    @rule(steps=st.integers(1, 8))
    def operator_works(self, steps: int) -> None:
        for _ in range(steps):
            self.world.step()
            self.nobody_is_cut_off()

    @rule(where=st.sampled_from(["before", "within", "after"]))
    def operator_dies(self, where: str) -> None:
        self.world.step(dies=where)

    @rule()
    def operator_is_restarted(self) -> None:
        self.world.restart_operator()

    @rule()
    def controller_looks(self) -> None:
        self.world.controller_looks()

    @rule(n=MEMBERS)
    def controller_makes_a_pod(self, n: int) -> None:
        self.world.controller_makes(n)

    @rule(n=MEMBERS)
    def container_restarts(self, n: int) -> None:
        self.world.restart(n)

    @rule(n=MEMBERS)
    def pod_is_lost(self, n: int) -> None:
        self.world.pods[n] = None

    @rule(n=st.integers(0, 1))
    def application_looks(self, n: int) -> None:
        self.world.application_looks(n)

    @rule(name=st.sampled_from(SECRETS))
    def secret_is_deleted(self, name: str) -> None:
        self.world.api.objects.pop(name, None)

    @rule(minutes=st.sampled_from([1, 11, 61]))
    def time_passes(self, minutes: int) -> None:
        self.world.time_passes(timedelta(minutes=minutes))

    @rule(phase=st.sampled_from(Phase), turns=st.booleans(), rounds=st.integers(0, 8))
    def things_go_their_way(self, phase: Phase, turns: bool, rounds: int) -> None:
        """A stretch in which nothing goes wrong, until a phase begins if it comes; then one
        application looks, the user may turn round, and it goes on for a while.
        """
        for _ in range(40):
            if self.world.change is not None and self.world.change.phase == phase:
                break
            self.world.round()
            self.nobody_is_cut_off()
        self.world.application_looks(0)
        if turns:
            self.user_changes_his_mind()
        for _ in range(rounds):
            self.world.goes_on()
            self.nobody_is_cut_off()

    @invariant()
    def nobody_is_cut_off(self) -> None:
        if hasattr(self, "world"):
            assert self.world.cut_off() == []

    def teardown(self) -> None:
        """When nothing goes wrong any more it ends: as it was wished last, and in no other way."""
        if not hasattr(self, "world"):
            return
        self.world.settle()
        client, peer = self.wished
        ways = {listeners.scheme(tls=client)}, listeners.scheme(tls=peer)
        for process in self.world.pods.values():
            assert (process.serves, process.listens) == ways
            assert process.calls_by_tls is peer
        for urls in self.world.urls.values():
            assert [url.partition("://")[0] for url in urls] == [listeners.scheme(tls=peer)]
        assert set(self.world.apps) == ways[0]
        assert (self.world.status.authorities is not None) is (client or peer)


Dance.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestDance = Dance.TestCase


def restarted_alone(observed):
    """That members have other peer URLs is not waited for."""
    return "" if is_rolled_out(observed) else "waiting"


def moved(rule, *, behind):
    """The planner with one rule moved behind another."""
    rest = [one for one in RULES if one is not rule]
    at = rest.index(behind) + 1
    return (*rest[:at], rule, *rest[at:])


# Members get other peer URLs when nothing else is to do.
NAMED_LATE = moved(tls_switching.name_members, behind=tls_switching.switch)
# Phases do not come behind the rolls, which are a guard by themselves.
EAGER = moved(tls_switching.switch, behind=tls_switching.name_members)


WITHOUT_OPENING = (Phase.CERTIFYING, Phase.SERVING, Phase.CLOSING)


MUTANTS = {
    "members are not waited for": [
        (tls_switching, "_waits_for_members", lambda _: ""),
        (planner, "RULES", EAGER),
    ],
    "names are not waited for": [
        (tls_switching, "_waits_for_members", restarted_alone),
        (planner, "RULES", NAMED_LATE),
    ],
    "each member has one peer URL": [(listeners, "_BOTH_NAMED", frozenset())],
    "clients are served in one way": [(listeners, "_BOTH_SERVED", frozenset())],
    "members call by TLS too late": [(listeners, "_is_being_changed", lambda *_: False)],
    "clients have no time": [(tls_switching, "_clients_have_until", lambda *_: None)],
    "it is undone while members listen otherwise": [
        (tls_switching, "_UNSEEN", frozenset({*tls_switching._UNSEEN, Phase.SWITCHING})),
        (planner, "RULES", EAGER),
    ],
    "it is undone while clients are served in the new way": [
        (tls_switching, "_UNSEEN", frozenset({*tls_switching._UNSEEN, Phase.SERVING}))
    ],
    "clients are told of what is not served yet": [
        (tls_switching, "_PHASES", {**tls_switching._PHASES, "client": WITHOUT_OPENING})
    ],
}


def test_what_phases_wait_for_is_enough_wherever_their_rule_stands(monkeypatch):
    monkeypatch.setattr(planner, "RULES", EAGER)
    run_state_machine_as_test(Dance, settings=Dance.TestCase.settings)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_cuts_somebody_off(mutant, monkeypatch):
    assert_caught(Dance, MUTANTS[mutant], monkeypatch)
