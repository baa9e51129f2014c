"""Another image, by its version or its repository: nobody is touched before a probe has reported
it, and as long as it can't be had, or is not what its tag says, nobody is touched at all.
"""

import pytest

from controllers.cluster.plan import probe
from tests.simulation.test_version_scenarios import Story, runs

MIRROR = "registry.example/etcd"
EDITS = pytest.mark.parametrize(
    "edit",
    [{"version": "v3.6.16"}, {"version": "v3.5.36"}, {"repository": MIRROR}],
    ids=["minor", "patch", "repository"],
)
TROUBLE = pytest.mark.parametrize(
    "trouble", [{"missing": True}, {"instead": "3.6.1"}], ids=["missing", "another"]
)


def images(world):
    return {pod.template.image for pod in world.kubernetes.pods.values()}


def uids(world):
    return {pod.uid for pod in world.kubernetes.pods.values()}


def stops(story, trouble, edit):
    """The edit is refused with the probe's words, and not taken up however long one waits."""
    world = story.world
    before = uids(world)
    for name, value in trouble.items():
        setattr(world.kubernetes.registry, name, value)
    world.edit(**edit)
    story.work_until(story.said(probe.refuse_image))
    for _ in range(100):
        world.reconcile()
        world.everybody_works()
        world.time_passes(5)
    assert uids(world) == before


@EDITS
def test_it_is_rolled_out_once_it_is_probed(edit):
    story = Story("v3.5.35")
    story.world.edit(**edit)
    story.work_until(story.said(probe.make_probe))
    story.world.settle()

    wanted = story.world.spec
    assert images(story.world) == {f"{wanted.repository}:{wanted.version}"}


@TROUBLE
@EDITS
def test_nobody_is_touched_by_one_that_is_not_what_it_should_be(edit, trouble):
    story = Story("v3.5.35")
    stops(story, trouble, edit)

    # It is tried again, in case it was the registry.
    story.world.settle()
    wanted = story.world.spec
    assert images(story.world) == {f"{wanted.repository}:{wanted.version}"}


@TROUBLE
@EDITS
def test_taken_back_it_has_touched_nobody(edit, trouble):
    story = Story("v3.5.35")
    world = story.world
    before = uids(world)
    stops(story, trouble, edit)

    world.take_edit_back()
    world.settle()

    assert (uids(world), runs(world)) == (before, ["v3.5.35"] * 3)
