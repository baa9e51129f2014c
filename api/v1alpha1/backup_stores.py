"""Where an EtcdBackup goes: one model for each kind of store.

Credentials are only ever named: a Secret in the backup's own namespace, and the key in it. Without
one, the pod that takes the backup uses the identity that the cloud gives to its service account.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from api.v1alpha1.common import (
    Flag,
    Model,
    ObjectName,
    OptionalObjectName,
    Text,
    matching,
    or_empty,
    text_schema,
)

MAX_PATH_LENGTH: Final = 1024
MAX_URL_LENGTH: Final = 2048
MAX_KEY_NAME_LENGTH: Final = 253

KEY_NAME_PATTERN: Final = r"^[-._a-zA-Z0-9]+$"
# No empty part, none that begins with a dot: neither ".." nor what only some stores take.
PATH_PATTERN: Final = r"^/?[^./][^/]*(/[^./][^/]*)*/?$"
URL_PATTERN: Final = r"^https?://[^/?#\s]+(/[^?#\s]*)?$"

KeyInSecret = Annotated[
    Text,
    Field(max_length=MAX_KEY_NAME_LENGTH),
    AfterValidator(
        matching(KEY_NAME_PATTERN, "must be a key of the Secret: letters, digits, '-', '_', '.'")
    ),
    text_schema(KEY_NAME_PATTERN, MAX_KEY_NAME_LENGTH),
]
Path = Annotated[
    Text,
    Field(max_length=MAX_PATH_LENGTH),
    AfterValidator(
        matching(or_empty(PATH_PATTERN), "must be names with '/' between them: etcd/nightly")
    ),
    text_schema(or_empty(PATH_PATTERN), MAX_PATH_LENGTH),
]
Url = Annotated[
    Text,
    Field(max_length=MAX_URL_LENGTH),
    AfterValidator(matching(or_empty(URL_PATTERN), "must be a URL: https://store.example:9000")),
    text_schema(or_empty(URL_PATTERN), MAX_URL_LENGTH),
]


class S3(Model):
    """A bucket in S3, or in a store that speaks its protocol."""

    bucket: Text = Field(description="The bucket's name.", max_length=MAX_PATH_LENGTH)
    region: Text = Field(default="", description="The region: us-west-2.", max_length=64)
    endpoint: Url = Field(default="", description="The store's URL, when it is not Amazon's.")
    path_style: Flag = Field(
        default=False,
        description="Whether the bucket is in the URL's path (https://endpoint/bucket) instead of"
        " its host name: what most stores that are not Amazon's want.",
    )
    access_key_secret: OptionalObjectName = Field(
        default=None,
        description="The name of the Secret with the access key. Unset: the identity of"
        " spec.serviceAccountName.",
    )
    access_key_secret_key: KeyInSecret = Field(
        default="accessKey", description="The key in that Secret."
    )
    secret_key_secret: OptionalObjectName = Field(
        default=None, description="The name of the Secret with the secret key."
    )
    secret_key_secret_key: KeyInSecret = Field(
        default="secretKey", description="The key in that Secret."
    )
    path: Path = Field(default="", description="The path inside the bucket: etcd/nightly.")


class GCS(Model):
    """A bucket of Google Cloud Storage."""

    bucket: Text = Field(description="The bucket's name.", max_length=MAX_PATH_LENGTH)
    endpoint: Url = Field(default="", description="The store's URL, when it is not Google's.")
    service_account_secret: OptionalObjectName = Field(
        default=None,
        description="The name of the Secret with the JSON key of a service account of Google's."
        " Unset: the identity of spec.serviceAccountName.",
    )
    service_account_secret_key: KeyInSecret = Field(
        default="key.json", description="The key in that Secret."
    )
    path: Path = Field(default="", description="The path inside the bucket: etcd/nightly.")


class Azure(Model):
    """A container of Azure Blob Storage."""

    account: Text = Field(description="The storage account.", max_length=64)
    container: Text = Field(description="The container's name.", max_length=64)
    endpoint: Url = Field(default="", description="The store's URL, when it is not Azure's.")
    account_key_secret: OptionalObjectName = Field(
        default=None,
        description="The name of the Secret with the account's key. Unset: the identity of"
        " spec.serviceAccountName.",
    )
    account_key_secret_key: KeyInSecret = Field(
        default="accountKey", description="The key in that Secret."
    )
    path: Path = Field(default="", description="The path inside the container: etcd/nightly.")


class Local(Model):
    """A volume in the backup's own namespace."""

    claim_name: ObjectName = Field(description="The PersistentVolumeClaim.")
    path: Path = Field(
        default="", description="The folder in the volume: etcd/nightly. It is made if need be."
    )
