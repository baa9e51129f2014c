"""Container images of one layer, written as OCI archives without any tool.

Their contents are those of the images that they stand for: etcd's is a distroless one with three
programs and no shell, started by CMD alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ETCD = "quay.io/coreos/etcd"
COREDNS = "registry.k8s.io/coredns/coredns"
PAUSE = "registry.k8s.io/pause:3.10.1"

# Distroless: root, nobody and nonroot, and the few files that the C-less Go programs look at.
PASSWD = """root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
"""
GROUP = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n"
NSSWITCH = "hosts: files dns\n"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"


@dataclass
class Layer:
    """One layer. Times and owners are fixed, so that equal contents have equal digests."""

    buffer: io.BytesIO = field(default_factory=io.BytesIO)

    def __post_init__(self) -> None:
        self.tar = tarfile.open(  # noqa: SIM115 - closed by bytes()
            fileobj=self.buffer, mode="w", format=tarfile.GNU_FORMAT
        )

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self.tar.addfile(entry)

    def text(self, path: str, content: str) -> None:
        entry = tarfile.TarInfo(path)
        entry.mode, entry.size = 0o644, len(content.encode())
        self.tar.addfile(entry, io.BytesIO(content.encode()))

    def program(self, path: str, source: Path) -> None:
        entry = tarfile.TarInfo(path)
        entry.mode, entry.size = 0o755, source.stat().st_size
        with source.open("rb") as file:
            self.tar.addfile(entry, file)

    def bytes(self) -> bytes:
        self.tar.close()
        return self.buffer.getvalue()


def _distroless(layer: Layer) -> None:
    for path in ("etc", "root", "usr", "usr/local", "usr/local/bin", "var", "var/lib", "var/run"):
        layer.folder(path, 0o700 if path == "root" else 0o755)
    layer.folder("tmp", 0o1777)
    layer.folder("home", 0o755)
    layer.folder("home/nonroot", 0o700, 65532)
    layer.text("etc/passwd", PASSWD)
    layer.text("etc/group", GROUP)
    layer.text("etc/nsswitch.conf", NSSWITCH)


def _contents(name: str, programs: Path) -> tuple[Layer, dict[str, object]]:
    layer = Layer()
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if name == "pause":
        layer.program("pause", programs / "bin/pause")
        return layer, {"Entrypoint": ["/pause"], "Env": [path], "User": "65535:65535"}
    _distroless(layer)
    if name.startswith("coredns"):
        layer.program("coredns", programs / "bin/coredns")
        return layer, {"Entrypoint": ["/coredns"], "Env": [path], "User": "65532:65532"}
    for program in ("etcd", "etcdctl", "etcdutl"):
        layer.program(f"usr/local/bin/{program}", programs / "bin" / program)
    layer.folder("var/etcd")
    layer.folder("var/lib/etcd", 0o700)
    return layer, {"Cmd": ["/usr/local/bin/etcd"], "Env": [path], "WorkingDir": "/"}


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {
        "mediaType": f"application/vnd.oci.image.{media_type}",
        "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}",
        "size": len(blob),
    }


def write(archive: Path, name: str, programs: Path, reference: str) -> None:
    """Writes the image of the programs of `name` as an OCI archive that bears `reference`."""
    layer, config = _contents(name, programs)
    # Not compressed: the archive never leaves the machine, and each node start unpacks it.
    data = layer.bytes()
    layer_descriptor = _descriptor("layer.v1.tar", data)
    image = json.dumps(
        {
            "created": EPOCH,
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
            "history": [{"created": EPOCH, "created_by": "hack/build"}],
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("config.v1+json", image),
            "layers": [layer_descriptor],
        }
    ).encode()
    top = _descriptor("manifest.v1+json", manifest)
    with tarfile.open(archive, "w") as tar:
        _add_index(tar, top, reference)
        for blob in (data, image, manifest):
            _add(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)


def pack(folder: Path, archive: Path, reference: str) -> None:
    """An OCI archive of an image that lies in a folder: manifest.json, blobs named by digest."""
    manifest = (folder / "manifest.json").read_bytes()
    with tarfile.open(archive, "w") as tar:
        _add_index(tar, _descriptor("manifest.v1+json", manifest), reference)
        _add(tar, f"blobs/sha256/{hashlib.sha256(manifest).hexdigest()}", manifest)
        for blob in folder.iterdir():
            if len(blob.name) == len(hashlib.sha256().hexdigest()):
                tar.add(blob, f"blobs/sha256/{blob.name}")


def _add_index(tar: tarfile.TarFile, top: dict[str, object], reference: str) -> None:
    # containerd takes the image's name from the first annotation, other tools from the second.
    top["annotations"] = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[1],
    }
    _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [top]}).encode())


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))
