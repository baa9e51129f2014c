"""EtcdCluster's status: what was observed, and the intents that a restarted operator must find
again.

Written by the controller alone, so nothing here refuses a value that a newer operator may have
written: texts instead of enumerations, and no CEL.
"""

from pydantic import Field

from api.v1alpha1.auth import AuthStatus
from api.v1alpha1.common import (
    FREE_FORM,
    INT32,
    INT64,
    Conditions,
    Flag,
    Integer,
    Json,
    Model,
    Text,
    Time,
    keyed_by,
)
from api.v1alpha1.restore_request import RestoreAnswer


class MemberStatus(Model):
    """One member of the cluster, as etcd and its pod show it."""

    name: Text = Field(description="The member's name, which is its pod's.", max_length=253)
    id: Text = Field(
        default="", description="etcd's ID of the member, in hexadecimal; empty before it has one."
    )
    peer_url: Text = Field(
        default="", alias="peerURL", description="Where the other members reach it."
    )
    client_url: Text = Field(default="", alias="clientURL", description="Where clients reach it.")
    ready: Flag = Field(
        default=False, description="Whether it is a healthy voter that follows the leader."
    )
    role: Text = Field(
        default="", description="leader, follower or learner; empty while it is not known."
    )
    version: Text = Field(default="", description="The etcd version that it runs: v3.5.21.")
    db_size: Integer | None = Field(
        default=None,
        description="Bytes of its database. Written when it changed by a tenth or passed a"
        " threshold, so it may be a little old.",
        json_schema_extra=INT64,
    )
    node: Text = Field(default="", description="The node that its pod runs on.")
    healthy_revision: Text = Field(
        default="",
        description="The revision of the pod template under which it was last healthy.",
    )
    healthy_claim: Text = Field(
        default="", description="The uid of the volume claim with which it was last healthy."
    )
    reason: Text = Field(
        default="", description="Why it is not ready, as one stable word; empty when it is."
    )


class BootstrapMember(Model):
    """One of the members that the cluster was first made of."""

    name: Text = Field(description="The member's name, which is its pod's.", max_length=253)
    ordinal: Integer = Field(
        description="The number at the end of its pod's name.", json_schema_extra=INT32
    )
    id: Text = Field(
        default="",
        description="etcd's ID of the member, in hexadecimal, recorded when it was first seen.",
    )
    started: Flag = Field(
        default=False,
        description="Whether it has ever started: from then on it may not come back with an empty"
        " data directory.",
    )


class RestoredData(Model):
    """What was restored, as the pod that did it has told. Sizes in bytes."""

    source_cluster_id: Text = Field(
        alias="sourceClusterID", description="etcd's ID of the saved cluster, in hexadecimal."
    )
    source_name: Text = Field(
        description="The EtcdCluster that was saved: <namespace>/<name>.", max_length=317
    )
    saved_at: Time = Field(description="When the backup was begun.")
    etcd_version: Text = Field(description="The etcd version of the saved member: v3.5.21.")
    revision: Integer = Field(
        description="The revision that the cluster begins at, the jump included.",
        json_schema_extra=INT64,
    )
    compact_revision: Integer = Field(
        description="What is older can't be read or watched.", json_schema_extra=INT64
    )
    bump_revision: Integer = Field(
        default=0, description="How far revisions jumped ahead.", json_schema_extra=INT64
    )
    base: Text = Field(
        default="",
        description="The backup that was restored, by its folder in the store: with a revision or a"
        " time asked for, the last one before it.",
    )
    source_revision: Integer | None = Field(
        default=None,
        description="Where one was asked for, or a time: the revision of the saved cluster whose"
        " state it is.",
        json_schema_extra=INT64,
    )
    source_time: Time | None = Field(
        default=None,
        description="When the last change came that was replayed on the backup, if any was.",
    )
    replayed: Integer | None = Field(
        default=None,
        description="How many revisions were replayed on the backup.",
        json_schema_extra=INT64,
    )
    keys: Integer | None = Field(
        default=None,
        description="How many keys there were, where the saved member could tell.",
        json_schema_extra=INT64,
    )
    database_size: Integer = Field(
        description="Bytes of the restored database.", json_schema_extra=INT64
    )
    auth_enabled: Flag = Field(
        default=False, description="Whether the backup has etcd ask who is calling."
    )
    alarms: tuple[Text, ...] = Field(
        default=(),
        description="The alarms that were raised when it was saved: NOSPACE <member ID>.",
    )
    notes: tuple[Text, ...] = Field(default=(), description="What to know about the backup.")


class RestoreRecord(Model):
    """The backup that the data began from, and how far it has come."""

    source: Text = Field(description="The backup in words: EtcdBackup <name>, or where it is.")
    store: Json = Field(
        description="Where the backup is and with which credentials, as in"
        " spec.bootstrap.restoreFrom.store.",
        json_schema_extra=FREE_FORM,
    )
    revision: Integer | None = Field(
        default=None, description="The revision that was asked for.", json_schema_extra=INT64
    )
    point_in_time: Time | None = Field(
        default=None, description="The point in time that was asked for."
    )
    bump_revision: Integer = Field(
        default=0, description="How far revisions are to jump ahead.", json_schema_extra=INT64
    )
    skip_hash_check: Flag = Field(
        default=False, description="Whether the backup is taken although its hash is wrong."
    )
    since: Time = Field(description="When the restore began.")
    claim: Text = Field(
        default="", description="The uid of the volume claim that the data are put on."
    )
    given_up: Text = Field(
        default="",
        description="The uid of the volume claim that is deleted because another one is asked for.",
    )
    attempts: Integer = Field(
        default=0, description="How many pods have failed.", json_schema_extra=INT32
    )
    failure: Text = Field(
        default="", description="Why the last one failed, as one stable word; empty if none did."
    )
    message: Text = Field(default="", description="The same in words.")
    failed_pod: Text = Field(default="", description="The uid of the last pod that failed.")
    stalled: Flag = Field(
        default=False,
        description="Whether another pod would fail as well, until someone has changed something.",
    )
    not_before: Time | None = Field(
        default=None,
        description="The moment before which it is not tried again; unset: not before an edit.",
    )
    generation: Integer | None = Field(
        default=None,
        description="The metadata.generation that the last attempt failed with: a new one is tried"
        " at once.",
        json_schema_extra=INT64,
    )
    done: Flag = Field(default=False, description="Whether the seed member has its data.")
    restored: RestoredData | None = Field(
        default=None, description="What was restored; only when it is done."
    )


class BootstrapStatus(Model):
    """How the cluster was first made: written before its first object exists, and never taken
    back.
    """

    token: Text = Field(
        description="etcd's initial-cluster-token: the object's uid and the epoch.", max_length=253
    )
    epoch: Integer = Field(
        description="Counts how often the cluster's data began anew.", json_schema_extra=INT32
    )
    size: Integer = Field(
        description="How many members were started at first.", json_schema_extra=INT32
    )
    cluster_domain: Text = Field(
        default="cluster.local",
        description="The DNS domain in the members' peer URLs, which never change.",
        max_length=253,
    )
    scheme: Text = Field(
        default="http",
        description="http, or https where clients speak TLS: how the URLs began that clients were"
        " given first, and those among the members unless peerScheme says otherwise.",
        max_length=5,
    )
    peer_scheme: Text = Field(
        default="",
        description="How the members' peer URLs began at first; empty where that was like scheme.",
        max_length=5,
    )
    network_policy: Flag = Field(
        default=False,
        description="Whether the cluster has a NetworkPolicy where the spec does not say: it was"
        " made by a version of the operator that knows them.",
    )
    closed: Flag = Field(
        default=False,
        description="Whether all first members have started, so that the list of first members is"
        " no longer handed out.",
    )
    members: tuple[BootstrapMember, ...] = Field(
        default=(), description="The first members.", json_schema_extra=keyed_by("name")
    )
    restore: RestoreRecord | None = Field(
        default=None, description="The backup that the data began from; unset, they began empty."
    )


class JoiningMember(Model):
    """The one member that joins or is being replaced: recorded before the first step towards it."""

    name: Text = Field(description="The member's name, which is its pod's.", max_length=253)
    ordinal: Integer = Field(
        description="The number at the end of its pod's name.", json_schema_extra=INT32
    )
    reason: Text = Field(
        description="Why it joins: ScaleOut, or what was wrong with the member that it replaces."
    )
    since: Time = Field(description="When it was decided.")
    old_id: Text = Field(
        default="",
        alias="oldID",
        description="etcd's ID of the member that it replaces, in hexadecimal; empty when there"
        " was none, or none is left.",
    )
    old_claim: Text = Field(
        default="", description="The uid of the volume claim whose data is given up for it."
    )
    id: Text = Field(
        default="",
        description="The ID that etcd gave it when it was added as a learner, in hexadecimal.",
    )
    listed: tuple[Integer, ...] = Field(
        default=(),
        description="The numbers of all members that etcd listed when it was added: the first file"
        " that it starts from names exactly these.",
    )
    started: Flag = Field(
        default=False,
        description="Whether it has started: from then on it may not come back with an empty data"
        " directory.",
    )


class OtherEpoch(Model):
    """An epoch of the cluster's data that its members don't run on now: one that is to come, or one
    that was set aside, with all that it takes to go back to it.
    """

    epoch: Integer = Field(description="Its number.", json_schema_extra=INT32)
    since: Time = Field(description="When it was decided on, or set aside.")
    claims: tuple[Text, ...] = Field(
        default=(), description="The volume claims that its data are on, once it was set aside."
    )
    size: Integer = Field(
        default=0,
        description="spec.size at the time when it was set aside.",
        json_schema_extra=INT32,
    )
    version: Text = Field(
        default="", description="The etcd version that ran on it when it was set aside: v3.5.21."
    )
    cluster_id: Text = Field(
        default="",
        alias="clusterID",
        description="As status.clusterID, of that epoch. Do not change.",
    )
    voter_ordinals: tuple[Integer, ...] = Field(
        default=(), description="As status.voterOrdinals, of that epoch. Do not change."
    )
    joining: JoiningMember | None = Field(
        default=None, description="As status.joining, of that epoch. Do not change."
    )
    bootstrap: BootstrapStatus = Field(
        description="As status.bootstrap, of that epoch. Do not change."
    )


class WithdrawnMember(Model):
    """A member that did not manage to join in time and was taken back."""

    name: Text = Field(description="The member's name, which is its pod's.", max_length=253)
    message: Text = Field(description="Why it did not manage.")
    not_before: Time = Field(description="The moment before which it is not tried again.")
    generation: Integer = Field(
        description="The metadata.generation it was tried with: a new one is tried at once.",
        json_schema_extra=INT64,
    )


class Replacement(Model):
    """A member that was replaced, for whoever asks why, and to see when they become too many."""

    name: Text = Field(description="The member's name, which is its pod's.", max_length=253)
    reason: Text = Field(description="What was wrong with it.")
    time: Time = Field(description="When it was decided.")


class TLSChange(Model):
    """TLS being switched on or off with clients or among the members, while all of them go on."""

    listener: Text = Field(description="With whom it is switched: client or peer.")
    enabled: Flag = Field(description="Whether it is to be on.")
    phase: Text = Field(
        description="How far it is: Certifying first; then Opening, Serving and Closing with"
        " clients, or Preparing, Switching and Settling among the members."
    )
    since: Time = Field(description="When this phase began.")


class TLSStatus(Model):
    """With whom members speak TLS: recorded before the first step towards a change of it."""

    client: Flag = Field(
        description="Whether the operator and the endpoints in clientEndpoints speak TLS."
    )
    peer: Flag = Field(description="Whether members are started to listen to each other by TLS.")
    change: TLSChange | None = Field(default=None, description="The change that is under way.")


class Rendering(Model):
    """What the operator made of the applied spec: kept as it is until an edit, or a switch, lets a
    newer operator make it anew.
    """

    pod_template: Json = Field(
        description="The members' pod template.", json_schema_extra=FREE_FORM
    )
    options: Json = Field(
        description="The members' options, as keys of etcd's configuration file.",
        json_schema_extra=FREE_FORM,
    )
    digest: Text = Field(
        description="What the names of the configuration files end in: it changes with any option."
    )


class AuthorityRotation(Model):
    """How far one authority has been replaced by the next one: recorded before each step."""

    authority: Text = Field(description="Which one is replaced: client or peer.")
    phase: Text = Field(
        description="How far it is: Preparing, Spreading, Trusting, Issuing, Replacing or Dropping."
    )
    since: Time = Field(description="When this phase began.")
    next: Text = Field(
        default="",
        description="The SHA-256 fingerprint of the next authority, in hexadecimal; empty while it"
        " is being made.",
        max_length=64,
    )
    given: Flag = Field(
        default=False,
        description="Whether the next authority is yours, or cert-manager's, and not the"
        " operator's.",
    )
    then: Text = Field(
        default="", description="The authority whose turn comes after; empty when none's does."
    )


class AuthorityStatus(Model):
    """The cluster's certificate authorities: recorded before anything trusts them."""

    client: Text = Field(
        description="The SHA-256 fingerprint of the CA of servers and clients, in hexadecimal; of"
        " several in one ca.crt, a hash of theirs.",
        max_length=64,
    )
    peer: Text = Field(
        description="The SHA-256 fingerprint of the CA of the members among themselves.",
        max_length=64,
    )
    given: tuple[Text, ...] | None = Field(
        default=None,
        description="Which of them, client or peer, are yours or cert-manager's; left out where"
        " that is as the spec says.",
        max_length=2,
    )
    rotation: AuthorityRotation | None = Field(
        default=None, description="The replacement of one of them that is under way."
    )


class CertificateStatus(Model):
    """A certificate of the cluster, as its Secret holds it."""

    secret: Text = Field(description="The name of its Secret.", max_length=253)
    source: Text = Field(
        default="",
        description="The name of the Secret of yours that it was copied from.",
        max_length=253,
    )
    not_after: Time = Field(description="When it expires.")
    renew_after: Time | None = Field(
        default=None,
        description="When the operator makes a new one, or begins to replace an authority; empty"
        " for what was copied.",
    )


class RefusedCertificate(Model):
    """A certificate that the API server did not let the operator write."""

    secret: Text = Field(description="The Secret, or the Certificate of cert-manager.")
    message: Text = Field(description="Which it is, and the server's words.")
    time: Time = Field(description="When it was tried last.")


class RefusedEdit(Model):
    """An edit that the API server did not take: the applied spec stays in force."""

    generation: Integer = Field(
        description="The metadata.generation of the edit.", json_schema_extra=INT64
    )
    reason: Text = Field(description="Why it was refused, as one stable word.")
    message: Text = Field(description="The server's words.")
    time: Time = Field(description="When it was tried last.")


class DataHash(Model):
    """A hash that all voters gave of their data at one revision."""

    revision: Integer = Field(
        description="The revision at which it was taken.", json_schema_extra=INT64
    )
    compact_revision: Integer = Field(
        description="Up to where the data had been compacted.", json_schema_extra=INT64
    )
    hash: Integer = Field(description="etcd's HashKV.", json_schema_extra=INT64)


class UpgradeStatus(Model):
    """The change of etcd's version, or image, that is under way: recorded before its first step."""

    from_version: Text = Field(
        alias="from", description="The version that ran before this step of the path: v3.5.35."
    )
    path: tuple[Text, ...] = Field(
        description="The versions still to come, in order; the last one is what the spec asks for."
    )
    repository: Text = Field(description="The image of these versions, without a tag.")
    since: Time = Field(description="When this step of the path began.")
    probed: Flag = Field(
        default=False,
        description="Whether the image has reported exactly the first version of the path.",
    )
    saved: Text = Field(
        default="",
        description="The EtcdBackup that was taken before any member was touched; empty where"
        " none was, or not yet.",
        max_length=253,
    )
    before: DataHash | None = Field(
        default=None, description="The hash of the data before any member was touched."
    )
    fit_since: Time | None = Field(
        default=None,
        description="Since when every member's data has had the form of the older version.",
    )
    comparing_since: Time | None = Field(
        default=None,
        description="Since when the members' hashes could not be compared; empty once they were.",
    )
    log_until: Integer | None = Field(
        default=None,
        description="The index of etcd's log that every member must have applied first: what 3.5"
        " wrote is then behind a snapshot, and 3.7 never reads it.",
        json_schema_extra=INT64,
    )


class PlanStatus(Model):
    """What the operator does next, or what it waits for."""

    action: Text = Field(default="", description="The next step; empty when there is none.")
    rule: Text = Field(default="", description="The name of the rule that decided so.")
    waits_for: Text = Field(default="", description="What the next step waits for.")
    reason: Text = Field(default="", description="Why this is the next step.")
    since: Time | None = Field(default=None, description="Since when this has been the plan.")
    not_before: Time | None = Field(
        default=None, description="The moment before which the next step is not taken."
    )


class ClusterStatus(Model):
    """The observed state of an EtcdCluster."""

    observed_generation: Integer | None = Field(
        default=None,
        description="The metadata.generation that this status is about.",
        json_schema_extra=INT64,
    )
    phase: Text = Field(
        default="",
        description="A summary in one word: Creating, Running, Scaling, Upgrading, Recovering,"
        " Failed, Deleting or Stopped. Programs should look at the conditions instead.",
    )
    conditions: Conditions = Field(
        default=(),
        description="The observations; docs/reference/conditions.md lists types and reasons.",
    )
    members: tuple[MemberStatus, ...] = Field(
        default=(), description="The members, ordered by name.", json_schema_extra=keyed_by("name")
    )
    replicas: Integer = Field(
        default=0,
        description="How many members the cluster has, learners included.",
        json_schema_extra=INT32,
    )
    ready_replicas: Integer = Field(
        default=0, description="How many members are ready.", json_schema_extra=INT32
    )
    selector: Text = Field(
        default="", description="The label selector of the members' pods, for `kubectl scale`."
    )
    version: Text = Field(
        default="",
        description="The cluster's version as etcd has agreed on it: the lowest minor of all"
        " members.",
    )
    leader_id: Text = Field(
        default="", alias="leaderID", description="The leader's ID, in hexadecimal."
    )
    leader: Text = Field(default="", description="The leader's name.")
    cluster_id: Text = Field(
        default="",
        alias="clusterID",
        description="etcd's ID of the cluster, in hexadecimal. Recorded once; a member that"
        " answers for another cluster is not believed.",
    )
    client_endpoints: tuple[Text, ...] = Field(
        default=(), description="The URLs under which clients reach the cluster."
    )
    last_backup_time: Time | None = Field(
        default=None,
        description="When the last backup that an EtcdBackup in the same namespace tells of was"
        " completed.",
    )
    last_update_time: Time | None = Field(
        default=None, description="When this status was written last."
    )
    plan: PlanStatus | None = Field(
        default=None, description="The next step, and what it waits for."
    )
    bootstrap: BootstrapStatus | None = Field(
        default=None, description="How the cluster was first made. Do not change."
    )
    voter_ordinals: tuple[Integer, ...] = Field(
        default=(),
        description="The numbers of the pods that are voters: those that are started together"
        " when the cluster wakes up from size 0. Changed only when a change of membership of the"
        " operator's own is complete. Do not change.",
    )
    joining: JoiningMember | None = Field(
        default=None, description="The member that is joining or being replaced. Do not change."
    )
    withdrawn: WithdrawnMember | None = Field(
        default=None, description="The last member that did not manage to join in time."
    )
    replacements: tuple[Replacement, ...] = Field(
        default=(), description="The members that were replaced within the last hour."
    )
    applied_spec: Json | None = Field(
        default=None,
        description="The spec that the running members were made from, with its defaults.",
        json_schema_extra=FREE_FORM,
    )
    rendered: Rendering | None = Field(
        default=None, description="What the operator made of the applied spec. Do not change."
    )
    tls: TLSStatus | None = Field(
        default=None,
        description="With whom members speak TLS; only once that was changed. Do not change.",
    )
    authorities: AuthorityStatus | None = Field(
        default=None,
        description="The certificate authorities that the members trust; only with TLS. Do not"
        " change.",
    )
    certificates: tuple[CertificateStatus, ...] = Field(
        default=(),
        description="The certificates that the operator made; only with TLS.",
        json_schema_extra=keyed_by("secret"),
    )
    refused_certificates: tuple[RefusedCertificate, ...] = Field(
        default=(),
        description="The certificates that the API server refused.",
        json_schema_extra=keyed_by("secret"),
    )
    auth: AuthStatus | None = Field(
        default=None, description="Authentication as it is in etcd; only once it was asked for."
    )
    refused_edit: RefusedEdit | None = Field(
        default=None, description="The edit that the API server refused."
    )
    restore: RestoreAnswer | None = Field(
        default=None,
        description="How far the cluster is with what an EtcdRestore asked of it last.",
    )
    next_epoch: OtherEpoch | None = Field(
        default=None,
        description="The epoch of its data that the cluster is about to change to. Do not change.",
    )
    set_aside: tuple[OtherEpoch, ...] = Field(
        default=(),
        description="The epochs of its data that the cluster had before, whose volumes are kept:"
        " the last one first. Do not change.",
        json_schema_extra=keyed_by("epoch"),
    )
    last_epoch: Integer | None = Field(
        default=None,
        description="The highest number that an epoch was ever given. Do not change.",
        json_schema_extra=INT32,
    )
    upgrade: UpgradeStatus | None = Field(
        default=None,
        description="The change of etcd's version that is under way. Do not change.",
    )
    operator_changes: tuple[Text, ...] = Field(
        default=(),
        description="What this version of the operator would make otherwise, by path; it waits for"
        " spec.acceptOperatorChanges or a maintenance window.",
    )
