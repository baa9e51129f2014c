"""An address to listen on, as flags spell it. Pure, and light: all that reads settings has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bind:
    """Where to listen. host: None for all interfaces. port: 0 for a free one."""

    host: str | None
    port: int


def parse_bind(text: str) -> Bind | None:
    """A flag's value as a Bind: "host:port", ":8080", "[::1]:8080"; "0" or "" is None, off.

    Raises ValueError with the value for anything else.
    """
    if text in {"", "0"}:
        return None
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""  # an address of IPv6 without brackets
    if not colon or not port.isdecimal() or int(port) > 65535:
        msg = f"not host:port, :port or 0: {text!r}"
        raise ValueError(msg)
    return Bind(host or None, int(port))
