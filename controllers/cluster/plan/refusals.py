"""Secrets and Certificates that the API server did not let the operator write.

Pure; questions that the rules of certificates ask.  One that is refused is left for a while, and
no other one because of it.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from controllers.cluster.observed import Observed

# A quota that is raised, or a right that is granted, is no event for us.
_TRIED_AGAIN_AFTER: Final = timedelta(minutes=1)


def was_refused_just_now(observed: Observed, name: str) -> bool:
    """Whether it is too early to write the Secret, or the Certificate, of this name again.

    Before a cluster is formed nothing else can be done for it: then it never is.
    """
    if not observed.status.cluster_id:
        return False
    return any(
        refused.secret == name and observed.now < refused.time + _TRIED_AGAIN_AFTER
        for refused in observed.status.refused_certificates
    )


def refusal(observed: Observed, names: Iterable[str]) -> str:
    """What the server said of the first of these that it did not take; empty when it took all."""
    said = {refused.secret: refused.message for refused in observed.status.refused_certificates}
    return next((said[name] for name in names if name in said), "")
