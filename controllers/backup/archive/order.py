"""What the operator tells the pod that keeps the changes, and what that pod tells it when asked.

The order is an argument of the pod's command; the report is the page /status of the pod. Both JSON,
both without a secret. Pure.
"""

from typing import Annotated, Final

from pydantic import Field, ValidationError

from api.v1alpha1.backup import Window
from api.v1alpha1.common import Flag, Integer, Model, Text, Time
from controllers.backup.order import Failed, MemberAddress, Place

PORT: Final = 8080
STATUS_PAGE: Final = "/status"
HEALTH_PAGE: Final = "/healthz"
# Of the newest windows; and the bound on the page itself, which is far above what they take.
MOST_WINDOWS: Final = 256
LONGEST_PAGE: Final = 2**18


class ArchiveOrder(Place):
    """Keep the changes of this cluster, from one of these members, in the store.

    name: of the log in the store. cluster_id: etcd's, hexadecimal; a member of another cluster is
    not believed. encrypted: whether the environment has ENCRYPTION_KEY.
    """

    namespace: Text
    cluster: Text
    cluster_id: Text = Field(alias="clusterID")
    epoch: Integer
    name: Text
    members: tuple[MemberAddress, ...]
    tls: Flag
    compression: Flag
    encrypted: Flag = False
    flush_interval_ms: Integer = Field(gt=0)
    max_bytes: Integer = Field(gt=0)


class ArchiverReport(Model):
    """How far the changes are kept.

    revision, time: up to where all changes are in the store; None before that is known.
    cluster_revision: the last one that a member told of. unarchived_seconds: how many seconds of
    changes would be lost now. base_needed: why a new backup is needed; empty while none is.
    failing: what keeps it from its work at the moment.
    """

    windows: Annotated[tuple[Window, ...], Field(max_length=MOST_WINDOWS)] = ()
    revision: Annotated[Integer, Field(ge=0)] | None = None
    time: Time | None = None
    cluster_revision: Annotated[Integer, Field(ge=0)] | None = None
    unarchived_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    base_needed: Annotated[Text, Field(max_length=1000)] = ""
    failing: Failed | None = None


def read_report(page: bytes) -> ArchiverReport:
    """What the page says. Raises ValueError with the reason for what is no report."""
    try:
        return ArchiverReport.model_validate_json(page)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"what it says is no report: {where or 'the page'}: {first['msg']}"
        raise ValueError(message) from None
