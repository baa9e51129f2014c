#!/usr/bin/env python3
"""Writes every generated file of the repository, or says which ones are stale.

Usage: .venv/bin/python hack/generate.py [--check]

Safe to run twice: the same sources give the same bytes. A new generated file is a new line in
STEPS.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib.permissions import render_namespaced
from lib.permissions import render_page as render_permissions_reference

from api.crd import render_crds
from api.reference import render_api_reference, render_conditions_reference
from cli.metrics_page import render_page as render_metrics_reference
from etcd.options_page import render_page as render_options_reference

ROOT = Path(__file__).resolve().parents[1]

# What `kubectl apply -f install.yaml` installs beside the CRDs, in this order.
OPERATOR = ("namespace", "rbac", "deployment", "webhook")
# What install-namespaced.yaml is made of.
NAMESPACED = ("rbac", "deployment")
# Where the operator's roles are.
ROLES = ("rbac", "webhook", "metrics-auth")


@dataclass(frozen=True, slots=True)
class Step:
    """One generated file: where it is, and the pure function that makes its text."""

    path: str
    render: Callable[[], str]


STEPS: tuple[Step, ...] = (
    Step("manifests/crds/etcd.etcd.io.yaml", lambda: render_crds(cel=True)),
    Step("manifests/crds/etcd.etcd.io-pre-1.25.yaml", lambda: render_crds(cel=False)),
    Step("manifests/install.yaml", lambda: render_install(render_crds(cel=True))),
    Step("manifests/install-pre-1.25.yaml", lambda: render_install(render_crds(cel=False))),
    Step("manifests/install-namespaced.yaml", lambda: render_namespaced(*_shipped(*NAMESPACED))),
    Step("docs/reference/api.md", render_api_reference),
    Step("docs/reference/conditions.md", render_conditions_reference),
    Step("docs/reference/metrics.md", render_metrics_reference),
    Step("docs/reference/options.md", render_options_reference),
    Step("docs/reference/permissions.md", lambda: render_permissions_reference(*_shipped(*ROLES))),
)


def render_install(crds: str) -> str:
    """One file with everything: the CRDs first, so that the operator finds its kinds."""
    return "---\n".join([crds, *_shipped(*OPERATOR)])


def stale(root: Path, steps: tuple[Step, ...] = STEPS) -> list[str]:
    """Return the paths whose text is not what the sources give."""
    return [step.path for step in steps if _read(root / step.path) != step.render()]


def write(root: Path, steps: tuple[Step, ...] = STEPS) -> list[str]:
    """Bring all files up to date; return the paths that were not."""
    changed = [step for step in steps if _read(root / step.path) != step.render()]
    for step in changed:
        target = root / step.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(step.render(), encoding="utf-8")
    return [step.path for step in changed]


def _shipped(*names: str) -> list[str]:
    return [(ROOT / f"manifests/operator/{name}.yaml").read_text() for name in names]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="write generated files")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when one is stale"
    )
    if parser.parse_args(arguments).check:
        for path in (paths := stale(ROOT)):
            print(f"{path} is stale: run `make generate`", file=sys.stderr)
        return 1 if paths else 0
    for path in write(ROOT):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
