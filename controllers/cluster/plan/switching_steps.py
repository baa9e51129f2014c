"""The steps of switching TLS on or off.  Part of `steps.Action`.

Pure data, under the same rules as those in `steps`.
"""

from dataclasses import dataclass

from typing_extensions import override

from api.v1alpha1.cluster_status import Rendering, TLSStatus
from etcd.ids import MemberID


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSwitch:
    """Record the next phase of a change: what follows from it is done after that.

    `rendered`: members are to be restarted on this template; None: it stays.  `endpoints`: what
    clients are told from now on.  `without_authorities`: nobody trusts them any more.
    """

    tls: TLSStatus
    endpoints: tuple[str, ...]
    why: str
    rendered: Rendering | None = None
    without_authorities: bool = False

    @override
    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class NameMember:
    """Give a voter other peer URLs, of which it has one already (MemberUpdate)."""

    name: str
    id: MemberID
    peer_urls: tuple[str, ...]

    @override
    def __str__(self) -> str:
        return f"Have {self.name} called by {' and '.join(self.peer_urls)}"


SwitchingStep = RecordSwitch | NameMember
