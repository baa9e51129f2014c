"""The etcd beside the agent, in a container of the same pod: how it is called, and how it is ended.

What it is started with: `controllers.restore.private_etcd`.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.v1alpha1.auth import ROOT
from cli.agent.snapshot import read_tls
from controllers.cluster.certificates.issue import new_leaf, self_signed
from controllers.cluster.certificates.subjects import Subject
from etcd.client import EtcdClient
from etcd.dialer import DirectDialer, Endpoint
from etcd.pool import ChannelPool

_HOST: Final = "localhost"
_LIFE: Final = timedelta(days=1)
# A serial number is positive, and has 20 bytes at most (RFC 5280, 4.1.2.2).
_SERIAL_BITS: Final = 159
_LOOK_EVERY_S: Final = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PrivateEtcd:
    """member: its name. data: its directory, by which its process is known. tls: the folder with
    its certificate.
    """

    member: str
    data: Path
    tls: Path
    port: int

    @asynccontextmanager
    async def client(self) -> AsyncIterator[EtcdClient]:
        """Raises OSError, ValueError."""
        pool = ChannelPool(DirectDialer())
        try:
            pool.trust(self.member, read_tls(self.tls))
            yield pool.client(self._endpoint)
        finally:
            await pool.close()

    @property
    def is_running(self) -> bool:
        """Whether its process is there. One that is not anymore has written all it ever will."""
        return bool(self._processes())

    def tell_to_end(self) -> None:
        """So that the pod ends: its processes are in one namespace, and of one user."""
        for process in self._processes():
            try:
                os.kill(process, signal.SIGTERM)
            except OSError as failure:
                log.warning("etcd could not be told to end", process=process, error=str(failure))

    async def end(self, *, within_s: float) -> bool:
        """Whether its process is gone by then; until it is, its files may change."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        self.tell_to_end()
        while True:
            if not self.is_running:
                return True
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint(
            cluster=self.member,
            namespace="",
            pod=self.member,
            pod_uid=self.member,
            address="127.0.0.1",
            fqdn=_HOST,
            port=self.port,
        )

    def _processes(self) -> list[int]:
        """Those that were started as etcd on this folder."""
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                program, *arguments = line.read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended meanwhile
            if Path(os.fsdecode(program)).name == "etcd" and os.fsencode(self.data) in arguments:
                found.append(int(line.parent.name))
        return found


def write_certificate(folder: Path, now: datetime) -> None:
    """One for both sides, in the form of a cluster's client Secret. Raises OSError."""
    life = (now - _LIFE, now + _LIFE)
    authority = self_signed("private CA", _new_key(), _serial(), life)
    key = _new_key()
    subject = Subject(common_name=ROOT, names=(_HOST,), serves=True, calls=True)
    leaf = new_leaf(authority, subject, key, _serial(), life)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "ca.crt").write_bytes(_pem(authority.certificate))
    (folder / "tls.crt").write_bytes(_pem(leaf))
    (folder / "tls.key").write_bytes(private)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _serial() -> int:
    return secrets.randbits(_SERIAL_BITS) | 1


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
