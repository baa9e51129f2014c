"""The simulation of resources finds what it is for: planners from which one guard was taken are
caught, by an invariant or because a cluster does not settle, in a story that the real one is sound
in.
"""

import pytest

from api.labels import NOT_RESIZED_ANNOTATION
from controllers.cluster.plan import edits, resize, resources, roll, template
from tests.simulation.etcd_process import Broken
from tests.simulation.resize_model import DEFERRED, GIVEN, INFEASIBLE, TOO_LITTLE
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec

NOTHING = {}
LESS = {"requests": {"memory": "256Mi"}, "limits": {"memory": "512Mi"}}
MORE = {"requests": {"memory": "512Mi"}, "limits": {"memory": "1Gi"}}
WITH_CPU = {"requests": {"memory": "256Mi", "cpu": "1"}, "limits": {"memory": "512Mi"}}


def begun(first, **fields):
    world = World(spec(size=3, resources=first, **fields))
    world.settle()
    return world


def wants(world, wanted, answer):
    world.kubernetes.resizes = answer
    world.edit(resources=spec(resources=wanted).resources)


def goes_on(world, rounds=15, until=lambda: False):
    for _ in range(rounds):
        if until():
            return
        world.reconcile()
        world.everybody_works()
        world.time_passes(2)


def is_resized(first, wanted, answer):
    """The resources of all members change."""

    def story():
        world = begun(first)
        wants(world, wanted, answer)
        world.settle()

    return story


def is_told_otherwise_after_a_refusal():
    """One was refused other resources, and the template is again the one that made it."""
    world = begun(NOTHING)
    wants(world, LESS, INFEASIBLE)
    pods = world.kubernetes.pods.values()
    goes_on(world, until=lambda: any(NOT_RESIZED_ANNOTATION in pod.notes for pod in pods))
    wants(world, NOTHING, GIVEN)
    world.settle()


def is_refused_what_it_was_made_with():
    """All were given less, and can't have back in place what their own template names."""
    world = begun(MORE)
    wants(world, LESS, GIVEN)
    world.settle()
    wants(world, MORE, INFEASIBLE)
    world.settle()


def is_given_too_little():
    """What ends the first of them leaves the others."""
    world = begun(LESS)
    wants(world, {"requests": {"memory": TOO_LITTLE}, "limits": {"memory": TOO_LITTLE}}, GIVEN)
    goes_on(world)
    wants(world, MORE, GIVEN)
    world.settle()


def is_run_by_a_newer_operator():
    world = World(spec(size=3))
    world.older_operator = True
    world.settle()
    goes_on(world)


def is_edited_outside_of_its_window():
    """The simulation begins at noon, UTC."""
    world = begun(LESS, maintenanceWindows=[{"schedule": "0 13 * * *", "duration": "1h"}])
    wants(world, MORE, GIVEN)
    world.settle()


def always(answer, *places):
    """The planner in which these questions always have this answer."""

    def mutate(patch):
        for room, name in places:
            patch.setattr(room, name, lambda *_: answer)

    return mutate


def refused_by_another_template_is_forgotten(patch):
    def kept(_, pod, revision):
        return pod.annotations.get(NOT_RESIZED_ANNOTATION) == revision

    patch.setattr(template, "keeps_refused", kept)


def refused_by_the_newest_template_is_forgotten(patch):
    real = resources.keeps_refused
    patch.setattr(template, "keeps_refused", lambda observed, pod, _: real(observed, pod, ""))


MUTANTS = {
    "refused_by_another_template_is_forgotten": (
        refused_by_another_template_is_forgotten,
        is_told_otherwise_after_a_refusal,
    ),
    "refused_by_the_newest_template_is_forgotten": (
        refused_by_the_newest_template_is_forgotten,
        is_refused_what_it_was_made_with,
    ),
    "all_are_resized_at_once": (always(True, (resize, "_is_next")), is_given_too_little),
    "what_is_on_its_way_is_there": (
        always((), (resize, "resizing"), (roll, "resizing")),
        is_resized(LESS, MORE, DEFERRED),
    ),
    "node_is_waited_for_in_vain": (
        always(False, (resize, "_is_hopeless")),
        is_resized(LESS, MORE, INFEASIBLE),
    ),
    "restarted_for_resources": (
        always(False, (resize, "is_resizable"), (roll, "is_resizable")),
        is_resized(LESS, MORE, GIVEN),
    ),
    "what_is_named_no_more_stays": (
        always(False, (resize, "loses_any"), (resources, "loses_any")),
        is_resized(WITH_CPU, MORE, GIVEN),
    ),
    "newer_operator_asks_nobody": (always(True, (edits, "is_open")), is_run_by_a_newer_operator),
    "windows_are_not_waited_for": (
        always(True, (edits, "may_restart")),
        is_edited_outside_of_its_window,
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("mutate", "story"), MUTANTS.values(), ids=MUTANTS.keys())
def test_mutant_is_caught(mutate, story, monkeypatch):
    story()

    mutate(monkeypatch)
    with pytest.raises(Broken):
        story()
