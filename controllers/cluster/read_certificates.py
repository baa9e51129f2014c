"""Reads a cluster's Secrets by their names: the facts for the planner, the operator's credentials.

Called by `observe`.  Secrets are in no cache of ours: to list or watch them the operator would have
to be allowed to read every Secret there is.  So what was read, if all was well with it, is
remembered for some minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from api.v1alpha1.cluster_status import AuthorityStatus, ClusterStatus
from controllers.cluster.certificates.due import (
    authority_trouble,
    due_leaves,
    knows_members,
    leaf_trouble,
)
from controllers.cluster.certificates.facts import Facts, Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.issue import encoded
from controllers.cluster.certificates.orders import read_order
from controllers.cluster.certificates.parse import decoded, read_facts
from controllers.cluster.certificates.sources import OrderFacts, Source, SourceFacts
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import Phase
from controllers.cluster.certificates.validate import Secrets, chains, examine
from controllers.cluster.observed import Certificates, Pod
from controllers.cluster.render.tls import AUTHORITY_KEY, CERTIFICATE_KEY, PRIVATE_KEY_KEY
from controllers.resources import CERTIFICATES, SECRETS
from etcd.pool import ChannelPool
from etcd.tls import ClientTLS
from informers.errors import ForbiddenError, NotFoundError, StatusError
from informers.wire import KubeApi

# So long it takes until a Secret that somebody deletes or changes is put right.
_REMEMBERED: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCertificates:
    """What is in the Secrets; `tls` is what the operator dials with, None when it has nothing.

    `borrowed`: it is the clients', because the operator has none of its own that will do.
    """

    certificates: Certificates
    tls: ClientTLS | None = field(default=None, repr=False)
    borrowed: bool = False


@dataclass(frozen=True, slots=True)
class _Memory:
    who: Holder
    authorities: AuthorityStatus | None
    since: datetime
    read: ReadCertificates

    def holds(self, who: Holder, authorities: AuthorityStatus | None, now: datetime) -> bool:
        """Whether it is of this cluster and its record, young, and gives nothing to do."""
        is_of_this = (self.who, self.authorities) == (who, authorities)
        is_young = now < self.since + _REMEMBERED
        return is_of_this and is_young and _all_well(who, self.read.certificates, authorities, now)


class CertificateReader:
    """Reads the Secrets of all clusters, and remembers them by the clusters' keys."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._memories: dict[str, _Memory] = {}

    async def read(
        self,
        who: Holder,
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
            theirs = await self._theirs(who)
            orders = {one.role: await self._order(who, one) for one in who.sources if one.issued}
        except ForbiddenError as error:
            unread = f"The operator may not read Secrets ({error.message}): grant it get on secrets"
            return ReadCertificates(certificates=Certificates(unread=unread))
        facts = read_facts(secrets)
        own = _own_credentials(secrets.get(Role.OPERATOR), facts, authorities, now)
        read = ReadCertificates(
            certificates=Certificates(
                facts=facts,
                sources=_sources(who, secrets, facts, theirs, now),
                orders=orders,
            ),
            tls=own or _credentials(secrets.get(Role.CLIENT)),
            borrowed=own is None and Role.OPERATOR in who.leaves,
        )
        self._memories[key] = _Memory(who, authorities, now, read)
        return read

    def forget(self, key: str) -> None:
        """The cluster is gone."""
        self._memories.pop(key, None)

    async def _secrets(self, who: Holder) -> dict[Role, Mapping[str, Any]]:
        roles = (*who.own_authorities, *who.coming_authorities, *who.leaves)
        names = {role: secret_name(who.name, role) for role in roles}
        found = {role: await self._get(who, name) for role, name in names.items()}
        return {role: secret for role, secret in found.items() if secret is not None}

    async def _theirs(self, who: Holder) -> Secrets:
        names = {name for source in who.sources for name in source.secrets}
        found = {name: await self._get(who, name) for name in sorted(names)}
        return {name: secret for name, secret in found.items() if secret is not None}

    async def _order(self, who: Holder, source: Source) -> OrderFacts:
        """What there is of a Certificate; that the server does not give it is a value."""
        try:
            live = await self._api.get(CERTIFICATES, namespace=who.namespace, name=source.secret)
        except NotFoundError as error:
            # Of an object the server says the name; of a kind it says nothing.
            return OrderFacts(installed=f'"{source.secret}"' in error.message)
        except ForbiddenError as error:
            why = f"The operator may not read Certificates ({error.message}): grant it get on them"
            return OrderFacts(unread=why)
        except StatusError as error:
            return OrderFacts(unread=f"Certificate {source.secret} can't be read: {error.message}")
        return read_order(who, source, live)

    async def _get(self, who: Holder, name: str) -> Mapping[str, Any] | None:
        try:
            return await self._api.get(SECRETS, namespace=who.namespace, name=name)
        except NotFoundError:
            return None


async def read_certificates(
    reader: CertificateReader,
    channels: ChannelPool,
    who: Holder | None,
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
    if not who.serves_tls:
        channels.trust(key, None)
    if not who.has_certificates:
        return Certificates()
    waits = any(not pod.running for pod in pods)  # perhaps for a Secret that is not there
    rotation = status.authorities.rotation if status.authorities else None
    waits = waits or (rotation is not None and rotation.phase == Phase.PREPARING)
    read = await reader.read(who, status.authorities, now=now, anew=waits)
    # Clients have not the rights of the operator: theirs will do while nothing better was there.
    worse = read.tls is None or (read.borrowed and channels.trusts(key))
    if who.serves_tls and not worse:
        channels.trust(key, read.tls)
    return read.certificates


def _sources(
    who: Holder,
    secrets: Mapping[Role, Mapping[str, Any]],
    facts: Facts,
    theirs: Secrets,
    now: datetime,
) -> dict[Role, SourceFacts]:
    """Whom a copy trusts is not looked at here: it follows from the record of authorities."""
    found = {}
    for source in who.sources:
        examined = examine(source, theirs, who, now)
        there = secrets.get(source.role, {}).get("data") or {}
        wanted = {k: v for k, v in encoded(examined.data).items() if k != AUTHORITY_KEY}
        is_fit = source.role in facts and not facts[source.role].problem
        copied = bool(wanted) and is_fit and wanted.items() <= there.items()
        found[source.role] = replace(examined.facts, copied=copied)
    return found


def _all_well(
    who: Holder, read: Certificates, authorities: AuthorityStatus | None, now: datetime
) -> bool:
    if authorities is None or due_leaves(who, read.facts, authorities, now):
        return False
    if not all(one.copied and one.ends and now < one.ends for one in read.sources.values()):
        return False
    if not all(order.current for order in read.orders.values()):
        return False
    return not any(
        [authority_trouble(who, role, read.facts, authorities) for role in who.own_authorities]
        + [leaf_trouble(who, role, read.facts, authorities, now) for role in who.own_leaves]
    )


def _own_credentials(
    secret: Mapping[str, Any] | None,
    facts: Facts,
    authorities: AuthorityStatus | None,
    now: datetime,
) -> ClientTLS | None:
    """The operator's own, if members will have it, and it them."""
    if secret is None or authorities is None:
        return _credentials(secret)
    fit = chains(secret, now) and knows_members(Role.OPERATOR, facts, authorities)
    return _credentials(secret) if fit else None


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
