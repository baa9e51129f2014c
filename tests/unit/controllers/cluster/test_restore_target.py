"""A cluster that begins at a revision or a time: its pod has an etcd beside the last step, which
nobody else reaches, and whose own end says nothing.
"""

import dataclasses

import pytest

from api.labels import CLAIM_ANNOTATION
from api.reasons import Reason
from controllers.cluster.plan import plan
from controllers.cluster.plan.restore_steps import MakeRestorePod
from controllers.cluster.restore_pods import restore_pods_of
from controllers.restore.order import Replayed, RestoreOrder
from tests.unit.controllers.cluster.builders import NOW
from tests.unit.controllers.cluster.test_restoring import (
    ANSWER,
    CLAIM,
    after,
    ended,
    record,
    with_claim,
    with_pod,
)

SECOND = "2026-03-01T12:00:00Z"
REACHED = ANSWER.model_copy(
    update={
        "base": "00000000deadbeef-1/nightly-before",
        "target": "revision 57",
        "replayed": Replayed(revision=57, time=NOW, revisions=15, changes=20, keys=3),
        "restored_revision": 57,
    }
)


def wants(**target):
    return {"bootstrap": {"restoreFrom": {"backupName": "nightly", **target}}}


def made_pod(**target):
    step = plan(with_claim(**wants(**target))).step
    assert isinstance(step, MakeRestorePod)
    return step.pod


@pytest.mark.parametrize("target", [{"revision": 57}, {"pointInTime": SECOND}])
def test_changes_are_replayed_into_an_etcd_that_only_its_pod_reaches(target):
    made = made_pod(**target)["spec"]

    agent, etcd = made["containers"]
    order = RestoreOrder.model_validate_json(agent["args"][-1])
    assert order.target in {"revision 57", SECOND}
    assert (agent["name"], etcd["name"]) == ("agent", "etcd")
    assert etcd["image"] == made["initContainers"][1]["image"]
    said = " ".join(etcd["args"])
    assert "--listen-client-urls https://127.0.0.1:2379" in said
    assert "--listen-peer-urls http://127.0.0.1:2380" in said
    assert "--client-cert-auth" in etcd["args"]
    # It is the member that it will be, of the cluster that there will be.
    assert f"--initial-cluster {order.member}={order.peer_url}" in said
    assert "env" not in etcd
    assert "ports" not in etcd
    assert "readinessProbe" not in etcd
    # The agent ends it.
    assert made["shareProcessNamespace"] is True
    assert made["restartPolicy"] == "Never"


def test_its_agent_may_take_the_memory_that_a_large_transaction_takes():
    def limits(**target):
        made = made_pod(**target)["spec"]
        agents = (made["initContainers"][0], made["containers"][0])
        return {one["resources"]["limits"]["memory"] for one in agents}

    assert limits() == {"256Mi"}
    assert limits(revision=57) == {"2Gi"}


def test_the_service_does_not_lead_to_it():
    labels = made_pod(revision=57)["metadata"]["labels"]

    assert labels == made_pod()["metadata"]["labels"]


def test_without_a_target_there_is_none():
    made = made_pod()["spec"]

    assert [one["name"] for one in made["containers"]] == ["agent"]
    assert "shareProcessNamespace" not in made


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({}, "EtcdBackup nightly"),
        ({"revision": 57}, "EtcdBackup nightly, up to revision 57"),
        ({"pointInTime": SECOND}, f"EtcdBackup nightly, up to {SECOND}"),
    ],
)
def test_the_record_says_up_to_where(target, words):
    assert record(with_claim(**wants(**target))).source == words


def test_the_record_says_what_was_reached():
    seen = after(with_pod(with_claim(**wants(revision=57)), restored=REACHED))

    restored = record(seen).restored
    assert (restored.base, restored.source_revision) == (REACHED.base, 57)
    assert (restored.source_time, restored.replayed) == (NOW, 15)
    alone = after(with_pod(restored=ANSWER))
    assert record(alone).restored.source_revision is None


def test_another_target_of_the_same_backup_is_another_restore():
    """The volume may have the data of the first one."""
    seen = dataclasses.replace(with_claim(**wants(revision=57)), generation=2)
    edited = dataclasses.replace(seen, spec=with_claim(**wants(revision=58)).spec, restore_pods=())

    taken = after(edited)

    assert record(taken).source.endswith("revision 58")
    assert (record(taken).claim, record(taken).given_up) == ("", CLAIM.uid)


RUNNING = {"running": {"startedAt": SECOND}}


def seen_pod(phase, *, init=(), containers=()):
    obj = {
        "metadata": {
            "name": "db-1-restore",
            "uid": "u",
            "annotations": {CLAIM_ANNOTATION: CLAIM.uid},
        },
        "spec": {"containers": [{"name": "agent"}, {"name": "etcd"}]},
        "status": {
            "phase": phase,
            "initContainerStatuses": list(init),
            "containerStatuses": list(containers),
        },
    }
    (seen,) = restore_pods_of("db", [obj])
    return seen


def state(name, what):
    return {"name": name, "state": what}


def end(name, code, message=""):
    return ended(name, code, message)[0]


def test_while_it_replays_it_says_so():
    seen = seen_pod("Running", containers=[state("agent", RUNNING), state("etcd", RUNNING)])

    assert seen.doing.startswith("replaying the changes")
    assert (seen.restored, seen.failure) == (None, None)


def test_the_agents_word_counts_whatever_becomes_of_its_etcd():
    answer = end("agent", 0, REACHED.model_dump_json(by_alias=True))
    for etcd, phase in ((end("etcd", 143), "Failed"), (state("etcd", RUNNING), "Running")):
        seen = seen_pod(phase, containers=[answer, etcd])

        assert seen.restored == REACHED
        assert seen.failure is None


def test_an_agent_that_dies_leaves_an_etcd_that_nobody_ends_and_a_failure():
    killed = end("agent", 137)
    seen = seen_pod("Running", containers=[killed, state("etcd", RUNNING)])

    assert seen.failure[0] is Reason.RESTORE_FAILED
    assert "137" in seen.failure[1]
    assert not seen.in_vain


def test_an_etcd_that_ends_first_is_told_by_the_agent():
    seen = seen_pod("Running", containers=[state("agent", RUNNING), end("etcd", 2)])

    assert (seen.restored, seen.failure) == (None, None)


def test_a_refused_target_is_not_tried_again_by_itself():
    refused = end("fetch", 3, '{"failed": "TargetNotRestorable", "message": "it is in a gap"}')
    seen = seen_pod("Failed", init=[refused])

    failed = after(with_pod(with_claim(**wants(revision=57)), failure=seen.failure, in_vain=True))

    assert record(failed).failure == "TargetNotRestorable"
    assert record(failed).not_before is None
    waits = plan(dataclasses.replace(failed, restore_pods=())).step
    assert waits.reason is Reason.TARGET_NOT_RESTORABLE
    assert "in a gap" in waits.message
