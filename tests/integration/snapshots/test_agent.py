"""`agent ...` as its pods run it, with real stores on the network."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from api.reasons import Reason
from controllers.backup.order import (
    AZURE_KEY,
    GIVE_UP,
    S3_ACCESS_KEY,
    S3_SECRET_KEY,
    MemberAddress,
    Order,
    Removal,
    read_answer,
)
from controllers.restore.order import (
    ALREADY_DONE,
    ExamineOrder,
    read_examined,
    read_restored,
)
from etcd.ids import cluster_id_hex
from snapshots.catalog import list_backups
from snapshots.locations import S3Keys
from tests.integration.snapshots.etcds import keys_at, started, write_some
from tests.integration.snapshots.restoring import Seed
from tests.integration.snapshots.servers import BUCKET, STORES

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", params=["S3", "Azure"])
def server(request, tmp_path_factory):
    """The stores on the network; folders are in tests/integration/etcd/test_agent_snapshot.py."""
    running = STORES[request.param](tmp_path_factory.mktemp(request.param))
    try:
        running.start()
        yield running
    finally:
        running.kill()


def place(server, prefix, bucket=BUCKET):
    """The store as an EtcdBackup's spec has it."""
    location = server.location(prefix, bucket)
    if isinstance(server.credentials, S3Keys):
        return {
            "s3": {
                "bucket": bucket,
                "region": location.region,
                "endpoint": location.endpoint,
                "pathStyle": True,
                "path": f"{prefix}/",
            }
        }
    azure = {"account": location.account, "container": bucket, "endpoint": location.endpoint}
    return {"azure": azure | {"path": prefix}}


def environment(credentials):
    if credentials is None:
        return {}
    if isinstance(credentials, S3Keys):
        # Secrets made of files often end in a line's end.
        secret = f"{credentials.secret_access_key}\n"
        return {S3_ACCESS_KEY: credentials.access_key_id, S3_SECRET_KEY: secret}
    return {AZURE_KEY: credentials.key}


async def agent(folder, command, order, credentials, *, root="/nowhere", read=read_answer):
    message = folder / "message"
    text = order.model_dump_json(by_alias=True)
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "operator", "agent", *command.split(), "--order", text),
            *("--message", message, "--volume", folder, "--root", root),
        ],
        env=os.environ | environment(credentials),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, read(message.read_text()), done.stderr


async def test_a_cluster_goes_to_a_store_on_the_network_and_out_of_it(
    server, store, prefix, pool, tmp_path
):
    async with started(pool, tmp_path / "etcd", "3.6.16") as (cluster, (client,)):
        await write_some(client, rounds=60)
        written = await keys_at(client)
        status = await client.maintenance.status()

        def order(**stores):
            (member,) = cluster.members
            address = MemberAddress(name="main-0", host="127.0.0.1", port=member.client_port)
            return Order.model_validate(
                {
                    "namespace": "ns",
                    "cluster": "main",
                    "clusterUid": "uid-1",
                    "clusterID": cluster_id_hex(status.cluster_id),
                    "epoch": 1,
                    "backup": "once-0123abcd",
                    "members": [address.to_json()],
                    "tls": False,
                    "compression": True,
                    **stores,
                }
            )

        asked = order(**place(server, prefix))
        code, answer, log = await agent(tmp_path, "snapshot", asked, server.wrong)
        assert (code, answer.reason) == (GIVE_UP, Reason.STORE_FORBIDDEN), log
        nowhere = order(**place(server, prefix, bucket="not-there"))
        code, answer, log = await agent(tmp_path, "snapshot", nowhere, server.credentials)
        assert (code, answer.reason) == (GIVE_UP, Reason.STORE_MISSING), log
        assert "not-there" in answer.message

        code, saved, log = await agent(tmp_path, "snapshot", asked, server.credentials)

        assert code == 0, log
        assert saved.etcd_revision == status.revision
        (folder,) = await list_backups(store)
        assert saved.storage_path == f"{server.location(prefix)}/{folder.path}"
        assert 0 < saved.backup_size < saved.database_size

        seed = Seed(tmp_path / "seed", "3.7.3", folder.path, place=place(server, prefix))
        examination = ExamineOrder.model_validate({"folder": folder.path, **place(server, prefix)})
        code, examined, log = await agent(
            tmp_path, "examine", examination, server.credentials, read=read_examined
        )
        assert (code, examined.revision) == (0, status.revision), log
        on_seed = {"root": seed.root, "read": read_restored}
        code, answer, log = await agent(
            tmp_path, "restore fetch", seed.order, server.wrong, **on_seed
        )
        assert (code, answer.reason) == (GIVE_UP, Reason.STORE_FORBIDDEN), log
        code, answer, log = await agent(
            tmp_path, "restore fetch", seed.order, server.credentials, **on_seed
        )
        assert (code, answer) == (0, None), log
        code, log = await seed.etcdutl()
        assert code == 0, log
        code, answer, log = await agent(tmp_path, "restore finish", seed.order, None, **on_seed)
        assert (code, answer.restored_revision) == (0, status.revision), log
        code, again, log = await agent(
            tmp_path, "restore fetch", seed.order, server.credentials, **on_seed
        )
        assert (code, again) == (ALREADY_DONE, answer), log
        async with seed.running(pool) as restored:
            assert await keys_at(restored) == written

        removal = Removal.model_validate({"folder": folder.path, **place(server, prefix)})
        code, _, log = await agent(tmp_path, "delete", removal, server.credentials)
        assert code == 0, log
        assert [found async for found in store.list()] == []
