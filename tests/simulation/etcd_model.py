"""etcd's own rules of membership, elections and data, as far as an operator can break them.

Modelled: one log of acknowledged entries, of which each member holds a prefix; elections that only
a member with enough of it can win, by the members that its own log lists; members added as learners
under IDs that never come back; strict reconfiguration with its five seconds; promotion of who has
caught up; members that were removed and exit with 0; what a first start does with each kind of
file, and that an emptied voter comes back under its old ID once nobody remembers it.

Versions are in `etcd_versions`.  Not modelled: terms and entries that are not acknowledged, who
trusts whom by TLS, anything of a key.  All members that run reach each other, however they listen:
that they could is for `judge_tls` to see.

`Broken` is raised by the model itself where acknowledged data is lost or put at risk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from etcd.versions import Version, adds_with_members_down
from tests.simulation.etcd_process import (
    BOOTSTRAPPED,
    CLUSTER_ID,
    CORRUPT_WAL,
    FIRST_ADDED_ID,
    FIRST_ID,
    NOBODY_TO_ASK,
    PANIC,
    REMOVED,
    UNEQUAL,
    Broken,
    Ending,
    Entry,
    File,
    Log,
    Process,
    Refused,
    quorum,
)
from tests.simulation.etcd_versions import ClusterVersion
from tests.simulation.ways import PLAIN_NAMES

HEALTH_INTERVAL_S = 5.0
# A member whose cluster has no leader fails its probe so often that it is not ready any more.
_READY_FOR_S = 10.0
# Kubelet finds a new voter ready when it looks the next time.
_NEXT_LOOK_S = 3.0
# A joining member has the leader's snapshot after so many ticks.
_TICKS_TO_CATCH_UP = 2


@dataclass
class EtcdModel:
    """One etcd cluster."""

    entries: dict[int, Entry] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    by_hand: set[int] = field(default_factory=set)  # members that a person added
    alarms: set[int] = field(default_factory=set)
    serving: dict[int, Process] = field(default_factory=dict)
    leader: int | None = None
    progress: dict[int, bool] = field(default_factory=dict)  # who, to the leader, has caught up
    had_data: set[int] = field(default_factory=set)
    acked: int = 0
    history: list[tuple[int, frozenset[int]]] = field(default_factory=list)
    token: str | None = None
    slow: bool = False  # learners do not catch up
    db_size: int = 20480  # of each member, in bytes
    compacting: bool = False  # hashes can't be compared
    version: ClusterVersion = field(default_factory=ClusterVersion)
    now: float = 0.0
    led: float = 0.0  # when there was a leader last
    _ids: int = FIRST_ADDED_ID

    # ------------------------------------------------------------------ questions
    def voters(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if not entry.learner]

    def at(self, ordinal: int) -> Entry | None:
        return next((e for e in self.entries.values() if e.ordinal == ordinal), None)

    def reachable(self) -> Iterator[Process]:
        return (p for p in self.serving.values() if not p.cut and p.log.cluster_id == CLUSTER_ID)

    def healthy_voters(self) -> set[int]:
        """IDs of the voters that serve and are reached."""
        running = {process.log.id for process in self.reachable()}
        return {entry.id for entry in self.voters() if entry.id in running}

    def has_quorum(self) -> bool:
        return self.leader is not None and self._leads(self.leader)

    def is_ready(self, member: int) -> bool:
        """What kubelet's probe finds of a member that serves."""
        entry = self.entries.get(member)
        if entry is None or entry.learner:
            return False
        return self.has_quorum() or self.now < self.led + _READY_FOR_S

    def _listed_at(self, index: int) -> frozenset[int]:
        """The voters that a log of this length names."""
        return next((voters for at, voters in reversed(self.history) if at <= index), frozenset())

    def _leads(self, leader: int) -> bool:
        process = self.serving.get(leader)
        if process is None or process.cut or leader not in self.entries:
            return False
        return len(self.healthy_voters()) >= quorum(len(self.voters()))

    # ------------------------------------------------------------------ time passes
    def tick(self, pick: int = 0) -> None:
        """Elections, replication, publishing, and the end of those that were removed."""
        self.elect(pick)
        if self.leader is None:
            return
        head = self.serving[self.leader].log.index
        for process in list(self.reachable()):
            log = process.log
            if log.id in self.removed:
                continue  # kubelet's next look finds that it has ended
            if log.behind and not self.slow:
                log.behind -= 1
            if not log.behind:
                process.reach(head)
            self.progress[log.id] = not log.behind
            if log.id in self.entries:
                self.entries[log.id].published = True
        self._agree_on_version()

    def _agree_on_version(self) -> None:
        running = {process.log.id: process for process in self.reachable()}
        for process in running.values():
            if not process.announced and process.log.id in self.entries:
                process.announced = True
                self.version.begin(process.version)
                self._commit()
        everyone = [running[member].version.minor for member in self.entries if member in running]
        self.version.look(everyone if len(everyone) == len(self.entries) else None, self.now)
        for process in running.values():
            self.version.migrate(process, self.now)

    def elect(self, pick: int = 0) -> None:
        if self.has_quorum():
            return
        self.leader = None
        winners = sorted(p.log.id for p in self.reachable() if self._can_win(p.log))
        if winners:
            self._lead(winners[pick % len(winners)])

    def _can_win(self, log: Log) -> bool:
        named = self._listed_at(log.index)
        votes = sum(
            p.log.id in named and p.log.id not in self.removed and p.log.index <= log.index
            for p in self.reachable()
        )
        return log.id in named and log.id not in self.removed and votes >= quorum(len(named))

    def _lead(self, member: int) -> None:
        if self.serving[member].log.index < self.acked:
            raise Broken(f"{member:x} leads without acknowledged writes: they are lost")
        self.leader = member
        self.progress = {member: True}

    def step_down(self) -> None:
        """The leader is deposed; whoever is next knows nobody's progress."""
        self._remember_leader()
        self.leader = None

    def write(self, *, everywhere: bool) -> bool:
        """A client's write: acknowledged once a quorum has it; the others get it later."""
        if not self.has_quorum() or self.alarms:
            return False
        self._commit(everywhere=everywhere)
        return True

    def advance_log(self, entries: int) -> None:
        """Entries that change nothing, one by one through the quorum."""
        self._need_quorum()
        self._commit(entries)

    def _commit(self, entries: int = 1, *, everywhere: bool = True) -> None:
        assert self.leader is not None
        self.acked += entries
        self.version.wrote(self.acked, {p.version.minor for p in self.reachable()})
        healthy = self.healthy_voters()
        first = [self.leader, *sorted(healthy - {self.leader})]
        for member in first if everywhere else first[: quorum(len(self.voters()))]:
            self.serving[member].reach(self.acked)
            self.serving[member].log.behind = 0

    def _reconfigured(self) -> None:
        """The change is one more entry of the log; the old configuration has agreed to it."""
        self._commit()
        self.history.append((self.acked, frozenset(entry.id for entry in self.voters())))

    # ------------------------------------------------------------------ a process starts
    def start(self, ordinal: int, file: File, log: Log | None, version: Version) -> Log | Ending:
        """What becomes of an etcd that starts on this log with this file: its log, or its end."""
        if log is not None:
            return self._restart(log, version)
        if file.state == "new":
            return self._begin(ordinal, file)
        return self._join(ordinal, file, version)

    def serve(self, ordinal: int, file: File, log: Log, version: Version) -> Process:
        process = Process(
            ordinal=ordinal,
            log=log,
            since=self.now,
            version=version,
            snapshot_count=file.snapshot_count,
            unsure=self.version.unsure,
            ways=file.ways,
        )
        self.serving[log.id] = process
        return process

    def _remember_leader(self) -> None:
        if self.has_quorum():
            self.led = self.now

    def stop(self, process: Process) -> None:
        self._remember_leader()
        if self.serving.get(process.log.id) is process:
            del self.serving[process.log.id]
        if self.leader == process.log.id:
            self.step_down()

    def _restart(self, log: Log, version: Version) -> Log | Ending:
        if log.cluster_id == CLUSTER_ID and (barred := self.version.bars(log, version)):
            return barred
        if log.corrupt and log.id not in self.alarms:
            return CORRUPT_WAL
        if log.id in self.removed and any(self.reachable()):
            return REMOVED
        return log

    def _begin(self, ordinal: int, file: File) -> Log | Ending:
        """A first start from `new`: the ID follows from the URL and the token."""
        if self.token not in {None, file.token}:
            raise Broken("a second bootstrap under another token")
        member = FIRST_ID + ordinal
        others = any(p.ordinal != ordinal for p in self.reachable())
        known = self.entries.get(member)
        if others and known and known.published:
            return BOOTSTRAPPED
        if member in self.had_data and member not in self.removed:
            raise Broken(f"member {ordinal} begins anew without its data")
        if self.token is None:
            self.token = file.token
            self.entries = {
                FIRST_ID + n: Entry(FIRST_ID + n, n, named=file.named[n])
                for n in sorted(file.listed)
            }
            self.history = [(0, frozenset(self.entries))]
        self.had_data.add(member)
        return Log(member)

    def _join(self, ordinal: int, file: File, version: Version) -> Log | Ending:
        """A start from `existing`: it asks the others who it is."""
        others = (p for p in self.reachable() if p.ordinal != ordinal and p.ordinal in file.listed)
        if not any(file.ways.calls(other.ways, file.named[other.ordinal]) for other in others):
            return NOBODY_TO_ASK
        entry = self.at(ordinal)
        if entry is None or file.named != {e.ordinal: e.named for e in self.entries.values()}:
            return UNEQUAL
        if entry.id in self.had_data and self.leader and entry.id in self.progress:
            return PANIC
        if entry.id in self.had_data and not entry.learner:
            raise Broken(f"member {ordinal} votes again under its old ID without its data")
        snapshot = self.serving[self.leader].log.snapshot if self.leader else 0
        if barred := self.version.bars_joining(version, snapshot):
            return barred
        self.had_data.add(entry.id)
        return Log(entry.id, behind=_TICKS_TO_CATCH_UP, form=self.version.minor, snapshot=snapshot)

    # ------------------------------------------------------------------ changes of membership
    def add_learner(self, ordinal: int, named: frozenset[str] = PLAIN_NAMES) -> int:
        """MemberAdd with isLearner (server/etcdserver/server.go, mayAddMember)."""
        self._need_quorum()
        if self.at(ordinal) is not None:
            raise Refused("etcdserver: Peer URLs already exists", now=False)
        connected = self._connected()
        voters = len(self.voters())
        needed = quorum(voters + 1) if self._adds_with_members_down() else voters
        if voters > 1 and connected < needed:
            raise Refused("etcdserver: unhealthy cluster")
        if any(entry.learner for entry in self.entries.values()):
            raise Refused("etcdserver: too many learner members in cluster")
        self._ids += 1
        self.entries[self._ids] = Entry(self._ids, ordinal, learner=True, named=named)
        self._reconfigured()
        return self._ids

    def name(self, member: int, named: frozenset[str]) -> None:
        """MemberUpdate: other peer URLs, of which nobody asks whether the member listens there."""
        self._need_quorum()
        self._entry(member).named = named
        self._commit()

    def _adds_with_members_down(self) -> bool:
        assert self.leader is not None
        return adds_with_members_down(self.serving[self.leader].version)

    def promote(self, member: int) -> None:
        self._need_quorum()
        entry = self._entry(member)
        if not entry.learner:
            raise Refused("etcdserver: can only promote a learner member", now=False)
        started = sum(voter.started for voter in self.voters())
        if started + 1 < quorum(len(self.voters()) + 1):
            raise Refused("etcdserver: re-configuration failed due to not enough started members")
        # The leader goes by what it remembers: who died since counts as well.
        if not self.progress.get(member):
            raise Refused("etcdserver: can only promote a learner member which is in sync")
        entry.learner = False
        if member in self.serving:
            self.serving[member].looked_at = self.now + _NEXT_LOOK_S
        self._reconfigured()

    def remove(self, member: int) -> None:
        """MemberRemove (server/etcdserver/server.go, mayRemoveMember)."""
        self._need_quorum()
        entry = self._entry(member)
        if not entry.learner:
            self._may_remove(entry)
        del self.entries[member]
        self.removed.add(member)
        self._reconfigured_without(member)

    def _reconfigured_without(self, member: int) -> None:
        """The leader commits its own removal too, and then steps down."""
        if member == self.leader:
            self.acked += 1
            for voter in self.healthy_voters() | {member}:
                self.serving[voter].reach(self.acked)
            self.history.append((self.acked, frozenset(e.id for e in self.voters())))
            self.step_down()
        else:
            self._reconfigured()

    def _may_remove(self, entry: Entry) -> None:
        rest = [voter for voter in self.voters() if voter is not entry]
        if not rest or sum(voter.started for voter in rest) < quorum(len(rest)):
            raise Refused("etcdserver: re-configuration failed due to not enough started members")
        if entry.id in self.healthy_voters():
            active = self._connected()
            if active - 1 < quorum(len(rest)):
                raise Refused("etcdserver: unhealthy cluster")

    def move_leader(self, target: int) -> None:
        self._need_quorum()
        if target not in self.healthy_voters():
            raise Refused("etcdserver: bad leader transferee")
        self.serving[target].reach(self.acked)
        self._lead(target)

    def disarm(self, member: int) -> None:
        self._need_quorum()
        self.alarms.discard(member)

    def enable_downgrade(self, target: int) -> None:
        self._need_quorum()
        self.version.enable(target)
        self._commit()

    def cancel_downgrade(self) -> Process:
        """Return who was asked: the leader."""
        self._need_quorum()
        assert self.leader is not None
        self.version.downgrade = None
        self._commit()
        return self.serving[self.leader]

    def _connected(self) -> int:
        """How many voters have been connected for five seconds."""
        voters = self.healthy_voters()
        return sum(self.now - self.serving[v].since >= HEALTH_INTERVAL_S for v in voters)

    def _entry(self, member: int) -> Entry:
        if member not in self.entries:
            raise Refused("etcdserver: member not found", now=False)
        return self.entries[member]

    def _need_quorum(self) -> None:
        if not self.has_quorum():
            raise Refused("etcdserver: no leader")
