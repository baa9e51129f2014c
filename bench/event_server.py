"""An API server that sends pre-encoded watch events at a given rate, each stamped as it is written.

Benchmarks of what happens behind the wire start it as a process of its own: a real API server can't
say when it wrote an event.  It lists OBJECTS EtcdClusters, and answers every watch with changes of
them in turn.  The label `bench/written` holds CLOCK_MONOTONIC in ns at the moment of the write,
which is the same clock in all processes.

Usage: python bench/event_server.py --rate EVENTS_PER_S --seconds N [--ahead]
Prints `READY <url>`, then serves until it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
import yaml
from api_server import before_others, cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECTS = 1_000
SIZE_BYTES = 2_000
STAMP = "bench/written"
# Larger than all that will be counted, so that replacing never changes an event's length.
_FIRST_VERSION = 1_000_000_000
_TICK_S = 0.001
# Events written before the client must have taken them: more would only fill our memory.
_BURST = 100
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_NO_STAMP = b"0" * 20
_NO_VERSION = b"v" * 10


@contextlib.contextmanager
def serving(*, rate: int, seconds: float, ahead: bool = True) -> Iterator[str]:
    """The path of a kubeconfig for such a server in a process of its own.

    ahead: of other processes, where that is allowed.
    """
    command = [sys.executable, __file__, "--rate", str(rate), "--seconds", str(seconds)]
    command += ["--ahead"] if ahead else []
    with (
        tempfile.TemporaryDirectory(prefix="bench-events-") as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            path = Path(folder) / "kubeconfig"
            path.write_text(yaml.safe_dump(_kubeconfig(process.stdout.readline().split()[1])))
            yield str(path)
        finally:
            process.send_signal(signal.SIGTERM)


def _kubeconfig(url: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }


class EventServer:
    """See the module. `rate` in events per second, for `seconds` of each watch."""

    def __init__(self, rate: int, seconds: float) -> None:
        self._rate = rate
        self._seconds = seconds
        self._templates = [_template(number) for number in range(OBJECTS)]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                line = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]
                if b"watch=true" in line:
                    await self._watch(writer)
                else:
                    body = self._list()
                    writer.write(_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    def _list(self) -> bytes:
        head = {"apiVersion": "etcd.etcd.io/v1alpha1", "kind": "EtcdClusterList"}
        head["metadata"] = {"resourceVersion": str(_FIRST_VERSION)}
        items = b",".join(_stamped(one, 0, _FIRST_VERSION) for one in self._templates)
        return json.dumps(head).encode()[:-1] + b',"items":[' + items + b"]}"

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        # The first requests of the client are over, and its first list is digested.
        await asyncio.sleep(1)
        total = int(self._seconds * self._rate)
        begin, sent = time.monotonic(), 0
        while sent < total and not writer.is_closing():  # the client may have gone
            passed = time.monotonic() - begin
            due = min(total, int(passed * self._rate))
            until = min(due, sent + _BURST)
            for number in range(sent, until):
                self._send(writer, number)
            sent = until
            await writer.drain()
            await asyncio.sleep(_TICK_S if sent == due else 0)
        await asyncio.Event().wait()  # a watch stays open

    def _send(self, writer: asyncio.StreamWriter, number: int) -> None:
        template = self._templates[number % OBJECTS]
        obj = _stamped(template, time.monotonic_ns(), _FIRST_VERSION + 1 + number)
        line = b'{"type":"MODIFIED","object":' + obj + b"}\n"
        writer.write(b"%x\r\n" % len(line) + line + b"\r\n")


def _template(number: int) -> bytes:
    obj = cluster(
        number,
        size_bytes=SIZE_BYTES,
        resourceVersion=_NO_VERSION.decode(),
        labels={STAMP: _NO_STAMP.decode()},
    )
    return json.dumps(obj, separators=(",", ":")).encode()


def _stamped(template: bytes, now_ns: int, version: int) -> bytes:
    return template.replace(_NO_VERSION, b"%d" % version, 1).replace(
        _NO_STAMP, b"%020d" % now_ns, 1
    )


async def main(rate: int, seconds: float) -> None:
    server = await asyncio.start_server(EventServer(rate, seconds).answer, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    print(f"READY http://127.0.0.1:{address[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--ahead", action="store_true")
    given = parser.parse_args()
    if given.ahead:
        before_others()
    uvloop.run(main(given.rate, given.seconds))
