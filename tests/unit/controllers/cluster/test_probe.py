"""The pod that tries out an image: as a member's where that decides, with nothing of its data."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.labels import selector_labels
from api.reasons import Reason
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import Wait
from controllers.cluster.plan.version_steps import MakeProbe, RecordUpgrade
from tests.unit.controllers.cluster.builders import UID
from tests.unit.controllers.cluster.test_upgrade import THREE, UP, probe, running

ON_SSD = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
        ]
    }
}


def made(pod=None, **fields):
    """The probe of 3.6.16 for a cluster with this in the pod spec of its podTemplate."""
    template = {"podTemplate": {"spec": pod}} if pod else {}
    step = plan(running(*THREE, wanted="v3.6.16", upgrade=UP, **template, **fields)).step
    assert isinstance(step, MakeProbe)
    return step.pod


def members_pod(**fields):
    of = running(*THREE, **fields)
    return of.status.rendered.pod_template["spec"]


class TestLikeAMember:
    @pytest.mark.parametrize(
        "fields",
        [
            {"imagePullSecrets": [{"name": "registry"}]},
            {"nodeSelector": {"pool": "etcd"}},
            {"tolerations": [{"key": "etcd", "operator": "Exists"}]},
            {"runtimeClassName": "gvisor"},
            {"schedulerName": "theirs"},
            {"priorityClassName": "high"},
            {"serviceAccountName": "etcd"},
            {"affinity": {"nodeAffinity": ON_SSD}},
        ],
        ids=lambda fields: next(iter(fields)),
    )
    def test_it_goes_where_members_go_by_the_same_means(self, fields):
        assert fields.items() <= made(fields)["spec"].items()

    def test_security_is_the_members_own(self):
        pod, members = made()["spec"], members_pod()
        (its,), (theirs,) = pod["containers"], members["containers"]

        assert pod["securityContext"] == members["securityContext"]
        assert its["securityContext"] == theirs["securityContext"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False

    def test_security_that_the_user_sets_is_kept(self):
        pod = made({"securityContext": {"runAsUser": 1234}})["spec"]

        assert pod["securityContext"]["runAsUser"] == 1234
        assert pod["securityContext"]["runAsNonRoot"] is True

    def test_image_is_pulled_as_members_pull_it(self):
        (container,) = made({"containers": [{"name": "etcd", "imagePullPolicy": "Always"}]})[
            "spec"
        ]["containers"]

        assert container["imagePullPolicy"] == "Always"
        assert container["image"] == "quay.io/coreos/etcd:v3.6.16"

    def test_other_repository_is_what_is_tried(self):
        of = running(*THREE, upgrade=UP.model_copy(update={"repository": "mirror/etcd"}))
        wanted = of.spec.model_copy(update={"version": "v3.6.16", "repository": "mirror/etcd"})
        (container,) = plan(dataclasses.replace(of, spec=wanted)).step.pod["spec"]["containers"]

        assert container["image"] == "mirror/etcd:v3.6.16"


class TestUnlikeAMember:
    def test_it_has_no_data_and_no_options(self):
        sidecar = {"containers": [{"name": "agent", "image": "theirs"}]}
        init = {"initContainers": [{"name": "init", "image": "theirs"}]}
        pod = made(sidecar | init)["spec"]
        (container,) = pod["containers"]

        assert {"volumes", "initContainers"}.isdisjoint(pod)
        assert {"volumeMounts", "args", "env", "ports"}.isdisjoint(container)
        assert container["command"] == ["/usr/local/bin/etcd", "--version"]

    def test_it_may_run_beside_a_member(self):
        pod = made(placement={"spread": "Required"})["spec"]

        assert "podAntiAffinity" not in pod.get("affinity", {})
        assert "topologySpreadConstraints" not in pod

    def test_it_ends_by_itself(self):
        pod = made()["spec"]

        assert pod["restartPolicy"] == "Never"
        assert pod["activeDeadlineSeconds"] > 0
        assert {"livenessProbe", "readinessProbe", "startupProbe"}.isdisjoint(pod["containers"][0])

    def test_it_needs_little_whatever_a_member_needs(self):
        (container,) = made(resources={"requests": {"cpu": "16"}})["spec"]["containers"]

        assert container["resources"]["requests"]["cpu"] == "10m"

    def test_nothing_takes_it_for_a_member(self):
        """Neither a Service nor the PodDisruptionBudget nor the StatefulSet."""
        labels = made()["metadata"]["labels"]

        assert not selector_labels("db").items() <= labels.items()

    def test_it_goes_with_its_cluster(self):
        metadata = made()["metadata"]
        (owner,) = metadata["ownerReferences"]

        assert (metadata["name"], metadata["namespace"]) == ("db-probe", "prod")
        assert (owner["uid"], owner["controller"]) == (UID, True)


LINES = st.lists(
    st.sampled_from(
        [
            "etcd Version: 3.6.16",
            "etcd Version: 3.6.1",
            "etcd Version: 3.6.16-rc.0",
            "etcd Version: 13.6.16",
            " etcd Version: 3.6.16",
            "etcd Version: ",
            "Git SHA: 3.6.16",
            "",
        ]
    )
    | st.text(max_size=12),
    max_size=4,
)


@given(LINES)
def test_image_passes_by_the_very_version_and_by_nothing_else(lines):
    output = "\n".join(lines)
    of = running(*THREE, wanted="v3.6.16", upgrade=UP)
    step = plan(dataclasses.replace(of, probe=probe(output=output))).step

    first = next((line for line in output.split("\n") if _reports(line)), "")
    if first == "etcd Version: 3.6.16":
        assert isinstance(step, RecordUpgrade)
        assert step.upgrade.probed
    else:
        assert isinstance(step, Wait)
        assert step.reason is Reason.PROBE_FAILED


def _reports(line):
    words = line.removeprefix("etcd Version: ")
    return line.startswith("etcd Version: ") and words and not any(map(str.isspace, words))
