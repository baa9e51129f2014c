"""Runs a state machine and tells what it has covered: runs, steps, cuts, and the planner's rules.

The summary goes to the test's properties, from where conftest.py prints it at the end of the run.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.simulation.operator_model import CUT_OFF, FIRED

# A run that does not settle takes long, and shrinking it makes hundreds of them.
_PHASES = (Phase.explicit, Phase.generate)
# The same runs each time, so that a commit is judged by what it changes: other ones are looked for
# with HYPOTHESIS_PROFILE=nightly.
_SAME_RUNS = os.environ.get("HYPOTHESIS_PROFILE") != "nightly"


def simulate(
    machine: type[RuleBasedStateMachine],
    how: settings,
    record_property: Callable[[str, object], None],
) -> Counter[str]:
    """Run the machine; return how often each rule of the planner spoke meanwhile."""
    runs: Counter[str] = Counter()

    class Counted(machine):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__()
            runs["runs"] += 1

    Counted.__name__ = Counted.__qualname__ = machine.__name__
    fired, cut_off = FIRED.copy(), CUT_OFF.copy()
    how = settings(how, phases=_PHASES, derandomize=_SAME_RUNS, database=None)
    try:
        run_state_machine_as_test(Counted, settings=how)
    finally:
        fired, cut_off = FIRED - fired, CUT_OFF - cut_off
        record_property("simulation", summary(machine.__name__, runs["runs"], fired, cut_off))
    return fired


def summary(name: str, runs: int, fired: Mapping[str, int], cut_off: Mapping[str, Any]) -> str:
    """What a run has seen, in a few lines."""
    cuts = ", ".join(f"{count} {where}" for where, count in sorted(cut_off.items()))
    rules = ", ".join(f"{rule} {count}" for rule, count in sorted(fired.items()))
    return (
        f"{name}: {runs} runs, {sum(fired.values())} reconciles;"
        f" the operator died {cuts or 'never'}\n  rules that spoke: {rules}"
    )
