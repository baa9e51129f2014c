"""etcd's own rules of versions, as far as an operator can break them.

Modelled: the version that all members agree on, which the leader raises when nobody is below it and
lowers for a downgrade when everybody is there; the form of each member's data, which follows it
after a while; what a binary starts on, and whom it joins; entries that 3.5 wrote, which 3.7 can't
read while they lie after the last snapshot of a member's log; the downgrade and its end.

Not modelled: what two members say to each other, patches of a minor version, the data itself.
"""

from collections.abc import Collection
from dataclasses import dataclass

from etcd.versions import Version, reports_storage_version
from tests.simulation.etcd_process import (
    INCOMPATIBLE,
    TOO_OLD,
    UNREADABLE,
    Ending,
    Log,
    Process,
    Refused,
)

# The leader compares versions, and each member looks at the form of its data, about so often.
_LOOKS_EVERY_S = 5.0
# So long after its start a member may tell an older form of its data than it has.
_UNSURE_S = 5.0
# The first minor version that can't read what `_WRITES_OLD_ENTRIES` writes.
_CAN_NOT_READ_OLD_ENTRIES = 7
_WRITES_OLD_ENTRIES = 5


@dataclass
class ClusterVersion:
    """The minor version that the members of one cluster agree on, and a downgrade of it.

    `unsure`: members that start tell an older form of their data for some seconds.
    """

    minor: int | None = None
    since: float = 0.0
    downgrade: int | None = None
    old_entries: int = 0  # the index of the last one that 3.5 wrote
    unsure: bool = False
    _looked: float = 0.0

    # ------------------------------------------------------------------ time passes
    def begin(self, version: Version) -> None:
        self.minor = version.minor if self.minor is None else self.minor

    def look(self, running: Collection[int] | None, now: float) -> None:
        """`running`: the minor versions of all members, None while one of them is away."""
        if running is None or self.minor is None or now < self._looked + _LOOKS_EVERY_S:
            return
        self._looked = now
        if self.downgrade is None:
            self._agree(max(self.minor, min(running)), now)
        elif set(running) == {self.downgrade}:
            self.downgrade = None
        elif self.downgrade == self.minor - 1:
            self._agree(self.downgrade, now)

    def _agree(self, minor: int, now: float) -> None:
        if minor != self.minor:
            self.minor, self.since = minor, now

    def migrate(self, process: Process, now: float) -> None:
        """The form of a member's data follows the version, each member's in its own time."""
        minor, log = process.version.minor, process.log
        if not reports_storage_version(process.version):
            log.form = minor
        elif self.minor in {minor, minor - 1} and now >= self.since + 1 + process.ordinal % 3:
            log.form = self.minor

    # ------------------------------------------------------------------ a process starts
    def bars(self, log: Log, version: Version) -> Ending | None:
        """Why a member can't start on its data with this version."""
        if log.form is None:
            return None
        lower = self.minor is not None and version.minor < self.minor
        if version.minor - log.form not in {0, 1} or (lower and self.downgrade != version.minor):
            return TOO_OLD
        return UNREADABLE if self._can_not_read(log.snapshot, log.index, version) else None

    def bars_joining(self, version: Version, snapshot: int) -> Ending | None:
        """Why nobody can begin as a new member; `snapshot`: the leader's, which it is sent."""
        if self.downgrade is not None:
            return INCOMPATIBLE
        if self.minor is not None and version.minor - self.minor not in {0, 1}:
            return INCOMPATIBLE
        unreadable = self._can_not_read(snapshot, self.old_entries, version)
        return UNREADABLE if unreadable else None

    def _can_not_read(self, snapshot: int, index: int, version: Version) -> bool:
        after_it = snapshot < min(self.old_entries, index)
        return version.minor >= _CAN_NOT_READ_OLD_ENTRIES and after_it

    def wrote(self, index: int, versions: Collection[int]) -> None:
        """An entry was committed while members of these minor versions ran."""
        if _WRITES_OLD_ENTRIES in versions:
            self.old_entries = index

    # ------------------------------------------------------------------ what is asked and told
    def enable(self, target: int) -> None:
        if self.downgrade is not None:
            raise Refused("etcdserver: cluster has a downgrade job in progress", now=False)
        if self.minor is None or target != self.minor - 1:
            raise Refused("etcdserver: invalid downgrade target version")
        self.downgrade = target

    def told_form(self, process: Process, now: float) -> str:
        """The storage version in the member's status."""
        form = process.log.form
        if not reports_storage_version(process.version) or form is None:
            return ""
        young = process.unsure and now < process.since + _UNSURE_S
        return f"3.{min(form, process.version.minor - 1) if young else form}.0"

    def told_downgrade(self, process: Process) -> str:
        if self.downgrade is None or not reports_storage_version(process.version):
            return ""
        return f"3.{self.downgrade}.0"
