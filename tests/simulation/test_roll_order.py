"""Who is restarted when, and that the simulation finds a planner which takes another order.

Each mutant goes through a story in which that order is all that keeps an invariant, or the cluster
from settling; the real planner ends the same story well.
"""

import pytest

from controllers.cluster.plan import roll
from controllers.cluster.plan.steps import DeletePod, MoveLeader
from tests.simulation.etcd_process import Broken
from tests.simulation.test_version_scenarios import Story
from tests.unit.controllers.cluster.builders import spec


def begun():
    return Story("v3.6.16").world


def relabelled(world):
    template = spec(podTemplate={"metadata": {"labels": {"team": "a"}}}).pod_template
    world.edit(pod_template=template)


def turns(world):
    """The steps of the roll, in their order, until the cluster has settled."""
    taken = []
    for _ in range(100):
        plan = world.reconcile()
        if isinstance(plan.step, DeletePod):
            taken.append(plan.step.name)
        if isinstance(plan.step, MoveLeader):
            taken.append(f"{plan.step.leader} hands over")
        if world.is_settled(plan):
            return taken
        world.everybody_works()
        world.time_passes(2)
    raise Broken(f"not settled; the steps were {taken}")


def leader(world):
    return world.etcd.entries[world.etcd.leader].ordinal


def test_followers_go_first_and_the_leader_hands_over_before_its_turn():
    world = begun()
    last = f"db-{leader(world)}"
    relabelled(world)

    taken = turns(world)

    assert taken[2:] == [f"{last} hands over", last]
    assert len(set(taken[:2])) == 2


def test_who_is_unwell_comes_before_everybody_else():
    world = begun()
    (unwell, *_) = {0, 1, 2} - {leader(world)}
    world.fail_probe(unwell)
    relabelled(world)

    assert turns(world)[0] == f"db-{unwell}"


# ------------------------------------------------------------------ stories for mutants
def is_relabelled():
    world = begun()
    relabelled(world)
    world.settle()


def is_relabelled_for_who_is_unwell():
    """The new template is what helps it."""
    world = begun()
    (unwell, *_) = {0, 1, 2} - {leader(world)}
    world.fail_probe(unwell)
    relabelled(world)
    world.settle()


def is_relabelled_while_one_catches_up():
    """It was away while much was written, and serves again before it has all of that."""
    world = begun()
    (away, *_) = {0, 1, 2} - {leader(world)}
    world.silence_node(away)
    world.etcd.advance_log(5000)
    world.kubernetes.revive()
    relabelled(world)
    for _ in range(10):
        world.reconcile()
        world.kubernetes_works()
    world.settle()


def order(key):
    def mutate(patch):
        patch.setattr(roll, "_order", key)

    return mutate


def who_lags_is_counted_on(patch):
    patch.setattr(roll, "caught_up", lambda *_: True)


MUTANTS = {
    "leader_goes_first": (
        order(lambda view: (view.healthy, view.role != "leader", -view.ordinal)),
        is_relabelled,
    ),
    "leader_goes_like_others": (order(lambda view: (view.healthy, view.ordinal)), is_relabelled),
    "who_is_unwell_goes_last": (
        order(lambda view: (not view.healthy, view.role == "leader", -view.ordinal)),
        is_relabelled_for_who_is_unwell,
    ),
    "who_lags_is_counted_on": (who_lags_is_counted_on, is_relabelled_while_one_catches_up),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("mutate", "story"), MUTANTS.values(), ids=MUTANTS.keys())
def test_mutant_is_caught(mutate, story, monkeypatch):
    story()

    mutate(monkeypatch)
    with pytest.raises(Broken):
        story()
