"""What an EtcdRestore with restoreType Replace asks of its EtcdCluster, and what that answers.

Asked by the annotation `etcd.etcd.io/restore` (labels.RESTORE_ANNOTATION), whose value is a
RestoreRequest as JSON; answered in the cluster's status. Both reconcilers import this.
"""

from typing import Final

from pydantic import Field, ValidationError

from api.v1alpha1.common import INT32, Flag, Integer, Model, Text, Time
from api.v1alpha1.restore_source import RestoreSource

# Phases of a RestoreAnswer, in their order; the last three end it.
PREPARING: Final = "Preparing"  # the new volume is filled, the old members still serve
SWITCHING: Final = "Switching"  # the old members stop, the first new one starts
COMPLETED: Final = "Completed"  # it serves what was restored
FAILED: Final = "Failed"  # nothing was switched: the old members serve as before
PUT_BACK: Final = "PutBack"  # it serves its old data again, because that was asked for


class RestoreRequest(Model):
    """Begin anew from a backup. The same uid and attempt are the same request, however often it is
    read.
    """

    restore: Text = Field(description="The EtcdRestore that asks.")
    uid: Text = Field(description="Its uid.")
    attempt: Text = Field(description="Changes with every edit of it that asks anew.")
    source: RestoreSource = Field(description="What the cluster is to begin from.")
    skip_hash_check: Flag = Field(
        default=False, description="Whether it is taken although its hash is wrong."
    )
    asked_at: Time | None = Field(
        default=None,
        description="When it asked. A request that was not heard for an hour is refused; without"
        " a time it stands for ever.",
    )


class RestoreAnswer(Model):
    """How far the cluster is with what an EtcdRestore asked last."""

    restore: Text = Field(description="The EtcdRestore that asked.", max_length=253)
    uid: Text = Field(description="Its uid.", max_length=64)
    attempt: Text = Field(description="Which of its attempts.", max_length=64)
    phase: Text = Field(
        description="Preparing, Switching, Completed, Failed (nothing was changed) or PutBack."
    )
    reason: Text = Field(default="", description="Why it waits or failed, as one stable word.")
    message: Text = Field(default="", description="The same for a person.")
    epoch: Integer | None = Field(
        default=None,
        description="The epoch of the cluster's data that begins with it.",
        json_schema_extra=INT32,
    )


def read_request(annotation: str) -> RestoreRequest | None:
    """What the annotation asks for; None where it is none of ours."""
    try:
        return RestoreRequest.model_validate_json(annotation)
    except ValidationError:
        return None


def write_request(request: RestoreRequest) -> str:
    """The annotation's value; the same for the same request."""
    return request.model_dump_json(by_alias=True)
