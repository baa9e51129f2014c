"""An etcd that tells what a script says, by a clock that only the script moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

from etcd.errors import LeaseNotFoundError
from etcd.header import Header
from etcd.ids import ClusterID, MemberID
from etcd.kv_types import KeyValue
from etcd.watch import Event, EventKind, WatchBatch
from tests.unit.snapshots.changes.chains import LOG, NOON


def header(revision, cluster_id=LOG.cluster_id):
    return Header(
        cluster_id=ClusterID(cluster_id), member_id=MemberID(1), revision=revision, raft_term=1
    )


def event(revision, key=b"key", *, value=b"value", lease=0, deleted=False):
    kv = KeyValue(
        key=key,
        value=b"" if deleted else value,
        create_revision=0 if deleted else revision,
        mod_revision=revision,
        version=0 if deleted else 1,
        lease=0 if deleted else lease,
    )
    return Event(kind=EventKind.DELETE if deleted else EventKind.PUT, kv=kv, prev_kv=None)


def batch(*events, fragment=False):
    last = events[-1].kv.mod_revision
    return WatchBatch(header=header(last), events=events, fragment=fragment)


def revisions(first, last=None):
    """One change each."""
    return batch(*(event(number) for number in range(first, (last or first) + 1)))


def progress(revision):
    """What etcd answers when it is asked how far the watch is."""
    return WatchBatch(header=header(revision), events=(), fragment=False)


@dataclass
class ScriptedEtcd:
    """Stands for the client of a member, and for the watch on it.

    script: batches to deliver, failures to raise, seconds to let pass, and functions to call. What
    comes after its end is the wish to stop. newest: the cluster's revision, by default the last one
    that was delivered. opening: failures of watches, in their order.
    """

    script: list = field(default_factory=list)
    newest: int = 0
    version: str = "3.6.16"
    cluster_id: int = LOG.cluster_id
    ttls: dict[int, int] = field(default_factory=dict)
    lease_failure: Exception | None = None
    opening: list = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    time: object = NOON
    watched: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    asked_leases: list = field(default_factory=list)

    def __post_init__(self):
        self.maintenance = SimpleNamespace(status=self._status)
        self.kv = SimpleNamespace(range=self._range)
        self.lease = SimpleNamespace(time_to_live=self._time_to_live)
        self.watch = SimpleNamespace(open=self._open)

    def now(self):
        return self.time

    def later(self, seconds):
        self.time += timedelta(seconds=seconds)

    # ------------------------------------------------------------ the member
    async def _status(self, **_options):
        return SimpleNamespace(cluster_id=self.cluster_id, version=self.version)

    async def _range(self, _range, **_options):
        return SimpleNamespace(header=header(self.newest))

    async def _time_to_live(self, lease_id, **_options):
        self.asked_leases.append(lease_id)
        if self.lease_failure is not None:
            raise self.lease_failure
        if lease_id not in self.ttls:
            raise LeaseNotFoundError("requested lease not found")
        return SimpleNamespace(granted_ttl_s=self.ttls[lease_id])

    def _open(self, watched):
        self.watched.append(watched)
        return self

    # ------------------------------------------------------------ the watch
    async def __aenter__(self):
        if self.opening:
            raise self.opening.pop(0)
        return self

    async def __aexit__(self, *_error):
        pass

    async def request_progress(self):
        self.asked.append(self.time)

    async def receive(self, **_options):
        if not self.script:
            self.stop.set()
            return None
        step = self.script.pop(0)
        match step:
            case Exception():
                raise step
            case int() | float():
                self.later(step)
                return None
            case WatchBatch():
                if step.events:
                    self.newest = max(self.newest, step.header.revision)
                return step
        step()
        return None
