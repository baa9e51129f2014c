"""What a cluster is made of: names, files, probes, and the closing of files."""

import copy
import dataclasses

import pytest
import yaml

from api.labels import CLUSTER_UID_LABEL, selector_labels
from controllers.cluster.render import desired_objects, identity, rendering
from controllers.cluster.render.network import disruption_budget
from controllers.cluster.render.normal import differs
from controllers.cluster.render.pods import stateful_set
from tests.unit.controllers.cluster import certificate_builders as tls
from tests.unit.controllers.cluster.builders import (
    UID,
    WHO,
    accepted,
    bootstrap,
    observed,
    pod,
    spec,
)

MEMBERS = {"matchLabels": selector_labels("db")}


def objects(of):
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in desired_objects(of)}


def files(of):
    data = objects(of)["ConfigMap", "db-config"]["data"]
    return {name.rpartition("-")[0]: yaml.safe_load(text) for name, text in data.items()}


def container(of):
    return objects(of)["StatefulSet", "db"]["spec"]["template"]["spec"]["containers"][0]


def digest_of(wanted):
    return rendering(WHO, wanted).digest


def half_started(of):
    """Member 0 has started once, the others never."""
    recorded = of.status.bootstrap
    first = recorded.members[0].model_copy(update={"started": True})
    recorded = recorded.model_copy(update={"members": (first, *recorded.members[1:])})
    status = of.status.model_copy(update={"bootstrap": recorded, "cluster_id": "cafe"})
    return dataclasses.replace(of, status=status)


class TestFiles:
    def test_open_files_name_all_members_and_are_new(self):
        file = files(accepted())["db-1"]

        assert file["initial-cluster-state"] == "new"
        assert file["initial-cluster-token"] == f"{UID}-1"
        assert file["initial-cluster"].split(",") == [
            f"db-{n}=http://db-{n}.db-peer.prod.svc.cluster.local:2380" for n in range(3)
        ]

    def test_closed_file_names_only_its_own_member(self):
        file = files(observed())["db-1"]

        assert file["initial-cluster-state"] == "existing"
        assert file["initial-cluster"] == "db-1=http://db-1.db-peer.prod.svc.cluster.local:2380"

    def test_member_that_never_started_may_still_join_the_formed_cluster(self):
        file = files(half_started(accepted()))["db-2"]

        assert file["initial-cluster-state"] == "existing"
        assert file["initial-cluster"].count("=") == 3

    def test_member_that_has_started_is_closed_though_others_have_not(self):
        file = files(half_started(accepted()))["db-0"]

        assert file["initial-cluster"].count("=") == 1

    def test_no_file_of_a_formed_cluster_is_new(self):
        states = {
            file["initial-cluster-state"] for file in files(half_started(accepted())).values()
        }

        assert states == {"existing"}

    def test_data_lives_below_the_mount(self):
        assert files(observed())["db-0"]["data-dir"] == "/var/lib/etcd/data"

    def test_the_names_hash_is_that_of_the_template(self):
        wanted = observed()
        digest = digest_of(wanted.spec)

        assert f"db-0-{digest}.yaml" in objects(wanted)["ConfigMap", "db-config"]["data"]
        assert container(wanted)["args"] == [f"--config-file=/etc/etcd/$(POD_NAME)-{digest}.yaml"]

    def test_hash_changes_with_options_and_not_with_membership(self):
        assert digest_of(spec(options={"snapshotCount": 7})) != digest_of(spec())
        assert digest_of(spec(size=5)) == digest_of(spec(size=3))

    def test_file_that_a_pod_still_starts_from_is_kept_and_closed(self):
        wanted = observed()
        text = "initial-cluster: a=b,c=d\ninitial-cluster-state: new\nsnapshot-count: 7\n"
        old = mounting(wanted, {"db-0-old.yaml": text, "db-0-gone.yaml": text})

        data = objects(old)["ConfigMap", "db-config"]["data"]

        assert "db-0-gone.yaml" not in data
        assert yaml.safe_load(data["db-0-old.yaml"]) == {
            "initial-cluster": "db-0=http://db-0.db-peer.prod.svc.cluster.local:2380",
            "initial-cluster-state": "existing",
            "initial-cluster-token": f"{UID}-1",
            "snapshot-count": 7,
        }

    @pytest.mark.parametrize("text", ["x", "a: [", ""])
    def test_file_that_somebody_made_unreadable_is_left(self, text):
        old = mounting(observed(), {"db-0-old.yaml": text})

        assert objects(old)["ConfigMap", "db-config"]["data"]["db-0-old.yaml"] == text


def mounting(of, data):
    """Its first pod was made from an older template, which names an older file."""
    old = of.live["ConfigMap", "db-config"]
    live = {**of.live, ("ConfigMap", "db-config"): {**old, "data": data}}
    return dataclasses.replace(of, live=live, pods=(pod(0, config_file="db-0-old.yaml"),))


class TestPods:
    @pytest.mark.parametrize(
        ("version", "live", "ready"),
        [
            ("3.5.9", "/health?serializable=true&exclude=NOSPACE&exclude=CORRUPT", "/health"),
            ("v3.5.21", "/livez", "/readyz"),
            ("3.7.3", "/livez", "/readyz"),
        ],
    )
    def test_probes_are_those_of_the_version(self, version, live, ready):
        made = container(accepted(spec_fields={"version": version}))

        assert made["livenessProbe"]["httpGet"]["path"] == live
        assert made["readinessProbe"]["httpGet"]["path"] == ready

    def test_version_without_its_v_is_the_tag_with_it(self):
        made = container(accepted(spec_fields={"version": "3.5.9"}))

        assert made["image"] == "quay.io/coreos/etcd:v3.5.9"

    def test_liveness_never_depends_on_quorum(self):
        assert "readyz" not in container(accepted())["livenessProbe"]["httpGet"]["path"]

    def test_kubernetes_restarts_nothing_by_itself(self):
        made = objects(accepted())["StatefulSet", "db"]["spec"]

        assert made["updateStrategy"] == {"type": "OnDelete"}
        assert made["podManagementPolicy"] == "Parallel"

    def test_template_does_not_change_with_the_size(self):
        small, large = (
            objects(accepted(size=n))["StatefulSet", "db"]["spec"]["template"] for n in (3, 5)
        )

        assert small == large

    def test_pod_template_is_merged_over_ours(self):
        patch = {"spec": {"tolerations": [{"key": "etcd", "operator": "Exists"}]}}
        made = objects(accepted(spec_fields={"podTemplate": patch}))["StatefulSet", "db"]

        assert made["spec"]["template"]["spec"]["tolerations"] == [
            {"key": "etcd", "operator": "Exists"}
        ]


def pod_spec(**spec_fields):
    made = objects(accepted(spec_fields=spec_fields))["StatefulSet", "db"]
    return made["spec"]["template"]["spec"]


class TestPlacement:
    def test_members_keep_apart_as_far_as_there_are_nodes(self):
        (wish,) = pod_spec()["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ]

        assert wish["weight"] == 100
        assert wish["podAffinityTerm"] == {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": MEMBERS,
        }

    def test_members_never_share_a_node_on_request(self):
        apart = pod_spec(placement={"spread": "Required"})["affinity"]["podAntiAffinity"]
        (term,) = apart.pop("requiredDuringSchedulingIgnoredDuringExecution")

        assert term == {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": MEMBERS,
        }
        assert apart == {}

    def test_zones_are_a_preference(self):
        (zones,) = pod_spec(placement={"spread": "Required"})["topologySpreadConstraints"]

        assert zones == {
            "topologyKey": "topology.kubernetes.io/zone",
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": MEMBERS,
        }

    def test_users_own_rules_win(self):
        wanted = {
            "affinity": {
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}
            },
            "topologySpreadConstraints": [
                {
                    "topologyKey": "topology.kubernetes.io/zone",
                    "whenUnsatisfiable": "DoNotSchedule",
                }
            ],
        }
        made = pod_spec(podTemplate={"spec": wanted})

        assert made["affinity"] == wanted["affinity"]
        (zones,) = made["topologySpreadConstraints"]
        assert (zones["whenUnsatisfiable"], zones["maxSkew"]) == ("DoNotSchedule", 1)

    def test_affinity_to_nodes_leaves_the_members_apart(self):
        made = pod_spec(podTemplate={"spec": {"affinity": {"nodeAffinity": {"x": 1}}}})

        assert set(made["affinity"]) == {"nodeAffinity", "podAntiAffinity"}

    def test_priority_class_is_the_users(self):
        wanted = {"priorityClassName": "system-cluster-critical"}

        assert pod_spec(podTemplate={"spec": wanted})["priorityClassName"] == (
            "system-cluster-critical"
        )

    def test_leadership_can_be_handed_over_before_the_process_ends(self):
        assert pod_spec()["terminationGracePeriodSeconds"] == 30


class TestDisruptionBudget:
    who = identity(accepted(), accepted().status.bootstrap)

    @pytest.mark.parametrize(
        ("voters", "target", "minimum"),
        [(3, 3, 2), (5, 5, 3), (9, 9, 5), (1, 3, 2), (4, 5, 3), (5, 3, 3), (3, 1, 2)],
    )
    def test_evictions_leave_a_quorum_also_while_the_size_changes(self, voters, target, minimum):
        budget = disruption_budget(self.who, voters=voters, target=target)

        assert budget["spec"]["minAvailable"] == minimum
        assert budget["spec"]["selector"]["matchLabels"] == selector_labels("db")

    @pytest.mark.parametrize(("voters", "target"), [(1, 1), (0, 0), (0, 3), (2, 1)])
    def test_no_budget_where_it_would_only_block_drains(self, voters, target):
        assert disruption_budget(self.who, voters=voters, target=target) is None


class TestObjects:
    @pytest.mark.parametrize("obj", desired_objects(observed()), ids=lambda obj: obj["kind"])
    def test_every_object_is_controlled_by_the_cluster_and_carries_its_uid(self, obj):
        (owner,) = obj["metadata"]["ownerReferences"]

        assert (owner["uid"], owner["controller"]) == (UID, True)
        assert obj["metadata"]["labels"][CLUSTER_UID_LABEL] == UID

    def test_claims_carry_the_uid_and_no_owner(self):
        (template,) = objects(accepted())["StatefulSet", "db"]["spec"]["volumeClaimTemplates"]

        assert template["metadata"]["labels"][CLUSTER_UID_LABEL] == UID
        assert "ownerReferences" not in template["metadata"]

    def test_claim_templates_with_the_servers_defaults_are_the_same(self):
        wanted = observed()
        live = copy.deepcopy(dict(wanted.live))
        (template,) = live["StatefulSet", "db"]["spec"]["volumeClaimTemplates"]
        template["spec"]["volumeMode"] = "Filesystem"
        template["status"] = {"phase": "Pending"}
        wanted = dataclasses.replace(wanted, live=live)

        assert not differs(objects(wanted)["StatefulSet", "db"], live["StatefulSet", "db"])

    def test_live_claim_templates_are_kept_because_they_cannot_change(self):
        wanted = observed()
        live = dict(wanted.live)
        live["StatefulSet", "db"]["spec"]["volumeClaimTemplates"] = [{"kept": True}]

        made = objects(dataclasses.replace(wanted, live=live))["StatefulSet", "db"]

        assert made["spec"]["volumeClaimTemplates"] == [{"kept": True}]

    def test_a_later_epochs_members_live_on_volumes_of_their_own(self):
        side = {"name": "side", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}
        wanted = spec(podTemplate={"spec": {"containers": [side]}})
        who = identity(accepted(), bootstrap(1, epoch=2))

        made = stateful_set(
            who,
            wanted,
            rendering(who, wanted).pod_template,
            size=1,
            live_claim_templates=[],
        )["spec"]

        containers = made["template"]["spec"]["containers"]
        mounted = {c["name"]: c["volumeMounts"][0]["name"] for c in containers}
        assert mounted == {"etcd": "data-2", "side": "data-2"}
        assert [t["metadata"]["name"] for t in made["volumeClaimTemplates"]] == ["data-2"]

    def test_peer_service_publishes_members_that_are_not_ready(self):
        made = objects(accepted())["Service", "db-peer"]["spec"]

        assert made["publishNotReadyAddresses"] is True
        assert made["clusterIP"] == "None"

    def test_custom_labels_of_the_service_never_replace_ours(self):
        service = {"type": "NodePort", "labels": {"team": "a"}, "annotations": {"lb": "internal"}}
        made = objects(accepted(spec_fields={"service": service}))["Service", "db"]

        assert made["spec"]["type"] == "NodePort"
        assert made["metadata"]["labels"]["team"] == "a"
        assert made["metadata"]["labels"]["app.kubernetes.io/instance"] == "db"

    def test_nothing_is_rendered_before_acceptance(self):
        assert desired_objects(dataclasses.replace(accepted(), applied=None)) == ()


def test_recorded_domain_makes_the_urls_whatever_the_operator_discovers_later():
    wanted = observed(cluster_domain="other.example")

    assert "cluster.local" in files(wanted)["db-0"]["initial-advertise-peer-urls"]


class TestTLS:
    """What a member's file and pod say when the cluster speaks TLS."""

    def file(self, version):
        made = tls.with_tls(accepted(spec_fields={**tls.TLS, "version": version}))
        data = objects(made)["ConfigMap", "db-config"]["data"]
        return yaml.safe_load(next(iter(data.values())))

    @pytest.mark.parametrize("version", ["3.5.9", "3.5.21", "3.5.35", "3.6.16", "3.7.3"])
    def test_clients_and_members_need_certificates_of_two_authorities(self, version):
        made = self.file(version)

        client, peer = made["client-transport-security"], made["peer-transport-security"]
        assert client["client-cert-auth"] is peer["client-cert-auth"] is True
        assert client["trusted-ca-file"] == "/etc/etcd-tls/server/ca.crt"
        assert peer["trusted-ca-file"] == "/etc/etcd-tls/peer/ca.crt"
        assert made["listen-client-urls"] == "https://0.0.0.0:2379"
        assert made["listen-peer-urls"] == "https://0.0.0.0:2380"
        assert made["initial-advertise-peer-urls"].startswith("https://db-0.db-peer.prod.svc.")
        assert made["advertise-client-urls"].startswith("https://db-0.db-peer.prod.svc.")

    def test_kubelet_needs_no_certificate_for_its_probes(self):
        assert self.file("3.5.21")["listen-metrics-urls"] == "http://0.0.0.0:2381"

    @pytest.mark.parametrize(
        ("version", "allowed"),
        [
            ("3.5.13", None),
            ("3.5.14", "etcd-peer"),
            ("3.5.15", ["etcd-peer"]),
            ("3.6.16", ["etcd-peer"]),
            ("3.7.3", ["etcd-peer"]),
        ],
    )
    def test_members_are_known_by_their_common_name(self, version, allowed):
        assert self.file(version)["peer-transport-security"].get("allowed-cn") == allowed

    def test_secrets_are_mounted_whole(self):
        made = objects(tls.accepted())["StatefulSet", "db"]["spec"]["template"]["spec"]
        secrets = {
            volume["name"]: volume["secret"]["secretName"]
            for volume in made["volumes"]
            if "secret" in volume
        }
        mounts = {mount["name"]: mount for mount in made["containers"][0]["volumeMounts"]}

        # Never an authority's: its key is nobody's but the operator's.
        assert set(secrets.values()) == {"db-server-tls", "db-peer-tls", "db-client-tls"}
        assert all(mounts[name]["readOnly"] and "subPath" not in mounts[name] for name in secrets)

    def test_etcdctl_in_the_pod_needs_no_flag_and_accepts_any(self):
        names = {variable["name"] for variable in container(tls.accepted())["env"]}

        assert names == {"POD_NAME", "ETCDCTL_CACERT", "ETCDCTL_CERT", "ETCDCTL_KEY"}

    def test_plain_cluster_has_none_of_it(self):
        made = container(accepted())

        assert len(made["volumeMounts"]) == 2
        assert [variable["name"] for variable in made["env"]] == ["POD_NAME"]
