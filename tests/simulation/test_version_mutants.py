"""The simulation of versions finds what it is for: planners without one guard are caught.

Each mutant is the real planner but for one decision, and goes through a story in which that guard
is all that keeps an invariant; the real planner ends the same story well.
"""

import pytest

from controllers.cluster.plan import downgrade, prepare, progress, roll, upgrade, versions
from controllers.cluster.plan.version_steps import RecordUpgrade
from tests.simulation.etcd_process import Broken
from tests.simulation.test_mutants import with_rule, without
from tests.simulation.test_version_scenarios import Story, runs
from tests.unit.controllers.cluster.builders import spec


def goes_from(source, target):
    def story():
        world = Story(source).world
        world.edit(version=target)
        world.settle()

    return story


def is_relabelled():
    world = Story("v3.6.16").world
    template = spec(podTemplate={"metadata": {"labels": {"team": "a"}}}).pod_template
    world.edit(pod_template=template)
    world.kubernetes.image_missing = True
    for _ in range(10):
        world.reconcile()
        world.everybody_works()
        world.time_passes(2)
    world.settle()


def turns_to(version, *, with_image=True):
    """Half-way to 3.6.16 the user wants something else."""

    def story():
        told = Story("v3.5.35")
        world = told.world
        world.edit(version="v3.6.16")
        told.work_until(lambda: runs(world) == ["v3.5.35", "v3.5.35", "v3.6.16"])
        world.kubernetes.registry.missing = not with_image
        world.edit(version=version)
        for _ in range(60):
            world.reconcile()
            world.everybody_works()
            world.time_passes(2)
        world.settle()

    return story


def turns_up_from_a_prepared_downgrade():
    told = Story("v3.6.16")
    told.world.edit(version="v3.5.35")
    told.work_until(lambda: told.world.etcd.version.minor == 5)
    told.world.edit(version="v3.7.3")
    told.world.settle()


def wants_an_older_one_in_trouble():
    told = Story("v3.6.16")
    told.world.kill_pod(2)
    told.world.kubernetes.image_missing = True
    told.world.everybody_works()
    told.world.edit(version="v3.5.35")
    for _ in range(10):
        told.world.reconcile()
        told.world.everybody_works()
    told.world.settle()


def always(value, *places):
    """The planner that takes one thing for granted wherever it asks."""

    def mutate(patch):
        for room, name in places:
            patch.setattr(room, name, lambda *_: value)

    return mutate


def believed_without_a_probe(observed, real):
    step, going = real(observed), observed.status.upgrade
    if step is None or going is None:
        return step
    return RecordUpgrade(upgrade=going.model_copy(update={"probed": True}), why="the tag says so")


MUTANTS = {
    "taken_before_the_data_fits": (
        always(
            True,
            (progress, "has_settled"),
            (prepare, "starts_everywhere"),
            (downgrade, "starts_everywhere"),
        ),
        goes_from("v3.6.16", "v3.5.35"),
    ),
    "taken_before_the_log_is_snapshotted": (
        always(False, (progress, "leaves_v2_entries"), (prepare, "leaves_v2_entries")),
        goes_from("v3.5.35", "v3.7.3"),
    ),
    "taken_before_the_probe": (
        with_rule("make_probe", believed_without_a_probe),
        goes_from("v3.5.35", "v3.6.16"),
    ),
    "taken_over_the_data_of_a_downgrade": (
        always(True, (progress, "starts_everywhere"), (prepare, "starts_everywhere")),
        turns_up_from_a_prepared_downgrade,
    ),
    "gates_are_for_the_template": (
        always(None, (versions, "_check_those_between")),
        turns_to("v3.6.1"),
    ),
    "all_are_restarted_at_once": (always(True, (roll, "_can_spare")), is_relabelled),
    "leadership_is_not_moved": (always(None, (roll, "_heir")), is_relabelled),
    "others_go_on_while_one_is_put_back": (without("hold"), turns_to("v3.5.34", with_image=False)),
    "putting_back_is_not_recognised": (
        always(False, (prepare, "puts_back"), (progress, "puts_back"), (upgrade, "puts_back")),
        turns_to("v3.5.35"),
    ),
    "trouble_opens_every_gate": (
        always(
            True,
            (upgrade, "starts_everywhere"),
            (upgrade, "puts_back"),
            (downgrade, "starts_everywhere"),
        ),
        wants_an_older_one_in_trouble,
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("mutate", "story"), MUTANTS.values(), ids=MUTANTS.keys())
def test_mutant_is_caught(mutate, story, monkeypatch):
    story()

    mutate(monkeypatch)
    with pytest.raises(Broken):
        story()
