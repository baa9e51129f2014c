"""Carries out the steps that change etcd itself (members, leadership, alarms) or need its word.

Called by `act`.  Each is one call through the leader with a deadline before the end of our Lease;
etcd's own rules (strict reconfiguration, one learner, IDs that never come back) are the fence
against another operator, so a call that is lost or repeated does no harm.  What etcd refuses for
now is `NotYet`, never an error: the next look plans again.
"""

from collections.abc import Mapping
from typing import Any

from api.labels import CLUSTER_UID_LABEL
from api.reasons import Reason
from controllers.cluster.act_auth import perform_on_auth
from controllers.cluster.act_claims import discard_claim
from controllers.cluster.act_version import perform_on_version
from controllers.cluster.ask_etcd import Clients, endpoint_of, leader_client
from controllers.cluster.members import voters
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, NotYet, Outcome, Rejected
from controllers.cluster.plan.auth_steps import ChangeAuth, SwitchAuth
from controllers.cluster.plan.steps import (
    AddLearner,
    DisarmAlarm,
    DiscardClaim,
    MoveLeader,
    NudgeLearner,
    PromoteLearner,
    RemoveMember,
)
from controllers.cluster.plan.switching_steps import NameMember
from controllers.cluster.plan.version_steps import (
    AdvanceLog,
    CancelDowngrade,
    CompareHashes,
    EnableDowngrade,
)
from controllers.cluster.render import identity
from controllers.resources import CLAIMS
from controllers.writer import Writer
from etcd.client import EtcdClient
from etcd.cluster import CHANGE_TIMEOUT_S, Member
from etcd.errors import (
    BadTransfereeError,
    EtcdError,
    MemberExistsError,
    MemberNotFoundError,
    NotALearnerError,
    NotLeaderError,
    PeerURLExistsError,
    TooManyLearnersError,
)
from etcd.maintenance import Alarm
from informers.errors import NotFoundError

EtcdStep = (
    AddLearner
    | PromoteLearner
    | MoveLeader
    | NameMember
    | RemoveMember
    | DisarmAlarm
    | DiscardClaim
    | EnableDowngrade
    | CancelDowngrade
    | CompareHashes
    | AdvanceLog
    | NudgeLearner
    | ChangeAuth
    | SwitchAuth
)


async def perform_in_etcd(
    step: EtcdStep, observed: Observed, writer: Writer, clients: Clients
) -> Outcome:
    """Take the step. Raises KubeError when the API server could not be asked."""
    client = _leader_client(observed, clients)
    if client is None:
        return Changed(what="no member leads any more")
    try:
        return await _perform(step, observed, writer, client, clients)
    except (PeerURLExistsError, NotALearnerError, MemberNotFoundError):
        return Done()
    except MemberExistsError:
        return NotYet(message="etcd makes IDs from the time in seconds; asking again")
    except (NotLeaderError, BadTransfereeError, TooManyLearnersError) as error:
        return Changed(what=error.message)
    except EtcdError as error:
        return NotYet(message=f"etcd answers: {error.message}")


async def _perform(
    step: EtcdStep, observed: Observed, writer: Writer, client: EtcdClient, clients: Clients
) -> Outcome:
    timeout_s = writer.timeout_s(CHANGE_TIMEOUT_S)
    match step:
        case AddLearner():
            return await _add_learner(step, observed, writer, client)
        case PromoteLearner(id=member_id):
            await client.cluster.member_promote(member_id, timeout_s=timeout_s)
        case MoveLeader() | NameMember() | DisarmAlarm():
            await _change(step, client, timeout_s)
        case RemoveMember(id=member_id, voters=seen):
            listed = await _list_members(client, writer)
            if sum(not member.is_learner for member in listed) != seen:
                return Changed(what="etcd's member list")
            await client.cluster.member_remove(member_id, timeout_s=timeout_s)
        case (
            CompareHashes() | AdvanceLog() | NudgeLearner() | EnableDowngrade() | CancelDowngrade()
        ):
            asked = _voters(observed, clients)
            return await perform_on_version(step, asked, client, timeout_s=timeout_s)
        case ChangeAuth() | SwitchAuth():
            return await perform_on_auth(step, observed, writer, client)
        case DiscardClaim():
            return await discard_claim(
                step, observed, writer, list_members=lambda: _list_members(client, writer)
            )
    return Done()


async def _change(
    step: MoveLeader | NameMember | DisarmAlarm, client: EtcdClient, timeout_s: float
) -> None:
    match step:
        case MoveLeader(target_id=target):
            await client.maintenance.move_leader(target, timeout_s=timeout_s)
        case NameMember(id=member_id, peer_urls=urls):
            await client.cluster.member_update(member_id, peer_urls=urls, timeout_s=timeout_s)
        case DisarmAlarm(id=member_id, kind=kind):
            alarm = Alarm(member_id=member_id, kind=kind)
            await client.maintenance.disarm(alarm, timeout_s=timeout_s)


async def _add_learner(
    step: AddLearner, observed: Observed, writer: Writer, client: EtcdClient
) -> Outcome:
    """Nothing may lie under the new member's name but the volume that is given up for it."""
    claim = await _live_claim(step.claim, observed, writer)
    if claim is not None and claim["metadata"]["uid"] != step.old_claim:
        labels = claim["metadata"].get("labels") or {}
        if labels.get(CLUSTER_UID_LABEL) == observed.uid:
            return Changed(what=f"volume claim {step.claim}")
        return Rejected(
            reason=Reason.LEFTOVER_VOLUMES,
            message=f"PersistentVolumeClaim {step.claim} is not of this cluster: {step.name} can't"
            " be added until it is gone",
        )
    await client.cluster.member_add(
        peer_urls=step.peer_urls, is_learner=True, timeout_s=writer.timeout_s(CHANGE_TIMEOUT_S)
    )
    return Done()


async def _live_claim(name: str, observed: Observed, writer: Writer) -> Mapping[str, Any] | None:
    try:
        return await writer.api.get(CLAIMS, namespace=observed.namespace, name=name)
    except NotFoundError:
        return None


def _leader_client(observed: Observed, clients: Clients) -> EtcdClient | None:
    bootstrap = observed.status.bootstrap
    if bootstrap is None:
        return None
    return leader_client(identity(observed, bootstrap), observed.pods, observed.etcd, clients)


def _voters(observed: Observed, clients: Clients) -> dict[str, EtcdClient]:
    bootstrap = observed.status.bootstrap
    assert bootstrap is not None
    who = identity(observed, bootstrap)
    names = {view.name for view in voters(observed)}
    return {
        pod.name: clients.client(endpoint_of(who, pod))
        for pod in observed.pods
        if pod.name in names
    }


async def _list_members(client: EtcdClient, writer: Writer) -> tuple[Member, ...]:
    """The members by quorum. Raises EtcdError."""
    timeout_s = writer.timeout_s(CHANGE_TIMEOUT_S)
    return (await client.cluster.member_list(linearizable=True, timeout_s=timeout_s)).members
