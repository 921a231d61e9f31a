//! Group objects as people and controllers write them, and what is made of them.

use serde_json::json;
use testudo_core::model::gang::{Slices, Strictness, TopologyLevel, TopologyRule};
use testudo_core::model::resources::Resources;

use super::*;

fn kind(api_group: &str, name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| (kind.api_group, kind.name) == (api_group, name)).expect("a kind")
}

fn read_annotated(api_group: &str, name: &str, annotations: Value, spec: Value) -> (Vec<Group>, Vec<String>) {
    let metadata = json!({
        "name": "g", "namespace": "team", "uid": "u-1", "creationTimestamp": "2026-01-02T03:04:05Z",
        "annotations": annotations, "labels": null, "managedFields": [],
    });
    let object =
        json!({"apiVersion": "any/v1", "kind": name, "metadata": metadata, "spec": spec, "status": {"phase": 7}});
    let (groups, problems) = decode(kind(api_group, name), "v1", &serde_json::from_value(object).unwrap()).unwrap();
    (groups, problems.iter().map(ToString::to_string).collect())
}

fn read(api_group: &str, name: &str, spec: Value) -> (Vec<Group>, Vec<String>) {
    read_annotated(api_group, name, json!({}), spec)
}

/// The one gang of an object with which nothing is wrong.
fn group(api_group: &str, name: &str, spec: Value) -> Group {
    let (mut groups, problems) = read(api_group, name, spec);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(groups.len(), 1);
    groups.remove(0)
}

fn terms(api_group: &str, name: &str, spec: Value) -> Terms {
    group(api_group, name, spec).terms
}

fn rule(strictness: Strictness, label: &str) -> TopologyRule {
    TopologyRule { strictness, level: TopologyLevel::Label(label.into()) }
}

/// A template for pods with this many GPUs.
fn template(gpus: u32) -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [
        {"name": "main", "image": "x", "resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}}},
    ]}})
}

fn gpus(role: &RoleTerms) -> i64 {
    role.template.as_ref().expect("a template").requests.get("nvidia.com/gpu")
}

/// Least number, total and part of a role.
fn sizes(terms: &Terms, role: &str) -> (Option<u32>, Option<u32>, Option<u32>) {
    let role = &terms.roles[role];
    (role.min_member, role.total, role.part_size)
}

#[test]
fn native_pod_groups_of_1_36_and_1_37() {
    let spec = json!({
        "podGroupTemplateRef": {"workload": {"workloadName": "job", "podGroupTemplateName": "workers"}},
        "schedulingPolicy": {"gang": {"minCount": 16}}, "priority": 1000, "disruptionMode": "PodGroup",
        "schedulingConstraints": {"topology": [{"key": "topology.kubernetes.io/zone"}]},
    });
    let of_1_36 = group("scheduling.k8s.io", "PodGroup", spec);
    assert_eq!((of_1_36.key.to_string().as_str(), of_1_36.key.dialect), ("team/g", Dialect::Native));
    assert_eq!((&*of_1_36.object.uid, of_1_36.created_s, of_1_36.priority), ("u-1", 1_767_323_045, Some(1000)));
    let topology = vec![rule(Strictness::Required, "topology.kubernetes.io/zone")];
    assert_eq!(of_1_36.terms, Terms { min_member: Some(16), topology, ..Terms::default() });
    let of_1_37 = json!({
        "workloadRef": {"workloadName": "job", "templateName": "workers"}, "disruptionMode": {"all": {}},
        "schedulingPolicy": {"gang": {"minCount": 4}}, "preemptionPolicy": "Never",
    });
    assert_eq!(terms("scheduling.k8s.io", "PodGroup", of_1_37).min_member, Some(4));
    let basic = json!({"schedulingPolicy": {"basic": {}}, "schedulingConstraints": null});
    assert_eq!(terms("scheduling.k8s.io", "PodGroup", basic).min_member, Some(0), "each for itself");
    let part = json!({"schedulingPolicy": {"gang": {"minCount": 4}}, "parentCompositePodGroupName": "all"});
    assert!(read("scheduling.k8s.io", "PodGroup", part).1[0].contains("does not wait for the others of \"all\""));
}

#[test]
fn native_workloads_of_1_35() {
    let spec = json!({
        "controllerRef": {"apiGroup": "batch", "kind": "Job", "name": "job"},
        "podGroups": [
            {"name": "driver", "policy": {"basic": {}}}, {"name": "workers", "policy": {"gang": {"minCount": 8}}},
            {"name": "", "policy": {}},
        ],
    });
    let (groups, problems) = read("scheduling.k8s.io", "Workload", spec);
    let said: Vec<_> = groups.iter().map(|group| (group.key.name.as_str(), group.terms.min_member)).collect();
    assert_eq!(said, [("g/driver", Some(0)), ("g/workers", Some(8))]);
    assert!(problems[0].starts_with("Workload team/g: spec.podGroups[2].name: \"\" is no name"), "{problems:?}");
}

#[test]
fn a_bundle_that_only_a_pod_group_names_starts_in_no_part() {
    let read = |gangs: &str| {
        let annotations = json!({"gang.scheduling.koordinator.sh/groups": gangs});
        read_annotated("scheduling.sigs.k8s.io", "PodGroup", annotations, json!({"minMember": 4}))
    };
    let (groups, problems) = read(r#"["team/g", "team/h"]"#);
    assert!(groups[0].fault.is_some() && problems[0].contains("this is read on pods only"), "{problems:?}");
    assert!(read("[").0[0].fault.is_some());
    assert_eq!(read(r#"["team/g"]"#).1, Vec::<String>::new(), "itself");
}

#[test]
fn coscheduling_pod_groups() {
    for api_group in ["scheduling.x-k8s.io", "scheduling.sigs.k8s.io"] {
        let spec = json!({"minMember": 3, "minResources": {"cpu": "3"}, "scheduleTimeoutSeconds": 10});
        let group = group(api_group, "PodGroup", spec);
        assert_eq!(group.key.dialect, Dialect::Coscheduling);
        assert_eq!(group.terms, Terms { min_member: Some(3), hold_timeout_ms: Some(10_000), ..Terms::default() });
    }
    assert_eq!(terms("scheduling.x-k8s.io", "PodGroup", Value::Null), Terms::default());
}

#[test]
fn volcano_pod_groups() {
    let volcano =
        |annotations: Value, spec: Value| read_annotated("scheduling.volcano.sh", "PodGroup", annotations, spec);
    let spec =
        json!({"minMember": 5, "minTaskMember": {"master": 1, "worker": 4}, "queue": "default", "minResources": {}});
    let (groups, problems) = volcano(json!({}), spec);
    assert_eq!(problems, Vec::<String>::new());
    let terms = &groups[0].terms;
    assert_eq!((terms.min_member, sizes(terms, "worker")), (Some(5), (Some(4), None, None)));
    let topology = |mode: &str| json!({"minMember": 2, "networkTopology": {"mode": mode, "highestTierAllowed": 1}});
    let (groups, problems) = volcano(json!({}), topology("hard"));
    let told = "spec.networkTopology: tiers of HyperNodes are not read; say it with testudo.dev/topology instead; its pods \
                are not placed";
    assert_eq!(
        (problems[0].as_str(), groups[0].fault.as_deref()),
        (format!("PodGroup team/g: {told}").as_str(), Some(told))
    );
    let (groups, problems) = volcano(json!({}), topology("soft"));
    assert_eq!((problems.len(), &groups[0].fault), (1, &None));
    let (groups, problems) = volcano(json!({"testudo.dev/topology": "required=clique"}), topology("hard"));
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(groups[0].terms.topology[0].level, TopologyLevel::Clique);
    let subgroups = json!({"subGroupPolicy": [{"name": "a", "subGroupSize": 2, "networkTopology": {"mode": "hard"}}]});
    assert!(volcano(json!({}), subgroups).0[0].fault.is_some());
    // As the controller of LeaderWorkerSets makes it for leaders that start first.
    let object = json!({"metadata": {"name": "vllm-0-7c", "labels": {"leaderworkerset.sigs.k8s.io/name": "vllm"}}, "spec": {"minMember": 1}});
    let made = decode(kind("scheduling.volcano.sh", "PodGroup"), "v1beta1", &serde_json::from_value(object).unwrap())
        .unwrap()
        .0;
    assert_eq!(made[0].terms.min_member, None);
}

#[test]
fn kai_pod_groups() {
    let kai = |spec: Value| read("scheduling.run.ai", "PodGroup", spec);
    let constraint = |level: &str| json!({"topology": "cluster", "requiredTopologyLevel": level, "preferredTopologyLevel": "kubernetes.io/hostname"});
    let (groups, problems) = kai(json!({
        "minMember": null, "queue": "team", "topologyConstraint": constraint("topology.kubernetes.io/zone"),
        "subGroups": [
            {"name": "prefill", "minMember": 2, "parent": "all", "topologyConstraint": constraint("nvidia.com/gpu.clique")},
            {"name": "decode", "minMember": 4, "parent": "all"}, {"name": "all"},
        ],
    }));
    assert_eq!(problems, Vec::<String>::new());
    let terms = &groups[0].terms;
    assert_eq!((terms.min_member, terms.roles.len()), (Some(6), 2));
    let node = TopologyRule { strictness: Strictness::Preferred, level: TopologyLevel::Node };
    assert_eq!(terms.topology, [rule(Strictness::Required, "topology.kubernetes.io/zone"), node]);
    assert_eq!(terms.roles["prefill"].topology[0].level, TopologyLevel::Clique);
    assert_eq!(sizes(terms, "decode"), (Some(4), None, None));
    let nested =
        json!({"subGroups": [{"name": "a", "topologyConstraint": constraint("x")}, {"name": "b", "parent": "a"}]});
    assert!(kai(nested).0[0].fault.as_deref().is_some_and(|fault| fault.contains("several subgroups together")));
    assert!(kai(json!({"minSubGroup": 1, "subGroups": [{"name": "a"}]})).1[0].contains("all subgroups are waited for"));
    assert_eq!(kai(json!({"minMember": 1})).0[0].terms.min_member, Some(1));
}

#[test]
fn grove_pod_gangs() {
    let pack = |required: &str| json!({"packConstraint": {"required": required, "preferred": null}});
    let pods = |names: &[&str]| names.iter().map(|name| json!({"namespace": "team", "name": name})).collect::<Vec<_>>();
    let spec = json!({
        "podgroups": [
            {"name": "g-decode", "podReferences": pods(&["d-0", "d-1", "d-2"]), "minReplicas": 2, "topologyConstraint": pack("rack")},
            {"name": "g-prefill", "podReferences": pods(&[]), "minReplicas": 1},
        ],
        "topologyConstraint": pack("topology.kubernetes.io/zone"),
        "topologyConstraintGroupConfigs": [{"name": "p", "podGroupNames": ["g-prefill"], "topologyConstraint": pack("block")}],
        "priorityClassName": "high",
    });
    let terms = terms("scheduler.grove.io", "PodGang", spec);
    assert_eq!((terms.min_member, terms.total), (Some(3), Some(4)));
    assert_eq!(terms.topology, [rule(Strictness::Required, "topology.kubernetes.io/zone")]);
    assert_eq!(sizes(&terms, "g-decode"), (Some(2), Some(3), None));
    assert_eq!(terms.roles["g-decode"].topology, [rule(Strictness::Required, "rack")]);
    assert_eq!(terms.roles["g-prefill"].topology, [rule(Strictness::Required, "block")]);
    let several =
        json!({"topologyConstraintGroupConfigs": [{"podGroupNames": ["a", "b"], "topologyConstraint": pack("block")}]});
    assert!(read("scheduler.grove.io", "PodGang", several).0[0].fault.is_some());
}

#[test]
fn leader_worker_sets() {
    let lws = |annotations: Value, template: Value| {
        let spec = json!({"replicas": 3, "startupPolicy": "LeaderReady", "leaderWorkerTemplate": template});
        read_annotated("leaderworkerset.x-k8s.io", "LeaderWorkerSet", annotations, spec)
    };
    let exclusive = json!({"leaderworkerset.sigs.k8s.io/exclusive-topology": "topology.kubernetes.io/zone"});
    let (groups, problems) =
        lws(exclusive, json!({"size": 3, "leaderTemplate": template(1), "workerTemplate": template(8)}));
    assert_eq!(problems, Vec::<String>::new());
    let [group] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((group.key.name.as_str(), group.key.dialect), ("g", Dialect::LeaderWorkerSet));
    let terms = &group.terms;
    assert_eq!((terms.min_member, terms.total), (Some(3), Some(3)), "of each replica");
    assert_eq!(terms.topology, [rule(Strictness::Required, "topology.kubernetes.io/zone")]);
    assert_eq!((gpus(&terms.roles["leader"]), gpus(&terms.roles["worker"])), (1, 8));
    assert_eq!((sizes(terms, "worker"), terms.roles["worker"].first), ((Some(2), Some(2), None), 1));

    let mut annotated = template(8);
    annotated["metadata"]["annotations"] =
        json!({"testudo.dev/tensor-parallel-size": "16", "testudo.dev/hold-timeout": "5m"});
    let (groups, _) = lws(json!({}), json!({"size": 2, "workerTemplate": annotated}));
    let terms = &groups[0].terms;
    assert_eq!((terms.tensor_parallel, terms.hold_timeout_ms), (Some(16), Some(300_000)));
    assert_eq!(gpus(&terms.roles["leader"]), 8, "without a template of its own it is made like a worker");

    let mut prefill = template(8);
    prefill["metadata"]["annotations"] =
        json!({"testudo.dev/role": "prefill", "testudo.dev/tensor-parallel-size": "8"});
    let (groups, _) = lws(json!({}), json!({"size": 2, "workerTemplate": prefill.clone()}));
    let terms = &groups[0].terms;
    assert_eq!(sizes(terms, "prefill"), (Some(2), Some(2), None), "one role, for our word names it");
    assert_eq!(
        (terms.roles.len(), terms.roles["prefill"].tensor_parallel, terms.roles["prefill"].first),
        (1, Some(8), 0)
    );

    prefill["metadata"]["annotations"]["testudo.dev/pod-group"] = "chat".into();
    prefill["metadata"]["annotations"]["testudo.dev/min-member"] = "6".into();
    let (groups, _) = lws(json!({}), json!({"size": 2, "workerTemplate": prefill}));
    assert_eq!(groups[0].terms.min_member, Some(2), "what is said of the other gang is not said of this one");
}

#[test]
fn jobsets() {
    let job = |name: &str, replicas: u32, parallelism: u32, on: Value| {
        let spec = json!({"parallelism": parallelism, "completions": parallelism, "completionMode": "Indexed", "template": template(8)});
        json!({"name": name, "replicas": replicas, "template": {"spec": spec}, "dependsOn": on})
    };
    let jobs = json!({"replicatedJobs": [
        job("init", 1, 1, Value::Null), job("driver", 1, 1, json!([{"name": "init", "status": "Complete"}])),
        job("workers", 4, 2, json!([{"name": "driver", "status": "Ready"}])),
    ], "startupPolicy": {"startupPolicyOrder": "InOrder"}});
    let topology = "alpha.jobset.sigs.k8s.io/exclusive-topology";
    let annotations = json!({topology: "cloud.google.com/gke-nodepool"});
    let (groups, problems) = read_annotated("jobset.x-k8s.io", "JobSet", annotations, jobs.clone());
    assert_eq!(problems, Vec::<String>::new());
    let terms = &groups[0].terms;
    assert_eq!(
        (terms.min_member, terms.total),
        (Some(9), Some(10)),
        "what is complete before does not run beside them"
    );
    assert_eq!(sizes(terms, "init"), (Some(0), Some(1), Some(1)));
    assert_eq!(sizes(terms, "workers"), (Some(8), Some(8), Some(2)));
    let workers = &terms.roles["workers"];
    assert_eq!(workers.exclusive.as_deref(), Some("cloud.google.com/gke-nodepool"), "each job in a domain of its own");
    assert_eq!(workers.slices, None);
    let labelled = json!({topology: "rack", "alpha.jobset.sigs.k8s.io/node-selector": "true"});
    let (groups, _) = read_annotated("jobset.x-k8s.io", "JobSet", labelled, jobs);
    let within = TopologyLevel::Label("rack".into());
    let workers = &groups[0].terms.roles["workers"];
    assert_eq!((&workers.slices, &workers.exclusive), (&Some(Slices { members: 2, within }), &None));
    assert_eq!(gpus(&terms.roles["driver"]), 8);
    let fewer = json!({"replicatedJobs": [{"name": "w", "template": {"spec": {"parallelism": 8, "completions": 3, "template": {}}}}]});
    assert_eq!(sizes(&terms_of_jobset(fewer), "w"), (Some(3), Some(3), Some(3)));
    assert_eq!(sizes(&terms_of_jobset(json!({"replicatedJobs": [{"name": "w"}]})), "w"), (Some(1), Some(1), Some(1)));
}

fn terms_of_jobset(spec: Value) -> Terms {
    terms("jobset.x-k8s.io", "JobSet", spec)
}

#[test]
fn ray_clusters() {
    let cluster = |autoscaling: bool| {
        terms(
            "ray.io",
            "RayCluster",
            json!({
                "rayVersion": "2.46.0", "enableInTreeAutoscaling": autoscaling, "headGroupSpec": {"rayStartParams": {}, "template": template(0)},
                "workerGroupSpecs": [
                    {"groupName": "gpu", "replicas": 4, "minReplicas": 1, "maxReplicas": 3, "numOfHosts": 2, "template": template(8)},
                    {"groupName": "cpu", "minReplicas": 2, "maxReplicas": 5, "template": template(0)},
                    {"groupName": "asleep", "suspend": true, "replicas": 2, "template": template(0)},
                ],
            }),
        )
    };
    let fixed = cluster(false);
    assert_eq!((fixed.min_member, fixed.total), (Some(9), Some(9)));
    assert_eq!(sizes(&fixed, "headgroup"), (Some(1), Some(1), None));
    assert_eq!(sizes(&fixed, "gpu"), (Some(6), Some(6), Some(2)));
    assert_eq!(sizes(&fixed, "cpu"), (Some(2), Some(2), None));
    assert_eq!(sizes(&fixed, "asleep"), (Some(0), Some(0), None));
    assert_eq!(gpus(&fixed.roles["gpu"]), 8);
    let autoscaled = cluster(true);
    assert_eq!((autoscaled.min_member, autoscaled.total), (Some(5), Some(9)));
    assert_eq!(sizes(&autoscaled, "gpu"), (Some(2), Some(6), Some(2)));
}

#[test]
fn what_makes_no_sense_holds_every_member_back() {
    let (groups, problems) = read("scheduling.x-k8s.io", "PodGroup", json!({"minMember": -2}));
    let told = "spec.minMember: -2 is no number of pods from 0 to 10000; its pods are not placed";
    assert_eq!(problems, [format!("PodGroup team/g: {told}")]);
    assert_eq!(groups[0].fault.as_deref(), Some(told));
    let (groups, _) =
        read_annotated("scheduling.x-k8s.io", "PodGroup", json!({"testudo.dev/min-member": "many"}), json!({}));
    assert!(
        groups[0]
            .fault
            .as_deref()
            .is_some_and(|fault| fault.starts_with("metadata.annotations[testudo.dev/min-member]"))
    );
    let mut unreadable = template(8);
    unreadable["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "lots".into();
    let spec = json!({"headGroupSpec": {"template": unreadable}});
    let (groups, problems) = read("ray.io", "RayCluster", spec);
    let field = "RayCluster team/g: spec.headGroupSpec.template.spec.containers[0].resources.limits[nvidia.com/gpu]";
    assert!(problems[0].starts_with(field), "{problems:?}");
    assert!(groups[0].fault.is_some());
    let head = groups[0].terms.roles["headgroup"].template.clone().unwrap();
    assert_eq!(head.requests, Resources::from([("pods", i64::MAX)]), "fits nowhere");
    let wrong_shape: GroupObject =
        serde_json::from_value(json!({"metadata": {"name": "g"}, "spec": {"minMember": "3"}})).unwrap();
    let error = decode(kind("scheduling.x-k8s.io", "PodGroup"), "v1alpha1", &wrong_shape).unwrap_err();
    assert_eq!(error, "invalid type: string \"3\", expected i64");
}

#[test]
fn kinds_are_told_apart_by_their_resources() {
    let resources: std::collections::BTreeSet<String> = KINDS.iter().map(Kind::resource).collect();
    assert_eq!(resources.len(), KINDS.len());
    assert!(resources.contains("podgroups.scheduling.volcano.sh"));
}

#[test]
fn what_is_watched_may_be_watched() {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(include_str!("../../../../deploy/manifests/rbac.yaml")).unwrap();
    let role = documents.iter().find(|d| d["kind"] == "ClusterRole" && d["metadata"]["name"] == "testudo").unwrap();
    for kind in KINDS {
        let names = |list: &Value, name: &str| list.as_array().is_some_and(|list| list.iter().any(|item| item == name));
        let rule = role["rules"]
            .as_array()
            .unwrap()
            .iter()
            .find(|rule| names(&rule["apiGroups"], kind.api_group) && names(&rule["resources"], kind.plural));
        let rule =
            rule.unwrap_or_else(|| panic!("deploy/manifests/rbac.yaml does not let testudo watch {}", kind.resource()));
        assert_eq!(rule["verbs"], json!(["list", "watch"]), "{}", kind.resource());
    }
}
