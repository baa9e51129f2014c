"""Conditions change as Kubernetes' conventions say, and every reason is documented."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from api.conditions import ConditionType, find_condition, set_condition
from api.event_reasons import EventReason
from api.reasons import Reason

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = START + timedelta(minutes=1)


def ready(conditions, status, *, reason=Reason.CREATING, message="m", now=START, generation=1):
    return set_condition(
        conditions,
        ConditionType.READY,
        status,
        reason=reason,
        message=message,
        now=now,
        generation=generation,
    )


def test_a_new_condition_is_added_with_the_time_to_the_second():
    (condition,) = ready((), "False")

    assert condition.to_json() == {
        "type": "Ready",
        "status": "False",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "reason": "Creating",
        "message": "m",
    }


def test_another_reason_does_not_move_the_transition_time():
    (condition,) = ready(ready((), "False"), "False", reason=Reason.WAITING_FOR_PODS, now=LATER)

    assert condition.reason == "WaitingForPods"
    assert condition.last_transition_time == START.replace(microsecond=0)


def test_another_status_moves_the_transition_time():
    (condition,) = ready(ready((), "False"), "True", now=LATER)

    assert condition.last_transition_time == LATER.replace(microsecond=0)


def test_the_same_observation_gives_an_equal_tuple():
    before = ready((), "False")

    assert ready(before, "False", now=LATER) == before


def test_other_conditions_keep_their_place():
    paused = set_condition(
        ready((), "False"),
        ConditionType.PAUSED,
        "False",
        reason=Reason.NOT_PAUSED,
        message="",
        now=START,
        generation=1,
    )

    assert [one.type for one in ready(paused, "True")] == ["Ready", "Paused"]
    assert find_condition(paused, "Paused") is paused[1]
    assert find_condition(paused, "Stalled") is None


@pytest.mark.parametrize("reason", [*Reason, *EventReason])
def test_every_reason_is_one_word_with_meaning_and_next_step(reason):
    assert re.fullmatch(r"[A-Z][A-Za-z]*", reason)
    assert reason.meaning.endswith(".")
    assert reason.next_step.endswith(".")


def test_events_that_need_someone_are_warnings():
    assert EventReason.QUORUM_LOST.event_type == "Warning"
    assert EventReason.CLUSTER_READY.event_type == "Normal"
