"""Certificates of a throwaway control plane, made with the openssl program."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAYS = "3650"
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A CA in a folder; every certificate of a control plane lies beside it."""

    pair: Pair

    @property
    def folder(self) -> Path:
        return self.pair.certificate.parent

    def issue(
        self, name: str, common_name: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> Pair:
        """A certificate for a client (its groups) and, where hosts are given, for a server."""
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={common_name}"
        usage = "clientAuth,serverAuth" if hosts else "clientAuth"
        names = ",".join(f"{_kind(host)}:{host}" for host in hosts)
        run(
            [
                *("openssl", "req", "-x509", *_EC, "-days", DAYS, "-subj", subject),
                *("-CA", self.pair.certificate, "-CAkey", self.pair.key),
                *("-keyout", pair.key, "-out", pair.certificate),
                *("-addext", f"extendedKeyUsage={usage}"),
                *("-addext", "basicConstraints=critical,CA:FALSE"),
                *("-addext", "keyUsage=critical,digitalSignature,keyEncipherment"),
                *(("-addext", f"subjectAltName={names}") if hosts else ()),
            ]
        )
        return pair


def _kind(host: str) -> str:
    return "IP" if host.replace(".", "").isdigit() or ":" in host else "DNS"


def authority(folder: Path, name: str) -> Authority:
    """A new CA; its files are <name>.crt and <name>.key."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    run(
        [
            *("openssl", "req", "-x509", *_EC, "-days", DAYS, "-subj", f"/CN={name}"),
            *("-keyout", pair.key, "-out", pair.certificate),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
        ]
    )
    return Authority(pair)


def signing_key(folder: Path, name: str) -> Pair:
    """A key pair without certificate (for ServiceAccount tokens): `certificate` is the public key.

    RSA, because every Kubernetes since 1.13 takes it; an EC key is as well taken, but tools that
    verify tokens in tests often know RS256 alone.
    """
    pair = Pair(folder / f"{name}.pub", folder / f"{name}.key")
    run(["openssl", "genrsa", "-out", pair.key, "2048"])
    run(["openssl", "rsa", "-in", pair.key, "-pubout", "-out", pair.certificate])
    return pair


def kubeconfig(file: Path, server: str, ca: Path, pair: Pair, name: str = "throwaway") -> None:
    """Writes a kubeconfig with everything inside, so that it can be copied anywhere."""

    def encoded(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    text = f"""apiVersion: v1
kind: Config
current-context: {name}
clusters:
- name: {name}
  cluster:
    server: {server}
    certificate-authority-data: {encoded(ca)}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {name}
users:
- name: {name}
  user:
    client-certificate-data: {encoded(pair.certificate)}
    client-key-data: {encoded(pair.key)}
"""
    temporary = file.with_name(f".{file.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.rename(file)
