"""Nobody is cut off while authorities are replaced, in whatever order things happen.

At every moment each member lets each other one in and trusts it, so do members and applications
whose copies are no older than they may be, and the operator.  It may end between any two writes.
The mutants show that this can fail: each leaves out one thing that a phase waits for.
"""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import controllers.cluster.plan as planner
from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.certificates import due, issue, trust
from controllers.cluster.certificates.facts import AUTHORITIES
from controllers.cluster.certificates.trust import Trust, recorded
from controllers.cluster.plan import RULES, roll, rotation_waits
from tests.unit.controllers.cluster.dances import assert_caught
from tests.unit.controllers.cluster.rotation_world import World

pytestmark = pytest.mark.timeout(180)
MEMBERS = st.integers(0, 2)


class Dance(RuleBasedStateMachine):
    @initialize(asked=st.sampled_from(["client", "peer", "all"]), reachable=st.booleans())
    def begins(self, asked: str, reachable: bool) -> None:
        self.world = World()
        self.world.reachable = reachable
        self.world.controller_looks()
        self.world.asked = self.asked = asked
        self.before = self.world.authorities

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

    @rule(n=MEMBERS)
    def container_restarts(self, n: int) -> None:
        self.world.restart(n)

    @rule(n=MEMBERS)
    def pod_is_lost(self, n: int) -> None:
        self.world.pods[n] = None

    @rule(n=MEMBERS)
    def kubelet_looks(self, n: int) -> None:
        self.world.kubelet_looks(n)

    @rule(n=st.integers(0, 1))
    def application_looks(self, n: int) -> None:
        self.world.application_looks(n)

    @rule(name=st.sampled_from(["db-server-tls", "db-peer-tls", "db-client-tls"]))
    def secret_is_deleted(self, name: str) -> None:
        self.world.api.objects.pop(name, None)

    @rule(minutes=st.sampled_from([1, 11, 61]))
    def time_passes(self, minutes: int) -> None:
        self.world.time_passes(timedelta(minutes=minutes))

    @precondition(lambda self: self.world.authorities.rotation is None)
    @rule(asked=st.sampled_from(["client", "peer", "all"]))
    def is_asked_again(self, asked: str) -> None:
        self.world.asked = self.asked = asked
        self.before = self.world.authorities

    @rule()
    def things_go_their_way(self) -> None:
        """A stretch in which nothing goes wrong, so that later phases are reached as well."""
        for _ in range(12):
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
        """When nothing goes wrong any more it ends: other authorities, and those alone."""
        if not hasattr(self, "world"):
            return
        self.world.settle()
        after, names = self.world.authorities, trust.NAMES.items()
        assert after.rotation is None
        replaced = {
            name for role, name in names if recorded(after, role) != recorded(self.before, role)
        }
        assert replaced == ({"client", "peer"} if self.asked == "all" else {self.asked})
        look = self.world.look()
        for role in AUTHORITIES:
            secret = look.certificates.facts[role]
            assert secret.certificate.fingerprint == recorded(after, role)
            assert secret.next is None
        for process in self.world.pods.values():
            for role, trusted in process.trusts.items():
                if trust.NAMES[role] in replaced:
                    assert trusted == {recorded(after, role)}


Dance.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestDance = Dance.TestCase


def at_once(authorities: AuthorityStatus, role):
    """The next authority signs as soon as it is trusted by the first."""
    found = REAL(authorities, role)
    current = authorities.rotation
    if current is None or current.phase != "Trusting" or current.authority != trust.NAMES[role]:
        return found
    return Trust(signer=current.next, bundle=found.bundle, mounted=found.mounted)


def in_one_step(authorities: AuthorityStatus, role):
    """The old authority is dropped where the next one comes in."""
    found = REAL(authorities, role)
    both = len(found.bundle) > 1
    bundle = found.bundle[1:] if both else found.bundle
    return Trust(signer=found.signer, bundle=bundle, mounted=found.mounted)


REAL = trust.trust_of
MUTANTS = {
    "members are not waited for to trust": [
        (rotation_waits, "_waits_for_trust", lambda *_: ""),
        (planner, "RULES", tuple(sorted(RULES, key=lambda rule: rule is roll.restart_next))),
    ],
    "members are not waited for to show": [(rotation_waits, "_waits_for_members", lambda *_: "")],
    "kubelet is not waited for": [(rotation_waits, "_SURELY_MOUNTED", timedelta(0))],
    "applications have no time": [
        (rotation_waits, "applications_have_until", lambda *_: None),
    ],
    "the next one signs too early": [
        (module, "trust_of", at_once) for module in (trust, due, issue)
    ],
    "there is one bundle only": [
        (module, "trust_of", in_one_step) for module in (trust, due, issue)
    ],
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_cuts_somebody_off(mutant, monkeypatch):
    assert_caught(Dance, MUTANTS[mutant], monkeypatch)
