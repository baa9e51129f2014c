"""One etcd process: the file it starts from, the log it keeps, and the words it ends with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import yaml

from etcd.versions import SNAPSHOT_COUNT, Version
from tests.simulation.ways import PLAIN, PLAIN_NAMES, Ways, scheme_of, ways_of

CLUSTER_ID = 0xCAFE
FIRST_ID = 0xA0
FIRST_ADDED_ID = 0x1000


class Broken(AssertionError):  # noqa: N818 - the invariant is
    """An invariant does not hold; the text says which."""


class Refused(Exception):  # noqa: N818 - etcd's word for it
    """Etcd does not do it; the text is etcd's. `now`: it might do it later."""

    def __init__(self, text: str, *, now: bool = True) -> None:
        super().__init__(text)
        self.now = now


@dataclass(frozen=True, slots=True)
class File:
    """What a configuration file says about membership, and how often the log is snapshotted.

    `named`: how the URLs begin under which each member that it lists is called.
    """

    state: str
    named: Mapping[int, frozenset[str]]
    token: str
    snapshot_count: int
    ways: Ways

    @property
    def listed(self) -> frozenset[int]:
        return frozenset(self.named)


@lru_cache(maxsize=4096)
def read_file(text: str) -> File:
    content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    named: dict[int, frozenset[str]] = {}
    for entry in content["initial-cluster"].split(","):
        name, _, url = entry.partition("=")
        ordinal = int(name.rpartition("-")[2])
        named[ordinal] = named.get(ordinal, frozenset()) | {scheme_of(url)}
    return File(
        state=content["initial-cluster-state"],
        named=named,
        token=content["initial-cluster-token"],
        snapshot_count=content.get("snapshot-count", SNAPSHOT_COUNT),
        ways=ways_of(content),
    )


@dataclass(slots=True)
class Log:
    """A member's data on its volume: who it is, and how much of the common log it holds.

    `form`: the minor version whose form the data has, None where nobody knows.  `snapshot`: the
    index up to which the log is behind a snapshot.
    """

    id: int
    cluster_id: int = CLUSTER_ID
    index: int = 0
    behind: int = 0
    corrupt: bool = False
    form: int | None = None
    snapshot: int = 0

    def reach(self, index: int, snapshot_count: int) -> None:
        """The log grows; after so many entries it is snapshotted."""
        self.index = index
        since = index - self.snapshot
        if since > snapshot_count:
            self.snapshot += since // (snapshot_count + 1) * (snapshot_count + 1)


@dataclass(slots=True)
class Process:
    """A running etcd. `cut`: neither members nor the operator reach it.  `looked_at`: when kubelet
    looks at it next, after it became a voter.

    `unsure`: at first it tells an older form of its data than it has.
    """

    ordinal: int
    log: Log
    since: float
    version: Version
    snapshot_count: int = SNAPSHOT_COUNT
    cut: bool = False
    looked_at: float = 0.0
    announced: bool = False
    unsure: bool = False
    ways: Ways = PLAIN

    def reach(self, index: int) -> None:
        self.log.reach(index, self.snapshot_count)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended: its exit code and its last words."""

    code: int
    words: str


@dataclass(slots=True)
class Entry:
    """One entry of the member list; its ordinal stands for its peer URLs; they begin as `named`."""

    id: int
    ordinal: int
    learner: bool = False
    published: bool = False
    named: frozenset[str] = PLAIN_NAMES

    @property
    def started(self) -> bool:
        """Whether it has a name: first members have theirs from the first file."""
        return self.published or self.id < FIRST_ADDED_ID


REMOVED = Ending(0, '{"level":"info","msg":"the member has been permanently removed"}')
NOBODY_TO_ASK = Ending(
    1,
    '{"level":"fatal","msg":"discovery failed",'
    '"error":"cannot fetch cluster info from peer urls: could not retrieve cluster information"}',
)
UNEQUAL = Ending(
    1, '{"level":"fatal","error":"error validating peerURLs: member count is unequal"}'
)
BOOTSTRAPPED = Ending(
    1, '{"level":"fatal","msg":"discovery failed","error":"member has already been bootstrapped"}'
)
PANIC = Ending(2, "panic: tocommit(9) is out of range [lastIndex(0)]. Was the raft log corrupted?")
CORRUPT_WAL = Ending(
    1,
    '{"level":"fatal","msg":"failed to read WAL, cannot be repaired",'
    '"error":"walpb: crc mismatch"}',
)

TOO_OLD = Ending(
    1,
    '{"level":"fatal","msg":"invalid downgrade; server version is lower than determined cluster'
    ' version"}',
)
INCOMPATIBLE = Ending(
    1,
    '{"level":"fatal","msg":"discovery failed",'
    '"error":"incompatible with current running cluster"}',
)
UNREADABLE = Ending(2, "panic: proto: cannot parse invalid wire-format data")


def quorum(voters: int) -> int:
    return voters // 2 + 1
