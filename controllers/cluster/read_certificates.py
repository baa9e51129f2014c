"""Reads a cluster's Secrets by their names: the facts for the planner, the operator's credentials.

Called by `observe`.  Secrets are in no cache of ours: to list or watch them the operator would have
to be allowed to read every Secret there is.  So what was read, if all was well with it, is
remembered for some minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from api.v1alpha1.cluster_status import AuthorityStatus, ClusterStatus
from controllers.cluster.certificates.due import authority_trouble, due_leaves, leaf_trouble
from controllers.cluster.certificates.facts import AUTHORITIES, LEAVES, Facts, Role
from controllers.cluster.certificates.parse import decoded, read_facts
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import Phase
from controllers.cluster.observed import Certificates, Pod
from controllers.cluster.render.identity import Identity
from controllers.cluster.render.tls import AUTHORITY_KEY, CERTIFICATE_KEY, PRIVATE_KEY_KEY
from controllers.resources import SECRETS
from etcd.pool import ChannelPool
from etcd.tls import ClientTLS
from informers.errors import ForbiddenError, NotFoundError
from informers.wire import KubeApi

# So long it takes until a Secret that somebody deletes or changes is put right.
_REMEMBERED: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCertificates:
    """What is in the Secrets; `tls` is what the operator dials with, None when it has nothing.

    `borrowed`: it is the clients', because the operator has none of its own yet.
    """

    certificates: Certificates
    tls: ClientTLS | None = field(default=None, repr=False)
    borrowed: bool = False


@dataclass(frozen=True, slots=True)
class _Memory:
    uid: str
    authorities: AuthorityStatus | None
    since: datetime
    read: ReadCertificates

    def holds(self, who: Identity, authorities: AuthorityStatus | None, now: datetime) -> bool:
        """Whether it is of this cluster and its record, young, and gives nothing to do."""
        is_of_this = (self.uid, self.authorities) == (who.uid, authorities)
        is_young = now < self.since + _REMEMBERED
        return (
            is_of_this
            and is_young
            and _all_well(who, self.read.certificates.facts, authorities, now)
        )


class CertificateReader:
    """Reads the Secrets of all clusters, and remembers them by the clusters' keys."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._memories: dict[str, _Memory] = {}

    async def read(
        self,
        who: Identity,
        authorities: AuthorityStatus | None,
        *,
        now: datetime,
        anew: bool = False,
    ) -> ReadCertificates:
        """What is in the Secrets; `anew`: whatever is remembered. Raises KubeError, but that it is
        forbidden is a value.
        """
        key = f"{who.namespace}/{who.name}"
        memory = None if anew else self._memories.get(key)
        if memory is not None and memory.holds(who, authorities, now):
            return memory.read
        try:
            secrets = await self._secrets(who)
        except ForbiddenError as error:
            unread = f"The operator may not read Secrets ({error.message}): grant it get on secrets"
            return ReadCertificates(certificates=Certificates(unread=unread))
        own = _credentials(secrets.get(Role.OPERATOR))
        read = ReadCertificates(
            certificates=Certificates(facts=read_facts(secrets)),
            tls=own or _credentials(secrets.get(Role.CLIENT)),
            borrowed=own is None,
        )
        self._memories[key] = _Memory(who.uid, authorities, now, read)
        return read

    def forget(self, key: str) -> None:
        """The cluster is gone."""
        self._memories.pop(key, None)

    async def _secrets(self, who: Identity) -> dict[Role, Mapping[str, Any]]:
        found = {role: await self._get(who, role) for role in (*AUTHORITIES, *LEAVES)}
        return {role: secret for role, secret in found.items() if secret is not None}

    async def _get(self, who: Identity, role: Role) -> Mapping[str, Any] | None:
        try:
            return await self._api.get(
                SECRETS, namespace=who.namespace, name=secret_name(who.name, role)
            )
        except NotFoundError:
            return None


async def read_certificates(
    reader: CertificateReader,
    channels: ChannelPool,
    who: Identity | None,
    status: ClusterStatus,
    pods: Sequence[Pod],
    *,
    now: datetime,
) -> Certificates:
    """What is in the Secrets of a cluster with TLS; etcd is dialled with what was found there.

    `who` is None before there is a cluster. Raises KubeError.
    """
    if who is None:
        return Certificates()
    key = f"{who.namespace}/{who.name}"
    if not who.has_tls:
        channels.trust(key, None)
        return Certificates()
    waits = any(not pod.running for pod in pods)  # perhaps for a Secret that is not there
    rotation = status.authorities.rotation if status.authorities else None
    waits = waits or (rotation is not None and rotation.phase == Phase.PREPARING)
    read = await reader.read(who, status.authorities, now=now, anew=waits)
    # Clients have not the rights of the operator: theirs will do while nothing better was there.
    if read.tls is not None and not (read.borrowed and channels.trusts(key)):
        channels.trust(key, read.tls)
    return read.certificates


def _all_well(
    who: Identity, facts: Facts, authorities: AuthorityStatus | None, now: datetime
) -> bool:
    if authorities is None or due_leaves(who, facts, authorities, now):
        return False
    return not any(
        [authority_trouble(who, role, facts, authorities) for role in AUTHORITIES]
        + [leaf_trouble(who, role, facts, authorities, now) for role in LEAVES]
    )


def _credentials(secret: Mapping[str, Any] | None) -> ClientTLS | None:
    if secret is None:
        return None
    try:
        return ClientTLS(
            ca=decoded(secret, AUTHORITY_KEY),
            cert=decoded(secret, CERTIFICATE_KEY),
            key=decoded(secret, PRIVATE_KEY_KEY),
        )
    except ValueError:
        return None
