"""gRPC's standard health service, as etcd serves it.

No readiness test: etcd says "serving" from the start and takes it back only while it defragments
and is configured to (server/etcdserver/api/v3rpc/health.go). Readiness is `/readyz` and Status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcd import rpc
from etcd.proto import health_pb2 as pb

if TYPE_CHECKING:
    from etcd.transport import Transport

TIMEOUT_S = 3.0


class HealthClient:
    """Is somebody there who speaks gRPC?"""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def is_serving(self, *, timeout_s: float = TIMEOUT_S) -> bool:
        """Local, retry-safe, needs no user. Raises LearnerUnsupportedError at a learner."""
        answer = await self._transport.unary(
            rpc.HEALTH_CHECK, pb.HealthCheckRequest(), timeout_s=timeout_s
        )
        return answer.status == pb.HealthCheckResponse.SERVING
