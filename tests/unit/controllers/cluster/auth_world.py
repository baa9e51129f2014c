"""A healthy cluster with TLS whose users and roles are kept by a model of etcd: the real reader,
planner, hands and status around it.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from controllers.cluster.act import perform
from controllers.cluster.happenings import happenings
from controllers.cluster.plan import plan
from controllers.cluster.plan.auth_steps import AuthStep
from controllers.cluster.read_auth import AuthReader
from controllers.cluster.status import next_status
from controllers.writer import Writer
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster.auth_model import AuthStoreModel, ClientsModel, SecretsModel
from tests.unit.controllers.cluster.builders import spec
from tests.unit.controllers.cluster.certificate_builders import TLS, WHO, observed

_MOST_STEPS = 60


class AuthWorld:
    """One cluster, whose accepted spec has the auth that `want` says."""

    def __init__(self, clients=None):
        self.store = AuthStoreModel()
        self.secrets = SecretsModel()
        self.clients = clients or ClientsModel(self.store)
        self.seen = observed()
        self.told = []
        self.restart()

    def restart(self):
        """Another operator, that knows what is in status."""
        self.reader = AuthReader(self.secrets)

    def want(self, **auth):
        """The spec of security.auth that is accepted from now on."""
        wanted = spec(size=3, security={**TLS["security"], "auth": auth})
        status = self.seen.status.model_copy(update={"applied_spec": wanted.to_json()})
        self.seen = dataclasses.replace(self.seen, spec=wanted, applied=wanted, status=status)

    def wait(self, seconds):
        self.seen = dataclasses.replace(self.seen, now=self.seen.now + timedelta(seconds=seconds))

    @property
    def auth(self):
        return self.seen.status.auth

    async def look(self, *, leader=True):
        """What there is now."""
        client = self.clients.client(None) if leader else None
        read = await self.reader.read(
            WHO, self.seen.applied, self.seen.status, client, now=self.seen.now
        )
        self.seen = dataclasses.replace(self.seen, auth=read)
        return self.seen

    async def step(self):
        """One step, with its status written; what it was."""
        planned = plan(self.seen)
        outcome = None
        if isinstance(planned.step, AuthStep):
            writer = Writer(
                self.secrets, OwnWrites(clock=float), "prod/db", remaining_s=lambda: float("inf")
            )
            outcome = await perform(planned.step, self.seen, writer, self.clients)
        status = next_status(self.seen, planned, outcome)
        self.told += happenings(self.seen, planned, outcome, status)
        self.seen = dataclasses.replace(self.seen, status=status)
        return planned.step

    async def settle(self):
        """Steps until none is left; the steps."""
        taken = []
        for _ in range(_MOST_STEPS):
            await self.look()
            step = await self.step()
            if not isinstance(step, AuthStep):
                return taken
            taken.append(step)
        raise AssertionError(taken)
