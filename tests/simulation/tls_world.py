"""A world whose user switches TLS on and off, with clients and among the members, at any moment.

What must hold meanwhile is in `judge_tls`.  At the end all is as was wished last.
"""

from typing_extensions import override

from api.tls_decision import tls_of
from api.v1alpha1.cluster import TLS
from api.v1alpha1.cluster_status import TLSStatus
from controllers.cluster.listeners import CLIENT, scheme
from controllers.cluster.plan.steps import Plan
from tests.simulation import judge_tls
from tests.simulation.operator_model import NOWHERE, CutOff
from tests.simulation.ways import Ways
from tests.simulation.world import World


class TlsWorld(World):
    """`spec.security.tls.enabled` is said from the beginning."""

    def wish(self, *, client: bool, peer: bool) -> None:
        said = {"enabled": client, "clientTLSEnabled": client, "peerTLSEnabled": peer}
        tls = TLS.model_validate(said)
        self.edit(security=self.spec.security.model_copy(update={"tls": tls}))

    def turn_round(self) -> bool:
        """The user wants the half that is being switched as it was."""
        change = self.status.tls.change if self.status.tls else None
        if change is None:
            return False
        wished = self.spec.security.tls
        if change.listener == CLIENT:
            self.wish(client=not change.enabled, peer=wished.among_members)
        else:
            self.wish(client=wished.with_clients, peer=not change.enabled)
        return True

    # ------------------------------------------------------------------ at every step
    @override
    def reconcile(self, cut: CutOff = NOWHERE, *, stale: bool = False) -> Plan:
        plan = super().reconcile(cut, stale=stale)
        judge_tls.after_anything(self)
        return plan

    @override
    def everybody_works(self, pick: int = 0) -> None:
        super().everybody_works(pick)
        judge_tls.after_anything(self)

    @override
    def kubernetes_works(self, *, stale: bool = False) -> None:
        super().kubernetes_works(stale=stale)
        judge_tls.after_anything(self)

    # ------------------------------------------------------------------ the end of all faults
    @override
    def is_settled(self, plan: Plan) -> bool:
        return super().is_settled(plan) and (not self.spec.size or self._is_as_wished())

    def _is_as_wished(self) -> bool:
        bootstrap, wished = self.status.bootstrap, self.spec.security.tls
        client, peer = wished.with_clients, wished.among_members
        if bootstrap is None:
            return False
        if tls_of(bootstrap, self.status.tls) != TLSStatus(client=client, peer=peer):
            return False
        ways = Ways(frozenset({scheme(tls=client)}), scheme(tls=peer), by_tls=peer)
        named = frozenset({scheme(tls=peer)})
        running = all(process.ways == ways for process in self.etcd.reachable())
        return running and all(entry.named == named for entry in self.etcd.entries.values())
