"""The configuration loaders without kubernetes_asyncio's models, in interpreters of their own.

The first test has the real package. The others have one of the same shape, made here, because
importing all of the real one takes seconds.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "kubernetes_asyncio"


def run(script: str, path: Path | str = "") -> list[str]:
    """The words a fresh interpreter prints; `path` goes before its other places for imports."""
    script = f"import sys; sys.path.insert(0, {str(path)!r})\n{textwrap.dedent(script)}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def make_package(directory: Path, *, module: str = "configuration", name: str = "Configuration"):
    """As kubernetes_asyncio is laid out; its class is `name` in `client.<module>`."""
    files = {
        "__init__": f"from {PACKAGE} import client, config",
        "client/__init__": f"from {PACKAGE}.client.{module} import {name} as Configuration",
        f"client/{module}": f"class {name}: pass",
        "client/models": "",
        "config/__init__": f"import {PACKAGE}.config.kube_config",
        "config/kube_config": f"from {PACKAGE}.client import Configuration",
        "config/incluster_config": "",
        "config/config_exception": "class ConfigException(Exception): pass",
    }
    files["client/__init__"] += f"\nimport {PACKAGE}.client.models\nApiClient = None"
    for file, content in files.items():
        place = directory / PACKAGE / f"{file}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content + "\n")
    return directory


def test_no_model_is_imported_with_the_pinned_version():
    found = run("""
        from informers.light_import import import_loaders
        loaders = import_loaders()
        print(loaders.light, loaders.configuration().verify_ssl)
        print(loaders.kube_config.KubeConfigLoader.__name__)
        print(loaders.incluster_config.InClusterConfigLoader.__name__)
        print(sum(name.startswith("kubernetes_asyncio") for name in sys.modules))
    """)
    assert found == ["True", "True", "KubeConfigLoader", "InClusterConfigLoader", "0"]


def test_whole_package_can_be_imported_afterwards(tmp_path):
    found = run(
        """
        from informers.light_import import import_loaders
        print(import_loaders().light)
        import kubernetes_asyncio
        print(kubernetes_asyncio.client.models.__name__, kubernetes_asyncio.config.__name__)
        """,
        make_package(tmp_path),
    )
    assert found == ["True", "kubernetes_asyncio.client.models", "kubernetes_asyncio.config"]


def test_package_that_is_there_already_is_used(tmp_path):
    found = run(
        """
        import kubernetes_asyncio
        from informers.light_import import import_loaders
        loaders = import_loaders()
        print(loaders.light, loaders.configuration is kubernetes_asyncio.client.Configuration)
        print("kubernetes_asyncio.client" in sys.modules)
        """,
        make_package(tmp_path),
    )
    assert found == ["False", "True", "True"]


@pytest.mark.parametrize("change", [{"module": "settings"}, {"name": "Settings"}])
def test_another_layout_falls_back_to_the_ordinary_import(tmp_path, change):
    found = run(
        """
        from informers.light_import import import_loaders
        loaders = import_loaders()
        print(loaders.light, loaders.configuration.__name__)
        print("kubernetes_asyncio.client.models" in sys.modules)
        """,
        make_package(tmp_path, **change),
    )
    assert found == ["False", change.get("name", "Configuration"), "True"]
