"""Asks DNS all the time for the names of 254 addresses. Runs inside the node's network.

Usage: ask_for_names_of_addresses.py SERVER NETWORK SECONDS   (NETWORK such as 10.1.2)

After each round, a line with three counts since the start: answers that an address has no name, how
many of these came from a cache, and answers with a name. What comes from a cache has less time left
to live than what is new. Ends by itself after SECONDS, and when it is killed.
"""

import socket
import struct
import sys
import time

ROUND_S = 3.0
ANSWER_S = 0.3
# Of new answers; a round later it is less from a cache.
TTL_S = 30
PTR, IN = 12, 1
HEADER = struct.Struct("!6H")
# Of a record, after its name: type, class, time to live.
RECORD = struct.Struct("!HHI")


def question(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return labels + b"\0" + struct.pack("!2H", PTR, IN)


def after_name(data: bytes, at: int) -> int:
    while data[at] and data[at] < 0xC0:
        at += 1 + data[at]
    return at + (2 if data[at] else 1)


def ask(server: str, name: str) -> tuple[bool, int] | None:
    """Whether there is a name, and the time that the answer lives; None without one."""
    asked = question(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(ANSWER_S)
        one.sendto(HEADER.pack(1, 0x0100, 1, 0, 0, 0) + asked, (server, 53))
        try:
            data = one.recv(4096)
        except OSError:
            return None
    _, _, _, answers, authorities, _ = HEADER.unpack_from(data)
    if not answers + authorities:
        return None
    _, _, ttl = RECORD.unpack_from(data, after_name(data, HEADER.size + len(asked)))
    return answers > 0, ttl


def main() -> None:
    server, network, seconds = sys.argv[1:]
    end = time.monotonic() + float(seconds)
    reverse = ".".join(reversed(network.split(".")))
    unknown = cached = known = 0
    while time.monotonic() < end:
        begins = time.monotonic()
        for number in range(1, 255):
            answer = ask(server, f"{number}.{reverse}.in-addr.arpa")
            if answer is not None and answer[0]:
                known += 1
            elif answer is not None:
                unknown += 1
                cached += answer[1] < TTL_S
        print(unknown, cached, known, flush=True)
        time.sleep(max(0.0, begins + ROUND_S - time.monotonic()))


if __name__ == "__main__":
    main()
