"""A scriptable API server with the real wire, as the informers' own tests have it."""

from tests.unit.informers.conftest import api, server, source  # noqa: F401 - fixtures, by name
