"""Turns a Lease object and an identity into the Lease to write next. Pure.

The elector calls it with what it last read. Every function returns a new object in which only the
fields of the election differ: labels, and fields of newer Kubernetes versions, survive.
"""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING, Any

from informers.resource import Resource

if TYPE_CHECKING:
    from datetime import datetime

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")


def holder_of(lease: dict[str, Any]) -> str:
    """Who holds it; "" if nobody does."""
    return _spec(lease).get("holderIdentity") or ""


def duration_of(lease: dict[str, Any], *, default_s: float) -> float:
    """For how long the holder's last renewal counts, by the holder's own word."""
    return float(_spec(lease).get("leaseDurationSeconds") or default_s)


def is_same_record(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether nobody renewed between the two; a changed label is not a renewal."""
    return _spec(one) == _spec(other)


def new(
    *, namespace: str, name: str, identity: str, duration_s: float, now: datetime
) -> dict[str, Any]:
    """A Lease held by `identity`, to create."""
    empty = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"namespace": namespace, "name": name},
    }
    lease = claimed(empty, identity=identity, duration_s=duration_s, now=now)
    return _with_spec(lease, leaseTransitions=0)


def claimed(
    lease: dict[str, Any], *, identity: str, duration_s: float, now: datetime
) -> dict[str, Any]:
    """The Lease held by `identity`: renewed if it was before, else taken over.

    A take-over counts a transition and sets acquireTime; a renewal keeps both.
    """
    spec = _spec(lease)
    mine = {
        "holderIdentity": identity,
        # A whole number of seconds in the API; rounded up, as others must wait at least so long.
        "leaseDurationSeconds": math.ceil(duration_s),
        "renewTime": micro_time(now),
    }
    if holder_of(lease) != identity:
        mine["acquireTime"] = micro_time(now)
        mine["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    return _with_spec(lease, **mine)


def released(lease: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """The Lease held by nobody: others may take it at once (client-go's form of a release)."""
    return _with_spec(
        lease,
        holderIdentity="",
        leaseDurationSeconds=1,
        renewTime=micro_time(now),
        acquireTime=micro_time(now),
    )


def micro_time(moment: datetime) -> str:
    """Kubernetes' MicroTime: RFC 3339 in UTC, always six digits, "2030-01-02T03:04:05.000006Z".

    Raises ValueError for a time without a zone, which would be taken for local time.
    """
    if moment.tzinfo is None:
        msg = "a MicroTime needs a time zone"
        raise ValueError(msg)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _spec(lease: dict[str, Any]) -> dict[str, Any]:
    return lease.get("spec") or {}


def _with_spec(lease: dict[str, Any], **changes: object) -> dict[str, Any]:
    return lease | {"spec": _spec(lease) | changes}
