"""What the throwaway node and the bare API server have in common: etcd and kube-apiserver."""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib import certs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SERVICE_RANGE = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
# Below the range of Linux's own choices for outgoing connections, so none takes a port of ours
# between our look and the server's bind.
PORTS = range(20000, 32000)


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on."""
    found: list[int] = []
    end = time.monotonic() + 10.0
    while len(found) < count:
        if time.monotonic() > end:
            raise TimeoutError("no free port found")
        port = random.choice(PORTS)
        if port not in found and port_is_free(port):
            found.append(port)
    return found


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Keys:
    """All certificates of one control plane."""

    authority: certs.Authority
    front_proxy: certs.Authority
    server: certs.Pair
    admin: certs.Pair
    to_kubelet: certs.Pair
    front_proxy_client: certs.Pair
    tokens: certs.Pair


def make_keys(folder: Path, addresses: Sequence[str]) -> Keys:
    """New certificates; the API server's is valid for the usual names and these addresses."""
    authority = certs.authority(folder, "ca")
    front_proxy = certs.authority(folder, "front-proxy-ca")
    in_cluster = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    hosts = [
        *("localhost", "127.0.0.1", SERVICE_IP, *in_cluster),
        *("kubernetes.default.svc.cluster.local", *addresses),
    ]
    return Keys(
        authority=authority,
        front_proxy=front_proxy,
        server=authority.issue("apiserver", "kube-apiserver", hosts=hosts),
        admin=authority.issue("admin", "kubernetes-admin", groups=["system:masters"]),
        to_kubelet=authority.issue("apiserver-kubelet", "kube-apiserver", ["system:masters"]),
        front_proxy_client=front_proxy.issue("front-proxy-client", "front-proxy-client"),
        tokens=certs.signing_key(folder, "sa"),
    )


def etcd_command(program: Path, data: Path, client_port: int, peer_port: int) -> list[str]:
    """The control plane's own etcd: gone with it, so it may skip every fsync."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(program),
        "--name=control-plane",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=control-plane={peer}",
        "--unsafe-no-fsync",
        "--snapshot-count=10000",
    ]


def apiserver_command(program: Path, keys: Keys, port: int, etcd_port: int) -> list[str]:
    """Flags that hold for every Kubernetes from 1.22 on; admission plugins are the defaults."""
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={port}",
        f"--tls-cert-file={keys.server.certificate}",
        f"--tls-private-key-file={keys.server.key}",
        f"--client-ca-file={keys.authority.pair.certificate}",
        f"--service-account-key-file={keys.tokens.certificate}",
        f"--service-account-signing-key-file={keys.tokens.key}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged=true",
        "--profiling=false",
        f"--requestheader-client-ca-file={keys.front_proxy.pair.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={keys.front_proxy_client.certificate}",
        f"--proxy-client-key-file={keys.front_proxy_client.key}",
    ]


class Client:
    """A few plain requests to the API server, as the administrator."""

    def __init__(self, port: int, ca: Path, pair: certs.Pair, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self.context = ssl.create_default_context(cafile=str(ca))
        self.context.load_cert_chain(str(pair.certificate), str(pair.key))

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(
            self.host, self.port, context=self.context, timeout=timeout_s
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ready(self) -> bool:
        try:
            return self.get("/readyz", timeout_s=2.0)[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def wait_until(condition: Callable[[], bool], deadline_s: float, step_s: float = 0.05) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step_s)
    return True
