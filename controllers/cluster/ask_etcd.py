"""Asks the members of one cluster how they are.

Called by `observe`.  Read-only.  All members are asked at once, each with its own deadline; who
does not answer is a value, not an error.  The member list that decisions are made from is
linearizable and comes from a member that knows a leader; without one nobody is asked for it,
because etcd itself takes seven seconds to say no.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from controllers.cluster.observed import Etcd, Pod
from controllers.cluster.render.identity import Identity
from etcd.client import EtcdClient
from etcd.cluster import MemberList
from etcd.dialer import Endpoint
from etcd.errors import AuthError, AuthObjectMissingError, EtcdError, UnavailableError
from etcd.ids import cluster_id_hex
from etcd.maintenance import Alarm, Status
from etcd.pool import ChannelPool

# A healthy member answers within milliseconds; a frozen one must not hold the reconcile for long.
_TIMEOUT_S = 2.0
# Nothing asked here names a user, so the one that is missing is the caller (3.7 says it like that).
_DENIALS = (AuthError, AuthObjectMissingError)


async def ask_etcd(
    pool: ChannelPool, who: Identity, pods: Sequence[Pod], *, cluster_id: str
) -> Etcd:
    """What the members say now. Takes at most three deadlines; never raises EtcdError.

    `cluster_id`: the recorded one in hexadecimal, empty before there is one.  Who answers for
    another cluster is not asked for its members.
    """
    endpoints = {pod.name: endpoint_of(who, pod) for pod in pods if pod.running and pod.ip}
    await pool.retain(f"{who.namespace}/{who.name}", tuple(endpoints.values()))
    clients = {name: pool.client(endpoint) for name, endpoint in endpoints.items()}
    statuses, errors, denied = await _statuses(clients)
    obstacles = {name: pool.obstacle(endpoints[name]) for name in errors}
    errors |= {name: obstacle for name, obstacle in obstacles.items() if obstacle}
    voters = [
        name
        for name, status in statuses.items()
        if status.leader
        and not status.is_learner
        and cluster_id in {"", cluster_id_hex(status.cluster_id)}
    ]
    if not voters:
        error = "no member knows a leader" if statuses else "no member answers"
        return Etcd(error=error, statuses=statuses, errors=errors, denied=denied)
    # The leader answers without a hop, and it is the one that surely has quorum.
    voters.sort(key=lambda name: not statuses[name].is_leader)
    try:
        listed, alarms = await _list(clients[voters[0]])
    except EtcdError as error:
        errors = {**errors, voters[0]: _words(error)}
        return Etcd(
            error=f"{voters[0]}: {_words(error)}",
            statuses=statuses,
            errors=errors,
            denied=denied or isinstance(error, _DENIALS),
        )
    return Etcd(
        cluster_id=listed.cluster_id,
        members=listed.members,
        statuses=statuses,
        errors=errors,
        alarms=alarms,
    )


def endpoint_of(who: Identity, pod: Pod) -> Endpoint:
    """Where the channel to a pod that has an address leads."""
    assert pod.ip is not None
    return Endpoint(
        cluster=f"{who.namespace}/{who.name}",
        namespace=who.namespace,
        pod=pod.name,
        pod_uid=pod.uid,
        address=pod.ip,
        fqdn=who.host(pod.ordinal),
    )


class Clients(Protocol):
    """Where the client of a pod comes from: `etcd.pool.ChannelPool`."""

    def client(self, endpoint: Endpoint) -> EtcdClient: ...


def leader_client(
    who: Identity, pods: Sequence[Pod], etcd: Etcd, clients: Clients
) -> EtcdClient | None:
    """The client of the member that leads: the one that any change has to pass anyway."""
    for pod in pods:
        status = etcd.statuses.get(pod.name)
        if status is not None and status.is_leader and pod.ip:
            return clients.client(endpoint_of(who, pod))
    return None


async def _statuses(
    clients: Mapping[str, EtcdClient],
) -> tuple[dict[str, Status], dict[str, str], bool]:
    """Local answers by pod name, in a few words why there is none, and whether that is because we
    may not ask.
    """
    statuses: dict[str, Status] = {}
    failures: dict[str, EtcdError] = {}

    async def ask(name: str, client: EtcdClient) -> None:
        try:
            statuses[name] = await client.maintenance.status(timeout_s=_TIMEOUT_S)
        except EtcdError as error:
            failures[name] = error

    async with asyncio.TaskGroup() as group:
        for name, client in clients.items():
            group.create_task(ask(name, client))
    # In the pods' order, whoever answered first: the same answers give the same value.
    return (
        {name: statuses[name] for name in clients if name in statuses},
        {name: _words(failure) for name, failure in failures.items()},
        any(isinstance(failure, _DENIALS) for failure in failures.values()),
    )


async def _list(client: EtcdClient) -> tuple[MemberList, tuple[Alarm, ...]]:
    """The member list through quorum, then the alarms."""
    listed = await client.cluster.member_list(linearizable=True, timeout_s=_TIMEOUT_S)
    return listed, await client.maintenance.alarms(timeout_s=_TIMEOUT_S)


def _words(error: EtcdError) -> str:
    """Why there was no answer, in words that are the same each time: they end up in status."""
    return (
        f"no answer: {error.cause.value}" if isinstance(error, UnavailableError) else error.message
    )
