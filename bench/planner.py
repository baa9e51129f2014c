"""How long does the planner think?

Question: one plan of a cluster of nine members, in the situations that take longest: all is well,
so that every rule is asked; one joins; one is lost.
Workload: pure, no node; the situations are those of the unit tests' builders, each plan from a
value of its own. The objects are those of the plan before: the verdict on an object is remembered
by its resourceVersion. One line tells what a plan costs when all of them have just changed.
Limit: ≤ 200 µs of CPU time for each, median of batches.

Usage: python -m bench.planner [--times 2000]
"""

import argparse
import dataclasses
import statistics
import sys
import time
from datetime import timedelta

from api.v1alpha1.cluster_status import JoiningMember
from controllers.cluster.observed import Observed
from controllers.cluster.plan import plan
from tests.unit.controllers.cluster import builders as build

LIMIT_US = 200.0
SIZE = 9
BATCH = 50


def situations() -> dict[str, Observed]:
    well = build.observed(SIZE)
    one_less = build.observed(SIZE - 2, spec_fields={"size": SIZE - 2})
    joins = JoiningMember(
        name=f"db-{SIZE - 2}",
        ordinal=SIZE - 2,
        reason="ScaleOut",
        since=build.NOW - timedelta(seconds=5),
    )
    grows = build.spec(size=SIZE)
    joining = dataclasses.replace(
        one_less,
        spec=grows,
        applied=grows,
        status=one_less.status.model_copy(update={"joining": joins}),
    )
    lost = dataclasses.replace(well, claims=well.claims[:-1], pods=well.pods[:-1])
    return {"all is well": well, "one joins": joining, "one is lost": lost}


def at_version(observed: Observed, version: str) -> Observed:
    """The same with live objects of this resourceVersion; nothing derived from it yet."""
    live = {
        key: {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}
        for key, obj in observed.live.items()
    }
    return dataclasses.replace(observed, live=live)


def median_us(observed: Observed, times: int, *, changing: bool = False) -> float:
    """CPU time, so that others on the machine don't count; a batch, as its clock is coarse."""
    plan(at_version(observed, "0"))
    seconds = []
    for batch in range(times // BATCH):
        version = f"{batch}-{{}}" if changing else "0"
        values = [at_version(observed, version.format(n)) for n in range(BATCH)]
        began = time.process_time()
        for value in values:
            plan(value)
        seconds.append((time.process_time() - began) / BATCH)
    return statistics.median(seconds) * 1e6


def main(times: int) -> int:
    passed = True
    for name, observed in situations().items():
        value = median_us(observed, times)
        is_met = value <= LIMIT_US
        passed &= is_met
        rule = plan(observed).rule
        print(
            f"planner, {SIZE} members, {name} ({rule}): {value:.0f} µs, limit {LIMIT_US:.0f} µs:"
            f" {'ok' if is_met else 'MISSED'}"
        )
    changed = median_us(situations()["all is well"], times, changing=True)
    print(f"planner, {SIZE} members, all is well, but every object has changed: {changed:.0f} µs")
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=2000)
    sys.exit(main(parser.parse_args().times))
