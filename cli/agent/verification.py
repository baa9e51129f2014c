"""Tries out a backup: what runs in the pod that verifies it, before and beside an etcd of its own.

That etcd is reached from the pod alone, by a certificate that was made for it and dies with it. Its
name is root's: where the saved cluster asks who is calling, so do the restored data.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.v1alpha1.auth import ROOT
from cli.agent.restore import fetch_backup
from cli.agent.snapshot import read_tls
from controllers.backup.order import Proven
from controllers.backup.verification_pod import TLS_FOLDER
from controllers.cluster.certificates.issue import new_leaf, self_signed
from controllers.cluster.certificates.subjects import Subject
from controllers.restore.order import RestoreOrder
from etcd.dialer import CLIENT_PORT, DirectDialer, Endpoint
from etcd.pool import ChannelPool
from snapshots.placing import Volume, read_fetched
from snapshots.served import compare

# etcd reads all keys before it answers: of 8 GiB for some minutes.
START_S: Final = 600.0
_HOST: Final = "localhost"
_LIFE: Final = timedelta(days=1)
# A serial number is positive, and has 20 bytes at most (RFC 5280, 4.1.2.2).
_SERIAL_BITS: Final = 159

log = structlog.get_logger()


async def prepare(
    order: RestoreOrder,
    environ: Mapping[str, str],
    *,
    now: Callable[[], datetime],
    volume: Path,
    root: Path,
) -> None:
    """Brings the backup, and the certificate of the etcd that will serve it.

    volume: where a backup's own one is mounted; root: where etcd's will be. Raises SnapshotsError,
    OSError.
    """
    await fetch_backup(order, environ, volume=volume, root=root)
    await asyncio.to_thread(_write_certificate, root / TLS_FOLDER, now())


async def verify(
    order: RestoreOrder, *, now: Callable[[], datetime], root: Path, port: int = CLIENT_PORT
) -> Proven:
    """Compares what etcd serves with the manifest; then etcd is ended, whatever came of it.

    Raises SnapshotsError, OSError.
    """
    pool, target = ChannelPool(DirectDialer()), Volume(root)
    try:
        manifest = read_fetched(target).manifest
        pool.trust(order.member, read_tls(root / TLS_FOLDER))
        client = pool.client(_endpoint(order.member, port))
        found = await compare(
            client,
            manifest,
            start_s=START_S,
            is_running=lambda: bool(_processes(target.restored)),
        )
    finally:
        await pool.close()
        _end_etcd(target.restored)
    return Proven(
        proven_at=now(),
        etcd_version=found.etcd_version,
        etcd_revision=found.revision,
        keys=found.keys,
        kv_hash=found.kv_hash,
    )


def _endpoint(member: str, port: int) -> Endpoint:
    return Endpoint(
        cluster=member,
        namespace="",
        pod=member,
        pod_uid=member,
        address="127.0.0.1",
        fqdn=_HOST,
        port=port,
    )


def _write_certificate(folder: Path, now: datetime) -> None:
    """One for both sides, in the form of a cluster's client Secret."""
    life = (now - _LIFE, now + _LIFE)
    authority = self_signed("verification CA", _new_key(), _serial(), life)
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


def _end_etcd(data: Path) -> None:
    """So that the pod ends: its processes are in one namespace, and of one user."""
    for process in _processes(data):
        try:
            os.kill(process, signal.SIGTERM)
        except OSError as failure:
            log.warning("etcd could not be told to end", process=process, error=str(failure))


def _processes(data: Path) -> list[int]:
    """Those that were started as etcd on this folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program, *arguments = line.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if Path(os.fsdecode(program)).name == "etcd" and os.fsencode(data) in arguments:
            found.append(int(line.parent.name))
    return found
