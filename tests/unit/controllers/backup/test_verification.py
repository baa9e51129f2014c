"""A backup that is asked to be tried out is, once for each time that it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from api.conditions import find_condition
from api.reasons import Reason
from controllers.backup.order import Proven, failed
from controllers.backup.plan import plan
from controllers.backup.render import verification_job_name
from controllers.backup.steps import (
    AskVerification,
    Finish,
    FinishVerification,
    MakeVerification,
    Rest,
    Verifying,
)
from controllers.backup.verification import next_to_ask
from controllers.restore.order import RestoreOrder
from tests.unit.controllers.backup.builders import (
    NOW,
    SAVED,
    after,
    attempt,
    child,
    job,
    observed,
    spec,
)

PROVEN = Proven(
    proven_at=NOW + timedelta(minutes=1), etcd_version="3.6.16", etcd_revision=7, keys=3, kv_hash=9
)


def completed(request="again", **fields):
    """A backup that was taken, and that somebody asks to be tried out."""
    seen = observed(jobs=(job(),), attempts=(attempt(ended=True, answer=SAVED),))
    step = plan(seen)
    assert isinstance(step, Finish)
    settings = {"jobs": (), "attempts": (), "verify_request": request, **fields}
    return replace(seen, status=after(seen, step), **settings)


def tried(answer=None, **fields):
    """The same with the Job that tries it out, and what its pod said."""
    name = verification_job_name(observed(), "again")
    pods = (attempt(ended=True, answer=answer, job_uid="v"),) if answer else ()
    return completed(jobs=(job(name=name, uid="v", **fields),), attempts=pods)


def condition(status, kind):
    return find_condition(status.conditions, kind)


def test_its_pod_restores_it_with_the_etcd_that_was_saved():
    seen = completed()
    step = plan(seen)

    assert isinstance(step, MakeVerification)
    pod = step.body["spec"]["template"]["spec"]
    (fetch, tool), (agent, etcd) = pod["initContainers"], pod["containers"]
    assert [one["image"] for one in (fetch, agent)] == ["registry/operator:1"] * 2
    assert [one["image"] for one in (tool, etcd)] == ["quay.io/coreos/etcd:v3.6.16"] * 2
    assert pod["shareProcessNamespace"] is True
    order = RestoreOrder.model_validate_json(fetch["args"][-1])
    assert (order.folder, order.local) == ("abc-1/once-0123abcd", spec().local)
    # Credentials and the store's volume are the fetching container's alone.
    assert "env" not in etcd
    assert [mount["name"] for mount in etcd["volumeMounts"]] == ["data"]
    assert (agent["env"], [mount["name"] for mount in agent["volumeMounts"]]) == ([], ["data"])
    status = after(seen, step)
    assert condition(status, "Ready").status == "True"
    assert condition(status, "Verified").status == "Unknown"


def test_it_is_tried_out_once_where_its_spec_says_so():
    seen = completed(request="", spec=spec(verify={"enabled": True}))
    step = plan(seen)

    assert isinstance(step, MakeVerification)
    name = step.body["metadata"]["name"]
    pods = (attempt(ended=True, answer=PROVEN, job_uid="v"),)
    ended = replace(seen, jobs=(job(name=name, uid="v", failure="f"),), attempts=pods)
    assert plan(replace(ended, status=after(ended, plan(ended)))) == Rest()


def test_without_being_asked_it_is_not_tried_out():
    assert plan(completed(request="")) == Rest()


def test_while_it_is_tried_out_the_backup_counts():
    seen = tried(refusal="exceeded quota")
    step = plan(seen)

    assert isinstance(step, Verifying)
    status = after(seen, step)
    assert (condition(status, "Ready").status, condition(status, "Stalled").status) == (
        "True",
        "True",
    )


def test_the_agents_word_counts_whatever_becomes_of_etcd():
    seen = tried(PROVEN, failure="etcd was ended", failed_at=NOW)
    step = plan(seen)
    status = after(seen, step)

    assert isinstance(step, FinishVerification)
    assert (status.phase, status.verified.result) == ("Completed", "Passed")
    assert "3 keys" in status.verified.message
    assert condition(status, "Verified").status == "True"
    assert plan(replace(seen, status=status)) == Rest()
    assert isinstance(
        plan(replace(seen, status=status, verify_request="once more")), MakeVerification
    )


@pytest.mark.parametrize(
    ("reason", "result", "ready"),
    [
        (Reason.BACKUP_DAMAGED, "Failed", "False"),
        (Reason.VERIFICATION_FAILED, "Failed", "False"),
        (Reason.RESTORE_FAILED, "Failed", "False"),
        (Reason.STORE_UNAVAILABLE, "Unknown", "True"),
        (Reason.ENCRYPTION_KEY_MISSING, "Unknown", "True"),
        (Reason.VERIFICATION_NOT_DONE, "Unknown", "True"),
    ],
)
def test_what_is_found_wanting_is_not_ready(reason, result, ready):
    seen = tried(failed(reason, "words"), failure="f")
    status = after(seen, plan(seen))
    rested = replace(seen, status=status)

    assert (status.verified.result, status.verified.reason) == (result, reason.value)
    for one in (status, after(rested, plan(rested))):
        assert condition(one, "Ready").status == ready
        expected = "False" if result == "Failed" else "Unknown"
        assert condition(one, "Verified").status == expected
        assert "words" in condition(one, "Verified").message


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image": ""}, Reason.OPERATOR_IMAGE_UNKNOWN),
        (
            {"spec": spec(local={"claimName": "others", "path": "etcd"})},
            Reason.VERIFICATION_NOT_DONE,
        ),
    ],
)
def test_where_no_pod_can_try_it_out_that_is_told(fields, reason):
    step = plan(completed(**fields))

    assert isinstance(step, FinishVerification)
    assert step.answer.reason is reason


def test_a_schedule_asks_for_the_newest_good_one():
    asked = spec(schedule="0 2 * * *", verify={"enabled": True, "schedule": "0 12 * * *"})
    good, bad, newest = (child(NOW - timedelta(days=days)) for days in (3, 2, 1))
    children = (good, replace(bad, verified="Failed"), replace(newest, phase="Failed"))
    seen = observed(spec=asked, created=NOW - timedelta(days=9), children=children)

    step = next_to_ask(seen, asked)

    assert isinstance(step, AskVerification)
    assert (step.name, step.due) == (good.name, NOW.replace(second=0))
    status = after(seen, step)
    assert status.last_verification_time == step.due
    assert next_to_ask(replace(seen, status=status), asked) is None
    assert next_to_ask(replace(seen, children=()), asked) is None
