"""A few requests to an API server, without any package. Not for the operator: see informers/."""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Object = dict[str, Any]
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Configuration:
    """Where the API server is and who we are: a kubeconfig as lib.certs writes it."""

    host: str
    port: int
    context: ssl.SSLContext

    @classmethod
    def read(cls, file: Path) -> Configuration:
        words = dict(re.findall(r"^\s*([a-z-]+): (\S+)$", file.read_text(), re.MULTILINE))
        server = urlsplit(words["server"])
        ca = base64.b64decode(words["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=ca)
        with tempfile.NamedTemporaryFile() as pair:
            for name in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(words[name]))
            pair.flush()
            context.load_cert_chain(pair.name)
        return cls(server.hostname or "", server.port or 443, context)


class Api:
    """One connection per request: simple, and nothing to tidy when a server restarts."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def _connection(self, timeout_s: float) -> http.client.HTTPSConnection:
        one = self.configuration
        return http.client.HTTPSConnection(
            one.host, one.port, context=one.context, timeout=timeout_s
        )

    def request(
        self, verb: str, path: str, body: Object | None = None, kind: str = "application/json"
    ) -> tuple[int, Object]:
        connection = self._connection(TIMEOUT_S)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(verb, path, text, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def get(self, path: str) -> Object | None:
        """None for what is not there; ValueError for any other refusal."""
        status, answer = self.request("GET", path)
        if status == 404:
            return None
        if status != 200:
            raise ValueError(f"{path}: {status} {answer.get('message')}")
        return answer

    def create(self, path: str, thing: Object) -> int:
        return self.request("POST", path, thing)[0]

    def patch(self, path: str, change: Object) -> None:
        status, answer = self.request("PATCH", path, change, "application/merge-patch+json")
        if status not in (200, 404):
            raise ValueError(f"{path}: {status} {answer.get('message')}")

    def delete(self, path: str, uid: str) -> None:
        """Deletes this very object, not one of the same name that came later."""
        status, answer = self.request("DELETE", path, {"preconditions": {"uid": uid}})
        if status not in (200, 202, 404, 409):
            raise ValueError(f"{path}: {status} {answer.get('message')}")

    def stream(self, path: str, timeout_s: float) -> Iterator[bytes]:
        """The lines of a watch."""
        connection = self._connection(timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise ValueError(f"{path}: {answer.status}")
            yield from answer
        finally:
            connection.close()
