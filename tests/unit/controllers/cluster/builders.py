"""Builders of observed clusters for tests: a healthy cluster, and modifiers that disturb it.

`observed(size=3)` is a formed, healthy cluster whose live objects are exactly the desired ones;
everything else is said by a keyword or by `with_`.
"""

import copy
import dataclasses
from datetime import UTC, datetime
from typing import Any

from api.labels import FIRST_EPOCH, pod_name, volume_claim_name
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapMember, BootstrapStatus, ClusterStatus
from controllers.cluster.claim_record import record_of
from controllers.cluster.observed import Claim, Etcd, Observed, Pod
from controllers.cluster.render import desired_objects, identity, rendering
from controllers.cluster.render.identity import identity_of
from controllers.cluster.render.normal import stamped
from etcd.cluster import Member
from etcd.ids import ClusterID, MemberID, member_id_hex
from etcd.maintenance import Status

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
CLUSTER_ID = ClusterID(0xCAFE)
REVISION = "db-5d4f"


def member_id(ordinal: int) -> MemberID:
    return MemberID(0xA0 + ordinal)


def spec(**fields: Any) -> ClusterSpec:
    return ClusterSpec.model_validate(fields)


def bootstrap(size: int, *, started: bool = True, epoch: int = FIRST_EPOCH) -> BootstrapStatus:
    return BootstrapStatus(
        token=f"{UID}-{epoch}",
        epoch=epoch,
        size=size,
        network_policy=True,
        closed=started,
        members=tuple(
            BootstrapMember(
                name=pod_name("db", n),
                ordinal=n,
                started=started,
                id=member_id_hex(member_id(n)) if started else "",
            )
            for n in range(size)
        ),
    )


def pod(ordinal: int, **changes: Any) -> Pod:
    healthy = Pod(
        name=pod_name("db", ordinal),
        ordinal=ordinal,
        uid=f"pod-{ordinal}",
        ip=f"10.0.0.{ordinal + 1}",
        node="node-1",
        running=True,
        ready=True,
        terminating=False,
        revision=REVISION,
        config_file=None,
        restarts=0,
        problem=None,
        closed_for=member_id_hex(member_id(ordinal)),
    )
    return dataclasses.replace(healthy, **changes)


def claim(ordinal: int, *, epoch: int = FIRST_EPOCH, **changes: Any) -> Claim:
    own = Claim(
        name=volume_claim_name("db", ordinal, epoch),
        ordinal=ordinal,
        epoch=epoch,
        uid=f"claim-{ordinal}" if epoch == FIRST_EPOCH else f"claim-{epoch}-{ordinal}",
        cluster_uid=UID,
        terminating=False,
    )
    return dataclasses.replace(own, **changes)


def status_of(ordinal: int, **changes: Any) -> Status:
    answer = Status(
        member_id=member_id(ordinal),
        cluster_id=CLUSTER_ID,
        version="3.5.21",
        db_size=20480,
        db_size_in_use=16384,
        leader=member_id(0),
        raft_index=10,
        raft_applied_index=10,
        raft_term=2,
        revision=1,
        errors=(),
        is_learner=False,
        storage_version="",
        db_size_quota=0,
        downgrade=None,
    )
    return dataclasses.replace(answer, **changes)


WHO = identity_of("prod", "db", UID, bootstrap(1))


def unborn(**changes: Any) -> Observed:
    """A cluster that was just created: nothing exists but the EtcdCluster."""
    wanted = changes.pop("spec", None) or spec()
    first = Observed(
        now=NOW,
        namespace="prod",
        name="db",
        uid=UID,
        generation=1,
        resource_version="100",
        deleting_since=None,
        namespace_terminating=False,
        finalizers=(),
        spec=wanted,
        spec_errors=(),
        deletes_data=wanted.storage.deletion_policy == "Delete",
        applied=None,
        status=ClusterStatus(),
        cluster_domain="cluster.local",
        live={},
        foreign=(),
        pods=(),
        pods_refused="",
        claims=(),
        etcd=Etcd(error="the cluster has not been started"),
    )
    return dataclasses.replace(first, **changes)


def accepted(size: int = 3, **changes: Any) -> Observed:
    """A spec was accepted; no object exists yet, no member has started."""
    fields = {"size": size, **changes.pop("spec_fields", {})}
    wanted = spec(**fields)
    recorded = ClusterStatus(
        applied_spec=wanted.to_json(),
        rendered=rendering(WHO, wanted),
        bootstrap=bootstrap(size, started=False),
    )
    return unborn(spec=wanted, **{"applied": wanted, "status": recorded, **changes})


def observed(size: int = 3, **changes: Any) -> Observed:
    """A formed cluster of that size in which all is well."""
    fields = {"size": size, **changes.pop("spec_fields", {})}
    wanted = spec(**fields)
    recorded = ClusterStatus(
        applied_spec=wanted.to_json(),
        rendered=rendering(WHO, wanted),
        bootstrap=bootstrap(size),
        cluster_id=f"{CLUSTER_ID:x}",
    )
    healthy = unborn(
        spec=wanted,
        deletes_data=wanted.storage.deletion_policy == "Delete",
        applied=wanted,
        status=recorded,
        pods=tuple(pod(n) for n in range(size)),
        claims=tuple(claim(n) for n in range(size)),
        etcd=etcd(size),
    )
    healthy = dataclasses.replace(healthy, live=live_of(healthy), claims=annotated(healthy))
    return dataclasses.replace(healthy, **changes)


def annotated(of: Observed) -> tuple[Claim, ...]:
    """Its claims with the record of its membership on them."""
    record = record_of(of)
    assert record is not None
    return tuple(dataclasses.replace(one, membership=record.text) for one in of.claims)


def etcd(size: int, **changes: Any) -> Etcd:
    """The answers of healthy members."""
    who = identity(accepted(size), bootstrap(size))
    members = tuple(
        Member(
            id=member_id(n),
            name=pod_name("db", n),
            peer_urls=(who.peer_url(n),),
            client_urls=(who.client_url(n),),
            is_learner=False,
        )
        for n in range(size)
    )
    answers = Etcd(
        cluster_id=CLUSTER_ID,
        members=members,
        statuses={pod_name("db", n): status_of(n) for n in range(size)},
    )
    return dataclasses.replace(answers, **changes)


def live_of(of: Observed) -> dict[tuple[str, str], dict[str, Any]]:
    """The desired objects as the server would hold them after they were applied."""
    live = {}
    for desired in desired_objects(of):
        sent = copy.deepcopy(stamped(desired))  # what is desired is shared by all who ask
        uid = f"uid-{desired['kind']}-{desired['metadata']['name']}"
        metadata = {**sent["metadata"], "uid": uid, "generation": 1}
        obj = {**sent, "metadata": metadata}
        if desired["kind"] == "StatefulSet":
            obj["status"] = {"observedGeneration": 1, "updateRevision": REVISION}
        live[desired["kind"], desired["metadata"]["name"]] = obj
    return live
