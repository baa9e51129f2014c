"""Keeps the admission server's certificate good and trusted, while the operator runs.

Each replica does this, leader or not: the steps are idempotent, every write names the
resourceVersion that was read, and the configuration is read before the Secret, so that what is
published is never older than what another replica published.  A failure is logged and tried
again; the operator goes on without admission meanwhile.
"""

import asyncio
import base64
import io
import os
import random
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from controllers.admission.certificates import (
    SECRET,
    Pair,
    Step,
    first_data,
    new_secret,
    next_data,
    next_step,
    promoted_data,
    served_pair,
    trusted,
)
from controllers.resources import SECRETS, WEBHOOK_CONFIGURATIONS
from informers.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    KubeError,
    NotFoundError,
)
from informers.wire import STRATEGIC_MERGE_PATCH, KubeApi

log = structlog.get_logger(__name__)

CONFIGURATION: Final = "etcd-operator"
# How long an edit of somebody else's may last, and a new pair may wait. Two small reads each time.
INTERVAL_S: Final = 15.0
# Steps that follow each other, and conflicts with other replicas, are gone through at once.
_MOST_STEPS: Final = 8


class NoCertificateError(Exception):
    """There is nothing to serve with yet."""


class CertificateKeeper:
    """`tls` is the server's own context: `run` loads each new certificate into it.

    now: the time by the wall's clock. Keys are made and kept in memory and in the Secret alone.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        namespace: str,
        now: Callable[[], datetime],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._api = api
        self._namespace = namespace
        self._now = now
        self._interval_s = interval_s
        self._served: bytes | None = None
        self._problem = ""

    def check(self) -> None:
        """Raises NoCertificateError until there is a certificate to serve with."""
        if self._served is None:
            raise NoCertificateError(self._problem or "none has been made yet")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                problem = await self.keep()
            except (KubeError, ssl.SSLError) as error:
                problem = str(error)
            if problem and problem != self._problem:  # it is met again and again
                log.warning("the webhook's certificate can't be kept", error=problem)
            self._problem = problem
            # Replicas that start together shall not go on together.
            await asyncio.sleep(self._interval_s * random.uniform(0.8, 1.2))  # noqa: S311

    async def keep(self) -> str:
        """Take one step after the other until none is left; returns why nobody can be told whom to
        trust, empty when they have been.
        """
        problem = ""
        for _ in range(_MOST_STEPS):
            configuration: dict[str, Any] | None = None
            try:
                configuration = await self._api.get(WEBHOOK_CONFIGURATIONS, name=CONFIGURATION)
            except (NotFoundError, ForbiddenError) as error:
                problem = str(error)  # and with what is left one can serve all the same
            secret = await self._secret()
            if secret is not None:
                self._serve(secret)
            published = None if configuration is None else _published(configuration)
            step = next_step(secret, published, self._namespace, self._now())
            if step is None:
                break
            try:
                await self._take(step, secret, configuration)
            except (AlreadyExistsError, ConflictError):
                continue  # another replica was faster
            log.info("the webhook's certificate", step=step.value)
        return problem

    async def _secret(self) -> dict[str, Any] | None:
        try:
            return await self._api.get(SECRETS, namespace=self._namespace, name=SECRET)
        except NotFoundError:
            return None

    async def _take(
        self, step: Step, secret: dict[str, Any] | None, configuration: dict[str, Any] | None
    ) -> None:
        if step is Step.PUBLISH:
            assert secret is not None
            assert configuration is not None
            await self._publish(configuration, trusted(secret))
            return
        if step is Step.SERVE_NEXT:
            assert secret is not None
            await self._write(secret, promoted_data(secret))
            return
        # One for the certificate and one for its authority, which nobody keeps.
        keys = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        now = self._now()
        if secret is None:
            body = new_secret(self._namespace, *keys, now)
            await self._api.create(SECRETS, body, namespace=self._namespace)
        elif step is Step.MAKE:
            await self._write(secret, first_data(secret, self._namespace, *keys, now))
        else:
            await self._write(secret, next_data(secret, self._namespace, *keys, now))

    async def _write(self, secret: Mapping[str, Any], data: Mapping[str, str | None]) -> None:
        version = secret["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "data": data}
        await self._api.patch(SECRETS, body, namespace=self._namespace, name=SECRET)

    async def _publish(self, configuration: Mapping[str, Any], trust: bytes) -> None:
        """Every webhook of the configuration is ours."""
        told = {"caBundle": base64.b64encode(trust).decode()}
        body = {
            "metadata": {"resourceVersion": configuration["metadata"]["resourceVersion"]},
            "webhooks": [
                {"name": webhook["name"], "clientConfig": told}
                for webhook in configuration.get("webhooks") or ()
            ],
        }
        await self._api.patch(
            WEBHOOK_CONFIGURATIONS, body, name=CONFIGURATION, content_type=STRATEGIC_MERGE_PATCH
        )

    def _serve(self, secret: Mapping[str, Any]) -> None:
        """Connections that are made from now on see this certificate."""
        pair = served_pair(secret, self._namespace)
        if pair is not None and pair.certificate != self._served:
            _load(self.tls, pair)
            self._served = pair.certificate
            log.info("the webhook serves a certificate", until=pair.not_after.isoformat())


def _published(configuration: Mapping[str, Any]) -> bytes | None:
    """What every one of its webhooks trusts; nothing at all where they differ."""
    bundles = {
        (webhook.get("clientConfig") or {}).get("caBundle") or ""
        for webhook in configuration.get("webhooks") or ()
    }
    if not bundles:
        return None
    return base64.b64decode(bundles.pop()) if len(bundles) == 1 else b""


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    """OpenSSL's binding takes files only: these are in memory, for nobody else to see."""
    with _in_memory(pair.certificate) as certificate, _in_memory(pair.key) as key:
        context.load_cert_chain(
            f"/proc/self/fd/{certificate.fileno()}", f"/proc/self/fd/{key.fileno()}"
        )


def _in_memory(content: bytes) -> io.FileIO:
    file = io.FileIO(os.memfd_create("webhook", os.MFD_CLOEXEC), "wb")
    file.write(content)
    return file
