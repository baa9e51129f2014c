"""Sees which certificates members show, while a rotation waits for them to show new ones.

Called by `observe`.  By the pods' addresses: where those can't be reached, as from a laptop,
nothing is seen, and the rotation waits longer instead.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.trust import to_be_shown
from controllers.cluster.observed import Pod
from controllers.cluster.render.identity import CLIENT_PORT, PEER_PORT
from etcd.handshake import shown_certificate

_TIMEOUT_S = 2.0


async def shown_certificates(
    status: ClusterStatus, applied: ClusterSpec | None, pods: Sequence[Pod], *, now: datetime
) -> Mapping[str, str]:
    """By pod the fingerprint of what it shows; without those that show nothing."""
    role = to_be_shown(status.authorities, applied, now)
    if role is None:
        return {}
    port = PEER_PORT if role is Role.PEER else CLIENT_PORT
    asked = {pod.name: pod.ip for pod in pods if pod.running and pod.ip}
    answers = await asyncio.gather(
        *(shown_certificate(address, port, timeout_s=_TIMEOUT_S) for address in asked.values())
    )
    return {name: shown for name, shown in zip(asked, answers, strict=True) if shown}
