"""`agent snapshot` and `agent delete` as their pods run them: each version of etcd, a folder."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from asyncio.subprocess import PIPE

import pytest

from api.reasons import Reason
from controllers.backup.order import (
    GIVE_UP,
    TRY_AGAIN,
    USAGE,
    Failed,
    MemberAddress,
    Order,
    Removal,
    Saved,
    read_answer,
)
from etcd.ids import cluster_id_hex, member_id_hex
from etcd.kv_types import ALL_KEYS, Put, Range
from snapshots.catalog import find_manifest, list_backups
from snapshots.errors import KeyMissingError
from snapshots.fetch import fetch
from snapshots.keys import read_keys
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.integration.etcd.processes import free_ports, programs

pytestmark = pytest.mark.timeout(60)

STORES = {"local": {"claimName": "backups", "path": "etcd/nightly"}}


@pytest.fixture
async def order(single, client):
    """A snapshot of the running member, as the operator would ask for it."""
    status = await client.maintenance.status()
    await client.kv.put(Put(key=b"from", value=b"the test"))

    def make(**changes):
        member = MemberAddress(
            name="main-0",
            id=member_id_hex(status.member_id),
            host="127.0.0.1",
            port=single.client_port,
        )
        settings = {
            "namespace": "ns",
            "cluster": "main",
            "clusterUid": "uid-1",
            "clusterID": cluster_id_hex(status.cluster_id),
            "epoch": 1,
            "backup": "once-0123abcd",
            "members": [member.to_json()],
            "tls": False,
            "compression": False,
            **STORES,
        }
        return Order.model_validate(settings | changes)

    return make


class Pod:
    """Runs the command with a volume and a file for the last word."""

    def __init__(self, folder):
        self.folder = folder
        self.volume = folder / "volume"
        self.volume.mkdir()
        self.message = folder / "message"

    def command(self, text, command="snapshot"):
        places = ["--message", str(self.message), "--volume", str(self.volume)]
        return [sys.executable, "-m", "operator", "agent", command, "--order", text, *places]

    async def run(self, order, *, command="snapshot", **environ):
        text = order if isinstance(order, str) else order.model_dump_json(by_alias=True)
        done = await asyncio.to_thread(
            subprocess.run,
            self.command(text, command),
            env=os.environ | environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        self.log = done.stderr
        answer = read_answer(self.message.read_text()) if self.message.exists() else None
        return done.returncode, answer


@pytest.fixture
def pod(tmp_path):
    return Pod(tmp_path)


KEY, OTHER_KEY = (base64.b64encode(bytes([byte]) * 32).decode() for byte in b"ab")


async def test_what_is_encrypted_is_read_with_its_key_alone(order, pod):
    asked = order(encrypted=True)
    code, saved = await pod.run(asked, BACKUP_ENCRYPTION_KEY=f"{KEY}\n{OTHER_KEY}\n")

    assert (code, type(saved)) == (0, Saved), pod.log
    store = open_store(LocalLocation(folder=pod.volume / "etcd/nightly"), WorkloadIdentity())
    (folder,) = await list_backups(store)
    manifest = await find_manifest(store, folder)
    (key, other) = read_keys(f"{KEY} \n{OTHER_KEY}")
    assert saved.key_id == manifest.encryption.key_id == key.id
    target = pod.folder / "snapshot.db"
    with pytest.raises(KeyMissingError):
        await fetch(store, folder, manifest, target, keys=[other])
    await fetch(store, folder, manifest, target, keys=[other, key])
    assert b"the test" in target.read_bytes()
    stored = b"".join(path.read_bytes() for path in pod.volume.rglob("*") if path.is_file())
    assert b"the test" not in stored
    assert KEY not in pod.log + pod.message.read_text() + stored.decode(errors="replace")


@pytest.mark.parametrize(
    ("environ", "reason", "words"),
    [
        ({}, Reason.ENCRYPTION_KEY_MISSING, "BACKUP_ENCRYPTION_KEY"),
        ({"BACKUP_ENCRYPTION_KEY": " \n"}, Reason.ENCRYPTION_KEY_REFUSED, "no key"),
        (
            {"BACKUP_ENCRYPTION_KEY": KEY[:-8]},
            Reason.ENCRYPTION_KEY_REFUSED,
            "openssl rand -base64 32",
        ),
    ],
)
async def test_without_a_key_nothing_is_stored(order, pod, environ, reason, words):
    code, answer = await pod.run(order(encrypted=True), **environ)

    assert (code, answer.reason) == (GIVE_UP, reason), pod.log
    assert words in answer.message
    assert KEY[:16] not in pod.log + answer.message
    assert not list(pod.volume.rglob("*"))


async def test_the_member_is_saved_and_the_last_word_says_so(order, pod, client, single):
    code, saved = await pod.run(order())

    assert (code, type(saved)) == (0, Saved), pod.log
    status = await client.maintenance.status()
    keys = (await client.kv.range(Range(key=ALL_KEYS, range_end=ALL_KEYS, count_only=True))).count
    assert (saved.etcd_revision, saved.keys) == (status.revision, keys)
    assert (saved.member, saved.etcd_version) == ("main-0", status.version)
    place, _, inside = saved.storage_path.partition("pvc://backups/")
    assert place == ""
    manifest = json.loads((pod.volume / inside / "manifest.json").read_text())
    assert manifest["database"] == {"size": saved.database_size, "sha256": saved.sha256}
    parts = sorted((pod.volume / inside / manifest["attempt"]).iterdir())
    whole = pod.folder / "snapshot.db"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert whole.stat().st_size == saved.backup_size
    restored = await asyncio.to_thread(
        subprocess.run,
        [
            programs(single.version) / "etcdutl",
            *("snapshot", "restore", str(whole)),
            *("--data-dir", str(pod.folder / "restored")),
        ],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr


async def test_a_second_run_finds_the_backup_of_the_first(order, pod, client):
    _, first = await pod.run(order())
    await client.kv.put(Put(key=b"later", value=b"x"))

    assert await pod.run(order()) == (0, first)


async def test_a_deleted_backup_leaves_the_others(order, pod):
    await pod.run(order())
    _, other = await pod.run(order(backup="other"))
    _, _, place = other.storage_path.partition("pvc://backups/")
    folder = "/".join(place.split("/")[-2:]).replace("other", "once-0123abcd")
    removal = Removal.model_validate({"folder": folder, **STORES})

    for _ in range(2):  # the second time nothing is left to delete
        code, _ = await pod.run(removal.model_dump_json(by_alias=True), command="delete")
        assert code == 0, pod.log

    files = {path.relative_to(pod.volume).parts for path in pod.volume.rglob("*") if path.is_file()}
    assert {parts[3] for parts in files} == {"other"}


@pytest.mark.parametrize("folder", ["", "..", "etcd", "abc-1", "abc-1/../x", "abc-1/a/b"])
async def test_what_is_no_folder_of_a_backup_is_not_deleted(pod, folder):
    (pod.volume / "etcd").mkdir()
    (pod.volume / "etcd" / "manifest.json").write_text("{}")
    removal = Removal.model_validate({"folder": folder, "local": {"claimName": "backups"}})

    code, answer = await pod.run(removal.model_dump_json(by_alias=True), command="delete")

    assert code != 0
    assert "no folder of a backup" in answer.message
    assert (pod.volume / "etcd" / "manifest.json").exists()


async def test_a_member_that_is_away_leaves_it_to_the_next(order, pod):
    (nobody,) = free_ports(1)
    (there,) = order().members
    away = there.model_copy(update={"name": "main-1", "port": nobody})

    code, saved = await pod.run(order(members=[away.to_json(), there.to_json()]))

    assert (code, saved.member) == (0, "main-0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clusterID": "abc"}, "instead of abc"),
        ({"members": []}, "names no member"),
    ],
)
async def test_nobody_else_is_saved(order, pod, change, words):
    code, answer = await pod.run(order(**change))

    assert (code, answer.reason) == (TRY_AGAIN, Reason.SNAPSHOT_FAILED)
    assert words in answer.message
    assert not list(pod.volume.rglob("manifest.json"))


async def test_a_volume_that_can_not_be_written_is_said(order, pod):
    (pod.volume / "etcd").write_text("a file in the way")

    code, answer = await pod.run(order())

    assert (code, answer.reason) == (GIVE_UP, Reason.STORE_FORBIDDEN)
    assert str(pod.volume / "etcd") in answer.message


async def test_a_store_that_is_away_is_said_without_the_secret(order, pod):
    (nobody,) = free_ports(1)
    s3 = {"bucket": "b", "region": "us-east-1", "endpoint": f"http://127.0.0.1:{nobody}"}
    s3["pathStyle"] = True
    asked = order(s3=s3, local=None)

    code, answer = await pod.run(
        asked, BACKUP_S3_ACCESS_KEY="AKIATEST", BACKUP_S3_SECRET_KEY="s3cr3t-of-the-store"
    )

    assert (code, type(answer)) == (TRY_AGAIN, Failed)
    assert answer.reason is Reason.STORE_UNAVAILABLE
    assert "s3://b" in answer.message
    assert "s3cr3t" not in pod.log + answer.message


async def test_what_is_no_order_is_a_usage_error(pod):
    code, answer = await pod.run("{}")

    assert (code, answer) == (USAGE, None)
    assert "members" in pod.log


async def test_told_to_stop_it_leaves_nothing_behind(order, pod, single):
    """Its member does not answer: it is at work until somebody ends it."""
    text = order().model_dump_json(by_alias=True)
    single.freeze()
    try:
        process = await asyncio.create_subprocess_exec(*pod.command(text), stderr=PIPE)
        assert b"at work" in await asyncio.wait_for(process.stderr.readline(), 30)
        process.terminate()
        _, log = await asyncio.wait_for(process.communicate(), 30)
    finally:
        single.thaw()

    assert process.returncode == TRY_AGAIN, log
    assert "told to stop" in pod.message.read_text()
    assert not [path for path in pod.volume.rglob("*") if path.is_file()]
