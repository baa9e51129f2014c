"""What work on backups can end in, arranged by what the caller should do next.

    SnapshotsError
    ├── StoreError                    the store did not do as asked; .message is in its own words
    │   ├── StoreUnavailableError     later it may: 5xx, too many requests, no connection
    │   │   └── StoreTimeoutError     no answer before the deadline
    │   ├── StoreForbiddenError       401, 403: credentials or rights
    │   ├── StoreFullError            no space, or a quota is used up
    │   ├── StoreMissingError         no such bucket, container or folder
    │   ├── ObjectMissingError        no such object
    │   ├── ObjectExistsError         `create` found one
    │   ├── ObjectTruncatedError      fewer bytes came than the store had promised
    │   ├── ObjectTooBigError         more than the caller wanted to read; nothing was read
    │   ├── StoreConfigError          the location or the credentials make no sense
    │   └── StoreRefusedError         anything else that it refused
    ├── BackupError                   what is in the store is no backup that can be restored
    │   ├── BackupMissingError        nothing is there
    │   ├── ManifestInvalidError      not a manifest
    │   │   └── ManifestTooNewError   of a format that a later release writes
    │   ├── PartError                 .number
    │   │   ├── PartMissingError, PartTruncatedError
    │   │   └── PartCorruptedError    other bytes than were written
    │   │       └── PartMisplacedError    those of another part
    │   ├── KeyInvalidError           what was given as a key is none
    │   ├── KeyMissingError           encrypted with a key that was not given
    │   ├── WrongKeyError             a key of that name was given, and is another one
    │   ├── DecryptionError           what was encrypted is not whole, or not in its order
    │   ├── DecompressionError        what was compressed is damaged
    │   ├── ContentMismatchError      all parts are right, the database in them is not
    │   │   └── WrongHashError        it has the right length, and another sha256
    │   └── DatabaseUnreadableError   the bytes are no database of etcd
    ├── RestoreError                  the backup may be right, and does not become data here
    │   ├── BackupTooNewError         etcd of the target's version can't read it
    │   ├── VolumeTooSmallError       no space for it
    │   ├── TargetNotEmptyError       data are there already
    │   ├── RestoredDataError         what etcd's tool made of it is not what it should be
    │   ├── ServedDataError           etcd serves something else than was saved
    │   └── NotServedError            etcd could not be asked
    └── ChangesError                  the changes between backups
        ├── SegmentInvalidError       not a segment, or not the one of its place
        │   └── SegmentTooNewError    of a format that a later release writes
        ├── NotRestorableError        no backup and changes lead to the target
        ├── BaseNeededError           they can be kept only from another backup on
        ├── WrongSourceError          another cluster's, or of a version that loses some
        ├── ChangesLostError          etcd left some out
        ├── FencedError               another archiver is at work
        └── ReplayError               etcd did not become what was recorded

Imports nothing, so that pure code may match on these. etcd's own failures pass as `etcd.errors`.
"""

from __future__ import annotations


class SnapshotsError(Exception):
    """Any failure of this room. The text names what failed, and never a secret."""


# ---------------------------------------------------------------- the store
class StoreError(SnapshotsError):
    """operation: `put`. where: `s3://bucket/path`. message: the store's words, without secrets."""

    def __init__(self, message: str, *, operation: str, where: str) -> None:
        super().__init__(f"{operation} {where}: {message}")
        self.message = message
        self.operation = operation
        self.where = where


class StoreUnavailableError(StoreError):
    """The same call may succeed later; repetitions within its deadline did not help."""


class StoreTimeoutError(StoreUnavailableError):
    """No answer before the deadline."""


class StoreForbiddenError(StoreError):
    """The credentials are unknown to the store or lack the right."""


class StoreFullError(StoreError):
    """No space left, or a quota is used up."""


class StoreMissingError(StoreError):
    """The bucket, container or folder isn't there."""


class ObjectMissingError(StoreError):
    """The object isn't there."""


class ObjectExistsError(StoreError):
    """An object of that name is there already, and was left as it is."""


class ObjectTruncatedError(StoreError):
    """The answer ended before the length that the store had announced."""


class ObjectTooBigError(StoreError):
    """The object is bigger than what was asked for can be; nothing of it was read."""


class StoreConfigError(StoreError):
    """The location or the credentials can't be used as they were given."""


class StoreRefusedError(StoreError):
    """Refused for a reason this release doesn't know: its words are all there is."""


# ---------------------------------------------------------------- what is in the store
class BackupError(SnapshotsError):
    """What was found is not a backup, or not one that can be restored as it is."""


class BackupMissingError(BackupError):
    """There is no manifest in that folder, hence no backup."""


class ManifestInvalidError(BackupError):
    """The object is no manifest: the text says what is wrong with it."""


class ManifestTooNewError(ManifestInvalidError):
    """A later release wrote it: use that one."""


class PartError(BackupError):
    """A part is not as the manifest says. number: which part, from 0."""

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(f"part {number}: {message}")
        self.number = number


class PartMissingError(PartError):
    """The manifest names a part that the store doesn't have."""


class PartTruncatedError(PartError):
    """The part is not as long as the manifest says."""


class PartCorruptedError(PartError):
    """The part's length or sha256 is not the one of the manifest."""


class PartMisplacedError(PartCorruptedError):
    """The object holds another part of the same backup."""


class KeyInvalidError(BackupError):
    """The text that should hold keys holds something else; nothing of it is in the message."""


class KeyMissingError(BackupError):
    """The backup is encrypted with a key that the caller doesn't have."""


class WrongKeyError(BackupError):
    """The key has the right name and does not open the backup."""


class DecryptionError(BackupError):
    """A chunk does not authenticate: changed, moved, or the last ones are missing."""


class DecompressionError(BackupError):
    """The compressed stream is damaged or ends too early."""


class ContentMismatchError(BackupError):
    """The file's size or sha256 is not what the manifest says of the database."""


class WrongHashError(ContentMismatchError):
    """The database is as long as it should be, and its sha256 is another one."""


class DatabaseUnreadableError(BackupError):
    """The bytes are no database of etcd, or one of a format that this release doesn't know."""


# ---------------------------------------------------------------- where it is restored
class RestoreError(SnapshotsError):
    """The backup can't become data there, whatever the backup is worth."""


class BackupTooNewError(RestoreError):
    """It is of a newer minor version of etcd than the one that should run on it."""


class VolumeTooSmallError(RestoreError):
    """The volume has no space for the snapshot file and the data made of it."""


class TargetNotEmptyError(RestoreError):
    """The volume has a data directory that this restore did not make; it was left alone."""


class RestoredDataError(RestoreError):
    """The data that etcd's tool made are missing, or don't hold what the backup does."""


class ServedDataError(RestoreError):
    """The etcd that was started on the data has other ones than were saved."""


class NotServedError(RestoreError):
    """The etcd that was started on the data does not answer, or not to what it is asked."""


# ---------------------------------------------------------------- changes between backups
class ChangesError(SnapshotsError):
    """What was found of a change log can't be used as it is, or can't be gone on with."""


class SegmentInvalidError(ChangesError):
    """The object is no segment, or not a whole one: the text says what is wrong with it."""


class SegmentTooNewError(SegmentInvalidError):
    """A later release wrote it: use that one."""


class NotRestorableError(ChangesError):
    """No backup and changes lead to the target: the text says what can be restored instead."""


class BaseNeededError(ChangesError):
    """Changes can be kept only from another backup on."""


class WrongSourceError(ChangesError):
    """Who was asked is of another cluster than the log, or of a version that loses changes."""


class ChangesLostError(ChangesError):
    """etcd left out changes that it had made."""


class FencedError(ChangesError):
    """Another archiver writes this log."""


class ReplayError(ChangesError):
    """etcd did not become what was recorded."""
