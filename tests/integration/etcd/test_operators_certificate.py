"""By a certificate of the user's the operator is root in real etcd, and nobody else is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.issue import leaf_secret
from controllers.cluster.certificates.validate import examine
from etcd.dialer import DirectDialer
from etcd.errors import PermissionDeniedError
from etcd.pool import ChannelPool
from etcd.tls import ClientTLS
from tests.integration.etcd.processes import wait_for
from tests.integration.etcd.test_user_certificates import copied, now
from tests.integration.etcd.tls_members import TLSCluster
from tests.unit.controllers.cluster.builders import spec
from tests.unit.controllers.cluster.certificate_builders import IDENTITY
from tests.unit.controllers.cluster.user_certificates import (
    BOTH,
    GIVEN,
    authorities,
    key,
    made,
    pair,
    root,
)

pytestmark = pytest.mark.timeout(90)

SPEC = {"security": {"tls": {"enabled": True, **GIVEN, "operatorCertificateSecret": "admin"}}}


def with_the_operators(version):
    """The Secrets that members mount, and beside them the operator's, as it is copied."""
    who = Holder.of(IDENTITY, spec(**SPEC).security.tls)
    source = next(one for one in who.sources if one.role is Role.OPERATOR)
    since = now() - timedelta(hours=1)
    admin = made("root", by=root(), uses=(BOTH[1],), owner=key("admin"), since=since)
    theirs = {"admin": pair("admin", admin), "ours": authorities("ours", root())}
    examined = examine(source, theirs, who, now())
    assert examined.facts.problem == ""
    return {
        **copied(version),
        Role.OPERATOR: leaf_secret(who, Role.OPERATOR, dict(examined.data)),
    }


def credentials(cluster, folder):
    mounted = cluster.mounts / folder
    return ClientTLS(
        ca=(mounted / "ca.crt").read_bytes(),
        cert=(mounted / "tls.crt").read_bytes(),
        key=(mounted / "tls.key").read_bytes(),
    )


@pytest.mark.parametrize("version", ["3.5.21", "3.7.3"])
async def test_the_operator_is_root_by_the_users_certificate(tmp_path, version):
    cluster = TLSCluster(tmp_path, version, fields=SPEC, found=with_the_operators(version))
    pools = {who: ChannelPool(DirectDialer()) for who in ("operator", "client")}
    for who, pool in pools.items():
        pool.trust("prod/db", credentials(cluster, who))
    endpoint = cluster.members[0].endpoint()
    operator, client = (pools[who].client(endpoint) for who in ("operator", "client"))
    try:
        cluster.start()
        assert await wait_for(lambda: operator.cluster.member_list(timeout_s=2))
        await operator.auth.user_add("root", "of-root")
        await operator.auth.role_add("root")
        await operator.auth.user_grant_role("root", "root")
        await operator.auth.user_add("server", "")  # whom the clients' certificate names
        await operator.auth.enable()

        assert set(await operator.auth.users()) == {"root", "server"}
        with pytest.raises(PermissionDeniedError):
            await client.auth.users()
        await operator.auth.disable()
    finally:
        cluster.kill()
        for pool in pools.values():
            await pool.close()
