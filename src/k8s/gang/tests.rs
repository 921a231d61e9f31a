//! Pods as their controllers write them, and what is made of them.

use serde_json::{Value, json};
use testudo_core::model::gang::{Relation, RoleTerms, Slices, SpreadRule, Strictness, TopologyLevel, TopologyRule};

use super::*;

/// A pending pod with these labels and annotations and this spec, in the namespace `team`.
fn pod(labels: Value, annotations: Value, spec: Value) -> Value {
    json!({
        "metadata": {"name": "p-0", "namespace": "team", "uid": "u", "labels": labels, "annotations": annotations},
        "spec": spec,
    })
}

fn read_as(pod: Value, pending: bool) -> (Option<Membership>, Vec<String>) {
    let pod: object::Pod = serde_json::from_value(pod).unwrap();
    let mut report = Report::on("Pod", &pod.metadata);
    let membership = membership(&pod, pending, &mut report);
    let told = report.into_problems().into_iter();
    (membership, told.map(|p| format!("{}{}: {}", if p.blocking { "!" } else { "" }, p.field, p.what)).collect())
}

fn read(pod: Value) -> (Option<Membership>, Vec<String>) {
    read_as(pod, true)
}

/// The membership of a pod with which nothing is wrong.
fn member(labels: Value, annotations: Value, spec: Value) -> Membership {
    let (membership, told) = read(pod(labels, annotations, spec));
    assert_eq!(told, Vec::<String>::new());
    membership.expect("a membership")
}

fn problems(labels: Value, annotations: Value) -> Vec<String> {
    read(pod(labels, annotations, json!({}))).1
}

/// Gang, dialect and role; part and index.
fn identity(member: &Membership) -> (String, Dialect, &str, Option<u32>, Option<u32>) {
    (member.gang.to_string(), member.gang.dialect, &member.role, member.part, member.index)
}

fn required(label: &str) -> TopologyRule {
    TopologyRule { strictness: Strictness::Required, level: TopologyLevel::Label(label.into()) }
}

fn sized(min_member: u32) -> Terms {
    Terms { min_member: Some(min_member), ..Terms::default() }
}

#[test]
fn a_pod_without_any_of_this_is_no_member() {
    assert_eq!(read(pod(json!({"app": "x"}), json!({"a": "b"}), json!({}))), (None, vec![]));
    let (membership, told) = read(pod(json!({}), json!({"testudo.dev/tensor-parallel-size": "8"}), json!({})));
    assert_eq!((membership, told), (None, vec![]), "a single pod");
}

#[test]
fn ours_on_bare_pods() {
    let annotations = json!({
        "testudo.dev/pod-group": "llama-405b", "testudo.dev/min-member": "2", "testudo.dev/tensor-parallel-size": "8",
        "testudo.dev/pipeline-parallel-size": "2", "testudo.dev/hold-timeout": "10m", "testudo.dev/index": "1",
        "testudo.dev/topology": "required=zone, preferred=clique,preferred=topology.k8s.aws/network-node-layer-3",
    });
    let labels = json!({"testudo.dev/pod-group": "the annotation wins", "testudo.dev/min-member": "9"});
    let member = member(labels, annotations, json!({}));
    assert_eq!(identity(&member), ("team/llama-405b".into(), Dialect::Testudo, "", None, Some(1)));
    let preferred = |level| TopologyRule { strictness: Strictness::Preferred, level };
    let expected = Terms {
        tensor_parallel: Some(8),
        pipeline_parallel: Some(2),
        hold_timeout_ms: Some(600_000),
        topology: vec![
            required("topology.kubernetes.io/zone"),
            preferred(TopologyLevel::Clique),
            preferred(TopologyLevel::Label("topology.k8s.aws/network-node-layer-3".into())),
        ],
        ..sized(2)
    };
    assert_eq!(member.terms, expected);
    assert!(!member.staged);
    assert!(member.relations.is_empty() && member.also.is_empty());
}

#[test]
fn ours_as_labels_of_roles() {
    let labels = json!({
        "testudo.dev/pod-group": "chat", "testudo.dev/min-member": "6", "testudo.dev/role": "prefill",
        "testudo.dev/tensor-parallel-size": "4",
    });
    let member = member(labels, json!({}), json!({}));
    assert_eq!(identity(&member), ("team/chat".into(), Dialect::Testudo, "prefill", None, None));
    let of_role = RoleTerms { tensor_parallel: Some(4), ..RoleTerms::default() };
    assert_eq!(member.terms, Terms { roles: [("prefill".into(), of_role)].into(), ..sized(6) });
}

#[test]
fn ours_beside_other_dialects() {
    let labels = json!({
        "leaderworkerset.sigs.k8s.io/name": "vllm", "leaderworkerset.sigs.k8s.io/group-index": "3",
        "leaderworkerset.sigs.k8s.io/worker-index": "1",
    });
    let annotations = json!({
        "leaderworkerset.sigs.k8s.io/size": "2", "testudo.dev/tensor-parallel-size": "16",
        "testudo.dev/topology": "required=device-fabric",
    });
    let member = member(labels, annotations, json!({}));
    assert_eq!(identity(&member), ("team/vllm/3".into(), Dialect::LeaderWorkerSet, "worker", None, Some(1)));
    assert_eq!((member.terms.min_member, member.terms.tensor_parallel), (Some(2), Some(16)));
    let level = TopologyLevel::DeviceFabric;
    assert_eq!(member.terms.topology, [TopologyRule { strictness: Strictness::Required, level }]);
}

#[test]
fn ours_that_make_no_sense_keep_a_pod_off_every_node() {
    let one = |key: &str, value: &str| problems(json!({}), json!({key: value})).join("; ");
    let told =
        |key: &str, what: &str| format!("!metadata.annotations[testudo.dev/{key}]: {what}; the pod is not placed");
    for nonsense in ["0", "10001", "two", "-1", "", "2.5"] {
        let expected = told("min-member", &format!("{nonsense:?} is no whole number from 1 to 10000"));
        assert_eq!(one("testudo.dev/min-member", nonsense), expected);
    }
    let expected = told("tensor-parallel-size", "\"1025\" is no whole number from 1 to 1024");
    assert_eq!(one("testudo.dev/tensor-parallel-size", "1025"), expected);
    let expected = told("hold-timeout", "\"0s\" is no time from 1s to 7days, such as 90s or 10m");
    assert_eq!(one("testudo.dev/hold-timeout", "0s"), expected);
    let expected = told("topology", "\"node\" is neither required=LEVEL nor preferred=LEVEL");
    assert_eq!(one("testudo.dev/topology", "node"), expected);
    let levels = "is no level: device-fabric, node, clique, zone, region or the key of a label of nodes";
    assert_eq!(one("testudo.dev/topology", "required=a b"), told("topology", &format!("\"a b\" {levels}")));
    assert_eq!(one("testudo.dev/topology", "required="), told("topology", &format!("\"\" {levels}")));
    assert!(one("testudo.dev/role", "pre/fill").contains("is no name"));
    assert!(one("testudo.dev/pod-group", "").contains("\"\" is no name"));
    assert!(one("testudo.dev/pod-group", "a/b").contains("it has a slash"));
    assert!(
        problems(json!({"testudo.dev/index": "first"}), json!({}))[0]
            .starts_with("!metadata.labels[testudo.dev/index]")
    );
}

#[test]
fn nonsense_does_not_move_a_pod_that_has_a_node() {
    let (membership, told) = read_as(
        pod(json!({"scheduling.x-k8s.io/pod-group": "pg"}), json!({"testudo.dev/min-member": "many"}), json!({})),
        false,
    );
    assert_eq!(
        told,
        ["metadata.annotations[testudo.dev/min-member]: \"many\" is no whole number from 1 to 10000; ignored"]
    );
    assert_eq!(membership.unwrap().terms, Terms::default());
}

#[test]
fn native_groups_of_every_version() {
    let named = |spec: Value| {
        let member = member(json!({}), json!({}), spec);
        assert_eq!((member.gang.dialect, &member.terms), (Dialect::Native, &Terms::default()));
        member.gang.name
    };
    assert_eq!(named(json!({"schedulingGroup": {"podGroupName": "training-workers"}})), "training-workers");
    assert_eq!(named(json!({"workloadRef": {"name": "job", "podGroup": "workers"}})), "job/workers");
    let replica = json!({"workloadRef": {"name": "job", "podGroup": "workers", "podGroupReplicaKey": "a"}});
    assert_eq!(named(replica), "job/workers/a");
    assert_eq!(read(pod(json!({}), json!({}), json!({"schedulingGroup": {}, "workloadRef": null}))), (None, vec![]));
    let replica = GangKey { namespace: "t".into(), name: "job/workers/a".into(), dialect: Dialect::Native };
    let described: Vec<String> = replica.described_by().map(|key| key.name).collect();
    assert_eq!(described, ["job/workers/a", "job/workers", "job"]);
}

#[test]
fn coscheduling_groups_of_every_age() {
    let named = |labels: Value| {
        let member = member(labels, json!({}), json!({}));
        (member.gang.name.clone(), member.gang.dialect, member.terms)
    };
    let expected = ("pg".to_owned(), Dialect::Coscheduling, Terms::default());
    assert_eq!(named(json!({"scheduling.x-k8s.io/pod-group": "pg"})), expected);
    assert_eq!(named(json!({"pod-group.scheduling.sigs.k8s.io": "pg"})), expected);
    let lightweight =
        json!({"pod-group.scheduling.sigs.k8s.io/name": "pg", "pod-group.scheduling.sigs.k8s.io/min-available": "3"});
    assert_eq!(named(lightweight), ("pg".to_owned(), Dialect::Coscheduling, sized(3)));
}

#[test]
fn volcano_groups() {
    // A pod of a Volcano job.
    let labels = json!({
        "volcano.sh/job-name": "mpi", "volcano.sh/job-namespace": "team", "volcano.sh/queue-name": "default",
        "volcano.sh/task-index": "2", "volcano.sh/task-spec": "worker",
    });
    let annotations = json!({
        "scheduling.k8s.io/group-name": "mpi-0f6d", "volcano.sh/job-name": "mpi", "volcano.sh/job-version": "0",
        "volcano.sh/task-index": "2", "volcano.sh/task-spec": "worker", "volcano.sh/template-uid": "mpi-worker",
    });
    let job = member(labels, annotations, json!({"schedulerName": "default-scheduler"}));
    assert_eq!(identity(&job), ("team/mpi-0f6d".into(), Dialect::Volcano, "worker", None, Some(2)));
    let annotations = json!({"scheduling.volcano.sh/group-name": "pg", "scheduling.volcano.sh/group-min-member": "4"});
    let member = member(json!({}), annotations, json!({}));
    assert_eq!((member.gang.name.as_str(), member.terms), ("pg", sized(4)));
}

#[test]
fn kai_groups() {
    let labels = json!({"kai.scheduler/queue": "team", "kai.scheduler/subgroup-name": "decode"});
    let member = member(labels, json!({"pod-group-name": "pg-chat-2f9c"}), json!({}));
    assert_eq!(identity(&member), ("team/pg-chat-2f9c".into(), Dialect::Kai, "decode", None, None));
}

#[test]
fn koordinator_gangs() {
    let annotations = json!({
        "gang.scheduling.koordinator.sh/name": "gang-a", "gang.scheduling.koordinator.sh/min-available": "3",
        "gang.scheduling.koordinator.sh/total-number": "5", "gang.scheduling.koordinator.sh/mode": "Strict",
        "gang.scheduling.koordinator.sh/waiting-time": "300s",
    });
    let member = member(json!({}), annotations.clone(), json!({}));
    assert_eq!(identity(&member), ("team/gang-a".into(), Dialect::Koordinator, "", None, None));
    assert_eq!(member.terms, Terms { total: Some(5), hold_timeout_ms: Some(300_000), ..sized(3) });
    let with = |key: &str, value: &str| {
        let mut annotations = annotations.clone();
        annotations[key] = value.into();
        read(pod(json!({}), annotations, json!({})))
    };
    let groups = "gang.scheduling.koordinator.sh/groups";
    let (bundled, told) = with(groups, r#"["team/gang-b", "team/gang-a"]"#);
    assert_eq!(told, Vec::<String>::new());
    let bundled = bundled.unwrap();
    assert_eq!(identity(&bundled), ("team/gang-a+gang-b".into(), Dialect::Koordinator, "gang-a", None, None));
    let role = |min, total| RoleTerms { min_member: Some(min), total, ..RoleTerms::default() };
    assert_eq!(bundled.terms.roles, [("gang-a".into(), role(3, Some(5))), ("gang-b".into(), role(1, None))].into());
    assert_eq!((bundled.terms.min_member, bundled.terms.total), (None, None));
    assert_eq!(with(groups, r#"["team/gang-a"]"#).0.unwrap().gang.name, "gang-a", "alone");
    assert!(with(groups, r#"["other/gang-b"]"#).1[0].contains("\"other/gang-b\" is no gang of the namespace team"));
    assert!(with(groups, "gang-b").1[0].contains("is no list of gangs"));
    assert!(with("gang.scheduling.koordinator.sh/min-available", "x").1[0].starts_with("!"));
    assert!(with("gang.scheduling.koordinator.sh/waiting-time", "long").1[0].contains("is no time"));
}

#[test]
fn grove_gangs_that_kai_schedules() {
    let labels = json!({
        "app.kubernetes.io/managed-by": "grove-operator", "app.kubernetes.io/part-of": "llm",
        "grove.io/podclique": "llm-0-decode", "grove.io/podgang": "llm-0", "grove.io/podclique-pod-index": "1",
        "grove.io/podcliqueset-replica-index": "0", "grove.io/pod-template-hash": "5f",
    });
    let member = |labels: Value, annotations: Value| member(labels, annotations, json!({}));
    let grove = member(labels.clone(), json!({}));
    assert_eq!(identity(&grove), ("team/llm-0".into(), Dialect::Grove, "llm-0-decode", None, Some(1)));
    let kai = member(labels, json!({"pod-group-name": "pg-llm-0-1234"}));
    assert_eq!(
        (kai.gang.dialect, kai.also),
        (Dialect::Kai, vec![grove.gang]),
        "its pod grouper made the group for Grove"
    );
}

/// What the controller of LeaderWorkerSets and its webhook write.
fn of_leader_worker_set(worker: u32, annotations: Value) -> (Value, Value) {
    let labels = json!({
        "leaderworkerset.sigs.k8s.io/name": "vllm", "leaderworkerset.sigs.k8s.io/group-index": "3",
        "leaderworkerset.sigs.k8s.io/worker-index": worker.to_string(), "leaderworkerset.sigs.k8s.io/group-key": "9b1f",
        "leaderworkerset.sigs.k8s.io/template-revision-hash": "7c", "apps.kubernetes.io/pod-index": "3",
        "statefulset.kubernetes.io/pod-name": "vllm-3",
    });
    let mut annotations = annotations;
    annotations["leaderworkerset.sigs.k8s.io/size"] = "5".into();
    (labels, annotations)
}

#[test]
fn groups_of_a_leader_worker_set() {
    let of = |worker, annotations| {
        let (labels, annotations) = of_leader_worker_set(worker, annotations);
        member(labels, annotations, json!({}))
    };
    let leader = of(0, json!({}));
    assert_eq!(identity(&leader), ("team/vllm/3".into(), Dialect::LeaderWorkerSet, "leader", None, Some(0)));
    assert!(leader.staged);
    assert_eq!(leader.gang.described_by().nth(1).map(|key| key.name).as_deref(), Some("vllm"));
    let worker = of(4, json!({"leaderworkerset.sigs.k8s.io/exclusive-topology": "topology.kubernetes.io/zone"}));
    assert_eq!(identity(&worker), ("team/vllm/3".into(), Dialect::LeaderWorkerSet, "worker", None, Some(4)));
    assert_eq!(worker.terms.topology, [required("topology.kubernetes.io/zone")]);
    let (peers, zone) = (Peers::Groups("team".into()), Some("topology.kubernetes.io/zone".into()));
    assert_eq!(worker.exclusivity, Some(Exclusivity { peers: peers.clone(), topology: zone }));
    assert_eq!(leader.exclusivity, Some(Exclusivity { peers, topology: None }));
    let role =
        |members, first| RoleTerms { min_member: Some(members), total: Some(members), first, ..RoleTerms::default() };
    assert_eq!(worker.terms.roles, [("leader".into(), role(1, 0)), ("worker".into(), role(4, 1))].into());
    assert_eq!((worker.terms.min_member, worker.terms.total), (Some(5), Some(5)));
    let subgroups = |size: &str| {
        let annotations = json!({
            "leaderworkerset.sigs.k8s.io/subgroup-size": size,
            "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology": "kubernetes.io/hostname",
        });
        let terms = of(0, annotations).terms;
        (terms.slices, terms.roles["worker"].slices.clone())
    };
    let slices = |members| Some(Slices { members, within: TopologyLevel::Node });
    assert_eq!(subgroups("5"), (slices(5), None));
    assert_eq!(subgroups("2"), (None, slices(2)), "the leader is one more");
}

#[test]
fn a_volcano_group_made_for_a_leader_worker_set() {
    let (labels, annotations) = of_leader_worker_set(1, json!({"scheduling.k8s.io/group-name": "vllm-3-7c"}));
    let member = member(labels, annotations, json!({}));
    assert_eq!((member.gang.dialect, &*member.role, member.terms.total), (Dialect::Volcano, "worker", Some(5)));
    assert_eq!(member.also.iter().map(ToString::to_string).collect::<Vec<_>>(), ["team/vllm/3"]);
}

#[test]
fn exclusive_topology_is_that_of_a_group() {
    let term = json!({"topologyKey": "rack", "labelSelector": {"matchExpressions": [
        {"key": "leaderworkerset.sigs.k8s.io/group-key", "operator": "In", "values": ["9b1f"]},
    ]}});
    let spec = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let relations = |annotations: Value| {
        let (labels, annotations) = of_leader_worker_set(1, annotations);
        member(labels, annotations, spec.clone()).relations
    };
    assert_eq!(relations(json!({})), [Relation::Together("rack".into())]);
    assert_eq!(relations(json!({"testudo.dev/pod-group": "chat"})), [], "not of a gang of several");
}

#[test]
fn several_groups_of_leader_worker_sets_as_one_gang() {
    let annotations =
        json!({"testudo.dev/pod-group": "chat", "testudo.dev/role": "decode", "testudo.dev/min-member": "15"});
    let (labels, annotations) = of_leader_worker_set(1, annotations);
    let member = member(labels, annotations, json!({}));
    assert_eq!(identity(&member), ("team/chat".into(), Dialect::Testudo, "decode", Some(3), Some(1)));
    assert_eq!(
        (member.terms.total, member.terms.roles.len()),
        (None, 0),
        "the size of one group is not that of the gang"
    );
}

#[test]
fn jobsets() {
    let labels = json!({
        "jobset.sigs.k8s.io/jobset-name": "train", "jobset.sigs.k8s.io/replicatedjob-name": "workers",
        "jobset.sigs.k8s.io/replicatedjob-replicas": "4", "jobset.sigs.k8s.io/job-index": "2",
        "jobset.sigs.k8s.io/job-global-index": "3", "jobset.sigs.k8s.io/job-key": "ab12",
        "jobset.sigs.k8s.io/global-replicas": "5", "jobset.sigs.k8s.io/restart-attempt": "0",
        "batch.kubernetes.io/job-name": "train-workers-2", "batch.kubernetes.io/job-completion-index": "7",
    });
    // What its webhook adds for exclusive placement is asked for among the pods of one job.
    let selector = |operator: &str| {
        json!({"matchExpressions": [
            {"key": "jobset.sigs.k8s.io/job-key", "operator": operator, "values": ["ab12"]},
        ]})
    };
    let term = |selector: Value| {
        json!({"requiredDuringSchedulingIgnoredDuringExecution":
        [{"labelSelector": selector, "topologyKey": "cloud.provider.com/rack", "namespaceSelector": {}}]})
    };
    let affinity = json!({"podAffinity": term(selector("In")), "podAntiAffinity": term(selector("NotIn"))});
    let plain = member(labels.clone(), json!({}), json!({"affinity": affinity}));
    assert_eq!(identity(&plain), ("team/train".into(), Dialect::JobSet, "workers", Some(2), Some(7)));
    assert!(plain.staged);
    assert_eq!(plain.relations, []);
    let exclusive = |annotations: Value| {
        let member = member(labels.clone(), annotations, json!({}));
        let of_role = member.terms.roles.get("workers").and_then(|role| role.exclusive.clone());
        let own = member.exclusivity.expect("it is of a job");
        assert_eq!((own.peers, &own.topology), (Peers::Jobs, &of_role));
        of_role
    };
    let topology = "alpha.jobset.sigs.k8s.io/exclusive-topology";
    assert_eq!(exclusive(json!({topology: "rack"})).as_deref(), Some("rack"));
    assert_eq!(exclusive(json!({})), None);
    let labelled = json!({topology: "rack", "alpha.jobset.sigs.k8s.io/node-selector": "true"});
    assert_eq!(exclusive(labelled), None, "labels of nodes keep jobs apart, not affinity");
    let mut queued = labels;
    queued["kueue.x-k8s.io/pod-group-name"] = "something-else".into();
    let queued = member(queued, json!({}), json!({}));
    assert_eq!((queued.gang.dialect, queued.also.len()), (Dialect::JobSet, 1), "Kueue's name beside it is no conflict");
}

#[test]
fn ray_clusters() {
    let labels = |more: Value| {
        let mut labels = json!({
            "app.kubernetes.io/created-by": "kuberay-operator", "app.kubernetes.io/name": "kuberay",
            "ray.io/cluster": "serve", "ray.io/is-ray-node": "yes", "ray.io/node-type": "worker", "ray.io/group": "gpu",
        });
        labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        labels
    };
    let of = |more: Value| member(labels(more), json!({}), json!({}));
    let head = of(json!({"ray.io/node-type": "head", "ray.io/group": "headgroup"}));
    assert_eq!(identity(&head), ("team/serve".into(), Dialect::KubeRay, "headgroup", None, None));
    assert!(!head.staged);
    assert_eq!(identity(&of(json!({}))), ("team/serve".into(), Dialect::KubeRay, "gpu", None, None));
    let single = of(json!({"ray.io/worker-group-replica-index": "3"}));
    assert_eq!((single.part, single.index), (None, Some(3)));
    let hosts = json!({
        "ray.io/worker-group-replica-index": "3", "ray.io/worker-group-replica-name": "gpu-xh3hf",
        "ray.io/replica-host-index": "1",
    });
    let multi_host = of(hosts);
    assert_eq!((multi_host.part, multi_host.index), (Some(3), Some(1)));
    let submitter = json!({"ray.io/cluster": "serve", "ray.io/originated-from-crd": "RayJob"});
    assert_eq!(read(pod(submitter, json!({}), json!({}))), (None, vec![]));
    // As KubeRay writes it for scheduler-plugins, and for Kubernetes' own gangs.
    let coscheduled = of(json!({"scheduling.x-k8s.io/pod-group": "serve"}));
    assert_eq!((coscheduled.gang.dialect, coscheduled.also), (Dialect::Coscheduling, vec![head.gang.clone()]));
    let native = member(labels(json!({})), json!({}), json!({"schedulingGroup": {"podGroupName": "serve-cluster"}}));
    assert_eq!((native.gang.dialect, native.also), (Dialect::Native, vec![head.gang]));
}

#[test]
fn kueue_groups_and_topology() {
    let labels = json!({"kueue.x-k8s.io/queue-name": "q", "kueue.x-k8s.io/pod-group-name": "g", "kueue.x-k8s.io/pod-group-pod-index": "2"});
    let annotations = json!({
        "kueue.x-k8s.io/pod-group-total-count": "4", "kueue.x-k8s.io/podset-required-topology": "cloud.provider.com/block",
        "kueue.x-k8s.io/podset-slice-required-topology": "kubernetes.io/hostname", "kueue.x-k8s.io/podset-slice-size": "2",
    });
    let plain = member(labels, annotations, json!({}));
    assert_eq!(identity(&plain), ("team/g".into(), Dialect::Kueue, "", None, Some(2)));
    let slices = Some(Slices { members: 2, within: TopologyLevel::Node });
    let topology = vec![required("cloud.provider.com/block")];
    assert_eq!(plain.terms, Terms { total: Some(4), topology: topology.clone(), slices, ..sized(4) });
    let labels = json!({"jobset.sigs.k8s.io/jobset-name": "t", "jobset.sigs.k8s.io/replicatedjob-name": "w"});
    let annotations = |group: Value| json!({"kueue.x-k8s.io/podset-required-topology": "cloud.provider.com/block", "kueue.x-k8s.io/podset-group-name": group});
    let mut own = annotations(Value::Null);
    own.as_object_mut().unwrap().remove("kueue.x-k8s.io/podset-group-name");
    assert_eq!(member(labels.clone(), own, json!({})).terms.roles["w"].topology, topology, "of its podset");
    assert_eq!(member(labels, annotations("all".into()), json!({})).terms.topology, topology, "podsets as one");
    assert!(problems(json!({}), json!({"kueue.x-k8s.io/podset-required-topology": "a b"})).is_empty(), "no gang");
    let wrong = problems(
        json!({"kueue.x-k8s.io/pod-group-name": "g"}),
        json!({"kueue.x-k8s.io/podset-required-topology": "a b"}),
    );
    assert!(wrong[0].contains("\"a b\" is no key of a label"), "{wrong:?}");
}

#[test]
fn servers_that_kueue_admits_together_start_each_for_itself_unless_they_say_otherwise() {
    let server = |ours: &[(&str, &str)], owner: &str| {
        let mut annotations = json!({
            "kueue.x-k8s.io/pod-group-total-count": "8", "kueue.x-k8s.io/pod-group-serving": "true",
        });
        for (key, value) in ours {
            annotations[*key] = json!(value);
        }
        let labels = json!({"kueue.x-k8s.io/pod-group-name": "g"});
        let mut pod = pod(labels, annotations, json!({}));
        pod["metadata"]["ownerReferences"] = json!([{"kind": owner, "name": "s", "controller": true}]);
        read(pod).0.expect("a membership").terms.min_member
    };
    assert_eq!(server(&[], "StatefulSet"), Some(1));
    assert_eq!(server(&[("testudo.dev/tensor-parallel-size", "8")], "StatefulSet"), Some(8));
    assert_eq!(server(&[("testudo.dev/min-member", "4")], "StatefulSet"), Some(4));
    assert_eq!(server(&[], "Job"), Some(8));
}

#[test]
fn numbers_of_anything_that_numbers() {
    let number = |labels: Value, annotations: Value, name: &str| {
        let mut pod = pod(labels, annotations, json!({}));
        pod["metadata"]["labels"]["testudo.dev/pod-group"] = "g".into();
        pod["metadata"]["name"] = name.into();
        let member = read(pod).0.unwrap();
        (member.index, member.staged)
    };
    assert_eq!(number(json!({"apps.kubernetes.io/pod-index": "4"}), json!({}), "p"), (Some(4), true));
    assert_eq!(number(json!({"statefulset.kubernetes.io/pod-name": "db-2"}), json!({}), "db-2"), (Some(2), false));
    assert_eq!(number(json!({"training.kubeflow.org/replica-index": "1"}), json!({}), "p"), (Some(1), false));
    assert_eq!(number(json!({}), json!({"batch.kubernetes.io/job-completion-index": "6"}), "p"), (Some(6), false));
    let chosen = json!({"kueue.x-k8s.io/pod-group-pod-index-label": "example.com/rank"});
    assert_eq!(number(json!({"example.com/rank": "5"}), chosen, "p"), (Some(5), false));
    assert_eq!(number(json!({"apps.kubernetes.io/pod-index": "many"}), json!({}), "p"), (None, true));
    let owned = json!({"metadata": {"labels": {"testudo.dev/pod-group": "g"}, "ownerReferences":
        [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]}});
    assert!(read(owned).0.unwrap().staged);
}

#[test]
fn gangs_that_contradict_each_other_are_told() {
    let labels = json!({"scheduling.x-k8s.io/pod-group": "blue"});
    let (membership, told) = read(pod(labels, json!({"scheduling.k8s.io/group-name": "green"}), json!({})));
    assert_eq!(membership.map(|m| (m.gang.name, m.also.len())), Some(("blue".into(), 0)));
    let expected = "metadata.annotations[scheduling.k8s.io/group-name]: names the gang \"green\" (PodGroup \
                    (scheduling.volcano.sh)), but metadata.labels[scheduling.x-k8s.io/pod-group] names \"blue\" (PodGroup \
                    (scheduling.x-k8s.io)), which counts";
    assert_eq!(told, [expected]);
    let told =
        problems(json!({"scheduling.x-k8s.io/pod-group": "a", "pod-group.scheduling.sigs.k8s.io": "b"}), json!({}));
    assert_eq!(told.len(), 1, "two forms of one dialect: {told:?}");
    let same =
        problems(json!({"scheduling.x-k8s.io/pod-group": "a", "pod-group.scheduling.sigs.k8s.io": "a"}), json!({}));
    assert_eq!(same, Vec::<String>::new());
    let queue =
        problems(json!({"scheduling.x-k8s.io/pod-group": "a", "kueue.x-k8s.io/pod-group-name": "b"}), json!({}));
    assert_eq!(queue.len(), 1, "{queue:?}");
    let near = problems(
        json!({"scheduling.x-k8s.io/pod-group": "train", "kueue.x-k8s.io/pod-group-name": "training"}),
        json!({}),
    );
    assert_eq!(near.len(), 1, "a name inside of a word is another name: {near:?}");
}

#[test]
fn relations_to_pods_like_itself() {
    let term = |selector: Value, more: Value| {
        let mut term = json!({"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"});
        term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        term
    };
    let own = json!({"matchLabels": {"app": "x"}});
    let relations = |anti: Vec<Value>, together: Vec<Value>, spread: Vec<Value>| {
        let affinity = json!({
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": anti},
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": together},
        });
        let spec = json!({"affinity": affinity, "topologySpreadConstraints": spread});
        member(json!({"app": "x", "testudo.dev/pod-group": "g"}), json!({}), spec).relations
    };
    let apart = |terms: Vec<Value>| relations(terms, vec![], vec![]);
    let expected = [Relation::Apart("kubernetes.io/hostname".into())];
    assert_eq!(apart(vec![term(own.clone(), json!({})), term(own.clone(), json!({}))]), expected);
    assert_eq!(apart(vec![term(own.clone(), json!({"namespaces": ["team"]}))]), expected);
    assert_eq!(apart(vec![term(own.clone(), json!({"namespaceSelector": {}}))]), expected);
    assert_eq!(apart(vec![term(json!({}), json!({}))]), expected, "an empty selector selects all");
    let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": values}]});
    assert_eq!(apart(vec![term(expression("In", json!(["x", "y"])), json!({}))]), expected);
    assert_eq!(apart(vec![term(expression("Exists", Value::Null), json!({}))]), expected);
    for others in [
        term(Value::Null, json!({})),
        term(json!({"matchLabels": {"app": "y"}}), json!({})),
        term(expression("NotIn", json!(["x"])), json!({})),
        term(expression("DoesNotExist", Value::Null), json!({})),
        term(expression("Near", Value::Null), json!({})),
        term(own.clone(), json!({"namespaces": ["elsewhere"]})),
        term(own.clone(), json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
        term(own.clone(), json!({"mismatchLabelKeys": ["app"]})),
    ] {
        assert_eq!(apart(vec![others.clone()]), [], "{others}");
    }
    assert_eq!(
        relations(vec![], vec![term(own.clone(), json!({}))], vec![]),
        [Relation::Together("kubernetes.io/hostname".into())]
    );
    let spread = |when: &str, skew: i32| {
        let constraint = json!({"maxSkew": skew, "topologyKey": "z", "whenUnsatisfiable": when, "labelSelector": own});
        relations(vec![], vec![], vec![constraint])
    };
    assert_eq!(spread("DoNotSchedule", 2), [Relation::Spread(SpreadRule::new("z", 2))]);
    let of_some = json!({
        "maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own,
        "minDomains": 3, "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor",
    });
    let rule = SpreadRule { min_domains: 3, by_affinity: false, by_taints: true, ..SpreadRule::new("z", 1) };
    assert_eq!(relations(vec![], vec![], vec![of_some]), [Relation::Spread(rule)]);
    assert_eq!(spread("ScheduleAnyway", 2), []);
    assert_eq!(spread("DoNotSchedule", 0), []);
}
