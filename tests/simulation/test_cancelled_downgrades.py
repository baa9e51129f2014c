"""A downgrade that is taken back before any template names the older version: etcd's own is
cancelled, and its data becomes what it was, however far it had got.
"""

import pytest

from controllers.cluster.plan import downgrade
from tests.simulation.etcd_process import Broken
from tests.simulation.test_mutants import without
from tests.simulation.test_version_scenarios import Story, runs

NEWER, OLDER = "v3.6.16", "v3.5.35"


def enabled(world):
    return world.etcd.version.downgrade == 5


def data_is_changed(world):
    return world.etcd.version.minor == 5


def is_taken_back_when(reached):
    told = Story(NEWER)
    world = told.world
    world.edit(version=OLDER)
    told.work_until(lambda: reached(world))
    assert world.status.applied_spec["version"] == NEWER
    before = {pod.uid for pod in world.kubernetes.pods.values()}

    world.edit(version=NEWER)
    told.spoke.clear()
    told.work_until(lambda: not enabled(world) and world.etcd.version.minor == 6)
    world.settle()

    assert runs(world) == [NEWER] * 3
    assert {pod.uid for pod in world.kubernetes.pods.values()} == before
    assert downgrade.cancel_downgrade.__name__ in told.spoke
    return world


WHEN = pytest.mark.parametrize("reached", [enabled, data_is_changed])


@WHEN
def test_it_is_cancelled_and_restarts_nobody(reached):
    is_taken_back_when(reached)


@WHEN
def test_it_can_be_wanted_again(reached):
    world = is_taken_back_when(reached)
    world.edit(version=OLDER)
    world.settle()

    assert runs(world) == [OLDER] * 3


@WHEN
def test_a_planner_that_never_cancels_one_is_caught(reached, monkeypatch):
    without("cancel_downgrade")(monkeypatch)
    told = Story(NEWER)
    told.world.edit(version=OLDER)
    told.work_until(lambda: reached(told.world))
    told.world.edit(version=NEWER)

    with pytest.raises(Broken, match="not settled"):
        told.world.settle()
