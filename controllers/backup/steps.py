"""What a plan can ask for: one write, or a verdict that says how things are.

Pure data. `act` executes the first kind; `status` turns any of them into what a user reads.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.reasons import Reason
from controllers.backup.archive.steps import ApplyArchiver, DeleteArchiver
from controllers.backup.order import Failed, Proven, Saved


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeJob:
    """Make the Job that takes the backup, from one of these members."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteJob:
    """Delete a Job that is of no use any more."""

    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeChild:
    """Make the EtcdBackup for this time of the schedule.

    base_for: why it is made between two times, for changes to go on from; empty otherwise.
    """

    body: dict[str, Any]
    scheduled: datetime
    base_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteChild:
    """Delete an unfinished EtcdBackup of the schedule, so that the next one can start."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireChild:
    """Mark an EtcdBackup of the schedule: its own reconciler deletes its data, then it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDeletion:
    """Make the Job that deletes the backup's data from the store."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSelf:
    """Delete the EtcdBackup itself: nothing of it is left in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeVerification:
    """Make the Job that tries the backup out."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskVerification:
    """Ask a backup of the schedule to be tried out, for this time of the schedule for that."""

    name: str
    uid: str
    due: datetime
    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifying:
    """A completed backup is being tried out. stalled: whether that takes a person."""

    reason: Reason
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishVerification:
    """A verification has come to its end: record what is known. request: what asked for it."""

    request: str
    answer: Proven | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Nothing is done before somebody changes something; the message says what."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Something has to happen first. stalled: whether that takes a person."""

    reason: Reason
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The backup has come to its end: record it, once and for all."""

    answer: Saved | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Nothing to do: the end is recorded. edited: the spec was changed after a completed backup."""

    edited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """The next time of the schedule. missed: one that passed too long ago to be made up for."""

    due: datetime
    missed: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The schedule makes no backups for now."""


Action = (
    MakeJob
    | DeleteJob
    | MakeChild
    | DeleteChild
    | ExpireChild
    | MakeDeletion
    | DeleteSelf
    | MakeVerification
    | AskVerification
    | ApplyArchiver
    | DeleteArchiver
)
Step = Action | Refuse | Wait | Finish | Rest | Await | Suspended | Verifying | FinishVerification
