"""kubernetes_asyncio's configuration and credential loaders, without its models.

Importing any part of the package runs its `__init__`, which imports 730 generated model and API
modules: measured with 36.1.0, 66 MB and 0.5-4 s for code this project never calls. The loaders
need two names of it only. So while they are imported, empty packages stand in for the three
`__init__` files; afterwards every trace is taken out of `sys.modules` again, and who imports the
package later gets it whole.

Called by kubeconfig.py alone, once. When the package is imported already, or its layout is not
the one known here, the ordinary import is used: slower and larger, the same otherwise.
docs/adr/0002-own-wire-layer.md has the reasons.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = "kubernetes_asyncio"
_SHELLS = ("", ".client", ".config")


@dataclass(frozen=True, slots=True)
class Loaders:
    """The parts in use. `light` is False when the whole package had to be imported."""

    configuration: type[Any]  # kubernetes_asyncio.client.Configuration
    kube_config: types.ModuleType
    incluster_config: types.ModuleType
    config_exception: type[Exception]
    light: bool


def import_loaders() -> Loaders:
    """Import the loaders the light way if that works, else the ordinary way.

    Raises ImportError when the package is not installed.
    """
    if f"{_PACKAGE}.client" not in sys.modules:
        try:
            with _shells() as client:
                return _import(client)
        except (ImportError, AttributeError):
            pass  # another layout than 36.1's: the ordinary import still works
    return _import(None)


def _import(shell: types.ModuleType | None) -> Loaders:
    if shell is not None:
        configuration = importlib.import_module(f"{_PACKAGE}.client.configuration")
        # kube_config imports both names; it calls ApiClient only in functions not used here.
        vars(shell).update(Configuration=configuration.Configuration, ApiClient=None)
    kube_config = importlib.import_module(f"{_PACKAGE}.config.kube_config")
    incluster_config = importlib.import_module(f"{_PACKAGE}.config.incluster_config")
    exceptions = importlib.import_module(f"{_PACKAGE}.config.config_exception")
    return Loaders(
        configuration=kube_config.Configuration,
        kube_config=kube_config,
        incluster_config=incluster_config,
        config_exception=exceptions.ConfigException,
        light=shell is not None,
    )


@contextmanager
def _shells() -> Iterator[types.ModuleType]:
    """Stand-in packages while the block runs; yields the one of `client`."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        msg = f"{_PACKAGE} is not installed"
        raise ImportError(msg)
    root = Path(spec.submodule_search_locations[0])
    before = _loaded()
    for suffix in _SHELLS:
        shell = types.ModuleType(_PACKAGE + suffix)
        shell.__path__ = [str(root / suffix.removeprefix("."))]
        sys.modules[_PACKAGE + suffix] = shell
    try:
        yield sys.modules[f"{_PACKAGE}.client"]
    finally:
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(before)


def _loaded() -> dict[str, types.ModuleType]:
    return {
        name: module
        for name, module in sys.modules.items()
        if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")
    }
