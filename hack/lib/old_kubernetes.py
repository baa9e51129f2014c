"""The oldest kube-apiserver that today's Go still builds.

Its module lacks one file, which was generated at each build at that time: the OpenAPI definitions
of all kinds. They are generated here as they were then, into a copy of the module.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from lib.process import SetupError, run

VERSION = "1.22.17"
# The modules whose kinds the API server serves.
SERVED = ("api", "apiextensions-apiserver", "apimachinery", "apiserver", "kube-aggregator")
GENERATED = "k8s.io/kubernetes/pkg/generated/openapi"
GENERATOR = "k8s.io/kube-openapi/cmd/openapi-gen"
MARKER = re.compile(rb"^// ?\+k8s:openapi-gen=", re.MULTILINE)
# Kinds that are used in tests of Kubernetes or in files only.
NOT_SERVED = re.compile(r"testapigroup|/generated|example|imagepolicy")
# The two places where libraries of that time look for their version.
VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def linker_flags() -> str:
    major, minor, _ = VERSION.split(".")
    values = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    words = [
        f"-X {package}.{name}={value}"
        for package in VERSION_PACKAGES
        for name, value in values.items()
    ]
    return " ".join(["-s", "-w", *words])


def _folder_of(module: Path, path: str) -> Path:
    found = run(["go", "list", "-m", "-f", "{{.Dir}}", path], cwd=module).strip()
    if not found:
        raise SetupError(f"{path}: not downloaded")
    return Path(found)


def _marked_packages(module: Path) -> list[str]:
    found = set()
    for name in SERVED:
        root = _folder_of(module, f"k8s.io/{name}")
        for file in root.rglob("*.go"):
            if MARKER.search(file.read_bytes()):
                found.add(f"k8s.io/{name}/{file.parent.relative_to(root)}")
    return sorted(path for path in found if not NOT_SERVED.search(path))


def _generate(module: Path, work: Path) -> Path:
    generator, header, output = work / "openapi-gen", work / "header.txt", work / "generated"
    run(["go", "build", "-o", generator, GENERATOR], cwd=module, timeout_s=600.0)
    header.touch()
    run(
        [
            *(generator, "--go-header-file", header, "--output-base", output),
            *("--output-package", GENERATED, "-O", "zz_generated.openapi"),
            *("--report-filename", work / "report.txt"),
            *("--input-dirs", ",".join(_marked_packages(module))),
        ],
        cwd=module,
        # The generator is older than alias types in Go's own type checker.
        env={"GODEBUG": "gotypesalias=0"},
        timeout_s=600.0,
    )
    return output / GENERATED / "zz_generated.openapi.go"


def prepare(module: Path, work: Path) -> Path:
    """A copy of our module in `work` that builds: it uses a completed copy of Kubernetes."""
    needed = ["k8s.io/kubernetes", *(f"k8s.io/{name}" for name in SERVED)]
    run(["go", "mod", "download", *needed], cwd=module, timeout_s=1200.0)
    generated = _generate(module, work)
    copy, kubernetes = work / "module", work / "module" / "kubernetes"
    # Not the metadata: the module cache is read-only.
    shutil.copytree(
        _folder_of(module, "k8s.io/kubernetes"), kubernetes, copy_function=shutil.copyfile
    )
    for folder in [kubernetes, *kubernetes.rglob("*/")]:
        folder.chmod(0o755)
    package = kubernetes / GENERATED.removeprefix("k8s.io/kubernetes/")
    shutil.copyfile(generated, package / generated.name)
    for file in ("go.mod", "go.sum", "main.go"):
        shutil.copyfile(module / file, copy / file)
    run(["go", "mod", "edit", "-replace", "k8s.io/kubernetes=./kubernetes"], cwd=copy)
    return copy
