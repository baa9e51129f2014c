"""Every real store does what `Store` promises."""

from __future__ import annotations

import asyncio
import os

import pytest

from snapshots.errors import (
    ObjectExistsError,
    ObjectMissingError,
    ObjectTooBigError,
    StoreError,
    StoreForbiddenError,
    StoreMissingError,
    StoreUnavailableError,
)
from snapshots.locations import S3Keys, S3Location
from snapshots.stores import open_store
from tests.integration.etcd.processes import free_ports


async def paths(store, folder=""):
    return sorted([found.path async for found in store.list(folder)])


@pytest.mark.parametrize("size", [0, 1, (8 << 20)])
async def test_what_was_put_is_got(store, size):
    data = os.urandom(size)

    await store.put("a/b", b"older")
    await store.put("a/b", data)

    assert await store.get("a/b", max_bytes=size) == data


async def test_create_leaves_what_is_there(store):
    await store.create("a", b"one")

    with pytest.raises(ObjectExistsError):
        await store.create("a", b"two")
    assert await store.get("a", max_bytes=9) == b"one"


async def test_of_many_creates_at_once_one_wins(store):
    async def create(number):
        try:
            await store.create("a", b"%d" % number)
        except StoreError as failure:
            return failure
        return number

    results = await asyncio.gather(*map(create, range(8)))

    (winner,) = [one for one in results if isinstance(one, int)]
    assert await store.get("a", max_bytes=9) == b"%d" % winner


async def test_what_is_missing_or_too_big_is_told(store):
    await store.put("a", b"1234")

    with pytest.raises(ObjectMissingError):
        await store.get("b", max_bytes=9)
    with pytest.raises(ObjectTooBigError):
        await store.get("a", max_bytes=3)


async def test_list_is_of_one_folder_whatever_its_size(store):
    many = [f"a/{number:05d}" for number in range(1005)]
    await asyncio.gather(*(store.put(path, b"x") for path in [*many, "ab/c", "b"]))

    assert await paths(store, "a") == many
    assert await paths(store) == [*many, "ab/c", "b"]
    assert await paths(store, "nothing") == []


async def test_deleting_twice_is_done(store):
    await asyncio.gather(*(store.put(f"a/{number}", b"") for number in range(20)))

    await store.delete([f"a/{number}" for number in range(19)])
    await store.delete([f"a/{number}" for number in range(19)])

    assert await paths(store) == ["a/19"]


async def test_two_prefixes_know_nothing_of_each_other(server, prefix):
    one = open_store(server.location(f"{prefix}/one"), server.credentials)
    other = open_store(server.location(f"{prefix}/other"), server.credentials)
    await one.put("a", b"")

    assert await paths(other) == []


async def test_bucket_that_is_not_there_is_told(server):
    with pytest.raises(StoreMissingError):
        await open_store(server.location(bucket="nothing"), server.credentials).put("a", b"")


async def test_wrong_credentials_are_told(server, prefix):
    if server.wrong is None:
        pytest.skip("this store asks for no credentials")
    store = open_store(server.location(prefix), server.wrong)

    with pytest.raises(StoreForbiddenError) as raised:
        await store.put("a", b"")
    assert "wrong" not in str(raised.value)
    with pytest.raises(StoreForbiddenError):
        await paths(store)


async def test_keys_of_nobody_are_told(server, prefix):
    location = server.location(prefix)
    if not isinstance(location, S3Location):
        pytest.skip("of S3 alone")
    nobody = S3Keys(access_key_id="nobody", secret_access_key="x")

    with pytest.raises(StoreForbiddenError):
        await open_store(location, nobody).get("a", max_bytes=9)


async def test_store_that_is_down_is_told_within_the_deadline(monkeypatch):
    from snapshots import store_config

    monkeypatch.setattr(store_config, "MAX_RETRIES", 1)
    (port,) = free_ports(1)
    location = S3Location(
        bucket="b", region="r", endpoint=f"http://127.0.0.1:{port}", path_style=True
    )

    with pytest.raises(StoreUnavailableError):
        await open_store(location, S3Keys(access_key_id="a", secret_access_key="b")).put("a", b"")
