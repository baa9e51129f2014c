"""The operator under test: its real planner and status, between a model's eyes and hands.

A reconcile can be cut off before it acts, in the middle of what it does, or before it writes
status.  Nothing is kept from one to the next but the caches: each may be by a new process.
"""

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from controllers.cluster import plan as planner
from controllers.cluster.plan.steps import Plan, Wait
from controllers.cluster.status import next_status
from tests.simulation import judge, judge_versions
from tests.simulation.eyes import Eyes
from tests.simulation.hands import Hands

if TYPE_CHECKING:
    from tests.simulation.world import World

# How often each rule of the planner spoke, and what was cut off, over all runs of this process.
FIRED: Counter[str] = Counter()
CUT_OFF: Counter[str] = Counter()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """Where the operator dies in a reconcile; `parts`: so many objects of a step are written."""

    before_act: bool = False
    before_status: bool = False
    parts: int | None = None


NOWHERE = CutOff()


class OperatorModel:
    """Reconciles one world."""

    def __init__(
        self, world: "World", eyes: Eyes | None = None, hands: Hands | None = None
    ) -> None:
        self.world = world
        self._eyes = eyes or Eyes(world)
        self._hands = hands or Hands(world, self._eyes)

    def reconcile(self, cut: CutOff = NOWHERE, *, stale: bool = False) -> Plan:
        """One look and one step.  `stale`: pods and claims as they were at the last look."""
        world = self.world
        observed = self._eyes.observe(stale=stale)
        plan = planner.plan(observed)
        FIRED[plan.rule] += 1
        judge.plan_made(world, observed, plan)
        if cut.before_act:
            CUT_OFF["before it acts"] += 1
            return plan
        outcome = None
        if not isinstance(plan.step, Wait):
            world.judge(observed, plan)
            outcome = self._hands.act(plan.step, observed, cut.parts)
        if cut.before_status or cut.parts is not None:
            CUT_OFF["before it writes status" if cut.parts is None else "within a step"] += 1
        elif not world.gone:
            world.status = next_status(observed, plan, outcome)
            world.was_made_otherwise(plan)
        judge_versions.after_anything(world)
        return plan
