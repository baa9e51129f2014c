"""An etcd that serves restored data to its own pod alone, and is ended by the agent beside it.

It listens on loopback, and takes only callers with a certificate that was made for it and dies with
it. That certificate's name is root's: data that have etcd ask who is calling are served as well,
and stay as they are. The agent sees it, and ends it, because the pod's containers share their
processes and run as one user. Pure.
"""

from collections.abc import Iterable
from typing import Final

from api.labels import DATA_MOUNT_PATH
from controllers.restore.order import REPLAY_TLS_FOLDER, RESTORED_DATA_PATH, RestoreOrder
from snapshots.changes.replay import flags_for_replay

LOOPBACK_PEER_URL: Final = "http://127.0.0.1:2380"
_CLIENT_URL: Final = "https://127.0.0.1:2379"


def private_etcd_arguments(
    order: RestoreOrder, *, tls_folder: str, listen_peer_url: str, more: Iterable[str] = ()
) -> list[str]:
    """What etcd is called with. tls_folder: below the volume's root.

    Whom it is a member with it reads from its data; `--initial-cluster` has to name it all the
    same.
    """
    folder = f"{DATA_MOUNT_PATH}/{tls_folder}"
    return [
        *("--name", order.member),
        *("--data-dir", RESTORED_DATA_PATH),
        *("--listen-client-urls", _CLIENT_URL, "--advertise-client-urls", _CLIENT_URL),
        *("--listen-peer-urls", listen_peer_url),
        *("--initial-advertise-peer-urls", order.peer_url),
        *("--initial-cluster", f"{order.member}={order.peer_url}"),
        *("--cert-file", f"{folder}/tls.crt", "--key-file", f"{folder}/tls.key"),
        *("--trusted-ca-file", f"{folder}/ca.crt", "--client-cert-auth"),
        # It would call etcd with a certificate that has a name.
        "--enable-grpc-gateway=false",
        *more,
    ]


def replay_arguments(order: RestoreOrder) -> list[str]:
    """What etcd is called with that changes are replayed into."""
    flags = flags_for_replay().items()
    return private_etcd_arguments(
        order,
        tls_folder=REPLAY_TLS_FOLDER,
        listen_peer_url=LOOPBACK_PEER_URL,
        more=[
            *(f"--{name}={value}" for name, value in flags),
            # The seed has its own one; here nothing may be refused that was once accepted.
            "--quota-backend-bytes=-1",
            # The agent flushes all of it before it counts (`snapshots.placing.place`).
            "--unsafe-no-fsync",
        ],
    )
