"""The version of this program, as users and the API server's audit log see it."""

import platform
from importlib.metadata import version


def version_text() -> str:
    """`0.1.0`."""
    return version("etcd-operator")


def user_agent() -> str:
    """`etcd-operator/0.1.0 (linux/x86_64)`."""
    system = platform.system().lower()
    return f"etcd-operator/{version_text()} ({system}/{platform.machine()})"
