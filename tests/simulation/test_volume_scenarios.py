"""Changes of volumes in which something happens at just the wrong moment: too rare for chance.

The same world and the same invariants as in test_volumes.
"""

import pytest

from api.quantity import parse_quantity
from api.reasons import Reason
from controllers.cluster.plan import joining
from tests.simulation.etcd_process import Broken
from tests.simulation.storage_model import FAST, STANDARD
from tests.simulation.volume_world import VolumeWorld
from tests.unit.controllers.cluster.builders import spec


def somebody_is_to_move():
    """A cluster at the one step after which the decision can still be taken back."""
    storage = {"size": "1Gi", "storageClassName": STANDARD, "migrationPolicy": "Replace"}
    world = VolumeWorld(spec(size=3, storage=storage))
    world.settle()
    world.files_arrive()
    world.edit_storage(size=parse_quantity("4Gi"), storage_class_name=FAST)
    for _ in range(30):
        world.reconcile()
        if world.status.joining is not None:
            return world
        world.everybody_works()
        world.time_passes(2)
    raise AssertionError("nobody is to move")


def policy_is_taken_back():
    world = somebody_is_to_move()
    world.edit_storage(migration_policy="Refuse")
    world.settle()
    return world


def test_decision_to_move_is_taken_back_with_the_policy():
    world = policy_is_taken_back()

    reasons = {condition.type: condition.reason for condition in world.status.conditions}
    assert world.status.joining is None
    assert reasons["UpToDate"] == Reason.VOLUMES_DIFFER


def test_planner_whose_decision_is_final_is_caught(monkeypatch):
    monkeypatch.setattr(joining, "_stays", lambda *_: "")

    with pytest.raises(Broken, match="the policy is Refuse"):
        policy_is_taken_back()
