"""The simulation of TLS finds what it is for: planners from which one guard was taken are caught,
by an invariant or because a cluster does not settle, in a story that the real one is sound in.
"""

import dataclasses

import pytest

from controllers.cluster import listeners, plan
from controllers.cluster.listeners import Phase
from controllers.cluster.plan import tls_switching
from controllers.cluster.plan.steps import AddLearner
from tests.simulation.etcd_process import Broken
from tests.simulation.test_mutants import both, first, with_rule
from tests.simulation.tls_world import TlsWorld
from tests.unit.controllers.cluster.builders import spec


def begun(*, on=False):
    world = TlsWorld(spec(size=3, security={"tls": {"enabled": on}}))
    world.settle()
    world.files_arrive()
    world.wish(client=not on, peer=not on)
    return world


def goes_on(world, rounds=1):
    for _ in range(rounds):
        world.reconcile()
        world.everybody_works()
        world.time_passes(2)


def in_phase(phase, *, on=False):
    """A world in which that phase has just been recorded."""
    world = begun(on=on)
    for _ in range(300):
        change = world.status.tls.change if world.status.tls else None
        if change is not None and change.phase == phase:
            return world
        goes_on(world)
        if change is not None and change.phase == Phase.SERVING:
            world.time_passes(3600)
    raise AssertionError(f"{phase} never begins")


def is_switched_on():
    begun().settle()


def is_switched_off():
    begun(on=True).settle()


def turns_round():
    world = in_phase(Phase.SWITCHING)
    world.turn_round()
    goes_on(world, 20)
    world.settle()


def replaces_a_member():
    """One joins while each has two URLs."""
    world = in_phase(Phase.PREPARING)
    assert world.lose_volume(2)
    goes_on(world, 40)
    world.settle()


def misses_a_member():
    """One that is cut off comes back as it was, before anybody would replace it."""
    world = in_phase(Phase.PREPARING)
    world.silence_node(2)
    goes_on(world, 40)
    world.kubernetes.revive()
    goes_on(world, 5)
    world.settle()


def patched(module, name, value):
    def mutate(patch):
        patch.setattr(module, name, value)

    return mutate


def joins_under_one_url(observed, real):
    step = real(observed)
    return (
        dataclasses.replace(step, peer_urls=step.peer_urls[:1])
        if isinstance(step, AddLearner)
        else step
    )


def undone_in(*phases):
    return patched(tls_switching, "_UNSEEN", frozenset({*tls_switching._UNSEEN, *phases}))


def phases_of_clients(*phases):
    return patched(tls_switching, "_PHASES", {**tls_switching._PHASES, listeners.CLIENT: phases})


def waits_for_nobody(patch):
    for name in ("unrest", "_waits_for_members"):
        patch.setattr(tls_switching, name, lambda observed: "")
    first("switch", before="restart_down")(patch)


def renames_at_the_end(patch):
    """Phases do not wait for other URLs either."""
    real = tls_switching._waits_for_members

    def waits(observed):
        found = real(observed)
        return "" if "peer URLs" in found else found

    patch.setattr(tls_switching, "_waits_for_members", waits)
    rules = [one for one in plan.RULES if one.__name__ != "name_members"]
    at = next(n for n, one in enumerate(rules) if one.__name__ == "switch") + 1
    patch.setattr(plan, "RULES", (*rules[:at], tls_switching.name_members, *rules[at:]))


MUTANTS = {
    "members_have_one_url": (patched(listeners, "_BOTH_NAMED", frozenset()), is_switched_on),
    "members_have_one_url_on_the_way_back": (
        patched(listeners, "_BOTH_NAMED", frozenset()),
        is_switched_off,
    ),
    "members_call_by_tls_too_late": (
        patched(listeners, "_is_being_changed", lambda *_: False),
        is_switched_on,
    ),
    "members_call_by_tls_no_longer": (
        patched(listeners, "_is_being_changed", lambda *_: False),
        is_switched_off,
    ),
    "members_are_named_late": (renames_at_the_end, is_switched_on),
    "clients_are_served_in_one_way": (
        patched(listeners, "_BOTH_SERVED", frozenset()),
        is_switched_on,
    ),
    "clients_are_told_too_early": (
        phases_of_clients(Phase.CERTIFYING, Phase.SERVING, Phase.CLOSING),
        is_switched_on,
    ),
    "undone_while_members_listen_otherwise": (
        both(undone_in(Phase.SWITCHING), first("switch", before="restart_down")),
        turns_round,
    ),
    "joins_under_one_url": (
        with_rule("add_learner", joins_under_one_url),
        replaces_a_member,
    ),
    "a_member_that_is_away_is_not_waited_for": (waits_for_nobody, misses_a_member),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("mutate", "story"), MUTANTS.values(), ids=MUTANTS.keys())
def test_mutant_is_caught(mutate, story, monkeypatch):
    story()

    mutate(monkeypatch)
    with pytest.raises(Broken):
        story()
