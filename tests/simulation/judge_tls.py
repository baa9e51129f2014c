"""What must hold of TLS in every world, also while it is switched: checked against what the files
say that processes were started from, and against etcd's list.

1. Any two members that run can call each other, by a URL that etcd lists.
2. Each member that runs serves the operator in the way in which it calls, and clients under every
   endpoint that they are told of.
"""

from itertools import permutations
from typing import TYPE_CHECKING

from controllers.cluster.listeners import listeners_of
from tests.simulation.etcd_process import CLUSTER_ID, Broken
from tests.simulation.ways import scheme_of

if TYPE_CHECKING:
    from tests.simulation.world import World


def after_anything(world: "World") -> None:
    etcd, status = world.etcd, world.status
    running = [
        process
        for member, process in etcd.serving.items()
        if member in etcd.entries and process.log.cluster_id == CLUSTER_ID
    ]
    for one, other in permutations(running, 2):
        if not one.ways.calls(other.ways, etcd.entries[other.log.id].named):
            raise Broken(f"member {one.ordinal} can't call member {other.ordinal}")
    if status.bootstrap is None:
        return
    wanted = {*map(scheme_of, status.client_endpoints)}
    wanted.add(listeners_of(status.bootstrap, status.tls).client[0])
    for process in running:
        if not wanted <= process.ways.serves:
            raise Broken(f"member {process.ordinal} does not serve {sorted(wanted)}")
