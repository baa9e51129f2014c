"""Tries out a backup: what runs in the pod that verifies it, before and beside an etcd of its own.

That etcd is reached from the pod alone: `cli.agent.private_etcd`.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from cli.agent.private_etcd import PrivateEtcd, write_certificate
from cli.agent.restore import fetch_backup
from controllers.backup.order import Proven
from controllers.backup.verification_pod import TLS_FOLDER
from controllers.restore.order import RestoreOrder
from etcd.dialer import CLIENT_PORT
from snapshots.placing import Volume, read_fetched
from snapshots.served import compare

# etcd reads all keys before it answers: of 8 GiB for some minutes.
START_S: Final = 600.0


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
    await fetch_backup(order, environ, now=now, volume=volume, root=root)
    await asyncio.to_thread(write_certificate, root / TLS_FOLDER, now())


async def verify(
    order: RestoreOrder, *, now: Callable[[], datetime], root: Path, port: int = CLIENT_PORT
) -> Proven:
    """Compares what etcd serves with the manifest; then etcd is ended, whatever came of it.

    Raises SnapshotsError, OSError.
    """
    target = Volume(root)
    etcd = PrivateEtcd(order.member, data=target.restored, tls=root / TLS_FOLDER, port=port)
    try:
        manifest = read_fetched(target).manifest
        async with etcd.client() as client:
            found = await compare(
                client, manifest, start_s=START_S, is_running=lambda: etcd.is_running
            )
    finally:
        etcd.tell_to_end()
    return Proven(
        proven_at=now(),
        etcd_version=found.etcd_version,
        etcd_revision=found.revision,
        keys=found.keys,
        kv_hash=found.kv_hash,
    )
