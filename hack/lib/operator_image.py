"""The operator's image: the project's own Dockerfile, built by buildah without any registry."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lib import cache, images
from lib.process import SetupError, run

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
REFERENCE = os.environ.get("IMAGE") or "ghcr.io/etcd-operator/etcd-operator:dev"
"""The image's name, here and in every script: set IMAGE to change it."""
BASE_REFERENCE = "localhost/etcd-operator-base"
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
# Documentation and package lists are no use in an image, and half of its size.
BASE_UNUSED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
)
SOURCES = (
    *("api", "cli", "controllers", "etcd", "informers", "manifests", "operator", "snapshots"),
    *("webhooks", "LICENSE", "README.md", "pyproject.toml", "requirements.lock"),
    *("requirements-dev.lock", "Dockerfile", ".dockerignore"),
)
TIMEOUT_S = 15 * 60.0
TRUST = Path("/etc/ssl/certs")
PIP_CONFIGURATION = Path("/etc/pip.conf")


def _buildah(*words: str | Path) -> str:
    # Storage of our own in the cache: the user's images stay as they are.
    storage = cache.cache_root() / "containers"
    command = ["buildah", "--root", storage / "root", "--runroot", storage / "run", *words]
    return run(command, timeout_s=TIMEOUT_S)


def _needs_root() -> None:
    if os.geteuid() != 0:
        raise SetupError("root is needed to build images: try sudo")


def _release() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _mirror() -> str:
    """Where this machine's own packages come from: what it trusts is what the image is made of."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    for line in targets.splitlines():
        address, release, component = line.split()
        if release == _release() and component == "main":
            return address
    raise SetupError(f"no package source for {_release()} main is set up on this machine")


def base(quiet: bool = False) -> Path:
    """The folder with rootfs.tar: a minimal Debian with Python."""
    unused = " ".join(f"%s/{path}/*" for path in BASE_UNUSED)
    key = cache.digest([_release(), repr(BASE_PACKAGES), unused])

    def build(target: Path) -> None:
        _needs_root()
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            root = Path(work) / "root"
            packages = ",".join(BASE_PACKAGES)
            command = ["debootstrap", "--variant=minbase", f"--include={packages}"]
            run([*command, _release(), root, _mirror()], timeout_s=TIMEOUT_S)
            run(["sh", "-c", f"rm -rf {unused.replace('%s', str(root))}"])
            run(["tar", "-C", root, "-cf", target / "rootfs.tar", "."], timeout_s=TIMEOUT_S)

    return cache.cached("base", key, build, quiet)


@contextlib.contextmanager
def _container() -> Iterator[str]:
    name = _buildah("from", "scratch").strip()
    try:
        yield name
    finally:
        _buildah("rm", name)


def _base_image(quiet: bool) -> str:
    folder = base(quiet)
    reference = f"{BASE_REFERENCE}:{folder.name}"
    with contextlib.suppress(SetupError):
        _buildah("inspect", "--type", "image", reference)
        return reference
    cache.say("operator-image: importing its base")
    with _container() as name:
        _buildah("add", name, folder / "rootfs.tar", "/")
        _buildah("commit", name, reference)
    return reference


def _sources() -> list[Path]:
    listed = run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *SOURCES],
        cwd=CHECKOUT,
    )
    files = sorted({CHECKOUT / name for name in listed.split("\0") if name})
    # A file that was removed but not yet committed is still listed.
    return [file for file in files if file.is_file()]


def _volumes(work: Path) -> list[str]:
    """What pip needs of the machine to reach its index: trusted certificates, configuration."""
    configuration = PIP_CONFIGURATION
    if not configuration.exists():
        configuration = work / "pip.conf"
        configuration.write_text(f"[global]\ncert = {TRUST / 'ca-certificates.crt'}\n")
    return ["-v", f"{TRUST}:{TRUST}:ro", "-v", f"{configuration}:{PIP_CONFIGURATION}:ro"]


def make(quiet: bool = False) -> Path:
    """The folder with image.tar: the operator of this checkout, with what is not yet committed."""
    if not (CHECKOUT / "Dockerfile").exists():
        raise SetupError("no Dockerfile")
    names = [str(file.relative_to(CHECKOUT)) for file in _sources()]
    key = cache.digest([REFERENCE, *names, *_sources(), Path(__file__)])

    def build(target: Path) -> None:
        _needs_root()
        with cache.lock("buildah"), tempfile.TemporaryDirectory() as work:
            reference = _base_image(quiet)
            _buildah(
                *("bud", "--isolation", "chroot", "--network", "host", "--layers"),
                *("--build-arg", f"BASE={reference}", "--pull-never", *_volumes(Path(work))),
                *("--tag", REFERENCE, CHECKOUT),
            )
            # Not compressed, as it never leaves the machine. Only to a folder does buildah do that.
            folder = Path(work) / "image"
            _buildah("push", "--disable-compression", REFERENCE, f"dir:{folder}")
            images.pack(folder, target / "image.tar", REFERENCE)

    return cache.cached("operator-image", key, build, quiet)
