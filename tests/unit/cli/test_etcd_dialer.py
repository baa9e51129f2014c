"""Which way to etcd is taken."""

import os
import tempfile

import pytest

from cli.etcd_dialer import make_dialer, make_pages
from cli.settings import Settings
from controllers.pod_pages import DirectPages, ForwardedPages
from controllers.port_forward_dialer import PortForwardDialer
from controllers.socket_folder import SocketFolder
from etcd.dialer import DirectDialer

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


@pytest.mark.parametrize(
    ("settings", "environment", "expected"),
    [
        pytest.param({}, IN_A_POD, DirectDialer, id="in a pod"),
        pytest.param({}, {}, PortForwardDialer, id="outside"),
        pytest.param({"kubeconfig": "k"}, IN_A_POD, PortForwardDialer, id="pod, kubeconfig"),
        pytest.param({"context": "c"}, IN_A_POD, PortForwardDialer, id="pod, context"),
        pytest.param({}, IN_A_POD | {"KUBECONFIG": "k"}, PortForwardDialer, id="pod, $KUBECONFIG"),
        pytest.param({"etcd_dialer": "direct"}, {}, DirectDialer, id="direct, outside"),
        pytest.param({"etcd_dialer": "port-forward"}, IN_A_POD, PortForwardDialer, id="asked for"),
    ],
)
def test_way_to_etcd_is_the_one_asked_for_or_the_one_that_works(
    settings, environment, expected, monkeypatch
):
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert isinstance(make_dialer(Settings(**settings), None), expected)
    same_way = DirectPages if expected is DirectDialer else ForwardedPages
    assert isinstance(make_pages(Settings(**settings), None), same_way)


def test_sockets_of_a_killed_operator_are_removed_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = SocketFolder()
    os.close(left._lock)  # as when its process ends

    make_dialer(Settings(etcd_dialer="port-forward"), None)
    assert not list(tmp_path.iterdir())
