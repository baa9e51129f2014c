"""Clusters with TLS for tests: their Secrets as the operator makes them, and what it reads in them.

Keys are made once for the whole run: what is decided never depends on which key it is.
"""

import dataclasses
import functools
import itertools
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from api.v1alpha1.cluster_status import AuthorityStatus
from api.v1alpha1.tls_fields import DEFAULT_CERTIFICATE_DURATION as LEAF_LIFE
from controllers.cluster.certificates.due import authority_life, backdated
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER, LEAVES, Facts, Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.issue import (
    Authority,
    authority_secret,
    leaf_data,
    leaf_secret,
    new_authority,
    trust_data,
)
from controllers.cluster.certificates.parse import fingerprint, read_facts
from controllers.cluster.observed import Certificates, Observed
from controllers.cluster.render import rendering
from controllers.cluster.render.identity import identity_of
from tests.unit.controllers.cluster import builders
from tests.unit.controllers.cluster.builders import NOW, UID, live_of

TLS = {"security": {"tls": {"enabled": True}}}
IDENTITY = identity_of(
    "prod", "db", UID, builders.bootstrap(1).model_copy(update={"scheme": "https"})
)
WHO = Holder.of(IDENTITY, builders.spec(**TLS).security.tls)
_serials = itertools.count(1000)

Secrets = dict[Role, dict[str, Any]]


@functools.cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def authority(role: Role, *, name: str = "", since: datetime = NOW) -> Authority:
    """The authority of a role; another one for another name."""
    life = authority_life(since)
    return new_authority("db", role, key(f"{role}{name}"), next(_serials), life)


def leaf(
    role: Role,
    *,
    who: Holder = WHO,
    since: datetime = NOW,
    begins: datetime | None = None,
    life: timedelta = LEAF_LIFE,
    by: Authority | None = None,
    owner: str = "",
) -> dict[str, Any]:
    """A leaf's Secret as the server holds it, made at that time."""
    signer = by or authority(ISSUER[role])
    data = leaf_data(
        who,
        role,
        signer,
        key=key(owner or role),
        serials=(next(_serials), next(_serials)),
        life=(begins or since - backdated(who.leaf_life), since + life),
    )
    trusted = trust_data(role, recorded(signer, signer), [[signer.certificate]])
    return stored(leaf_secret(who, role, {**data, **trusted}))


def stored(secret: dict[str, Any]) -> dict[str, Any]:
    metadata = secret["metadata"]
    return {**secret, "metadata": {**metadata, "uid": f"uid-{metadata['name']}"}}


def secrets(**changes: Any) -> Secrets:
    """All five, as they were made at NOW."""
    made = {role: stored(authority_secret(WHO, role, authority(role))) for role in AUTHORITIES}
    return {**made, **{role: leaf(role, **changes) for role in LEAVES}}


def without(found: Secrets, *roles: Role) -> Secrets:
    return {role: secret for role, secret in found.items() if role not in roles}


def recorded(client: Authority, peer: Authority) -> AuthorityStatus:
    """What status has of these two."""
    prints = map(fingerprint, (client.certificate, peer.certificate))
    return AuthorityStatus(**dict(zip(("client", "peer"), prints, strict=True)))


RECORDED = recorded(*map(authority, AUTHORITIES))


def facts(**changes: Any) -> Facts:
    return read_facts(secrets(**changes))


def with_tls(of: Observed, found: Secrets | None = None, **status: Any) -> Observed:
    """The same cluster with TLS, with all its Secrets or with these ones."""
    assert of.applied is not None
    assert of.status.bootstrap is not None
    bootstrap = of.status.bootstrap.model_copy(update={"scheme": "https"})
    update = {
        "bootstrap": bootstrap,
        "rendered": rendering(IDENTITY, of.applied),
        "authorities": RECORDED,
        **status,
    }
    read = Certificates(facts=read_facts(secrets() if found is None else found))
    made = dataclasses.replace(of, status=of.status.model_copy(update=update), certificates=read)
    return dataclasses.replace(made, live=live_of(made)) if of.live else made


def accepted(found: Secrets | None = None, **status: Any) -> Observed:
    """A spec with TLS was accepted; no member has started."""
    return with_tls(builders.accepted(spec_fields=TLS), found, **status)


def observed(
    found: Secrets | None = None, *, spec_fields: dict[str, Any] = TLS, **status: Any
) -> Observed:
    """A formed cluster of three with TLS, in which all is well."""
    formed = with_tls(builders.observed(spec_fields=spec_fields), found, **status)
    members = tuple(
        dataclasses.replace(
            member,
            peer_urls=(WHO.peer_url(n),),
            client_urls=(WHO.client_url(n),),
        )
        for n, member in enumerate(formed.etcd.members or ())
    )
    formed = dataclasses.replace(formed, etcd=dataclasses.replace(formed.etcd, members=members))
    return dataclasses.replace(formed, claims=builders.annotated(formed))
