"""The segments on a way to a target, one after the other, each proven to follow the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshots.changes.history import check_place, told_of
from snapshots.changes.segment import MAX_SEGMENT_BYTES, read_header, read_segment
from snapshots.errors import ObjectMissingError, SegmentInvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from snapshots.changes.history import Chain, Way
    from snapshots.changes.segment import Body, Header
    from snapshots.encryption import EncryptionKey
    from snapshots.stores import Store


async def read_changes(
    store: Store, way: Way, keys: Iterable[EncryptionKey]
) -> AsyncIterator[Body]:
    """From the one that has what comes after the base, to the one that reaches the target.

    Raises StoreError, SegmentInvalidError (also for one that is missing or in another one's place),
    KeyMissingError, WrongKeyError, DecryptionError, DecompressionError.
    """
    if way.chain is None:
        return
    keys = tuple(keys)
    before: tuple[Header, str] | None = None
    start = await _first_with(store, way.chain, way.base.revision + 1)
    for number in range(start, way.chain.segments):
        path = way.chain.folder.segment(number)
        data = await _get(store, path)
        with told_of(path):
            header, sha256, body = read_segment(data, keys)
        check_place(header, way.chain.folder, number)
        if before is None and header.first_revision > way.base.revision + 1:
            message = f"{way.chain.folder.segment(number - 1)} is missing"
            raise SegmentInvalidError(message)
        if before is not None and not header.follows(*before):
            message = f"{path} does not follow the segment before it"
            raise SegmentInvalidError(message)
        before = header, sha256
        yield body
        if way.revision is not None and header.last_revision >= way.revision:
            return
        if way.time is not None and header.complete_until >= way.time:
            return


async def _first_with(store: Store, chain: Chain, revision: int) -> int:
    """The number of the segment that has the revision, or would have it next: by bisection.

    The beginning of a chain may be gone (`snapshots.changes.pruning`).
    """
    low, high = 0, chain.segments - 1
    while low < high:
        middle = (low + high) // 2
        if await _ends_before(store, chain.folder.segment(middle), revision):
            low = middle + 1
        else:
            high = middle
    return low


async def _ends_before(store: Store, path: str, revision: int) -> bool:
    try:
        data = await store.get(path, max_bytes=MAX_SEGMENT_BYTES)
    except ObjectMissingError:
        return True
    with told_of(path):
        header, _ = read_header(data)
    return header.last_revision < revision


async def _get(store: Store, path: str) -> bytes:
    try:
        return await store.get(path, max_bytes=MAX_SEGMENT_BYTES)
    except ObjectMissingError as failure:
        message = f"{failure.where} is missing"
        raise SegmentInvalidError(message) from failure
