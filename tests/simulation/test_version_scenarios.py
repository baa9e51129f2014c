"""Changes of version in which something happens at just the wrong moment: too rare for chance.

The same world and the same invariants as in test_versions.
"""

from controllers.cluster.plan import downgrade, prepare, upgrade
from tests.simulation.world import World
from tests.unit.controllers.cluster.builders import spec


def test_older_version_is_not_put_back_too_late():
    """Between the record and the template the last member that runs it comes back on the newer one:
    too rare for chance to find.
    """
    world = World(spec(size=3, version="v3.5.35"))
    world.settle()
    world.files_arrive()
    world.edit(version="v3.6.16")
    work_until(world, lambda: runs(world) == ["v3.5.35", "v3.6.16", "v3.6.16"])
    world.edit(version="v3.5.35")
    work_until(world, lambda: world.status.applied_spec["version"] == "v3.5.35", at_once=True)

    for pod in list(world.kubernetes.pods.values()):
        if pod.template.version == "v3.5.35":
            world.kill_pod(pod.ordinal)
    for _ in range(8):
        world.everybody_works()
        world.time_passes(2)
    rule = world.reconcile().rule
    world.settle()

    assert rule == downgrade.stay_newer.__name__
    assert runs(world) == ["v3.5.35"] * 3


class Story:
    """A cluster of three, and the rules that speak while it goes on."""

    def __init__(self, version):
        self.world = World(spec(size=3, version=version))
        self.world.settle()
        self.world.files_arrive()
        self.spoke = set()

    def work_until(self, reached):
        for _ in range(150):
            self.spoke.add(self.world.reconcile().rule)
            if reached():
                return
            self.world.everybody_works()
            self.world.time_passes(2)
        raise AssertionError("it is not reached")

    def said(self, rule):
        return lambda: rule.__name__ in self.spoke


def test_downgrade_is_cancelled_for_who_has_to_join():
    story = Story("v3.6.16")
    story.world.edit(version="v3.5.35")
    story.work_until(lambda: story.world.etcd.version.downgrade == 5)
    story.world.empty_volume(2)
    story.work_until(story.said(downgrade.cancel_for_joining))
    story.world.settle()

    assert runs(story.world) == ["v3.5.35"] * 3


def test_template_goes_back_for_who_has_to_join_while_nobody_runs_the_older_version():
    story = Story("v3.6.16")
    world = story.world
    world.edit(version="v3.5.35")
    story.work_until(lambda: world.status.applied_spec["version"] == "v3.5.35")
    world.ask_to_replace(2, on_pod=False)
    story.work_until(story.said(downgrade.retreat))
    world.settle()

    assert runs(world) == ["v3.5.35"] * 3


def test_nobody_goes_on_to_what_is_about_to_be_put_back():
    story = Story("v3.5.35")
    world = story.world
    world.edit(version="v3.6.16")
    story.work_until(lambda: runs(world) == ["v3.5.35", "v3.5.35", "v3.6.16"])
    world.kubernetes.registry.missing = True
    world.edit(version="v3.5.34")
    story.work_until(story.said(upgrade.hold))
    before = runs(world)
    for _ in range(60):
        world.reconcile()
        world.everybody_works()
        world.time_passes(2)
    assert runs(world) == before
    world.settle()

    assert runs(world) == ["v3.5.34"] * 3


def test_data_that_can_not_be_compared_does_not_hold_it_up_for_ever():
    story = Story("v3.5.35")
    story.world.etcd.compacting = True
    story.world.edit(version="v3.6.16")
    story.work_until(lambda: runs(story.world) == ["v3.6.16"] * 3)

    assert prepare.give_up_comparing.__name__ in story.spoke


def test_what_3_5_wrote_is_left_behind_before_3_7():
    story = Story("v3.5.35")
    story.world.edit(version="v3.7.3")
    story.work_until(lambda: runs(story.world) == ["v3.7.3"] * 3)

    assert prepare.leave_old_entries_behind.__name__ in story.spoke


def runs(world):
    return sorted(pod.template.version for pod in world.kubernetes.pods.values())


def work_until(world, reached, *, at_once=False):
    """`at_once`: nobody but the operator does anything after the step that reaches it."""
    for _ in range(100):
        world.reconcile()
        if at_once and reached():
            return
        world.everybody_works()
        world.time_passes(2)
        if reached():
            return
    raise AssertionError("it is not reached")
