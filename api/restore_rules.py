"""What must hold of the source of a restore beyond the form of its fields.

Called by validation, for an EtcdCluster's bootstrap and for an EtcdRestore; pure.
"""

from collections.abc import Iterator
from typing import Final

from api.backup_rules import store_errors
from api.errors import FieldError
from api.v1alpha1.restore_source import (
    ONE_SOURCE_MESSAGE,
    ONE_TARGET_MESSAGE,
    RestoreSource,
    StoreSource,
)

_FOLDER_PARTS: Final = 2


def restore_source_errors(source: RestoreSource, path: str) -> Iterator[FieldError]:
    """Yield everything that is wrong with a source that stands at `path`."""
    if (source.backup_name is None) == (source.store is None):
        yield FieldError(path, ONE_SOURCE_MESSAGE)
    if source.backup_namespace is not None and source.backup_name is None:
        yield FieldError(
            f"{path}.backupNamespace",
            "is the namespace of an EtcdBackup, and none is named",
            "Leave it out, or set backupName.",
        )
    if source.revision is not None and source.point_in_time is not None:
        yield FieldError(path, ONE_TARGET_MESSAGE)
    if source.point_in_time is not None and source.point_in_time.microsecond:
        yield FieldError(
            f"{path}.pointInTime",
            "has a fraction of a second, and changes are told apart by the second",
            "Leave the fraction out.",
        )
    if source.store is not None:
        yield from _store_source_errors(source.store, f"{path}.store")


def _store_source_errors(store: StoreSource, path: str) -> Iterator[FieldError]:
    yield from store_errors(store, path)
    if store.storage_type == "Local" and store.local is None:
        yield FieldError(f"{path}.local", "is required when storageType is Local")
    if len(store.path.strip("/").split("/")) != _FOLDER_PARTS:
        yield FieldError(
            f"{path}.path",
            "must be the backup's folder, <cluster ID>-<epoch>/<name>: the end of an EtcdBackup's"
            " status.storagePath",
        )
    if store.encryption is not None and not store.encryption.key_secret:
        yield FieldError(f"{path}.encryption.keySecret", "must name a Secret")
