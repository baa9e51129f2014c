"""Objects as files in a folder: the store of a mounted volume."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snapshots.errors import (
    ObjectExistsError,
    ObjectMissingError,
    StoreMissingError,
)
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store


async def paths(store, folder=""):
    return sorted([one.path async for one in store.list(folder)])


async def test_what_was_put_is_got(store):
    await store.put("a/b", b"one")
    await store.put("a/b", b"other")

    assert await store.get("a/b", max_bytes=5) == b"other"


async def test_create_leaves_what_is_there(store):
    await store.create("a", b"one")

    with pytest.raises(ObjectExistsError):
        await store.create("a", b"two")
    assert await store.get("a", max_bytes=9) == b"one"


async def test_missing_object(store):
    with pytest.raises(ObjectMissingError, match="get file:"):
        await store.get("a", max_bytes=9)


async def test_list_is_of_one_folder(store):
    for path in ("a/b/1", "a/2", "ab/3"):
        await store.put(path, b"xy")

    assert await paths(store, "a") == ["a/2", "a/b/1"]
    assert await paths(store) == ["a/2", "a/b/1", "ab/3"]
    assert await paths(store, "nothing") == []


async def test_list_tells_size_and_time(store, folder):
    await store.put("a/b", b"xy")
    written = (folder / "a" / "b").stat().st_mtime

    (found,) = [one async for one in store.list("a")]

    assert found.size == 2
    assert abs(found.modified.timestamp() - written) < 1


async def test_deleted_objects_leave_no_folders(store, folder):
    await store.put("a/b/1", b"")
    await store.put("a/b/2", b"")

    await store.delete(["a/b/1", "a/b/2", "a/b/3"])

    assert list(folder.iterdir()) == []


def test_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StoreMissingError, match="no such folder"):
        open_store(LocalLocation(folder=tmp_path / "nothing"), WorkloadIdentity())

    assert not (tmp_path / "nothing").exists()


def test_full_volume_is_told_and_keeps_nothing_half(tmp_path):
    script = """
import asyncio, os, pathlib, sys
from snapshots.errors import StoreFullError
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store

async def main(folder):
    store = open_store(LocalLocation(folder=folder), WorkloadIdentity())
    try:
        await store.put("a/b", bytes(1_000_000))
    except StoreFullError as failure:
        print(failure.message, [one async for one in store.list()], flush=True)

asyncio.run(main(pathlib.Path(sys.argv[1])))
os._exit(0)  # as the agent does (cli/main.py)
"""
    # A file system of 64 KiB that nobody but the script sees.
    mounted = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, "sh", tmp_path, sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_importing_the_room_does_not_import_obstore():
    script = (
        "import sys, snapshots.stores, snapshots.errors, snapshots.locations;"
        "print([name for name in sys.modules if name.startswith('obstore')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
