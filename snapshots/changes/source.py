"""Whose changes are kept, and what its watch does not tell of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from etcd.errors import EtcdError
from etcd.ids import LeaseID, cluster_id_hex
from etcd.retry import retry_read
from etcd.versions import Version, parse_version
from snapshots.errors import WrongSourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etcd.client import EtcdClient
    from etcd.ids import ClusterID

log = structlog.get_logger(__name__)

# Before it, etcd tells of progress that it has not made (etcd-io/etcd#15220).
OLDEST: Final = Version(3, 5, 8)
# Before them, changes may be missing at compactions and at the start of a watch (#19179, #20221).
TRUSTWORTHY: Final = {(3, 5): Version(3, 5, 22), (3, 6): Version(3, 6, 2)}
_TIMEOUT_S: Final = 10.0
_LEASES_AT_ONCE: Final = 64


def distrust(version: str) -> str | None:
    """What speaks against a log of this version of etcd, None for nothing. Pure.

    Raises WrongSourceError for one of which no log can be complete.
    """
    try:
        found = parse_version(version)
    except ValueError:
        return f"nothing is known of the watches of etcd {version}"
    if found < OLDEST:
        message = f"a watch of etcd {version} is not complete: upgrade it to {TRUSTWORTHY[3, 5]}"
        raise WrongSourceError(message)
    least = TRUSTWORTHY.get((found.major, found.minor))
    if least is not None and found < least:
        return f"a watch of etcd {version} may miss a change: upgrade it to {least}"
    return None


async def check_source(client: EtcdClient, cluster_id: ClusterID) -> None:
    """Raises WrongSourceError, EtcdError. A version that may lose changes is warned of."""
    status = await retry_read(client.maintenance.status, timeout_s=_TIMEOUT_S)
    check_cluster(status.cluster_id, cluster_id)
    reason = distrust(status.version)
    if reason is not None:
        log.warning("the changes that are kept may not be complete", reason=reason)


def check_cluster(found: ClusterID, wanted: ClusterID) -> None:
    """Revisions of two clusters in one log would be nobody's. Raises WrongSourceError."""
    if found != wanted:
        message = (
            f"the member is of cluster {cluster_id_hex(found)},"
            f" and the log of cluster {cluster_id_hex(wanted)}"
        )
        raise WrongSourceError(message)


class GrantedTimes:
    """For how many seconds leases were granted; etcd is asked of each that the last call had not.

    A lease that is gone before it is asked for has 0, and so has one that can't be asked for, as
    the changes are worth more: most were there, and are asked for when the changes that name them
    are stored.
    """

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    async def of(self, client: EtcdClient, leases: Iterable[int]) -> dict[int, int]:
        """By ID, ascending."""
        wanted = sorted(leases)
        missing = iter([one for one in wanted if one not in self._known])
        found = {one: self._known[one] for one in wanted if one in self._known}

        async def ask() -> None:
            for lease_id in missing:
                found[lease_id] = await _granted_s(client, lease_id)

        await asyncio.gather(*(ask() for _ in range(_LEASES_AT_ONCE)))
        # Only these: a log lives for years, and sees more leases than memory has place for.
        self._known = {one: found[one] for one in wanted}
        return self._known


async def _granted_s(client: EtcdClient, lease_id: int) -> int:
    try:
        info = await client.lease.time_to_live(LeaseID(lease_id))
    except EtcdError:
        return 0
    return info.granted_ttl_s
