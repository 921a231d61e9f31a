//! What gets into a snapshot, and what does not.

use serde_json::json;

use super::*;
use crate::k8s::gang::objects;
use crate::k8s::object;

#[test]
fn a_pod_comes_without_its_secrets() {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "p", "namespace": "team", "uid": "u", "labels": {"app": "x"}, "generateName": "SECRET-",
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "SECRET",
                "vault.hashicorp.com/agent-inject-secret": "SECRET",
                "testudo.dev/pod-group": "g",
            },
            "managedFields": [{"manager": "SECRET"}],
        },
        "spec": {
            "nodeName": "n", "serviceAccountName": "SECRET", "imagePullSecrets": [{"name": "SECRET"}],
            "volumes": [{"name": "SECRET", "secret": {"secretName": "SECRET"}}],
            "containers": [{
                "name": "c", "image": "registry/SECRET", "command": ["SECRET"], "args": ["SECRET"],
                "env": [{"name": "TOKEN", "value": "SECRET"}], "envFrom": [{"secretRef": {"name": "SECRET"}}],
                "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": {"SECRET": "SECRET"}}},
            }],
        },
        "status": {
            "phase": "Running", "podIP": "SECRET",
            "conditions": [{"type": "Other", "message": "SECRET"}, {"type": "PodScheduled", "status": "True"}],
        },
    });
    let taken = Kind::of(&pod).unwrap().take(&pod);
    assert_eq!(
        taken,
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "team", "uid": "u", "labels": {"app": "x"},
                "annotations": {"testudo.dev/pod-group": "g"},
            },
            "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}]},
        })
    );
}

#[test]
fn templates_of_group_objects_come_without_their_secrets() {
    let template = json!({"spec": {"containers": [{"name": "c", "env": [{"value": "SECRET"}], "image": "SECRET"}]}});
    let set = json!({
        "apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": "s"},
        "spec": {"leaderWorkerTemplate": {"size": 2, "workerTemplate": template}},
        "status": {"conditions": [{"message": "SECRET"}]},
    });
    let taken = Kind::of(&set).unwrap().take(&set);
    assert!(!taken.to_string().contains("SECRET"), "{taken}");
    assert_eq!(taken["spec"]["leaderWorkerTemplate"]["size"], 2);
}

/// A field that testudo learns to read must be taken, too.
#[test]
fn whatever_is_read_of_nodes_and_pods_is_taken() {
    let requirement = || object::Requirement { key: "k".into(), operator: "In".into(), values: vec!["v".into()] };
    let map = || object::StringMap::from([("k".to_owned(), "v".to_owned())]);
    let selector = || Some(object::LabelSelector { match_labels: map(), match_expressions: vec![requirement()] });
    let resources = || object::ResourceRequirements {
        requests: [("cpu".to_owned(), "1".into())].into(),
        limits: [("cpu".to_owned(), "1".into())].into(),
    };
    let container =
        || object::Container { name: "c".into(), resources: resources(), restart_policy: Some("Always".into()) };
    let among = || object::PodAffinity {
        required: vec![object::PodAffinityTerm {
            label_selector: selector(),
            namespaces: vec!["n".into()],
            namespace_selector: selector(),
            mismatch_label_keys: vec!["k".into()],
            topology_key: "t".into(),
        }],
    };
    let term =
        || object::NodeSelectorTerm { match_expressions: vec![requirement()], match_fields: vec![requirement()] };
    let metadata = object::Metadata {
        name: "p".into(),
        namespace: "n".into(),
        uid: "u".into(),
        resource_version: None,
        generation: 0,
        labels: map(),
        annotations: [("testudo.dev/index".to_owned(), "1".to_owned())].into(),
        creation_timestamp: Some("2026-01-02T03:04:05Z".into()),
        deletion_timestamp: Some("2026-01-02T03:04:05Z".into()),
        owner_references: vec![object::OwnerReference {
            api_version: "apps/v1".into(),
            kind: "StatefulSet".into(),
            name: "s".into(),
            controller: Some(true),
        }],
    };
    let pod = object::Pod {
        metadata: metadata.clone(),
        spec: object::PodSpec {
            node_name: Some("n".into()),
            scheduler_name: Some("s".into()),
            priority: Some(1),
            preemption_policy: Some("Never".into()),
            node_selector: map(),
            affinity: Some(object::Affinity {
                node_affinity: Some(object::NodeAffinity {
                    required: Some(object::NodeSelector { node_selector_terms: vec![term()] }),
                    preferred: vec![object::PreferredSchedulingTerm { weight: 1, preference: term() }],
                }),
                pod_affinity: Some(among()),
                pod_anti_affinity: Some(among()),
            }),
            tolerations: vec![object::Toleration {
                key: Some("k".into()),
                operator: Some("Equal".into()),
                value: Some("v".into()),
                effect: Some("NoSchedule".into()),
            }],
            init_containers: vec![container()],
            containers: vec![container()],
            overhead: [("cpu".to_owned(), "1".into())].into(),
            resources: Some(resources()),
            topology_spread_constraints: vec![object::TopologySpreadConstraint {
                max_skew: 1,
                topology_key: "t".into(),
                when_unsatisfiable: "DoNotSchedule".into(),
                label_selector: selector(),
                min_domains: Some(2),
                node_affinity_policy: Some("Ignore".into()),
                node_taints_policy: Some("Honor".into()),
            }],
            scheduling_gates: vec![object::SchedulingGate { name: "g".into() }],
            workload_ref: Some(object::WorkloadReference {
                name: "w".into(),
                pod_group: "g".into(),
                pod_group_replica_key: "0".into(),
            }),
            scheduling_group: Some(object::SchedulingGroup { pod_group_name: Some("g".into()) }),
            resource_claims: vec![],
        },
        status: object::PodStatus {
            phase: Some("Pending".into()),
            nominated_node_name: Some("n".into()),
            conditions: vec![object::PodCondition {
                kind: "PodScheduled".into(),
                status: "False".into(),
                reason: "r".into(),
                message: "m".into(),
            }],
            resource_claim_statuses: vec![],
            init_container_statuses: vec![],
            container_statuses: vec![object::ContainerStatus {
                name: "c".into(),
                resources: Some(object::ResourceRequirements::default()),
                allocated_resources: [("cpu".to_owned(), "1".into())].into(),
            }],
            resources: Some(object::ResourceRequirements::default()),
            allocated_resources: [("cpu".to_owned(), "1".into())].into(),
            extended_resource_claim_status: Some(object::ExtendedResourceClaimStatus {
                resource_claim_name: "c".into(),
            }),
        },
    };
    let node = object::Node {
        metadata,
        spec: object::NodeSpec {
            unschedulable: true,
            taints: vec![object::Taint { key: "k".into(), value: "v".into(), effect: "NoExecute".into() }],
        },
        status: object::NodeStatus {
            capacity: [("cpu".to_owned(), "1".into())].into(),
            allocatable: [("cpu".to_owned(), "1".into())].into(),
        },
    };
    for (name, object) in [("Pod", serde_json::to_value(&pod)), ("Node", serde_json::to_value(&node))] {
        let mut object = object.unwrap();
        object["apiVersion"] = "v1".into();
        object["kind"] = name.into();
        assert_eq!(Kind::of(&object).unwrap().take(&object), object);
    }
}

/// What controllers' objects say of gangs is the same in a snapshot.
#[test]
fn examples_describe_the_same_gangs() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/workloads");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut described = 0;
    for object in crate::k8s::manifests::objects(&files, &Default::default()).unwrap() {
        let of = |object: &Value| {
            let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/')?;
            let kind = objects::KINDS.iter().find(|kind| kind.api_group == group && object["kind"] == kind.name)?;
            let object: objects::GroupObject = serde_json::from_value(object.clone()).unwrap();
            Some(objects::decode(kind, version, &object).unwrap())
        };
        let Some(expected) = of(&object) else { continue };
        described += 1;
        assert_eq!(of(&Kind::of(&object).unwrap().take(&object)), Some(expected));
    }
    assert!(described >= 2, "the examples have group objects");
}

#[test]
fn every_kind_of_group_object_is_taken() {
    for kind in objects::KINDS {
        let known = KINDS.iter().any(|known| known.api_group == kind.api_group && known.name == kind.name);
        assert!(known, "{}", kind.resource());
    }
}
