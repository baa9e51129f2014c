"""Three etcd processes from the operator's own files and Secrets, with TLS, on loopback.

Of a rendered file only what loopback has no room for is replaced: addresses, ports and folders. The
Secrets lie as kubelet mounts them: a folder of links that change all at once.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import shutil
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

import yaml

from api.labels import TLS_MOUNT_PATH
from controllers.cluster.certificates.facts import Role
from controllers.cluster.render import desired_objects
from etcd.config_file import yaml_text
from etcd.dialer import Endpoint
from tests.integration.etcd.processes import STOP_DEADLINE_S, Member, free_ports
from tests.unit.controllers.cluster import builders
from tests.unit.controllers.cluster.certificate_builders import TLS, WHO, secrets, with_tls

FOLDERS = {
    Role.SERVER: "server",
    Role.PEER: "peer",
    Role.CLIENT: "client",
    Role.OPERATOR: "operator",
}
DEADLINE_S = 5


class TLSMember(Member):
    """One member; `text` is its file as the operator rendered it."""

    ordinal = 0
    text = ""
    metrics_port = 0

    @property
    def peer_url(self):
        return f"https://127.0.0.1:{self.peer_port}"

    @property
    def client_url(self):
        return f"https://127.0.0.1:{self.client_port}"

    @property
    def host(self):
        return WHO.host(self.ordinal)

    def endpoint(self):
        return Endpoint(
            cluster="prod/db",
            namespace="prod",
            pod=self.name,
            pod_uid=f"uid-{self.name}",
            address="127.0.0.1",
            fqdn=self.host,
            port=self.client_port,
        )


@dataclass
class Connection:
    """What came of speaking to a port: an HTTP answer, or TLS's own word why there is none."""

    status: int = 0
    body: str = ""
    refused: str = ""
    serial: int = 0


class TLSCluster:
    """The members, and the folder with the Secrets that all of them mount."""

    def __init__(self, folder, version, *, fields=TLS, found=None):
        """`fields` of the spec, and the Secrets `found` that fit it."""
        self.folder = folder
        self.version = version
        self.fields = fields
        self.generation = 0
        files = rendered(version, fields)
        self.members = [self._member(n, text) for n, text in enumerate(files)]
        self.mount(found or fresh())

    @property
    def mounts(self):
        return self.folder / "tls"

    def _member(self, ordinal, text):
        name = f"db-{ordinal}"
        client, peer, metrics = free_ports(3)
        made = TLSMember(name, self.version, self.folder / name, client, peer)
        made.ordinal, made.text, made.metrics_port = ordinal, text, metrics
        return made

    def mount(self, found):
        """Puts these Secrets where the members read them, as kubelet does: all at once."""
        self.generation += 1
        data = self.folder / f"secrets-{self.generation}"
        for role, name in FOLDERS.items():
            (data / name).mkdir(parents=True)
            secret = found.get(role, {"data": {}})  # by the users' authority there is no operator's
            for key, value in secret["data"].items():
                (data / name / key).write_bytes(base64.b64decode(value))
        link = self.folder / "tls.new"
        link.symlink_to(data)
        link.replace(self.mounts)

    def start(self):
        for member in self.members:
            self.start_member(member)

    def upgrade(self, member, version):
        """Ends a member and starts this version on its data, from that version's file."""
        member.process.terminate()
        member.process.wait(STOP_DEADLINE_S)
        member.version = version
        member.text = rendered(version, self.fields)[member.ordinal]
        self.start_member(member)

    def start_member(self, member, *, state="new"):
        listed = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        keys = yaml.safe_load(member.text.replace(TLS_MOUNT_PATH, str(self.mounts)))
        keys |= {
            "data-dir": str(member.folder / "data"),
            "listen-client-urls": member.client_url,
            "advertise-client-urls": member.client_url,
            "listen-peer-urls": member.peer_url,
            "initial-advertise-peer-urls": member.peer_url,
            "initial-cluster": listed,
            "initial-cluster-state": state,
            "listen-metrics-urls": f"http://127.0.0.1:{member.metrics_port}",
        }
        member.start_with(yaml_text(keys))

    def kill(self):
        for member in self.members:
            member.kill()

    def context(self, folder, *, cert="tls.crt"):
        """A client that has the certificate of a mounted Secret, and trusts its authority."""
        made = self.stranger(folder)
        made.load_cert_chain(self.mounts / folder / cert, self.mounts / folder / "tls.key")
        return made

    def stranger(self, folder):
        """A client without a certificate, that trusts the authority of that Secret.

        In TLS 1.2 a refusal is a part of the handshake; in 1.3 it races with what is sent first.
        """
        made = ssl.create_default_context(cafile=self.mounts / folder / "ca.crt")
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        return made


def rendered(version, fields):
    """The files of three members of that version."""
    made = with_tls(builders.accepted(spec_fields={**fields, "version": version}))
    (files,) = (o["data"] for o in desired_objects(made) if o["kind"] == "ConfigMap")
    return list(files.values())


def fresh(**changes):
    """Secrets whose leaves are made now: etcd's clock is the real one."""
    now = datetime.now(UTC)  # noqa: TID251 - as etcd sees it
    return secrets(since=now.replace(microsecond=0), **changes)


def written(folder, secret):
    """A Secret's values as files; the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for key, value in secret["data"].items():
        (folder / key).write_bytes(base64.b64decode(value))
    return folder


def speak(member, port, context, path="/version", *, method="GET", body=None):
    """One request; without a context in plain text. Failures are in the answer."""
    try:
        with contextlib.ExitStack() as opened:
            raw = opened.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
            )
            link, serial = raw, 0
            if context is not None:
                link = opened.enter_context(context.wrap_socket(raw, server_hostname=member.host))
                serial = int(link.getpeercert()["serialNumber"], 16)
            request = http.client.HTTPConnection(member.host)
            request.sock = link
            request.request(method, path, body)
            answer = request.getresponse()
            return Connection(answer.status, answer.read().decode(), serial=serial)
    except ssl.SSLError as failure:
        return Connection(refused=str(failure.reason or failure))
    except (OSError, http.client.HTTPException) as failure:
        return Connection(refused=type(failure).__name__)
