"""Rules from an accepted spec to a formed cluster.

Bootstrap is static and parallel: every member starts at once from a file that names all of them,
under a token nobody else has.  What must never happen: a second bootstrap over data of ours, or a
bootstrap over data of others.  Both are decided here, before the first object exists.
"""

from api.labels import FIRST_EPOCH, pod_name
from api.reasons import Reason
from api.v1alpha1.cluster_status import BootstrapMember, BootstrapStatus
from controllers.cluster.listeners import made_with
from controllers.cluster.members import voters
from controllers.cluster.membership import late_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import edit, is_formed, refused_by_server, refused_edit
from controllers.cluster.plan.restoring import record_for
from controllers.cluster.plan.steps import AcceptSpec, DeletePod, RecordStarted, RefreshFiles, Wait
from controllers.cluster.plan.template import is_behind
from controllers.cluster.render import identity, rendered_for, stateful_set_for
from etcd.ids import cluster_id_hex, member_id_hex


def sleep_unborn(observed: Observed) -> Wait | None:
    """Size 0 before there ever was a member: nothing to make."""
    if observed.applied is not None or observed.spec is None or observed.spec.size:
        return None
    return Wait(
        reason=Reason.STOPPED, message="spec.size is 0: set it to start the cluster", settled=True
    )


def accept_spec(observed: Observed) -> AcceptSpec | None:
    """The first spec, or a correction of it while no cluster has formed."""
    if observed.spec is None or is_formed(observed):
        return None
    recorded, source = observed.status.bootstrap, observed.spec.bootstrap.restore_from
    if recorded is None:
        restore = record_for(observed, source, default_bump=0) if source else None
        # A backup becomes the data of one member; the others join it.
        size = observed.spec.size if restore is None else 1
        bootstrap = BootstrapStatus(
            token=f"{observed.uid}-{FIRST_EPOCH}",
            epoch=FIRST_EPOCH,
            size=size,
            cluster_domain=observed.spec.cluster_domain or observed.cluster_domain,
            **made_with(observed.spec.security.tls),
            network_policy=True,
            members=tuple(
                # One with a backup's data has its log: its file is closed before it first starts.
                BootstrapMember(
                    name=pod_name(observed.name, ordinal),
                    ordinal=ordinal,
                    started=restore is not None,
                )
                for ordinal in range(size)
            ),
            restore=restore,
        )
    elif edit(observed) is None or refused_edit(observed) or refused_by_server(observed):
        return None
    else:
        bootstrap = _corrected(observed, recorded)
    rendered = rendered_for(observed, observed.spec, bootstrap)
    return AcceptSpec(
        spec=observed.spec.to_json(),
        rendered=rendered,
        bootstrap=bootstrap,
        dry_run=stateful_set_for(observed, observed.spec, bootstrap, rendered, size=bootstrap.size),
    )


def _corrected(observed: Observed, recorded: BootstrapStatus) -> BootstrapStatus:
    """The same, from another backup where the spec names one by now."""
    assert observed.spec is not None
    assert observed.applied is not None
    source, old = observed.spec.bootstrap.restore_from, recorded.restore
    if old is None or source is None or source == observed.applied.bootstrap.restore_from:
        return recorded
    new = record_for(observed, source, default_bump=0)
    # What an earlier pod may have put on that volume is not of this backup.
    emptied = {"given_up": old.claim or old.given_up}
    return recorded.model_copy(update={"restore": new.model_copy(update=emptied)})


def record_started(observed: Observed) -> RecordStarted | None:
    """Members that published a client URL have started once, and keep their data from then on.

    A bootstrap member has its name from the first file on, so the name says nothing; the client
    URL is written by the member itself when it first serves (etcd server/etcdserver/server.go,
    publishV3).
    """
    bootstrap, listed = observed.status.bootstrap, observed.etcd.members
    if bootstrap is None or listed is None or observed.etcd.cluster_id is None:
        return None
    if is_formed(observed) and all(member.started for member in bootstrap.members):
        return None
    cluster_id = cluster_id_hex(observed.etcd.cluster_id)
    if observed.status.cluster_id not in {"", cluster_id}:
        return None  # whoever answered is not of this cluster
    who = identity(observed, bootstrap)
    serving = {
        url: member.id for member in listed if member.client_urls for url in member.peer_urls
    }
    started = {
        member.ordinal: serving[who.peer_url(member.ordinal)]
        for member in bootstrap.members
        if who.peer_url(member.ordinal) in serving
    }
    known = {member.ordinal for member in bootstrap.members if member.started}
    if started.keys() <= known and is_formed(observed):
        return None
    return RecordStarted(
        members=tuple(
            member.model_copy(
                update={"started": True, "id": member_id_hex(started[member.ordinal])}
            )
            if member.ordinal in started and not member.started
            else member
            for member in bootstrap.members
        ),
        cluster_id=cluster_id,
    )


def close_files(observed: Observed) -> RefreshFiles | None:
    """Kubelet brings a member the file that an emptied directory can't start from: at once, and not
    within the minute after which it would look by itself.

    Its first pod was started with an open one, and a pod made since with what kubelet remembered.
    With an open one it would come back empty under its old ID whenever it can't ask the others
    within a second (etcd server/etcdserver/bootstrap.go, isMemberBootstrapped).
    """
    late = late_of(observed.status)  # their files are open still
    for view in voters(observed):
        pod, member = view.pod, view.member_id
        if pod is None or not pod.running or view.ordinal in late:
            continue
        if member and pod.closed_for != member:
            return RefreshFiles(name=pod.name, uid=pod.uid, member=member)
    return None


def restart_on_corrected_spec(observed: Observed) -> DeletePod | None:
    """While no cluster has formed there is no quorum to lose: every pod follows the template."""
    if is_formed(observed):
        return None
    for pod in observed.pods:
        if is_behind(observed, pod):
            return DeletePod(name=pod.name, uid=pod.uid, why="it was made from an older spec")
    return None
