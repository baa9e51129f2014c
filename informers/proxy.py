"""An API server's URL and the environment into the HTTP proxy to use, or none.

Follows Go's rules (golang.org/x/net/http/httpproxy), because every other Kubernetes client on the
machine does: NO_PROXY may hold names, `.suffixes`, addresses, CIDR ranges and ports, and loopback
never goes through a proxy. The standard library knows no CIDR ranges, and `10.0.0.0/8` is what
people write to keep the API server direct. Pure; used by kubeconfig.py.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_from_environment(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy URL that HTTPS_PROXY, HTTP_PROXY and NO_PROXY (either case) ask for."""
    parts = urlsplit(url)
    proxy = _variable(f"{parts.scheme}_proxy", environ)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    if not proxy or _is_loopback(host):
        return None
    excluded = _variable("no_proxy", environ).split(",")
    if any(_excludes(entry.strip().lower(), host.lower(), port) for entry in excluded):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _excludes(entry: str, host: str, port: int) -> bool:
    if entry in {"", "*"}:
        return entry == "*"
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        pass  # one of the two is a name
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdigit():
        return int(entry_port) == port and _excludes(name.strip("[]"), host, port)
    domain = entry.removeprefix("*").removeprefix(".")
    return host.endswith(f".{domain}") or (host == domain and entry == domain)
