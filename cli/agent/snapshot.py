"""Takes one snapshot of a cluster and stores it, as an order says: what runs in a backup's pod.

The members are asked one after the other, in the order's order; the first whose data comes to its
proven end is the one that is saved.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from cli.agent.backup import keys_of
from cli.agent.store import open_ordered_store
from controllers.backup.archive.order import ArchiveOrder
from controllers.backup.order import (
    TLS_PATH,
    MemberAddress,
    Order,
    Saved,
)
from controllers.backup.place import path_in
from etcd.client import EtcdClient
from etcd.dialer import DirectDialer, Endpoint
from etcd.errors import EtcdError
from etcd.ids import cluster_id_hex, member_id_hex
from etcd.pool import ChannelPool
from etcd.tls import ClientTLS
from snapshots.capture import CaptureRequest, capture
from snapshots.catalog import delete_orphans
from snapshots.encryption import EncryptionKey
from snapshots.errors import (
    DatabaseUnreadableError,
    SnapshotsError,
)
from snapshots.manifest import Manifest
from snapshots.stores import Store

_STATUS_TIMEOUT_S = 5.0
_DNS_TIMEOUT_S = 10.0
# Longer than a Job may take: what was written so long ago belongs to no attempt that is alive.
_DEAD_AFTER = timedelta(days=1)
# The pod's last word is heard when it ends; what is left after that the next backup deletes.
_CLEAN_UP_S = 300.0

log = structlog.get_logger()


class NoMemberError(Exception):
    """No member could be saved; the text has what each of them said."""


async def take(
    order: Order,
    environ: Mapping[str, str],
    *,
    now: Callable[[], datetime],
    tls: ClientTLS | None,
    volume: Path,
) -> Saved:
    """Take the backup, or find that it was taken. Raises NoMemberError, SnapshotsError."""
    key = keys_of(environ)[0] if order.encrypted else None
    store = open_ordered_store(order, environ, volume)
    pool = ChannelPool(DirectDialer())
    pool.trust(_cluster(order), tls)
    try:
        manifest = await _first_that_can_be_saved(order, store, pool, key, now)
    finally:
        await pool.close()
    return Saved(
        started_at=manifest.started_at,
        completed_at=manifest.completed_at,
        storage_path=path_in(order, manifest.folder(order.backup).path),
        backup_size=manifest.stored_size,
        database_size=manifest.database.size,
        sha256=manifest.database.sha256,
        member=manifest.member.name,
        etcd_version=manifest.member.etcd_version,
        etcd_revision=manifest.content.revision,
        keys=manifest.content.keys,
        key_id=manifest.encryption.key_id if manifest.encryption is not None else "",
    )


async def clean_up(
    order: Order, environ: Mapping[str, str], *, now: datetime, volume: Path
) -> None:
    """Delete what dead attempts left; the backup counts whether that works or not."""
    try:
        async with asyncio.timeout(_CLEAN_UP_S):
            await delete_orphans(
                open_ordered_store(order, environ, volume),
                now=now,
                older_than=_DEAD_AFTER,
                below=f"{order.cluster_id}-{order.epoch}",
            )
    except (SnapshotsError, TimeoutError) as failure:
        log.warning("parts of dead attempts could not be deleted", error=str(failure))


def read_tls(folder: Path = Path(TLS_PATH)) -> ClientTLS:
    """The mounted client Secret of the cluster. Raises OSError, ValueError."""
    return ClientTLS(
        ca=(folder / "ca.crt").read_bytes(),
        cert=(folder / "tls.crt").read_bytes(),
        key=(folder / "tls.key").read_bytes(),
    )


async def _first_that_can_be_saved(
    order: Order,
    store: Store,
    pool: ChannelPool,
    key: EncryptionKey | None,
    now: Callable[[], datetime],
) -> Manifest:
    said = []
    for member in order.members:
        try:
            client = pool.client(await endpoint_of(order, member))
            await _check_identity(client, order, member)
            return await capture(client, store, _request(order, member, key), now=now)
        except (EtcdError, DatabaseUnreadableError, NoMemberError) as failure:
            log.warning("a member could not be saved", member=member.name, error=str(failure))
            said.append(f"{member.name}: {failure}")
    raise NoMemberError("; ".join(said) or "the order names no member")


async def endpoint_of(order: Order | ArchiveOrder, member: MemberAddress) -> Endpoint:
    """Where the member is. Resolved now: a pod that was restarted has another address.

    Raises NoMemberError.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_DNS_TIMEOUT_S):
            found = await loop.getaddrinfo(member.host, member.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as failure:
        message = f"{member.host} does not resolve: {failure}"
        raise NoMemberError(message) from failure
    return Endpoint(
        cluster=_cluster(order),
        namespace=order.namespace,
        pod=member.name,
        pod_uid=member.name,
        address=str(found[0][4][0]),
        fqdn=member.host,
        port=member.port,
    )


async def _check_identity(client: EtcdClient, order: Order, member: MemberAddress) -> None:
    """Whether this is who it should be: the address may be another pod's by now."""
    status = await client.maintenance.status(timeout_s=_STATUS_TIMEOUT_S)
    cluster_id, member_id = cluster_id_hex(status.cluster_id), member_id_hex(status.member_id)
    if cluster_id != order.cluster_id:
        message = f"answers for cluster {cluster_id} instead of {order.cluster_id}"
        raise NoMemberError(message)
    if member.id not in {"", member_id}:
        message = f"answers as member {member_id} instead of {member.id}"
        raise NoMemberError(message)


def _request(order: Order, member: MemberAddress, key: EncryptionKey | None) -> CaptureRequest:
    return CaptureRequest(
        backup=order.backup,
        epoch=order.epoch,
        namespace=order.namespace,
        name=order.cluster,
        uid=order.cluster_uid,
        member=member.name,
        compress=order.compression,
        key=key,
    )


def _cluster(order: Order | ArchiveOrder) -> str:
    return f"{order.namespace}/{order.cluster}"
