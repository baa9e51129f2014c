"""Lets `python -m operator` run our `operator/__main__.py` without shadowing the standard library.

Installed at the top of site-packages and imported at interpreter start by `zz-etcd-operator.pth`,
after the editable install's own .pth (names are read in order), so `cli` can be found either way.
The standard module stays what it is; it only learns where its `__main__` lives (runpy looks at
`__spec__.submodule_search_locations`).  Kept tiny: every start of this Python pays for it.
"""

import importlib.util
import operator
import os


def _folder() -> "str | None":
    spec = importlib.util.find_spec("cli")
    if spec is None or spec.origin is None:
        return None
    folder = os.path.join(os.path.dirname(os.path.dirname(spec.origin)), "operator")  # noqa: PTH118, PTH120 - pathlib would cost every start 10 ms
    return folder if os.path.isfile(os.path.join(folder, "__main__.py")) else None  # noqa: PTH113, PTH118


if (_found := _folder()) is not None and operator.__spec__ is not None:
    operator.__path__ = [_found]
    operator.__spec__.submodule_search_locations = [_found]
