"""What makes a member's pod a member cannot be changed; everything else can."""

import pytest

from api.pod_template import pod_template_errors

PATH = "spec.podTemplate"


def fields(pod):
    return [error.field for error in pod_template_errors({"spec": pod}, PATH)]


def etcd(**container):
    return {"containers": [{"name": "sidecar", "image": "x"}, {"name": "etcd", **container}]}


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"image": "evil"}, "image"),
        ({"image": None}, "image"),
        ({"command": ["sh"]}, "command"),
        ({"args": []}, "args"),
        ({"ports": [{"containerPort": 2379}]}, "ports"),
        ({"volumeDevices": []}, "volumeDevices"),
        ({"volumeMounts": [{"name": "x", "mountPath": "/var/lib/etcd"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "x", "mountPath": "/var/lib/etcd/"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "x", "mountPath": "/var//lib/./etcd/m"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "x", "mountPath": "/tmp/../var/lib"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "x", "mountPath": "/"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "x", "mountPath": "/etc"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "data", "mountPath": "/x"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "data-2", "mountPath": "/x"}]}, "volumeMounts[0]"),
        ({"volumeMounts": [{"name": "config", "mountPath": "/x"}]}, "volumeMounts[0]"),
        ({"volumeMounts": None}, "volumeMounts"),
        ({"env": [{"name": "POD_NAME", "value": "x"}]}, "env[0]"),
        ({"env": [{"name": "OK"}, {"name": "ETCD_LOG_LEVEL"}]}, "env[1]"),
        ({"env": None}, "env"),
    ],
)
def test_what_makes_the_container_etcd_is_refused_by_name(container, field):
    assert fields(etcd(**container)) == [f"{PATH}.spec.containers[1].{field}"]


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        ({"hostname": "x"}, "hostname"),
        ({"subdomain": None}, "subdomain"),
        ({"nodeName": "x"}, "nodeName"),
        ({"restartPolicy": "Never"}, "restartPolicy"),
        ({"volumes": [{"name": "data", "emptyDir": {}}]}, "volumes[0]"),
        ({"volumes": [{"name": "data-12", "emptyDir": {}}]}, "volumes[0]"),
        ({"volumes": [{"name": "a"}, {"name": "config"}]}, "volumes[1]"),
        ({"containers": None}, "containers"),
        ({"volumes": None}, "volumes"),
        ({"ephemeralContainers": []}, "ephemeralContainers"),
    ],
)
def test_what_makes_the_pod_a_member_is_refused_by_name(pod, field):
    assert fields(pod) == [f"{PATH}.spec.{field}"]


@pytest.mark.parametrize(
    "pod",
    [
        {},
        etcd(
            env=[{"name": "GOGC", "value": "50"}], volumeMounts=[{"name": "x", "mountPath": "/x"}]
        ),
        etcd(volumeMounts=[{"name": "x", "mountPath": "/var/lib/etcd-backup"}]),
        etcd(livenessProbe={"timeoutSeconds": 30}, resources={"limits": {"cpu": "1"}}),
        {"containers": [{"name": "proxy", "image": "p", "args": ["-v"], "ports": []}]},
        {"affinity": None, "nodeSelector": {"disk": "ssd"}, "priorityClassName": "high"},
        {"volumes": [{"name": "extra", "emptyDir": {}}], "restartPolicy": "Always"},
    ],
)
def test_everything_else_is_accepted(pod):
    assert fields(pod) == []


def test_what_cannot_be_merged_is_refused_first():
    assert fields({"hostname": "x", "containers": [{"image": "y"}]}) == [
        f"{PATH}.spec.containers[0].name"
    ]
