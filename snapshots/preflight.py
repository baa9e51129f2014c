"""Whether a backup can become a member's data: by its manifest, before a part of it is read. Pure.

Forward over minor versions is fine, also two at once (3.5 → 3.7): etcd brings the data along when
it starts on them. Backward it is not: 3.6 refuses data of 3.7, and 3.5 starts on data of 3.6, which
nobody has ever promised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snapshots.errors import BackupTooNewError, VolumeTooSmallError

if TYPE_CHECKING:
    from snapshots.manifest import Manifest

# etcd allocates the first segment of its log at once.
_LOG_BYTES = 64 << 20
# What the file system itself and the small files need.
_SPARE_BYTES = 16 << 20


def check_version(manifest: Manifest, target: tuple[int, int]) -> None:
    """target: the minor version that will run on the data. Raises BackupTooNewError."""
    found = (manifest.member.etcd_version, manifest.content.storage_version)
    newest = max(_minor(text) for text in found)
    if newest > target:
        message = (
            f"the backup is of etcd {newest[0]}.{newest[1]},"
            f" and etcd {target[0]}.{target[1]} can't read what a newer one wrote"
        )
        raise BackupTooNewError(message)


def needed_bytes(manifest: Manifest) -> int:
    """Of a volume, while the snapshot file and the data made of it lie side by side."""
    return manifest.database.file_size + manifest.database.size + _LOG_BYTES + _SPARE_BYTES


def check_space(manifest: Manifest, available: int, *, for_changes: int = 0) -> None:
    """available: bytes. for_changes: how many it takes to replay changes on it.

    Raises VolumeTooSmallError.
    """
    needed = needed_bytes(manifest) + for_changes
    if needed > available:
        changes = f", {for_changes} bytes for the changes after it" if for_changes else ""
        message = (
            f"{needed} bytes are needed, for the snapshot file, the data made of it"
            f" ({manifest.database.size} bytes each){changes} and the log; there are {available}"
        )
        raise VolumeTooSmallError(message)


def _minor(text: str) -> tuple[int, int]:
    """(3, 6) of `3.6.16`; (0, 0) of what is no version, such as the empty text."""
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})\.", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
