"""A location and credentials → the arguments that obstore's constructors take. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from snapshots.locations import (
    AzureAccountKey,
    AzureLocation,
    AzureSharedAccess,
    Credentials,
    GCSLocation,
    GCSServiceAccount,
    S3Keys,
    S3Location,
    WorkloadIdentity,
)

Remote: TypeAlias = S3Location | GCSLocation | AzureLocation

CONNECT_TIMEOUT_S = 10.0
# Of one attempt; a part of 16 MiB in a minute is 280 KB/s.
REQUEST_TIMEOUT_S = 60.0
# Of all attempts of one call.
RETRY_TIMEOUT_S = 120.0
MAX_RETRIES = 5


def arguments(location: Remote, credentials: Credentials) -> dict[str, Any]:
    """Keyword arguments of the store's class. Raises ValueError for credentials of another store.

    With a workload's identity no credentials are named: obstore then looks for them itself, in the
    environment, in projected tokens and at the machine's metadata service.
    """
    return {
        "prefix": location.prefix or None,
        "config": _place(location) | _credentials(location, credentials),
        **_provider(credentials),
        "client_options": _client_options(location),
        "retry_config": {
            "max_retries": MAX_RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_TIMEOUT_S),
            # Jitter is obstore's own.
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=10),
                "base": 2,
            },
        },
    }


def _place(location: Remote) -> dict[str, object]:
    match location:
        case S3Location():
            place: dict[str, object] = {
                "bucket": location.bucket,
                "virtual_hosted_style_request": not location.path_style,
                # Not every compatible store has the bulk call.
                "disable_bulk_delete": True,
            }
            if location.region:
                place["region"] = location.region
            if location.endpoint:
                place["endpoint"] = _s3_endpoint(location)
            return place
        case GCSLocation():
            place = {"bucket": location.bucket}
            return place | ({"base_url": location.endpoint} if location.endpoint else {})
        case AzureLocation():
            place = {"account_name": location.account, "container_name": location.container}
            return place | ({"endpoint": location.endpoint} if location.endpoint else {})


def _s3_endpoint(location: S3Location) -> str:
    """Where the bucket isn't in the path, obstore wants it in the endpoint's host."""
    if location.path_style:
        return location.endpoint
    parts = urlsplit(location.endpoint)
    return parts._replace(netloc=f"{location.bucket}.{parts.netloc}").geturl()


def _credentials(location: Remote, credentials: Credentials) -> dict[str, object]:
    """Of the configuration; the keys of S3 are given by `_provider`."""
    match location, credentials:
        case _, WorkloadIdentity():
            return {}
        case S3Location(), S3Keys():
            return {}
        case GCSLocation(), GCSServiceAccount():
            return {"service_account_key": credentials.key}
        case AzureLocation(), AzureAccountKey():
            return {"account_key": credentials.key}
        case AzureLocation(), AzureSharedAccess():
            return {"sas_key": credentials.token}
        case _:
            message = f"{type(credentials).__name__} are no credentials for {location}"
            raise ValueError(message)


def _provider(credentials: Credentials) -> dict[str, object]:
    """In the configuration obstore would add a token that the environment has for other keys."""
    if not isinstance(credentials, S3Keys):
        return {}
    keys = {
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret_access_key,
        "token": credentials.session_token or None,
        "expires_at": None,
    }
    return {"credential_provider": lambda: keys}


def _client_options(location: Remote) -> dict[str, object]:
    options: dict[str, object] = {
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
        # Only where the endpoint was written so.
        "allow_http": location.endpoint.startswith("http://"),
    }
    return options | ({"root_certificate": location.ca} if location.ca else {})
