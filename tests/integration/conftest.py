"""A real API server with our CRDs, once per session: the newest Kubernetes we build and the oldest.

`apiserver` is given to every test twice, once for each. Start-up takes about four seconds; the
programs are built before, by `make test-setup`, or else now, which takes minutes.
"""

import base64
import json
import os
import select
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "hack" / "apiserver" / "apiserver.py"
# Without CEL: Kubernetes 1.22.
VERSIONS = ("1.35", "old")

START_DEADLINE_S = 45 * 60  # with a build of Kubernetes before it
STOP_DEADLINE_S = 20
REQUEST_TIMEOUT_S = 10
CRDS_DEADLINE_S = 15
TEST_TIMEOUT_S = 60

CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class ApiServer:
    """A running API server. `kubeconfig` is the cluster administrator's."""

    kubeconfig: Path
    version: str
    server: str
    context: ssl.SSLContext = field(repr=False)

    @property
    def knows_cel(self) -> bool:
        return self.version != "old"

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the JSON of the answer, also for refusals."""
        request = urllib.request.Request(
            self.server + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": content_type, "Accept": accept},
        )
        try:
            with urllib.request.urlopen(
                request, timeout=REQUEST_TIMEOUT_S, context=self.context
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, _refusal(refusal.read())


def _refusal(body: bytes) -> dict[str, Any]:
    # A path that is not served yet is answered in plain text.
    try:
        status: dict[str, Any] = json.loads(body)
    except ValueError:
        return {"message": body.decode(errors="replace")}
    return status


def wait_until(condition, deadline_s, what):
    """Wait for a condition, and say which one it was when it does not come."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {deadline_s} s"
        time.sleep(0.05)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.integration)
            if item.get_closest_marker("timeout") is None:
                # The start of the servers has its own deadline.
                item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S, func_only=True))


@pytest.fixture(scope="session", params=VERSIONS)
def apiserver(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"apiserver-{request.param}")
    command = [sys.executable, str(PROGRAM), "run", "--dir", str(folder)]
    with subprocess.Popen(
        [*command, "--version", request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            _await_ready(process)
            server = _server(folder / "kubeconfig", request.param)
            _apply_crds(server)
            yield server
        finally:
            # The end of its standard input makes it end, with its children.
            process.stdin.close()
            process.wait(STOP_DEADLINE_S)


def _await_ready(process):
    end = time.monotonic() + START_DEADLINE_S
    said = b""
    while not said.startswith(b"READY") or not said.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        assert readable, "the API server was not ready in time"
        data = os.read(process.stdout.fileno(), 4096)
        assert data, "the API server ended at its start; it said why above"
        said += data


def _server(kubeconfig, version):
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    pair = kubeconfig.with_name("test-client.pem")
    pair.touch(mode=0o600)
    parts = ("client-certificate-data", "client-key-data")
    pair.write_bytes(b"".join(base64.b64decode(user[part]) for part in parts))
    context.load_cert_chain(pair)
    return ApiServer(kubeconfig, version, cluster["server"], context)


def _apply_crds(server):
    suffix = "" if server.knows_cel else "-pre-1.25"
    path = ROOT / "manifests" / "crds" / f"etcd.etcd.io{suffix}.yaml"
    for crd in yaml.safe_load_all(path.read_text()):
        status, answer = server.request("POST", CRDS_PATH, crd)
        assert status == 201, answer
        served = f"/apis/etcd.etcd.io/v1alpha1/{crd['spec']['names']['plural']}"
        wait_until(
            lambda path=served: server.request("GET", path)[0] == 200,
            CRDS_DEADLINE_S,
            f"serving {served}",
        )
