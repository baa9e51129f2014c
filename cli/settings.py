"""The operator's settings: one definition for the flags, the environment and the documentation.

A flag wins over `OPERATOR_*` in the environment, which wins over the default.  Called by `cli.run`.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from controllers.bind import parse_bind


class Settings(BaseSettings):
    """Everything that `operator run` can be told."""

    model_config = SettingsConfigDict(env_prefix="OPERATOR_", frozen=True, extra="ignore")

    kubeconfig: str | None = Field(
        default=None,
        description="File with the cluster's address and credentials. Default: $KUBECONFIG,"
        " ~/.kube/config, or the pod's service account.",
    )
    context: str | None = Field(default=None, description="Context of the kubeconfig to use.")
    namespace: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Namespace to look after; give it several times for several."
        " Default: all. In the environment separated by commas.",
    )
    etcd_dialer: Literal["auto", "direct", "port-forward"] = Field(
        default="auto",
        description="How members are reached: by their pods' IPs (direct), or through the API"
        " server (port-forward). auto: direct in a pod of the cluster, port-forward elsewhere.",
    )
    image: str = Field(
        default="",
        description="The operator's own image, which the pods that take backups run. Default: from"
        " the installed Deployment; without one there are no backups.",
    )
    workers: int = Field(
        default=8, ge=1, le=256, description="EtcdClusters that are reconciled at the same time."
    )
    leader_elect: bool = Field(
        default=False, description="Act only while holding a Lease, so that several can run."
    )
    leader_elect_namespace: str | None = Field(
        default=None,
        description="Namespace of that Lease. Default: the pod's, or the kubeconfig's.",
    )
    cluster_domain: str | None = Field(
        default=None,
        description="DNS domain of the Kubernetes cluster. Default: from /etc/resolv.conf in a"
        " pod, else cluster.local.",
    )
    metrics_bind: str = Field(
        default=":8080", description="Address for /metrics; 0 switches it off."
    )
    metrics_cert_dir: str | None = Field(
        default=None,
        description="Folder with tls.crt and tls.key: /metrics speaks TLS, with these files as they"
        " are at each handshake. Default: plain text.",
    )
    metrics_auth: bool = Field(
        default=False,
        description="Answer /metrics only to bearers of a token that Kubernetes lets get that URL."
        " Needs --metrics-cert-dir.",
    )
    health_bind: str = Field(
        default=":8081",
        validate_default=True,
        description="Address for /healthz and /readyz; 0 switches them off.",
    )
    webhook_bind: str = Field(
        default="0",
        description="Address for the admission webhook, over TLS; 0 switches it off. The"
        " Deployment in manifests/ has it on :9443.",
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="One JSON object per line, or text for people."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severity that is logged."
    )

    @field_validator("metrics_bind", "health_bind", "webhook_bind")
    @classmethod
    def _check_bind(cls, value: str) -> str:
        parse_bind(value)
        return value

    @field_validator("metrics_auth")
    @classmethod
    def _check_auth(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("metrics_cert_dir"):
            msg = "needs --metrics-cert-dir: tokens must not travel in plain text"
            raise ValueError(msg)
        return value

    @field_validator("health_bind")
    @classmethod
    def _check_apart(cls, value: str, info: ValidationInfo) -> str:
        has_tls = info.data.get("metrics_cert_dir") and value not in {"", "0"}
        if has_tls and parse_bind(value) == parse_bind(info.data.get("metrics_bind", "0")):
            msg = "must be another address than --metrics-bind when that speaks TLS"
            raise ValueError(msg)
        return value

    @field_validator("namespace", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
