"""Whose authorities sign the certificates of a running cluster becomes somebody else: step by step,
from any state, and whoever dies or changes their mind meanwhile.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.controllers.cluster.owner_world import (
    WEB,
    OwnerWorld,
    members,
    print_of,
    web,
)


def go(world, until=lambda _: False, steps=300):
    """Everything goes its way, and nobody is ever cut off, until that holds or all is settled."""
    for _ in range(steps):
        planned = world.step()
        assert world.cut_off() == []
        world.controller_looks()
        for n in range(3):
            world.controller_makes(n, stale=False)
        if until(world):
            return
        if planned.rule.startswith("wait"):
            world.time_passes(timedelta(minutes=10))
        if planned.rule == "settled":
            assert until(world) in {None, False}
            return
    raise AssertionError(world.rules[-20:])


@pytest.fixture
def world():
    made = OwnerWorld()
    made.put(web("one"))
    made.put(members("one"))
    return made


def test_operator_finds_its_way_back_to_its_own_certificate(world):
    """The one that it had before is of another time: it does not know what members show now."""
    world.edit(**WEB)
    go(world)
    world.put(web("two"))
    world.time_passes(timedelta(minutes=6))
    go(world)
    assert world.authorities.client == print_of("two")

    world.edit()
    go(world)

    assert world.authorities.given == ()
