"""Pods as kubelet and the scheduler report them, and the reason why one is stuck."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reasons import Reason
from controllers.cluster.pods import claim_from, pod_from

SELECTED = "volume.kubernetes.io/selected-node"


def pod(container=None, **status):
    """A pod object; `container` is the status of its container etcd."""
    if container is not None:
        status["containerStatuses"] = [{"name": "etcd", **container}]
    return {
        "metadata": {
            "name": "db-0",
            "uid": "u",
            "labels": {"controller-revision-hash": "db-1"},
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"name": "etcd", "args": ["--config-file=/etc/etcd/db-0-ab.yaml"]}],
        },
        "status": status,
    }


def problem(container=None, **status):
    found = pod_from(pod(container, **status), ordinal=0).problem
    return found.reason if found else None


def ended(message="", code=1, **extra):
    return {"terminated": {"exitCode": code, "reason": "Error", "message": message, **extra}}


def waiting(reason):
    return {"state": {"waiting": {"reason": reason, "message": "why"}}}


FATAL = json.dumps(
    {
        "level": "fatal",
        "msg": "discovery failed",
        "error": "cannot fetch cluster info from peer urls: nobody",
        "stacktrace": "x" * 5000,
    }
)


def test_running_pod_is_read():
    ready = {"type": "Ready", "status": "True"}
    seen = pod_from(
        pod({"state": {"running": {}}, "restartCount": 2}, podIP="10.0.0.1", conditions=[ready]),
        ordinal=0,
    )

    assert (seen.ip, seen.node, seen.running, seen.ready) == ("10.0.0.1", "node-1", True, True)
    assert (seen.revision, seen.config_file, seen.restarts) == ("db-1", "db-0-ab.yaml", 2)
    assert seen.problem is None


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImagePull", "InvalidImageName"])
def test_image_that_cannot_be_pulled(reason):
    assert problem(waiting(reason)) is Reason.IMAGE_PULL_FAILED


def test_container_that_cannot_be_made():
    assert problem(waiting("CreateContainerConfigError")) is Reason.CONTAINER_CONFIG_ERROR


def test_pod_that_no_node_takes():
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}

    assert problem(conditions=[condition]) is Reason.POD_UNSCHEDULABLE


def test_one_end_is_no_loop():
    assert problem({"state": {"running": {}}, "lastState": ended(), "restartCount": 1}) is None


def test_crash_loop_is_one_also_between_two_ends():
    held_back = {**waiting("CrashLoopBackOff"), "lastState": ended(), "restartCount": 1}
    started_again = {"state": {"running": {}}, "lastState": ended(), "restartCount": 3}

    assert problem(held_back) is problem(started_again) is Reason.CRASH_LOOPING


def test_member_without_data_is_known_by_etcds_last_words():
    seen = pod_from(pod({**waiting("CrashLoopBackOff"), "lastState": ended(FATAL)}), ordinal=0)

    assert seen.problem.reason is Reason.EMPTY_DATA_DIRECTORY
    assert (
        seen.problem.message == "discovery failed: cannot fetch cluster info from peer urls: nobody"
    )


def test_pod_on_its_way_out_has_no_problem():
    leaving = pod({**waiting("CrashLoopBackOff"), "lastState": ended()})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert pod_from(leaving, ordinal=0).problem is None


def test_claim_of_another_operator_has_no_uid_of_ours():
    claim = {"metadata": {"name": "data-db-0", "uid": "c"}, "status": {"phase": "Bound"}}

    assert claim_from(claim, ordinal=0).cluster_uid is None


@pytest.mark.parametrize(("chosen", "unassigned"), [({}, True), ({SELECTED: "node-1"}, False)])
def test_claim_without_a_volume_is_unassigned_until_the_scheduler_has_chosen_a_node(
    chosen, unassigned
):
    metadata = {"name": "data-db-0", "uid": "c", "annotations": chosen}

    seen = claim_from({"metadata": metadata, "status": {"phase": "Pending"}}, ordinal=0)

    assert seen.unassigned is unassigned


TEXTS = st.text(max_size=8)
STATES = st.dictionaries(
    st.sampled_from(["waiting", "running", "terminated"]),
    st.fixed_dictionaries(
        {},
        optional={"reason": TEXTS, "message": TEXTS, "exitCode": st.integers(0, 255)},
    ),
    max_size=2,
)


@given(STATES, STATES, st.integers(0, 5))
def test_whatever_kubelet_reports_is_read(state, last, restarts):
    pod_from(pod({"state": state, "lastState": last, "restartCount": restarts}), ordinal=0)


# Seen with a log and with a database whose bytes were changed (3.5.21, 3.6.16, 3.7.3).
BAD_LOG = (
    '{"level":"error","msg":"bootstrap failed","error":"walpb: crc mismatch: expected: 3e379c1e'
    ' computed: 581254ae: in file 0.wal at position: 19792"}'
)
BAD_DATABASE = (
    '{"level":"panic","msg":"failed to open database","error":"invalid database"}\n'
    "panic: failed to open database"
)
# The log is behind what the leader knows it had.
SHORT_LOG = "panic: tocommit(20) is out of range [lastIndex(0)]. Was the raft log corrupted?"


@pytest.mark.parametrize("words", [BAD_LOG, BAD_DATABASE, SHORT_LOG])
def test_damaged_data_is_known_by_etcds_last_words(words):
    end = {"exitCode": 2, "reason": "Error", "message": words}
    held_back = {**waiting("CrashLoopBackOff"), "lastState": {"terminated": end}}

    assert problem({**held_back, "restartCount": 1}) is Reason.DATA_ERROR
