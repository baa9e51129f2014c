"""Writes key after key to etcd and prints what was acknowledged. Runs inside the node's network.

Usage: write_all_the_time.py URL PREFIX SECONDS [FOLDER]

An https URL needs a folder with ca.crt, tls.crt and tls.key: what a client's Secret holds.  In
place of a URL there may be the path of a file that holds one: it is followed when it changes.

One write at a time, through etcd's JSON gateway; one that fails, or takes longer than a second, is
tried again 100 ms later with the same key and value. A line for each acknowledgement: the number of
the write and the seconds since the start. Ends by itself after SECONDS, and when it is killed.
"""

import base64
import http.client
import json
import pathlib
import ssl
import sys
import time
import urllib.parse

RETRY_S = 0.1
PAUSE_S = 0.01
ATTEMPT_S = 1.0


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Client:
    """One connection; a new one, and with it perhaps another member, after each failure."""

    def __init__(self, url: str, folder: str = "") -> None:
        self.told = url
        self.folder = folder
        self.url = ""
        self.connection: http.client.HTTPConnection | None = None

    def connect(self) -> http.client.HTTPConnection:
        """With the certificate that the folder holds now."""
        where = urllib.parse.urlsplit(self.url)
        if where.scheme == "http":
            return http.client.HTTPConnection(where.netloc, timeout=ATTEMPT_S)
        context = ssl.create_default_context(cafile=f"{self.folder}/ca.crt")
        context.load_cert_chain(f"{self.folder}/tls.crt", f"{self.folder}/tls.key")
        return http.client.HTTPSConnection(where.netloc, timeout=ATTEMPT_S, context=context)

    def follow(self) -> None:
        """Another URL needs another connection."""
        told = self.told if "://" in self.told else pathlib.Path(self.told).read_text()
        if told != self.url:
            self.url, self.connection = told, None

    def put(self, key: str, value: str) -> bool:
        body = json.dumps({"key": encode(key), "value": encode(value)})
        try:
            self.follow()
            if self.connection is None:
                self.connection = self.connect()
            self.connection.request("POST", "/v3/kv/put", body)
            response = self.connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self.connection = None
            return False
        return response.status == 200


def main() -> None:
    url, prefix, seconds, *folder = sys.argv[1:]
    client, began, number = Client(url, *folder), time.monotonic(), 0
    while time.monotonic() - began < float(seconds):
        if client.put(f"{prefix}{number}", f"value {number}"):
            print(number, round(time.monotonic() - began, 4), flush=True)
            number += 1
            time.sleep(PAUSE_S)
        else:
            time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
