"""A containerd's folder with images already unpacked in it.

Unpacking them takes seconds of two cores at each start of a node; using a folder that was made
once takes none. Nothing ever writes to an unpacked layer, so nodes share them, read-only; the
databases are each node's own.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lib import controlplane, namespaces
from lib.children import die_with_parent
from lib.process import SetupError, run

if TYPE_CHECKING:
    from collections.abc import Sequence

START_DEADLINE_S = 30.0
IMPORT_TRIES = 3
LAID_OUT = ".laid-out"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs"
READ_ONLY_BIND = namespaces.MS_REMOUNT | namespaces.MS_BIND | namespaces.MS_RDONLY


def make(target: Path, archives: Sequence[Path], base: Path | None = None) -> None:
    """Fills `target/containerd` from the archives, on top of another store."""
    if base is not None:
        (target / "containerd").mkdir()
        copy(base / "containerd", target / "containerd")
    with tempfile.TemporaryDirectory(prefix="containerd-") as state:
        socket = Path(state) / "containerd.sock"
        configuration = Path(state) / "config.toml"
        configuration.write_text(f"""version = 2
root = "{target / "containerd"}"
state = "{state}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
""")
        with (Path(state) / "log").open("wb") as log:
            # Its mounts are its own, so none is left, however it ends.
            containerd = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation", "private"),
                    *("containerd", "--config", str(configuration)),
                ],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
            )
        try:
            if not controlplane.wait_until(socket.is_socket, START_DEADLINE_S):
                raise SetupError(f"containerd did not start:\n{(Path(state) / 'log').read_text()}")
            for archive in archives:
                _import(socket, archive)
        finally:
            containerd.terminate()
            try:
                containerd.wait(10.0)
            except subprocess.TimeoutExpired:
                containerd.kill()


def _import(socket: Path, archive: Path) -> None:
    """Imports and unpacks one archive, tried again when the garbage collector got in between.

    A newer image under the same name frees the older one's layers, which unpacking may just have
    taken for parents of its own: "parent snapshot ... does not exist".
    """
    command = ["ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", archive]
    for attempt in range(IMPORT_TRIES):
        try:
            run(command, timeout_s=120.0)
        except SetupError as error:
            if "does not exist" not in str(error) or attempt == IMPORT_TRIES - 1:
                raise
        else:
            return


def copy(source: Path, target: Path) -> None:
    """A folder of a store at `target`, which exists: links where possible, else copies."""
    try:
        run(["cp", "-al", f"{source}/.", target])
    except SetupError:
        # Another file system than the cache's.
        run(["cp", "-a", f"{source}/.", target], timeout_s=300.0)
    for database in [*target.glob("*.db"), *target.glob("*/*.db")]:
        own = database.with_suffix(".own")
        shutil.copyfile(database, own)
        own.rename(database)


def lay_out(store: Path, target: Path) -> None:
    """The store at `target` for a containerd in a mount namespace of its own.

    The unpacked layers, thousands of files, are only shown there, not linked. A target that was
    laid out before keeps all that its containerd wrote since: only the layers are shown again,
    because a namespace's mounts end with it.
    """
    again = (target / LAID_OUT).exists()
    if not again:
        # Perhaps an earlier attempt was cut off.
        for entry in target.iterdir():
            shutil.rmtree(entry)
    for source in (store / "containerd").iterdir():
        if source.name == SNAPSHOTS:
            _show_layers(source, target / SNAPSHOTS, again=again)
        elif not again:
            (target / source.name).mkdir()
            copy(source, target / source.name)
    (target / LAID_OUT).touch()


def _show_layers(source: Path, target: Path, *, again: bool) -> None:
    if not again:
        (target / "snapshots").mkdir(parents=True, mode=0o700)
        shutil.copyfile(source / "metadata.db", target / "metadata.db")
    for layer in (source / "snapshots").iterdir():
        own = target / "snapshots" / layer.name
        if not again:
            own.mkdir(mode=0o700)
            for name in ("fs", "work"):
                (own / name).mkdir()
        elif not own.exists():
            # Containerd has removed the image since.
            continue
        namespaces.bind(layer / "fs", own / "fs")
        # A mount is made read-only in a second step.
        namespaces.mount("", own / "fs", "", READ_ONLY_BIND)
