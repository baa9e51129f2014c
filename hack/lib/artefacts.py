"""What can be built, by name, and what each is made from."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib import cache, debian, image_store, images, old_kubernetes, operator_image
from lib.process import SetupError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HACK = Path(__file__).resolve().parents[1]
MODULES = HACK / "build" / "modules"
GO_BUILD_TIMEOUT_S = 40 * 60.0
NPM_TIMEOUT_S = 10 * 60.0

ETCD_VERSIONS = ("3.5.21", "3.5.35", "3.6.16", "3.7.3")
CONTROL_PLANE_ETCD = "3.6.16"
OLD_KUBERNETES_ETCD = "3.5.35"
KUBERNETES = "1.35.4"
COREDNS = "1.14.7"
# Object stores for the tests of backups: S3's protocol, Azure's.
VERSITYGW = "1.8.0"
AZURITE = "3.37.0"
# Issues certificates in one e2e story.
CERT_MANAGER = "1.21.2"
KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)


@dataclass(frozen=True)
class Program:
    """One `go build`: the file it makes, from a package of the module in the artefact's folder."""

    file: str
    package: str
    linker_flags: str = "-s -w"


@functools.cache
def _go_version() -> str:
    try:
        return run(["go", "env", "GOVERSION"], cwd=Path("/")).strip()
    except SetupError as error:
        raise SetupError(f"Go is needed to build Kubernetes and etcd: {error}") from error


def _go_build(module: Path, program: Program, target: Path) -> None:
    # GOFLAGS of the user would change what is built without changing the cache's key.
    # vcs: the checkout's state is no property of a dependency's binary.
    run(
        [
            *("go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly"),
            *("-ldflags", program.linker_flags, "-o", target / program.file, program.package),
        ],
        cwd=module,
        env={"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
        timeout_s=GO_BUILD_TIMEOUT_S,
    )


def _go(name: str, programs: Sequence[Program], links: Sequence[str] = ()) -> Callable[[], Path]:
    """A builder of programs of the Go module modules/<name>, and of links to the first one."""
    module = MODULES / name

    def build(target: Path) -> None:
        (target / "bin").mkdir()
        for program in programs:
            if len(programs) > 1:
                cache.say(f"{name}: {program.file}")
            _go_build(module, program, target / "bin")
        for link in links:
            (target / "bin" / link).symlink_to(programs[0].file)

    def make(quiet: bool = False) -> Path:
        sources = [*sorted(module.glob("*.go")), module / "go.mod", module / "go.sum"]
        key = cache.digest([*sources, repr(programs), repr(tuple(links)), _go_version()])
        return cache.cached(name, key, build, quiet)

    return make


def _etcd(version: str) -> Callable[[], Path]:
    paths = {"etcd": "server", "etcdctl": "etcdctl", "etcdutl": "etcdutl"}
    return _go(
        f"etcd-{version}",
        [Program(file, f"go.etcd.io/etcd/{path}/v3") for file, path in paths.items()],
    )


def _kubernetes(version: str, links: Sequence[str]) -> Callable[[], Path]:
    major, minor, _ = version.split(".")
    package = "k8s.io/component-base/version"
    flags = (
        f"-s -w -X {package}.gitVersion=v{version}"
        f" -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
    return _go(f"kubernetes-{version}", [Program("kubernetes", ".", flags)], links)


def _old_kubernetes(quiet: bool = False) -> Path:
    name = f"kubernetes-{old_kubernetes.VERSION}"
    module = MODULES / name
    program = Program("kube-apiserver", ".", old_kubernetes.linker_flags())

    def build(target: Path) -> None:
        (target / "bin").mkdir()
        with tempfile.TemporaryDirectory() as work:
            prepared = old_kubernetes.prepare(module, Path(work))
            _go_build(prepared, program, target / "bin")

    sources = [module / file for file in ("main.go", "go.mod", "go.sum")]
    key = cache.digest(
        [*sources, Path(old_kubernetes.__file__), program.linker_flags, _go_version()]
    )
    return cache.cached(name, key, build, quiet)


def _pause(quiet: bool = False) -> Path:
    source = HACK / "build" / "pause" / "pause.c"

    def build(target: Path) -> None:
        (target / "bin").mkdir()
        run(["gcc", "-Os", "-Wall", "-Werror", "-static", "-o", target / "bin/pause", source])

    return cache.cached("pause", cache.digest([source]), build, quiet)


def _image(name: str, program: str, reference: str) -> Callable[[], Path]:
    def make(quiet: bool = False) -> Path:
        programs = path(program, quiet=quiet)
        key = cache.digest([programs.name, reference, Path(images.__file__)])
        return cache.cached(
            name,
            key,
            lambda target: images.write(target / "image.tar", program, programs, reference),
            quiet,
        )

    return make


def _image_store(quiet: bool = False) -> Path:
    folders = [path(name, quiet=quiet) for name in GROUPS["images"]]
    containerd = run(["containerd", "--version"]).strip()
    names = [folder.name for folder in folders]
    key = cache.digest([containerd, *names, Path(image_store.__file__)])

    def build(target: Path) -> None:
        image_store.make(target, [folder / "image.tar" for folder in folders])

    return cache.cached("image-store", key, build, quiet)


def _node_images(quiet: bool = False) -> Path:
    """All that a node starts with: the store, and the operator of this checkout."""
    store, image = path("image-store", quiet=quiet), path("operator-image", quiet=quiet)
    key = cache.digest([store.name, image.name])

    def build(target: Path) -> None:
        (target / "made-on").write_text(store.name)
        # The last one made on the same store has all layers but those of a changed source.
        others = [one for one in cache.entries("node-images") if _made_on(one) == store.name]
        image_store.make(target, [image / "image.tar"], base=[store, *others][-1])

    return cache.cached("node-images", key, build, quiet)


def _made_on(entry: Path) -> str:
    file = entry / "made-on"
    return file.read_text() if file.exists() else ""


def _azurite(quiet: bool = False) -> Path:
    """The folder with node_modules, from the hashes of the lock file."""
    name = f"azurite-{AZURITE}"
    sources = [MODULES / name / file for file in ("package.json", "package-lock.json")]

    def build(target: Path) -> None:
        for source in sources:
            shutil.copy(source, target)
        # What packages want to run when they are installed is of no use here.
        command = ["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
        run(command, cwd=target, timeout_s=NPM_TIMEOUT_S)

    return cache.cached(name, cache.digest(sources), build, quiet)


def _cert_manager(quiet: bool = False) -> Path:
    """The controllers, and in crds/ the kinds that come with their module."""
    name = f"cert-manager-{CERT_MANAGER}"
    module = MODULES / name
    program = Program("cert-manager", ".")

    def build(target: Path) -> None:
        (target / "bin").mkdir()
        _go_build(module, program, target / "bin")
        (target / "crds").mkdir()
        command = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager"]
        folder = run(command, cwd=module, env={"GOFLAGS": "", "GOWORK": "off"}).strip()
        for file in sorted(Path(folder, "deploy", "crds").glob("*.yaml")):
            # Go keeps its modules read-only, and the cache is tidied up.
            shutil.copyfile(file, target / "crds" / file.name)

    sources = [module / file for file in ("main.go", "go.mod", "go.sum")]
    key = cache.digest([*sources, repr(program), _go_version()])
    return cache.cached(name, key, build, quiet)


ARTEFACTS: dict[str, Callable[..., Path]] = {
    **{f"etcd-{version}": _etcd(version) for version in ETCD_VERSIONS},
    f"kubernetes-{KUBERNETES}": _kubernetes(KUBERNETES, KUBERNETES_PROGRAMS),
    f"kubernetes-{old_kubernetes.VERSION}": _old_kubernetes,
    f"coredns-{COREDNS}": _go(f"coredns-{COREDNS}", [Program("coredns", ".")]),
    f"versitygw-{VERSITYGW}": _go(
        f"versitygw-{VERSITYGW}",
        [Program("versitygw", "github.com/versity/versitygw/cmd/versitygw")],
    ),
    f"azurite-{AZURITE}": _azurite,
    f"cert-manager-{CERT_MANAGER}": _cert_manager,
    "pause": _pause,
    **{
        f"image-etcd-{version}": _image(
            f"image-etcd-{version}", f"etcd-{version}", f"{images.ETCD}:v{version}"
        )
        for version in ETCD_VERSIONS
    },
    "image-coredns": _image("image-coredns", f"coredns-{COREDNS}", f"{images.COREDNS}:v{COREDNS}"),
    "image-pause": _image("image-pause", "pause", images.PAUSE),
    "image-store": _image_store,
    "base": operator_image.base,
    "operator-image": operator_image.make,
    "node-images": _node_images,
}

GROUPS: dict[str, list[str]] = {
    # etcd first: it is quick, and every test needs it. The images need the programs alone.
    "etcd": [f"etcd-{version}" for version in ("3.6.16", "3.5.21", "3.7.3", "3.5.35")],
    "kubernetes": [f"kubernetes-{KUBERNETES}"],
    "kubernetes-old": [f"kubernetes-{old_kubernetes.VERSION}"],
    "coredns": [f"coredns-{COREDNS}"],
    "object-stores": ["packages", f"versitygw-{VERSITYGW}", f"azurite-{AZURITE}"],
    "cert-manager": [f"cert-manager-{CERT_MANAGER}"],
    "images": [name for name in ARTEFACTS if name.startswith("image-") and name != "image-store"],
}
GROUPS["node"] = ["packages", "etcd", "kubernetes", "coredns", "pause", "image-store"]
GROUPS["all"] = ["node", "operator-image", "node-images", "kubernetes-old"]


def expand(names: Sequence[str]) -> list[str]:
    """Groups replaced by what is in them, without doubles, in order."""
    result: list[str] = []
    for name in names:
        found = expand(GROUPS[name]) if name in GROUPS else [name]
        result += [one for one in found if one not in result]
    return result


def make(name: str) -> None:
    if name == "packages":
        debian.install()
    else:
        path(name)


def path(name: str, quiet: bool = False) -> Path:
    """The folder of one part, built where it is missing."""
    names = expand([name])
    if len(names) != 1 or names[0] not in ARTEFACTS:
        known = ", ".join([*GROUPS, *ARTEFACTS])
        raise SetupError(f"{name!r} is not the name of one part; known: {known}")
    return ARTEFACTS[names[0]](quiet=quiet)


def programs(name: str) -> Path:
    """The folder of a part's programs, for the scripts that start them."""
    return path(name, quiet=True) / "bin"


def is_root() -> bool:
    return os.geteuid() == 0
