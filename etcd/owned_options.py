"""The options that the operator decides: flag → why, or what to use instead.

Everything that says where a member is, who its peers are and what it trusts comes from the
cluster's own spec; anything that could lose acknowledged writes is not to be had.
"""

from __future__ import annotations

from typing import Final

_ADDRESSES = "the operator decides where a member listens and how it is reached"
_MEMBERSHIP = "the operator decides the cluster's membership"
_DISCOVERY = "the operator makes its members known to each other"
_FILES = "the operator lays out the volume"
_TLS = "use spec.security.tls"
_PROXY = "the v2 proxy is gone since 3.6"
_V2 = "the v2 API is not supported: etcd 3.6 refuses to start on its data"

OWNED: Final[dict[str, str]] = {
    "config-file": "the operator writes the file",
    "version": "use spec.version",
    "name": _MEMBERSHIP,
    "data-dir": _FILES,
    "wal-dir": _FILES,
    "listen-peer-urls": _ADDRESSES,
    "listen-client-urls": _ADDRESSES,
    "listen-client-http-urls": _ADDRESSES,
    "listen-metrics-urls": _ADDRESSES,
    "advertise-client-urls": _ADDRESSES,
    "initial-advertise-peer-urls": _ADDRESSES,
    "initial-cluster": _MEMBERSHIP,
    "initial-cluster-state": _MEMBERSHIP,
    "initial-cluster-token": _MEMBERSHIP,
    "strict-reconfig-check": "it keeps a membership change from losing the quorum",
    "force-new-cluster": "use an EtcdRestore to recover from a lost quorum",
    "unsafe-no-fsync": "acknowledged writes would be lost",
    "v2-deprecation": "the operator decides it while upgrading",
    "enable-v2": _V2,
    "experimental-enable-v2v3": _V2,
    "auto-tls": _TLS,
    "peer-auto-tls": _TLS,
    "cert-file": _TLS,
    "key-file": _TLS,
    "client-cert-file": _TLS,
    "client-key-file": _TLS,
    "client-cert-auth": _TLS,
    "client-crl-file": _TLS,
    "trusted-ca-file": _TLS,
    "peer-cert-file": _TLS,
    "peer-key-file": _TLS,
    "peer-client-cert-file": _TLS,
    "peer-client-key-file": _TLS,
    "peer-client-cert-auth": _TLS,
    "peer-crl-file": _TLS,
    "peer-trusted-ca-file": _TLS,
    "self-signed-cert-validity": _TLS,
    "client-cert-allowed-hostname": _TLS,
    "peer-cert-allowed-cn": _TLS,
    "peer-cert-allowed-hostname": _TLS,
    "peer-skip-client-san-verification": _TLS,
    "experimental-peer-skip-client-san-verification": _TLS,
}
_BY_PREFIX: Final = {"discovery": _DISCOVERY, "proxy": _PROXY}


def owned_because(flag: str) -> str | None:
    """The reason why users can't set the flag, None if they can."""
    if flag in OWNED:
        return OWNED[flag]
    first_word = flag.partition("-")[0]
    return _BY_PREFIX.get(first_word)
