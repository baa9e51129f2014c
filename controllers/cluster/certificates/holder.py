"""Whose certificates they are: who a cluster is, and what its spec wants in them.

Pure.  Made of the recorded identity and the accepted spec, so that it changes only with these.
"""

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from api.v1alpha1.cluster import TLS, IssuerReference
from api.v1alpha1.cluster_status import AuthorityStatus
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION, is_address
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER, LEAVES, Role
from controllers.cluster.certificates.sources import Source, sources_of
from controllers.cluster.certificates.trust import given_now
from controllers.cluster.render.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder(Identity):
    """A cluster as the owner of certificates."""

    more_names: tuple[str, ...] = ()  # DNS names beyond those of Services and pods
    more_addresses: tuple[str, ...] = ()  # IP addresses, as they are written canonically
    leaf_life: timedelta = DEFAULT_CERTIFICATE_DURATION
    sources: tuple[Source, ...] = ()  # of the certificates that are to be the user's
    given: frozenset[Role] = frozenset()  # the authorities that are not the operator's now
    issuer: IssuerReference | None = None  # of cert-manager
    issued_life: timedelta | None = None  # None: as cert-manager likes

    @classmethod
    def of(cls, who: Identity, tls: TLS, authorities: AuthorityStatus | None = None) -> Self:
        """The holder that an accepted spec, and the record of authorities, make of a cluster."""
        names, sources = tls.subject_alt_names, sources_of(who.name, tls)
        return cls(
            **{field.name: getattr(who, field.name) for field in dataclasses.fields(Identity)},
            more_names=tuple(name for name in names if not is_address(name)),
            more_addresses=tuple(name for name in names if is_address(name)),
            leaf_life=tls.certificate_life,
            sources=sources,
            given=given_now(authorities, frozenset(ISSUER[source.role] for source in sources)),
            issuer=tls.issuer_ref,
            issued_life=tls.certificate_life if tls.certificate_duration else None,
        )

    @property
    def own_leaves(self) -> tuple[Role, ...]:
        """The certificates that the operator makes itself: none where the authority is not its."""
        return tuple(role for role in LEAVES if ISSUER[role] not in self.given)

    @property
    def leaves(self) -> tuple[Role, ...]:
        """All certificates of the cluster. By the user's authority the operator is a client, unless
        it is given a certificate of its own.
        """
        sources = {source.role for source in self.sources}
        has = {*self.own_leaves, *sources, Role.SERVER, Role.PEER, Role.CLIENT}
        return tuple(role for role in LEAVES if role in has)

    @property
    def own_authorities(self) -> tuple[Role, ...]:
        """The authorities that sign the operator's own."""
        return tuple(role for role in AUTHORITIES if role not in self.given)

    @property
    def named(self) -> frozenset[Role]:
        """The authorities that are to be the user's, whosever they are now."""
        return frozenset(ISSUER[source.role] for source in self.sources)

    @property
    def coming_authorities(self) -> tuple[Role, ...]:
        """Those that are the user's now, and are to be the operator's."""
        return tuple(role for role in AUTHORITIES if role in self.given - self.named)
