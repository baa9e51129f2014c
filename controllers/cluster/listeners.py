"""How members serve clients and each other: in plain text or by TLS, and meanwhile in both ways.

Pure; made from what status records, and from nothing else.  While TLS is switched on or off nobody
is to be cut off, whichever pod restarts whenever.  Two things make that possible:

- On the client port etcd serves plain text and TLS at once, if it is told to
  (etcd server/embed/serve.go: what begins like TLS goes to that listener).
- On the peer port it can't, but a member may have two peer URLs: the others try one after the other
  (etcd server/etcdserver/api/rafthttp/urlpick.go).

  Certifying  certificates are made, if there are none yet
  Opening     members restart, and serve clients in both ways
  Serving     clients have time to go over
  Closing     members restart, and serve clients in the new way alone
  Preparing   each member gets its second peer URL; where TLS is switched on, members restart to be
              able to call each other by it, and still listen as before
  Switching   members restart, and listen in the new way
  Settling    each member's old peer URL is taken away
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from api.tls_decision import tls_of
from api.v1alpha1.cluster import TLS
from api.v1alpha1.cluster_status import BootstrapStatus, TLSChange, TLSStatus

CLIENT: Final = "client"
PEER: Final = "peer"


class Phase(StrEnum):
    """How far a change is."""

    CERTIFYING = "Certifying"
    OPENING = "Opening"
    SERVING = "Serving"
    CLOSING = "Closing"
    PREPARING = "Preparing"
    SWITCHING = "Switching"
    SETTLING = "Settling"


_BOTH_SERVED: Final = frozenset({Phase.OPENING, Phase.SERVING})
_BOTH_NAMED: Final = frozenset({Phase.PREPARING, Phase.SWITCHING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """URL schemes, each http or https.

    `client`: how the client port is spoken, first how the operator does and members advertise.
    `peer`: how the peer port is spoken.  `peer_urls`: how each member's peer URLs begin.
    """

    client: tuple[str, ...] = ("http",)
    peer: str = "http"
    peer_urls: tuple[str, ...] = ("http",)
    calls_by_tls: bool = False  # members have what they need to call others by TLS
    has_certificates: bool = False  # the cluster has, or is to have them before anything else

    @property
    def mounts(self) -> bool:
        """Whether pods need certificates."""
        return "https" in self.client or self.calls_by_tls


def scheme(*, tls: bool) -> str:
    """How a URL begins."""
    return "https" if tls else "http"


def made_with(tls: TLS) -> dict[str, str]:
    """What the record of a new cluster says of these wishes, as fields of a BootstrapStatus."""
    client, peer = scheme(tls=tls.with_clients), scheme(tls=tls.among_members)
    return {"scheme": client, "peer_scheme": "" if peer == client else peer}


def begins_with_tls(recorded: TLSStatus | None) -> bool:
    """Whether certificates are being made for members that run without any."""
    change = recorded.change if recorded else None
    if recorded is None or change is None or recorded.client or recorded.peer:
        return False
    return change.phase == Phase.CERTIFYING


def listeners_of(bootstrap: BootstrapStatus, recorded: TLSStatus | None) -> Listeners:
    """How members are started, and are called, now."""
    tls = tls_of(bootstrap, recorded)
    change = tls.change
    return Listeners(
        client=_client(tls, change),
        peer=scheme(tls=tls.peer),
        peer_urls=_peer_urls(tls, change),
        calls_by_tls=tls.peer or _is_being_changed(PEER, change),
        has_certificates=tls.client or tls.peer or change is not None,
    )


def _client(tls: TLSStatus, change: TLSChange | None) -> tuple[str, ...]:
    now, other = scheme(tls=tls.client), scheme(tls=not tls.client)
    both = change is not None and change.listener == CLIENT and change.phase in _BOTH_SERVED
    return (now, other) if both else (now,)


def _peer_urls(tls: TLSStatus, change: TLSChange | None) -> tuple[str, ...]:
    """While the new way is not in the template yet, `tls` has the old one."""
    now, other = scheme(tls=tls.peer), scheme(tls=not tls.peer)
    both = change is not None and change.phase in _BOTH_NAMED
    return (now, other) if both else (now,)


def _is_being_changed(listener: str, change: TLSChange | None) -> bool:
    """Beyond the first phase, which no pod sees."""
    return change is not None and change.listener == listener and change.phase != Phase.CERTIFYING
