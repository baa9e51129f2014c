"""Nobody is cut off while whose authorities sign changes, in whatever order things happen: the
operator's become the user's, another one of theirs, and the operator's again; minds change midway.

As in `test_rotation_dance`, it may end between any two writes, and mutants show that this can fail.
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
)

from controllers.cluster.certificates import due, issue, trust
from controllers.cluster.certificates.trust import Trust, recorded
from controllers.cluster.plan import rotation_waits
from tests.unit.controllers.cluster.dances import assert_caught
from tests.unit.controllers.cluster.owner_world import (
    MEMBERS,
    WEB,
    OwnerWorld,
    members,
    print_of,
    web,
)

pytestmark = pytest.mark.timeout(180)
WISHES = {"": {}, "client": WEB, "peer": MEMBERS, "client and peer": {**WEB, **MEMBERS}}
NAMES = st.sampled_from(["one", "two"])
ORDINALS = st.integers(0, 2)


class Dance(RuleBasedStateMachine):
    @initialize(first=st.sampled_from(sorted(WISHES)), reachable=st.booleans())
    def begins(self, first: str, reachable: bool) -> None:
        self.world = OwnerWorld()
        self.world.reachable = reachable
        self.world.controller_looks()
        self.offered = {}
        self.user_writes(client="one", peer="one")
        self.user_edits(first)

    @rule(wish=st.sampled_from(sorted(WISHES)))
    def user_edits(self, wish: str) -> None:
        self.wish = wish
        self.world.edit(**WISHES[wish])

    @rule(client=NAMES, peer=NAMES)
    def user_writes(self, client: str, peer: str) -> None:
        self.offered = {"client": client, "peer": peer}
        self.world.put(web(client))
        self.world.put(members(peer))

    @rule(steps=st.integers(1, 4))
    def operator_works(self, steps: int) -> None:
        for _ in range(steps):
            self.world.step()
            assert self.world.cut_off() == []

    @rule(written=st.integers(0, 2))
    def operator_dies(self, written: int) -> None:
        self.world.step(dies_after=written)

    @rule()
    def operator_is_restarted(self) -> None:
        self.world.restart_operator()

    @rule()
    def controller_looks(self) -> None:
        self.world.controller_looks()

    @rule(stale=st.booleans())
    def controller_makes_pods(self, stale: bool) -> None:
        for n in range(3):
            self.world.controller_makes(n, stale=stale)

    @rule(n=ORDINALS)
    def container_restarts(self, n: int) -> None:
        self.world.restart(n)

    @rule(n=ORDINALS)
    def pod_is_lost(self, n: int) -> None:
        self.world.pods[n] = None

    @rule(n=ORDINALS)
    def kubelet_looks(self, n: int) -> None:
        self.world.kubelet_looks(n)

    @rule(n=st.integers(0, 1))
    def application_looks(self, n: int) -> None:
        self.world.application_looks(n)

    @rule(minutes=st.sampled_from([1, 11, 61]))
    def time_passes(self, minutes: int) -> None:
        self.world.time_passes(timedelta(minutes=minutes))

    @rule(steps=st.integers(4, 24))
    def things_go_their_way(self, steps: int) -> None:
        """A stretch in which nothing goes wrong, so that later phases are reached as well."""
        for _ in range(steps):
            self.world.step()
            self.world.controller_looks()
            for n in range(3):
                self.world.controller_makes(n, stale=False)
            assert self.world.cut_off() == []

    @invariant()
    def nobody_is_cut_off(self) -> None:
        if hasattr(self, "world"):
            assert self.world.cut_off() == []

    def teardown(self) -> None:
        """When nothing goes wrong any more it ends: with whom the user wants, and those alone."""
        if not hasattr(self, "world"):
            return
        self.world.time_passes(timedelta(minutes=6))
        self.world.settle()
        self.world.time_passes(timedelta(minutes=6))
        self.world.settle()
        after = self.world.authorities
        assert after.rotation is None
        for role, name in trust.NAMES.items():
            is_theirs = name in self.wish
            fingerprint = recorded(after, role)
            if after.given is not None:
                assert (name in after.given) is is_theirs
            assert (fingerprint == print_of(self.offered[name])) is is_theirs
            for process in self.world.pods.values():
                assert process.trusts[role] == {fingerprint}


Dance.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestDance = Dance.TestCase


def in_one_step(authorities, role):
    """The old authority is dropped where the next one comes in."""
    found = REAL_TRUST(authorities, role)
    bundle = found.bundle[1:] if len(found.bundle) > 1 else found.bundle
    return Trust(signer=found.signer, bundle=bundle, mounted=found.mounted)


REAL_TRUST = trust.trust_of
MUTANTS = {
    "there is one bundle only": [
        (module, "trust_of", in_one_step) for module in (trust, due, issue)
    ],
    "members are not waited for to show": [(rotation_waits, "_waits_for_members", lambda *_: "")],
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_cuts_somebody_off(mutant, monkeypatch):
    assert_caught(Dance, MUTANTS[mutant], monkeypatch)
