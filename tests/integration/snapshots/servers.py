"""Real object stores on loopback, each with a bucket of ours. They die with this process."""

from __future__ import annotations

import base64
import email.utils
import functools
import hmac
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from snapshots.locations import (
    AzureAccountKey,
    AzureLocation,
    LocalLocation,
    S3Keys,
    S3Location,
    WorkloadIdentity,
)
from tests.integration.etcd.processes import free_ports

ROOT = Path(__file__).resolve().parents[3]
BUILD_DEADLINE_S = 900
START_DEADLINE_S = 60
BUCKET = "backups"
KEYS = S3Keys(access_key_id="operator", secret_access_key="not-so-secret")


@functools.cache
def artefact(name):
    """The folder of what the tests start; built now if nobody has before."""
    command = [sys.executable, ROOT / "hack/build/build.py", "--print-path", name]
    run = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=BUILD_DEADLINE_S
    )
    return Path(run.stdout.strip())


class Server:
    """One store: where it is, who may use it, and its process."""

    def __init__(self, folder):
        self.folder = folder
        (self.port,) = free_ports(1)
        self.process = None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(str, self.command())],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder)},
            )
        self.wait_until_it_listens()
        self.prepare()

    def wait_until_it_listens(self):
        end = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end, "the store did not start"
                time.sleep(0.05)
            else:
                return

    def prepare(self):
        """Makes the bucket, where that needs the server."""

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(START_DEADLINE_S)


class S3(Server):
    credentials = KEYS
    wrong = S3Keys(access_key_id="operator", secret_access_key="wrong")

    def command(self):
        (self.folder / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
        (self.folder / "meta").mkdir(exist_ok=True)
        return [
            artefact("versitygw-1.8.0") / "bin" / "versitygw",
            *("--port", f"127.0.0.1:{self.port}", "--region", "us-east-1"),
            *("--access", KEYS.access_key_id, "--secret", KEYS.secret_access_key),
            *("posix", "--sidecar", self.folder / "meta", self.folder / "data"),
        ]

    def location(self, prefix="", bucket=BUCKET):
        return S3Location(
            bucket=bucket,
            prefix=prefix,
            region="us-east-1",
            endpoint=self.endpoint,
            path_style=True,
        )


class Azure(Server):
    # Azurite's one account and its key, which its documentation names.
    credentials = AzureAccountKey(
        key="Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    )
    wrong = AzureAccountKey(key=base64.b64encode(b"wrong" * 12).decode())
    account = "devstoreaccount1"

    def command(self):
        program = artefact("azurite-3.37.0") / "node_modules/azurite/dist/src/blob/main.js"
        return [
            *("node", program, "--blobHost", "127.0.0.1", "--blobPort", self.port),
            *("--location", self.folder, "--silent", "--skipApiVersionCheck"),
        ]

    def prepare(self):
        """Makes the container: a request that is signed by hand, as obstore makes none."""
        now = email.utils.formatdate(usegmt=True)
        path = f"/{self.account}/{BUCKET}"
        headers = f"x-ms-date:{now}\nx-ms-version:2021-12-02\n"
        text = "PUT" + "\n" * 12 + headers + f"/{self.account}{path}\nrestype:container"
        key = base64.b64decode(self.credentials.key)
        signed = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
        request = urllib.request.Request(
            f"{self.endpoint}{path}?restype=container",
            method="PUT",
            headers={
                "Authorization": f"SharedKey {self.account}:{signed}",
                "x-ms-date": now,
                "x-ms-version": "2021-12-02",
            },
        )
        urllib.request.urlopen(request, timeout=START_DEADLINE_S).close()

    def location(self, prefix="", bucket=BUCKET):
        return AzureLocation(
            account=self.account,
            container=bucket,
            prefix=prefix,
            endpoint=f"{self.endpoint}/{self.account}",
        )


class Local:
    credentials = WorkloadIdentity()
    wrong = None

    def __init__(self, folder):
        self.folder = folder

    def start(self):
        pass

    def kill(self):
        pass

    def location(self, prefix="", bucket="data"):
        made = self.folder / bucket / prefix
        if bucket == "data":
            made.mkdir(parents=True, exist_ok=True)
        return LocalLocation(folder=made)


STORES = {"Local": Local, "S3": S3, "Azure": Azure}
