"""What the agent's work ended in → what the operator is told, and whether it is worth another try.

Pure.
"""

from typing import Final, TypeAlias

from api.reasons import Reason
from cli.agent.snapshot import NoMemberError
from controllers.backup.order import GIVE_UP, TRY_AGAIN, Failed, failed
from snapshots.errors import (
    BackupError,
    BackupMissingError,
    BackupTooNewError,
    KeyInvalidError,
    KeyMissingError,
    ManifestInvalidError,
    NotRestorableError,
    NotServedError,
    ObjectTruncatedError,
    PartMissingError,
    RestoreError,
    SegmentInvalidError,
    SegmentTooNewError,
    ServedDataError,
    SnapshotsError,
    StoreError,
    StoreForbiddenError,
    StoreFullError,
    StoreMissingError,
    StoreUnavailableError,
    TargetNotEmptyError,
    VolumeTooSmallError,
    WrongKeyError,
)

Table: TypeAlias = tuple[tuple[type[Exception], Reason, int], ...]

# The first one that fits counts.
_OF_STORES: Final[Table] = (
    (StoreForbiddenError, Reason.STORE_FORBIDDEN, GIVE_UP),
    (StoreMissingError, Reason.STORE_MISSING, GIVE_UP),
    (StoreFullError, Reason.STORE_FULL, GIVE_UP),
    (StoreUnavailableError, Reason.STORE_UNAVAILABLE, TRY_AGAIN),
    (ObjectTruncatedError, Reason.STORE_UNAVAILABLE, TRY_AGAIN),
    (StoreError, Reason.STORE_REFUSED, GIVE_UP),
)
OF_BACKUPS: Final[Table] = (
    (NoMemberError, Reason.SNAPSHOT_FAILED, TRY_AGAIN),
    *_OF_STORES,
    (KeyMissingError, Reason.ENCRYPTION_KEY_MISSING, GIVE_UP),
    (KeyInvalidError, Reason.ENCRYPTION_KEY_REFUSED, GIVE_UP),
    (SnapshotsError, Reason.BACKUP_FAILED, GIVE_UP),
    (Exception, Reason.BACKUP_FAILED, TRY_AGAIN),
)
OF_CHANGES: Final[Table] = (
    *_OF_STORES,
    (KeyMissingError, Reason.ENCRYPTION_KEY_MISSING, GIVE_UP),
    (KeyInvalidError, Reason.ENCRYPTION_KEY_REFUSED, GIVE_UP),
    (Exception, Reason.ARCHIVER_FAILING, TRY_AGAIN),
)
OF_RESTORES: Final[Table] = (
    *_OF_STORES,
    (BackupMissingError, Reason.BACKUP_NOT_FOUND, GIVE_UP),
    (ManifestInvalidError, Reason.BACKUP_UNREADABLE, GIVE_UP),
    (PartMissingError, Reason.BACKUP_INCOMPLETE, GIVE_UP),
    (NotRestorableError, Reason.TARGET_NOT_RESTORABLE, GIVE_UP),
    (SegmentTooNewError, Reason.BACKUP_UNREADABLE, GIVE_UP),
    (SegmentInvalidError, Reason.CHANGES_DAMAGED, GIVE_UP),
    (KeyMissingError, Reason.ENCRYPTION_KEY_MISSING, GIVE_UP),
    (KeyInvalidError, Reason.ENCRYPTION_KEY_REFUSED, GIVE_UP),
    (WrongKeyError, Reason.ENCRYPTION_KEY_REFUSED, GIVE_UP),
    (BackupError, Reason.BACKUP_DAMAGED, GIVE_UP),
    (BackupTooNewError, Reason.BACKUP_TOO_NEW, GIVE_UP),
    (VolumeTooSmallError, Reason.VOLUME_TOO_SMALL, GIVE_UP),
    (TargetNotEmptyError, Reason.TARGET_NOT_EMPTY, GIVE_UP),
    (ServedDataError, Reason.VERIFICATION_FAILED, GIVE_UP),
    (NotServedError, Reason.VERIFICATION_NOT_DONE, GIVE_UP),
    (RestoreError, Reason.RESTORE_FAILED, GIVE_UP),
    (ValueError, Reason.RESTORE_FAILED, GIVE_UP),
    (Exception, Reason.RESTORE_FAILED, TRY_AGAIN),
)


def answer_of(failure: Exception, table: Table) -> tuple[Failed, int]:
    """What to tell the operator, and the exit code."""
    reason, code = next((r, c) for kind, r, c in table if isinstance(failure, kind))
    return failed(reason, str(failure)), code
