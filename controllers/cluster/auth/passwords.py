"""Where the users' passwords are, and what a Secret has to hold.

Pure.  What is read here goes to etcd and nowhere else: not into a value that is kept, an error or a
log.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.v1alpha1.auth import ROOT, Auth
from controllers.cluster.auth.facts import NO_PASSWORD, NOBODYS, Password
from controllers.cluster.certificates.parse import UnfitSecretError, decoded

# The keys of a Secret of type kubernetes.io/basic-auth.
_USERNAME: Final = "username"
_PASSWORD: Final = "password"  # noqa: S105 - the name of a key


def places(auth: Auth) -> Iterator[tuple[str, Password]]:
    """Each user with the place of the password, before anything was read."""
    root = auth.root_credentials_secret
    if root is None:
        yield ROOT, Password(origin=NOBODYS)
    else:
        yield ROOT, Password(origin="", secret=root, key=_PASSWORD)
    for user in auth.users:
        place = user.password_secret
        if place is None:
            yield user.name, Password(origin=NO_PASSWORD)
        else:
            yield user.name, Password(origin="", secret=place.name, key=place.key)


def origin_of(secret: Mapping[str, Any]) -> str:
    """Which Secret, in which state: it says nothing of what is in it."""
    metadata = secret["metadata"]
    return f"{metadata['uid']}/{metadata['resourceVersion']}"


def password_in(user: str, place: Password, secret: Mapping[str, Any]) -> str:
    """The password. Raises UnfitSecretError, which does not quote it."""
    if user == ROOT and _text(secret, _USERNAME) != ROOT:
        message = f"its {_USERNAME} is not {ROOT}"
        raise UnfitSecretError(message)
    text = _text(secret, place.key)
    if text.endswith("\n"):
        message = f"its {place.key} ends with a line break, which nobody types in"
        raise UnfitSecretError(message)
    return text


def _text(secret: Mapping[str, Any], key: str) -> str:
    try:
        return decoded(secret, key).decode()
    except UnicodeDecodeError:
        message = f"its {key} is not UTF-8"
        raise UnfitSecretError(message) from None
