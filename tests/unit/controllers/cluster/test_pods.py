"""Pods as kubelet and the scheduler report them, and the reason why one is stuck."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.labels import ClaimPlace
from api.reasons import Reason
from controllers.cluster.pods import claim_from, pod_from, probe_from

FIRST = ClaimPlace(epoch=1, ordinal=0)
SINCE = "2026-01-01T11:59:00Z"
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


def test_scheduler_that_tries_again_is_no_problem():
    """The node was chosen and binding failed (pkg/scheduler/schedule_one.go, SchedulerError)."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulerError"}

    assert problem(conditions=[condition]) is None


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


def test_empty_member_that_the_others_know_is_one_without_data():
    """Its file was still open; etcd itself refused (server/etcdserver/bootstrap.go,
    bootstrapNewClusterNoWAL).
    """
    words = json.dumps({"level": "fatal", "error": "member a1 has already been bootstrapped"})
    seen = pod_from(pod({**waiting("CrashLoopBackOff"), "lastState": ended(words)}), ordinal=0)

    assert seen.problem.reason is Reason.EMPTY_DATA_DIRECTORY


def test_pod_on_its_way_out_has_no_problem():
    leaving = pod({**waiting("CrashLoopBackOff"), "lastState": ended()})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert pod_from(leaving, ordinal=0).problem is None


def test_claim_of_another_operator_has_no_uid_of_ours():
    claim = {"metadata": {"name": "data-db-0", "uid": "c"}, "status": {"phase": "Bound"}}

    assert claim_from(claim, FIRST).cluster_uid is None


@pytest.mark.parametrize(("chosen", "unassigned"), [({}, True), ({SELECTED: "node-1"}, False)])
def test_claim_without_a_volume_is_unassigned_until_the_scheduler_has_chosen_a_node(
    chosen, unassigned
):
    metadata = {"name": "data-db-0", "uid": "c", "annotations": chosen}

    seen = claim_from({"metadata": metadata, "status": {"phase": "Pending"}}, FIRST)

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


def resizing(*conditions, generation=3, seen=3):
    """What is read of a pod with these conditions, as kubelet of Kubernetes 1.35 writes them."""
    status = {
        "conditions": [{"status": "True", "lastTransitionTime": SINCE, **c} for c in conditions]
    }
    if seen is not None:
        status["observedGeneration"] = seen
    obj = pod({"state": {"running": {}}}, **status)
    obj["metadata"]["generation"] = generation
    found = pod_from(obj, ordinal=0)
    return found.resizing, found.resizing_since, found.resize_failed


AT = datetime(2026, 1, 1, 11, 59, tzinfo=UTC)
NO_ROOM = "Node didn't have enough resource: cpu, requested: 9000, used: 900, capacity: 2000"
PENDING = {"type": "PodResizePending", "reason": "Deferred", "message": NO_ROOM}
IN_PROGRESS = {"type": "PodResizeInProgress"}
FAILED = {"type": "PodResizeInProgress", "reason": "Error", "message": "memory is in use"}


@pytest.mark.parametrize(
    ("conditions", "read"),
    [
        pytest.param([], ("", None, False), id="none"),
        pytest.param([IN_PROGRESS], ("in progress", AT, False), id="in progress"),
        pytest.param([PENDING], (f"Deferred: {NO_ROOM}", AT, False), id="deferred"),
        pytest.param(
            [{**PENDING, "reason": "Infeasible"}],
            (f"Infeasible: {NO_ROOM}", AT, True),
            id="infeasible",
        ),
        pytest.param([FAILED], ("Error: memory is in use", AT, True), id="error"),
        pytest.param(
            [IN_PROGRESS, PENDING], (f"Deferred: {NO_ROOM}", AT, False), id="newer one is pending"
        ),
        pytest.param([{**PENDING, "status": "False"}], ("", None, False), id="no longer"),
    ],
)
def test_how_far_new_resources_have_come(conditions, read):
    assert resizing(*conditions) == read


@pytest.mark.parametrize(
    ("seen", "words"), [(2, "not seen by its node yet"), (3, ""), (0, ""), (None, "")]
)
def test_new_resources_are_on_their_way_before_kubelet_has_seen_them(seen, words):
    assert resizing(generation=3, seen=seen) == (words, None, False)


def test_pod_is_of_the_template_whose_resources_it_was_given():
    obj = pod({"state": {"running": {}}})
    obj["metadata"]["annotations"] = {"etcd.etcd.io/resized": "db-2", "theirs": "x"}
    obj["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    found = pod_from(obj, ordinal=0)

    assert (found.revision, found.annotations["theirs"]) == ("db-2", "x")
    assert found.resources == {"limits": {"cpu": "1"}}


CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["PodResizePending", "PodResizeInProgress", "Ready"])},
        optional={
            "status": st.sampled_from(["True", "False", "Unknown"]),
            "reason": st.sampled_from(["", "Deferred", "Infeasible", "Error"]),
            "message": TEXTS,
            "lastTransitionTime": st.sampled_from([None, SINCE]),
        },
    ),
    max_size=3,
    unique_by=lambda condition: condition["type"],
)


@given(CONDITIONS, st.integers(1, 3))
def test_whatever_is_said_of_a_resize_failure_and_time_come_only_with_words(conditions, seen):
    obj = pod(conditions=conditions, observedGeneration=seen)
    obj["metadata"]["generation"] = 3
    found = pod_from(obj, ordinal=0)

    assert found.resizing or (not found.resize_failed and found.resizing_since is None)


def probed(output="", *, phase="Running", container=None, **status):
    obj = pod(container, phase=phase, **status)
    obj["metadata"]["creationTimestamp"] = SINCE
    obj["spec"]["containers"][0]["image"] = "mirror/etcd:v3.6.16"
    return probe_from(obj, output)


class TestProbe:
    def test_it_is_read_with_its_image_and_age(self):
        found = probed("etcd Version: 3.6.16\n", phase="Succeeded")

        assert (found.name, found.uid, found.image) == ("db-0", "u", "mirror/etcd:v3.6.16")
        assert (found.created, found.ended, found.problem) == (AT, True, None)
        assert found.output == "etcd Version: 3.6.16\n"

    @pytest.mark.parametrize(
        ("phase", "ended"),
        [("Pending", False), ("Running", False), ("Succeeded", True), ("Failed", True)],
    )
    def test_it_has_ended_well_or_not(self, phase, ended):
        assert probed(phase=phase).ended is ended

    def test_image_that_cannot_be_pulled_is_its_problem(self):
        found = probed(phase="Pending", container=waiting("ErrImagePull")).problem

        assert (found.reason, found.message) == (Reason.IMAGE_PULL_FAILED, "ErrImagePull: why")

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            ({"reason": "DeadlineExceeded"}, "DeadlineExceeded"),
            ({"reason": "Evicted", "message": "low on memory"}, "low on memory"),
            ({}, "its container failed"),
        ],
    )
    def test_pod_that_was_ended_as_a_whole_says_why(self, status, words):
        found = probed(phase="Failed", **status).problem

        assert (found.reason, found.message) == (Reason.PROBE_FAILED, words)

    def test_one_on_its_way_out_has_no_problem_of_its_own(self):
        obj = pod(waiting("ErrImagePull"), phase="Pending")
        obj["metadata"]["deletionTimestamp"] = SINCE
        found = probe_from(obj, "")

        assert (found.terminating, found.problem) == (True, None)
