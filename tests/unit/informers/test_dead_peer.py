"""A TLS connection whose peer has fallen silent: leaving it does not wait for its goodbye."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from informers.errors import StreamIdleError
from informers.kubeconfig import Endpoint
from informers.wire import connect_to
from tests.integration.tcp_proxy import TcpProxy
from tests.unit.informers.api_server import running_server
from tests.unit.informers.conftest import FixedSource
from tests.unit.informers.test_kubeconfig import Authority
from tests.unit.informers.watching import CONFIG_MAPS, eventually

pytestmark = pytest.mark.looptime


async def test_r21_silent_watch_leaves_no_connection_behind(tmp_path):
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    async with (
        running_server(authority.server_context()) as server,
        TcpProxy.to("127.0.0.1", int(server.url.rpartition(":")[2])) as proxy,
        await connect_to(
            FixedSource(
                Endpoint(url=f"https://127.0.0.1:{proxy.port}", namespace="a", tls=trusting)
            ),
            user_agent="t",
        ) as api,
    ):
        async with api.watch(CONFIG_MAPS, params={}) as stream:
            proxy.freeze()
            with pytest.raises(StreamIdleError):
                await stream.lines(idle_s=20)
        left_at = asyncio.get_running_loop().time()
        await eventually(lambda: proxy.open_count == 0)
        assert asyncio.get_running_loop().time() < left_at + 2
