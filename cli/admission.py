"""Builds the admission server from its parts: the rules it asks, its certificate, its metrics.

Called by `assembly`.  Nothing is started here.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from typing_extensions import override

from api.errors import FieldError
from api.objects import ParsedCluster
from cli.settings import Settings
from controllers.admission.keeper import CertificateKeeper
from controllers.bind import parse_bind
from controllers.cluster.review import advice, refusals
from controllers.io_metrics import ReviewMetrics
from controllers.resources import NAMESPACES, SECRETS
from informers.errors import KubeError, NotFoundError
from informers.informer_set import ObjectReader
from informers.wire import KubeApi
from webhooks.judge import Rules
from webhooks.server import AdmissionServer

# A part of the time that the API server gives us.
_NAMESPACE_TIMEOUT_S: Final = 1.0
_SECRET_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the manager runs, and what is measured."""

    server: AdmissionServer
    keeper: CertificateKeeper
    metrics: ReviewMetrics


def assemble_admission(
    settings: Settings, api: KubeApi, claims: ObjectReader, now: Callable[[], datetime]
) -> Admission | None:
    """None where it is switched off. Raises ValueError for a bind that is none."""
    bind = parse_bind(settings.webhook_bind)
    if bind is None:
        return None
    keeper = CertificateKeeper(api, namespace=api.namespace, now=now)
    metrics = ReviewMetrics()
    server = AdmissionServer(
        host=bind.host,
        port=bind.port,
        tls=keeper.tls,
        rules=RunningRules(api, claims),
        observer=metrics,
    )
    return Admission(server=server, keeper=keeper, metrics=metrics)


class RunningRules(Rules):
    """The reconciler's rules over what the caches hold."""

    def __init__(self, api: KubeApi, claims: ObjectReader) -> None:
        self._api = api
        self._claims = claims

    @override
    def refusals(
        self, cluster: ParsedCluster, stored: Mapping[str, Any] | None
    ) -> tuple[FieldError, ...]:
        return refusals(cluster, stored, self._claims)

    @override
    def advice(self, cluster: ParsedCluster, stored: Mapping[str, Any] | None) -> tuple[str, ...]:
        return advice(cluster, stored, self._claims)

    @override
    async def is_ending(self, namespace: str) -> bool:
        """Read live; where that fails nobody knows, and data is not deleted on a guess."""
        try:
            found = await self._api.get(NAMESPACES, name=namespace, timeout_s=_NAMESPACE_TIMEOUT_S)
        except KubeError:
            return False
        return "deletionTimestamp" in found["metadata"]

    @override
    async def missing_secrets(self, namespace: str, names: frozenset[str]) -> frozenset[str]:
        """Read live; one that can't be read in time is not called missing."""
        found = await asyncio.gather(*(self._is_missing(namespace, name) for name in names))
        return frozenset(name for name, missing in zip(names, found, strict=True) if missing)

    async def _is_missing(self, namespace: str, name: str) -> bool:
        try:
            await self._api.get(
                SECRETS, name=name, namespace=namespace, timeout_s=_SECRET_TIMEOUT_S
            )
        except NotFoundError:
            return True
        except KubeError:
            return False
        return False
