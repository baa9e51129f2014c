"""A location and credentials → a `Store`: the few operations that backups need, over obstore.

Nothing else imports obstore, and this module only when a store is opened: what reads manifests or
decides about retention does without it. Each call has a deadline, within which obstore repeats what
may be repeated (5xx, 429, broken connections; backoff with jitter), and raises `StoreError` alone.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from typing_extensions import override

from snapshots.errors import (
    ObjectExistsError,
    ObjectMissingError,
    ObjectTooBigError,
    ObjectTruncatedError,
    StoreConfigError,
    StoreError,
    StoreMissingError,
    StoreTimeoutError,
)
from snapshots.locations import (
    AzureLocation,
    Credentials,
    GCSLocation,
    LocalLocation,
    Location,
    S3Location,
    secrets_of,
)
from snapshots.store_config import RETRY_TIMEOUT_S, arguments
from snapshots.store_errors import lacks_conditions, translate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable
    from datetime import datetime

    from obstore.store import ObjectStore

# obstore's own limit, and one attempt that began just before it.
TIMEOUT_S = RETRY_TIMEOUT_S + 60.0
# A backup of 8 GiB has 512 parts; one after the other, at 50 ms each, is half a minute.
DELETES_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """path: as `put` takes it. size: bytes. modified: aware, by the store's clock."""

    path: str
    size: int
    modified: datetime


class Store(Protocol):
    """Objects by path. Paths are relative to the location, without a slash at either end."""

    async def put(self, path: str, data: bytes, *, timeout_s: float = TIMEOUT_S) -> None:
        """Writes an object, whole or not at all, over one that is there. Safe to repeat."""

    async def create(self, path: str, data: bytes, *, timeout_s: float = TIMEOUT_S) -> None:
        """Writes an object where there is none, else raises ObjectExistsError.

        It may raise that for the object that this very call wrote, after an answer was lost: read
        it. A store without conditional writes is asked first, which leaves a gap for a second
        writer.
        """

    async def get(self, path: str, *, max_bytes: int, timeout_s: float = TIMEOUT_S) -> bytes:
        """The whole object.

        Raises ObjectMissingError, ObjectTruncatedError, and ObjectTooBigError beyond `max_bytes`.
        """

    def list(self, folder: str = "", *, timeout_s: float = TIMEOUT_S) -> AsyncGenerator[ObjectInfo]:
        """The objects below `folder/`, in no order; none for a folder that isn't there.

        timeout_s: between two answers of the store, each of up to a thousand objects.
        """

    async def delete(self, paths: Iterable[str], *, timeout_s: float = TIMEOUT_S) -> None:
        """Deletes the objects; those that aren't there are deleted already. timeout_s: for each.

        After an error some may be left: repeat it.
        """


def open_store(location: Location, credentials: Credentials) -> Store:
    """Asks a store on the network nothing. Raises StoreConfigError; StoreMissingError for a folder.

    credentials: are not looked at for a folder.
    """
    where = str(location)
    folder = Path(location.folder) if isinstance(location, LocalLocation) else None
    if folder is not None and not folder.is_dir():
        raise StoreMissingError("no such folder", operation="open", where=where)
    secrets = secrets_of(credentials)
    try:
        opened = _open(location, credentials)
    except Exception as failure:  # noqa: BLE001 - obstore raises many classes, built-in ones too
        words = translate(failure, operation="open", where=where, secrets=secrets).message
        # From None: the original's text may hold what was taken out of ours.
        raise StoreConfigError(words, operation="open", where=where) from None
    return _ObstoreStore(opened, where, secrets, folder)


def _open(location: Location, credentials: Credentials) -> ObjectStore:
    from obstore import store  # noqa: PLC0415 - see the module's docstring

    match location:
        case LocalLocation():
            return store.LocalStore(Path(location.folder), automatic_cleanup=True)
        case S3Location():
            return store.S3Store(**arguments(location, credentials))
        case GCSLocation():
            return store.GCSStore(**arguments(location, credentials))
        case AzureLocation():
            return store.AzureStore(**arguments(location, credentials))


class _ObstoreStore:
    """folder: where the objects are files of this machine."""

    def __init__(
        self, opened: ObjectStore, where: str, secrets: tuple[str, ...], folder: Path | None
    ) -> None:
        self._store = opened
        self._where = where
        self._secrets = secrets
        self._folder = folder

    @override
    def __repr__(self) -> str:
        return f"<Store {self._where}>"

    async def put(self, path: str, data: bytes, *, timeout_s: float = TIMEOUT_S) -> None:
        await self._write("put", path, data, timeout_s=timeout_s)

    async def create(self, path: str, data: bytes, *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            await self._write("create", path, data, timeout_s=timeout_s)
        except StoreError as failure:
            if not lacks_conditions(failure):
                raise
            if await self._is_there(path, timeout_s=timeout_s):
                raise ObjectExistsError(
                    "it is there already", operation="create", where=self._at(path)
                ) from failure
            await self._write("put", path, data, timeout_s=timeout_s)

    async def get(self, path: str, *, max_bytes: int, timeout_s: float = TIMEOUT_S) -> bytes:
        import obstore  # noqa: PLC0415

        async with self._call("get", path, timeout_s):
            found = await obstore.get_async(self._store, path)
            size = found.meta["size"]
            if size > max_bytes:
                message = f"{size} bytes are more than the {max_bytes} that it may have"
                raise ObjectTooBigError(message, operation="get", where=self._at(path))
            data = bytes(await found.bytes_async())
            if len(data) != size:
                message = f"{len(data)} bytes of {size}"
                raise ObjectTruncatedError(message, operation="get", where=self._at(path))
            return data

    async def list(
        self, folder: str = "", *, timeout_s: float = TIMEOUT_S
    ) -> AsyncGenerator[ObjectInfo]:
        import obstore  # noqa: PLC0415

        async with self._call("list", folder, timeout_s):
            pages = aiter(obstore.list(self._store, folder or None))
        while True:
            async with self._call("list", folder, timeout_s):
                page = await anext(pages, None)
            if page is None:
                return
            for found in page:
                yield ObjectInfo(
                    path=found["path"], size=found["size"], modified=found["last_modified"]
                )

    async def delete(self, paths: Iterable[str], *, timeout_s: float = TIMEOUT_S) -> None:
        allowed = asyncio.Semaphore(DELETES_AT_ONCE)

        async def one(path: str) -> None:
            async with allowed:
                await self._delete(path, timeout_s)

        results = await asyncio.gather(*map(one, paths), return_exceptions=True)
        for result in results:
            if result is not None:
                raise result

    async def _delete(self, path: str, timeout_s: float) -> None:
        import obstore  # noqa: PLC0415

        try:
            async with self._call("delete", path, timeout_s):
                await obstore.delete_async(self._store, path)
        except ObjectMissingError:
            return

    async def _write(
        self, operation: Literal["put", "create"], path: str, data: bytes, *, timeout_s: float
    ) -> None:
        import obstore  # noqa: PLC0415

        mode: Literal["create", "overwrite"] = "create" if operation == "create" else "overwrite"
        async with self._call(operation, path, timeout_s):
            # Multipart uploads of a process that died can't be found through obstore: never.
            await obstore.put_async(self._store, path, data, mode=mode, use_multipart=False)
            if self._folder is not None:
                await asyncio.to_thread(_flush, self._folder / path)

    async def _is_there(self, path: str, *, timeout_s: float) -> bool:
        import obstore  # noqa: PLC0415

        try:
            async with self._call("head", path, timeout_s):
                await obstore.head_async(self._store, path)
        except ObjectMissingError:
            return False
        return True

    @asynccontextmanager
    async def _call(self, operation: str, path: str, timeout_s: float) -> AsyncIterator[None]:
        """The deadline, and obstore's exceptions as ours."""
        where = self._at(path)
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except StoreError:
            raise
        except TimeoutError:
            message = f"no answer within {timeout_s:g} s"
            raise StoreTimeoutError(message, operation=operation, where=where) from None
        except Exception as failure:  # noqa: BLE001 - obstore raises many classes
            # From None: the original's text may hold what was taken out of ours.
            raise translate(
                failure, operation=operation, where=where, secrets=self._secrets
            ) from None

    def _at(self, path: str) -> str:
        return f"{self._where}/{path}" if path else self._where


def _flush(file: Path) -> None:
    """A manifest must not outlive a power cut that takes its parts."""
    for each in (file, file.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
