"""What is urgent never waits for a maintenance window: with all of them closed the next step is the
same as without any.
"""

import dataclasses

import pytest

from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import JoiningMember
from controllers.cluster.observed import Problem
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import Wait
from tests.unit.controllers.cluster.builders import NOW, live_of, observed, pod
from tests.unit.controllers.cluster.test_upgrade import HASH, edited, going, running

# NOW is a Thursday at noon, UTC.
TONIGHT = {"maintenanceWindows": [{"schedule": "0 23 * * *", "duration": "1h"}]}
CRASH = Problem(reason=Reason.CRASH_LOOPING, message="exit code 1")


def down(of, ordinal, **changes):
    """Its pod does not run, and nobody answers there."""
    pods = tuple(
        pod(one.ordinal, ready=False, running=False, **changes) if one.ordinal == ordinal else one
        for one in of.pods
    )
    told = {name: s for name, s in of.etcd.statuses.items() if name != f"db-{ordinal}"}
    return dataclasses.replace(of, pods=pods, etcd=dataclasses.replace(of.etcd, statuses=told))


def lost_volume(**windows):
    of = observed(3, spec_fields=windows)
    claims = (*of.claims[:2], dataclasses.replace(of.claims[2], lost=True))
    return dataclasses.replace(down(of, 2), claims=claims)


def crashing_on_an_older_template(**windows):
    return down(observed(3, spec_fields=windows), 1, revision="db-old", problem=CRASH)


def rolled_half_way(**windows):
    of = observed(3, spec_fields=windows)
    return dataclasses.replace(of, pods=(pod(0, revision="db-old"), pod(1), pod(2)))


def replaced_half_way(**windows):
    of = observed(3, spec_fields=windows)
    lost = JoiningMember(name="db-2", ordinal=2, reason="VolumeLost", since=NOW, old_id="a2")
    of = dataclasses.replace(of, status=of.status.model_copy(update={"joining": lost}))
    return dataclasses.replace(down(of, 2), live=live_of(of))


def corrected_option(**windows):
    of = crashing_on_an_older_template(**windows)
    return edited(of, options={"snapshotCount": 7})


def put_back_half_way(**windows):
    taken = going("v3.5.35", "v3.6.16", probed=True, before=HASH)
    versions = ("3.6.16", "3.5.35", "3.5.35")
    of = running(*versions, applied="v3.6.16", storage="3.5.0", upgrade=taken, **windows)
    return edited(of, version="v3.5.35")


def larger(**windows):
    of = observed(3, spec_fields={"storage": {"size": "1Gi"}, **windows})
    return edited(of, storage={"size": "2Gi"})


def resized(**windows):
    return edited(observed(3, spec_fields=windows), size=5)


@pytest.mark.parametrize(
    "story",
    [
        lost_volume,
        crashing_on_an_older_template,
        rolled_half_way,
        replaced_half_way,
        corrected_option,
        put_back_half_way,
        larger,
        resized,
    ],
)
def test_it_is_done_at_once_outside_of_every_window(story):
    at_once = plan(story())

    late = plan(story(**TONIGHT))

    assert not isinstance(at_once.step, Wait)
    assert (late.rule, without_windows(late.step)) == (at_once.rule, without_windows(at_once.step))


def test_what_can_wait_does():
    options = {"options": {"snapshotCount": 7}}

    assert plan(edited(observed(3, spec_fields=TONIGHT), **options)).rule == "wait_for_window"


def without_windows(step):
    """The spec that a step records names its windows."""
    spec = getattr(step, "spec", None)
    if spec is None:
        return step
    named = ClusterSpec.model_validate({**spec, "maintenanceWindows": []})
    return dataclasses.replace(step, spec=named.to_json())
