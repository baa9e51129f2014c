"""kubeconfig files, credential plugins and service accounts into an `Endpoint` the wire can use.

The reading and the plugins are kubernetes_asyncio's; this module adds what a process that runs
for months needs: everything can be loaded again (rotated tokens, client certificates and CAs),
the token file of a pod is read off the event loop, and an unusable configuration is one typed
error that names what is wrong. It must never log or print a credential.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import yaml

from informers.errors import ConfigurationError
from informers.light_import import import_loaders
from informers.proxy import proxy_from_environment

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

# How old a pod's token may get. The kubelet renews it at 80 % of its life, which is an hour or
# more; client-go re-reads after one minute as well (client-go transport/token_source.go).
_TOKEN_AGE_S = 60.0
# A plugin may open a browser for the user to log in; without a limit it could hold us for ever.
_PLUGIN_TIMEOUT_S = 60.0

_loaders = import_loaders()
# What the loaders raise on malformed input, besides their own ConfigException.
_LOADER_ERRORS = (
    *(_loaders.config_exception, yaml.YAMLError, OSError, ValueError),
    *(TypeError, KeyError, AttributeError, AssertionError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the API server is, and how to be let in. The secrets are left out of the repr."""

    url: str  # without a trailing slash
    namespace: str  # of the kubeconfig's context, or the pod's own
    authorization: str | None = field(default=None, repr=False)  # the whole header value
    tls: ssl.SSLContext | None = field(default=None, repr=False)  # None: plain HTTP
    server_hostname: str | None = None  # the name in the server's certificate, if not the URL's
    proxy: str | None = field(default=None, repr=False)  # may hold a password


class _Configuration(Protocol):
    """What is read of kubernetes_asyncio's Configuration."""

    host: str
    api_key: dict[str, str]
    proxy: str | None
    tls_server_name: str | None
    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    verify_ssl: bool


class Source(Protocol):
    """A place endpoints come from; `load` may be called again at any time."""

    @property
    def max_age_s(self) -> float | None:
        """After so many seconds the endpoint should be loaded anew; None: when refused only."""
        ...

    async def load(self) -> Endpoint:
        """Read everything from scratch; raises ConfigurationError."""
        ...


def find_source(kubeconfig: str | None, context: str | None) -> Source:
    """The given file, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    A `context` asks for a kubeconfig, so the service account is passed over then.
    """
    paths = kubeconfig or os.environ.get("KUBECONFIG")
    if paths:
        return KubeconfigSource(paths, context)
    if context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return InClusterSource()
    return KubeconfigSource(str(Path.home() / ".kube" / "config"), context)


class KubeconfigSource:
    """One or more kubeconfig files (joined as in $KUBECONFIG) and one of their contexts."""

    def __init__(self, paths: str, context: str | None = None) -> None:
        self._paths = paths
        self._context = context
        self._tls = _TlsContexts()

    max_age_s: float | None = None

    async def load(self) -> Endpoint:
        """Read the files and run the context's credential plugin, if it has one.

        Raises ConfigurationError, also when the plugin does not end within a minute.
        """
        _require_a_file(self._paths)
        configuration = _loaders.configuration()
        try:
            async with asyncio.timeout(_PLUGIN_TIMEOUT_S):
                loader = await _loaders.kube_config.load_kube_config(
                    config_file=self._paths,
                    context=self._context,
                    client_configuration=configuration,
                    persist_config=False,  # the user's file is not ours to write
                )
            context = loader.current_context["context"]
            return _endpoint(configuration, context.get("namespace") or "default", self._tls)
        except _LOADER_ERRORS as error:
            msg = f"kubeconfig {self._paths}: {_describe(error)}"
            raise ConfigurationError(msg) from error


class InClusterSource:
    """The service account that Kubernetes mounts into a pod."""

    def __init__(self, directory: Path = SERVICE_ACCOUNT) -> None:
        self._directory = directory
        self._tls = _TlsContexts()

    max_age_s: float | None = _TOKEN_AGE_S

    async def load(self) -> Endpoint:
        return await asyncio.to_thread(self._load)

    def _load(self) -> Endpoint:
        configuration = _loaders.configuration()
        try:
            _loaders.incluster_config.load_incluster_config(
                client_configuration=configuration,
                try_refresh_token=False,  # its hook reads the file on the event loop
                token_filename=str(self._directory / "token"),
                cert_filename=str(self._directory / "ca.crt"),
            )
            namespace = (self._directory / "namespace").read_text().strip()
            return _endpoint(configuration, namespace, self._tls)
        except _LOADER_ERRORS as error:
            msg = f"service account {self._directory}: {_describe(error)}"
            raise ConfigurationError(msg) from error


def _require_a_file(paths: str) -> None:
    """Without one the loader goes on and fails later, in words that help nobody."""
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        msg = f"no kubeconfig at {paths}"
        raise ConfigurationError(msg)


def _endpoint(configuration: _Configuration, namespace: str, tls: _TlsContexts) -> Endpoint:
    url = str(configuration.host).rstrip("/")
    token = configuration.api_key.get("BearerToken")
    proxy = configuration.proxy or proxy_from_environment(url, os.environ)
    if proxy and not proxy.startswith(("http://", "https://")):
        scheme = proxy.partition("://")[0]
        msg = f"proxies of type {scheme} are not supported, only http and https"
        raise ValueError(msg)
    return Endpoint(
        url=url,
        namespace=namespace,
        authorization=token.strip() if token else None,
        tls=tls.get(configuration) if url.startswith("https://") else None,
        server_hostname=configuration.tls_server_name,
        proxy=proxy,
    )


class _TlsContexts:
    """The last TLS context made, kept while the files behind it have the same content.

    A new context opens new connections, so it must change only when a certificate did.
    """

    def __init__(self) -> None:
        self._digest = b""
        self._context: ssl.SSLContext | None = None

    def get(self, configuration: _Configuration) -> ssl.SSLContext:
        files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
        digest = hashlib.sha256(str(configuration.verify_ssl).encode())
        for file in files:
            digest.update(Path(file).read_bytes() if file else b"-")
        if self._context is None or digest.digest() != self._digest:
            self._context = _tls_context(configuration)
            self._digest = digest.digest()
        return self._context


def _tls_context(configuration: _Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # From Python 3.13 on, CAs without key identifiers are refused by default; Go accepts them,
    # and many a cluster has such a CA.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"the credential plugin did not end within {_PLUGIN_TIMEOUT_S:.0f} s"
    return str(error) or type(error).__name__
