"""A learner that has been silent for a while is helped by one entry in etcd's log."""

import dataclasses
from datetime import timedelta

import pytest

from api.reasons import Reason
from controllers.cluster.happenings import happenings
from controllers.cluster.observed import Problem
from controllers.cluster.outcome import NotYet
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import NudgeLearner, Wait
from controllers.cluster.status import next_status
from etcd.ids import member_id_hex
from tests.unit.controllers.cluster.builders import NOW, pod
from tests.unit.controllers.cluster.test_membership import (
    NEW_ID,
    joining,
    learner,
    recorded,
    sized,
    with_learner,
)

QUIET = timedelta(seconds=15)
CRASH = Problem(reason=Reason.CRASH_LOOPING, message="exit code 1")


def silent(*, since=NOW - QUIET, pod_changes=None, **fields):
    """db-3 is listed as a learner, runs, and has not answered."""
    state = joining(3, id=member_id_hex(NEW_ID), listed=(0, 1, 2, 3), since=since, **fields)
    seen = with_learner(sized(5), learner(3))
    seen = dataclasses.replace(
        seen, pods=(*seen.pods[:3], pod(3, ready=False, **pod_changes or {}))
    )
    return recorded(seen, joining=state)


def test_it_gets_an_entry_after_fifteen_seconds():
    assert plan(silent()).step == NudgeLearner(name="db-3")


def test_it_has_fifteen_seconds_of_its_own():
    early = plan(silent(since=NOW - QUIET + timedelta(seconds=1))).step

    assert (type(early), early.reason) == (Wait, Reason.MEMBER_JOINING)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"running": False}, id="not running"),
        pytest.param({"problem": CRASH}, id="its trouble is another"),
    ],
)
def test_pod_that_does_not_run_well_is_not_helped_by_it(changes):
    assert not isinstance(plan(silent(pod_changes=changes)).step, NudgeLearner)


def test_pod_that_is_not_there_is_not_helped_by_it():
    of = silent()

    assert not isinstance(plan(dataclasses.replace(of, pods=of.pods[:3])).step, NudgeLearner)


def test_one_that_has_started_needs_none():
    assert not isinstance(plan(silent(started=True)).step, NudgeLearner)


def test_it_is_given_up_at_its_deadline_all_the_same():
    late = plan(silent(since=NOW - timedelta(seconds=601)))

    assert late.rule == "withdraw"


def test_status_says_what_is_waited_for_and_no_event_tells_of_it():
    of = silent()
    made, outcome = plan(of), NotYet(message="db-3 has not answered yet")
    status = next_status(of, made, outcome)

    assert status.plan.action == "Write an entry without effect, so that db-3 gets on"
    assert status.plan.waits_for == "db-3 has not answered yet"
    assert happenings(of, made, outcome, status) == happenings(of, made, None, status)
