//! The examples in `deploy/examples/workloads`, as the pods which their controllers would make.

use std::path::Path;

use serde_json::{Value, json};
use testudo_core::model::gang::{Group, Strictness, TopologyLevel};
use testudo_core::model::pod::{Gate, Pod};

use super::super::manifests::{Limits, Reader};
use super::super::pod::decode;
use super::*;

fn text(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples/workloads");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

/// The group objects of a file, with which nothing is wrong.
fn groups(file: &str) -> Vec<Group> {
    let mut reader = Reader::new(Limits::default());
    reader.add(file, text(file).as_bytes()).unwrap();
    let manifests = reader.finish();
    assert_eq!(manifests.group_problems, []);
    assert!(manifests.groups.iter().all(|group| group.fault.is_none()));
    manifests.groups
}

/// The members that controllers would make of a file, with which nothing is wrong.
fn members(file: &str) -> Vec<Pod> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text(file)).unwrap();
    let pods = documents.iter().flat_map(|document| match document["kind"].as_str() {
        Some("Deployment") => by_deployment(&document["metadata"], &document["spec"]),
        Some("StatefulSet") => by_stateful_set(document),
        Some("LeaderWorkerSet") => by_leader_worker_set(document),
        Some("RayCluster") => by_kube_ray(document),
        Some("InferenceService") => by_kserve(document),
        Some("Service") => vec![],
        other => panic!("nobody makes pods of {other:?}"),
    });
    let read = |pod: Value| {
        let (pod, problems) = decode(&serde_json::from_value(pod).unwrap());
        assert_eq!(problems, []);
        assert_eq!(&*pod.scheduler, "testudo-scheduler");
        pod
    };
    pods.map(read).collect()
}

fn membership(pod: &Pod) -> &Membership {
    pod.membership.as_deref().expect("a member")
}

fn gpus(pod: &Pod) -> i64 {
    pod.demand.requests.get("nvidia.com/gpu")
}

/// A pod from a template, with more labels and annotations.
fn from_template(namespace: &Value, name: &str, template: &Value, labels: Value, annotations: Value) -> Value {
    let mut metadata = template["metadata"].clone();
    if metadata.is_null() {
        metadata = json!({});
    }
    metadata["name"] = name.into();
    metadata["namespace"] = namespace.clone();
    metadata["uid"] = name.into();
    for (field, more) in [("labels", labels), ("annotations", annotations)] {
        if metadata[field].is_null() {
            metadata[field] = json!({});
        }
        metadata[field].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    json!({"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}})
}

fn by_deployment(metadata: &Value, spec: &Value) -> Vec<Value> {
    let pod = |at: u64| {
        let name = format!("{}-5d9-{at}", metadata["name"].as_str().unwrap());
        from_template(&metadata["namespace"], &name, &spec["template"], json!({"pod-template-hash": "5d9"}), json!({}))
    };
    (0..spec["replicas"].as_u64().unwrap()).map(pod).collect()
}

fn by_stateful_set(set: &Value) -> Vec<Value> {
    let name = set["metadata"]["name"].as_str().unwrap();
    let pod = |at: u64| {
        let pod = format!("{name}-{at}");
        let labels = json!({"apps.kubernetes.io/pod-index": at.to_string(), "statefulset.kubernetes.io/pod-name": pod});
        let mut pod = from_template(&set["metadata"]["namespace"], &pod, &set["spec"]["template"], labels, json!({}));
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "controller": true}]);
        pod
    };
    (0..set["spec"]["replicas"].as_u64().unwrap()).map(pod).collect()
}

/// Leaders by one StatefulSet, the workers of each by another.
fn by_leader_worker_set(set: &Value) -> Vec<Value> {
    let name = set["metadata"]["name"].as_str().unwrap();
    let template = &set["spec"]["leaderWorkerTemplate"];
    let size = template["size"].as_u64().unwrap();
    let pod = |group: u64, worker: u64| {
        let pod = if worker == 0 { format!("{name}-{group}") } else { format!("{name}-{group}-{worker}") };
        let of_leader = if template["leaderTemplate"].is_null() { "workerTemplate" } else { "leaderTemplate" };
        let template = &template[if worker == 0 { of_leader } else { "workerTemplate" }];
        let labels = json!({
            "leaderworkerset.sigs.k8s.io/name": name, "leaderworkerset.sigs.k8s.io/group-index": group.to_string(),
            "leaderworkerset.sigs.k8s.io/worker-index": worker.to_string(), "leaderworkerset.sigs.k8s.io/group-key": format!("key-{group}"),
            "leaderworkerset.sigs.k8s.io/template-revision-hash": "7c",
            "apps.kubernetes.io/pod-index": if worker == 0 { group } else { worker }.to_string(),
        });
        let annotations = json!({"leaderworkerset.sigs.k8s.io/size": size.to_string()});
        from_template(&set["metadata"]["namespace"], &pod, template, labels, annotations)
    };
    let groups = 0..set["spec"]["replicas"].as_u64().unwrap();
    groups
        .flat_map(|group| (0..size).map(move |worker| (group, worker)))
        .map(|(group, worker)| pod(group, worker))
        .collect()
}

fn by_kube_ray(cluster: &Value) -> Vec<Value> {
    let name = cluster["metadata"]["name"].as_str().unwrap();
    let pod = |pod: String, node_type: &str, group: &str, template: &Value, mut labels: Value| {
        labels["ray.io/is-ray-node"] = "yes".into();
        labels["ray.io/cluster"] = name.into();
        labels["ray.io/node-type"] = node_type.into();
        labels["ray.io/group"] = group.into();
        from_template(&cluster["metadata"]["namespace"], &pod, template, labels, json!({}))
    };
    let head = &cluster["spec"]["headGroupSpec"]["template"];
    let mut pods = vec![pod(format!("{name}-head"), "head", "headgroup", head, json!({}))];
    for group in cluster["spec"]["workerGroupSpecs"].as_array().unwrap() {
        let group_name = group["groupName"].as_str().unwrap();
        for replica in 0..group["replicas"].as_u64().unwrap() {
            for host in 0..group["numOfHosts"].as_u64().unwrap() {
                let labels = json!({
                    "ray.io/worker-group-replica-index": replica.to_string(), "ray.io/replica-host-index": host.to_string(),
                    "ray.io/worker-group-replica-name": format!("{group_name}-{replica}"),
                });
                pods.push(pod(format!("{name}-{replica}-{host}"), "worker", group_name, &group["template"], labels));
            }
        }
    }
    pods
}

/// A Deployment for the head and one for the workers, both with the annotations of the service and of its predictor.
fn by_kserve(service: &Value) -> Vec<Value> {
    let predictor = &service["spec"]["predictor"];
    let deployment = |suffix: &str, container: &Value, scheduler: &Value, replicas: u64| {
        let mut annotations = service["metadata"]["annotations"].clone();
        annotations.as_object_mut().unwrap().extend(predictor["annotations"].as_object().unwrap().clone());
        let name = format!("{}-predictor{suffix}", service["metadata"]["name"].as_str().unwrap());
        let labels = json!({"serving.kserve.io/inferenceservice": service["metadata"]["name"], "component": "predictor", "app": format!("isvc.{name}")});
        let spec =
            json!({"schedulerName": scheduler, "containers": [{"name": "c", "resources": container["resources"]}]});
        let template = json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec});
        let metadata = json!({"name": name, "namespace": service["metadata"]["namespace"]});
        by_deployment(&metadata, &json!({"replicas": replicas, "template": template}))
    };
    let worker = &predictor["workerSpec"];
    let gpus = |of: &Value| of["resources"]["limits"]["nvidia.com/gpu"].as_str().unwrap().parse::<u64>().unwrap();
    let needed = worker["pipelineParallelSize"].as_u64().unwrap() * worker["tensorParallelSize"].as_u64().unwrap();
    let workers = needed.div_ceil(gpus(&worker["containers"][0])) - 1;
    let mut pods = deployment("", &predictor["model"], &predictor["schedulerName"], 1);
    pods.extend(deployment("-worker", &worker["containers"][0], &worker["schedulerName"], workers));
    pods
}

/// The gang's name, the member's role, part and number.
fn identities(pods: &[Pod]) -> Vec<(&str, &str, Option<u32>, Option<u32>)> {
    let identity = |pod| {
        let Membership { gang, role, part, index, .. } = membership(pod);
        (gang.name.as_str(), &**role, *part, *index)
    };
    pods.iter().map(identity).collect()
}

#[test]
fn vllm_in_a_stateful_set() {
    let pods = members("vllm-statefulset.yaml");
    assert_eq!(identities(&pods), [("llama-405b", "", None, Some(0)), ("llama-405b", "", None, Some(1))]);
    for pod in &pods {
        let Membership { gang, terms, staged, .. } = membership(pod);
        assert_eq!((gang.dialect, gpus(pod), pod.steering.gate), (Dialect::Testudo, 8, Gate::Ours));
        assert_eq!((terms.min_member, terms.tensor_parallel, terms.pipeline_parallel), (Some(2), Some(8), Some(2)));
        assert_eq!(
            terms.topology.iter().map(|rule| rule.strictness).collect::<Vec<_>>(),
            [Strictness::Required, Strictness::Preferred]
        );
        assert!(staged, "its controller may make one after the other");
    }
    assert!(groups("vllm-statefulset.yaml").is_empty());
}

#[test]
fn triton_in_front_of_vllm() {
    let pods = members("triton-vllm.yaml");
    assert_eq!(identities(&pods), [("chat", "triton", None, None), ("chat", "vllm", None, None)]);
    assert_eq!(pods.iter().map(gpus).collect::<Vec<_>>(), [1, 8]);
    assert!(pods.iter().all(|pod| membership(pod).terms.min_member == Some(2)));
    assert_eq!(membership(&pods[1]).terms.roles["vllm"].tensor_parallel, Some(8));
}

#[test]
fn kserve_over_two_nodes() {
    let pods = members("kserve-inferenceservice.yaml");
    assert_eq!(identities(&pods), [("llama", "", None, None); 2]);
    assert!(pods.iter().all(|pod| gpus(pod) == 8 && membership(pod).terms.tensor_parallel == Some(8)));
    assert_eq!(usize::try_from(membership(&pods[0]).terms.min_member.unwrap()).unwrap(), pods.len());
}

#[test]
fn a_ray_cluster_with_workers_of_several_hosts() {
    let pods = members("raycluster.yaml");
    let workers = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(part, index)| ("ray-serve", "gpu", Some(part), Some(index)));
    let expected: Vec<_> = [("ray-serve", "headgroup", None, None)].into_iter().chain(workers).collect();
    assert_eq!(identities(&pods), expected);
    let [cluster] = &groups("raycluster.yaml")[..] else { panic!("one gang") };
    assert!(pods.iter().all(|pod| membership(pod).gang == cluster.key));
    assert_eq!((cluster.terms.min_member, cluster.terms.tensor_parallel), (Some(5), Some(16)));
    assert_eq!(cluster.terms.topology[0].level, TopologyLevel::Label("topology.kubernetes.io/zone".into()));
    let role = &cluster.terms.roles["gpu"];
    assert_eq!((role.total, role.part_size), (Some(4), Some(2)));
    assert_eq!(role.template.as_deref(), Some(&*pods[1].demand), "what is missing will ask for what is there");
}

#[test]
fn a_leader_worker_set_of_two_replicas() {
    let pods = members("leaderworkerset.yaml");
    let of = |gang, role, index| (gang, role, None, Some(index));
    let expected =
        [of("vllm/0", "leader", 0), of("vllm/0", "worker", 1), of("vllm/1", "leader", 0), of("vllm/1", "worker", 1)];
    assert_eq!(identities(&pods), expected);
    let [set] = &groups("leaderworkerset.yaml")[..] else { panic!("one object") };
    for pod in &pods {
        let Membership { gang, terms, staged, .. } = membership(pod);
        assert!(gang.described_by().any(|key| key == set.key) && *staged);
        assert_eq!((terms.min_member, terms.tensor_parallel, terms.hold_timeout_ms), (Some(2), Some(8), Some(900_000)));
        assert_eq!(pod.steering.gate, Gate::Ours);
    }
    assert_eq!(set.terms.roles["worker"].template.as_deref(), Some(&*pods[1].demand));
    assert_eq!((set.terms.hold_timeout_ms, set.terms.pipeline_parallel), (Some(900_000), Some(2)));
}

#[test]
fn prefill_and_decode_as_one() {
    let pods = members("prefill-decode.yaml");
    let of = |role, part, index| ("deepseek", role, Some(part), Some(index));
    let mut expected = vec![of("prefill", 0, 0), of("prefill", 1, 0)];
    expected.extend((0..4).map(|worker| of("decode", 0, worker)));
    assert_eq!(identities(&pods), expected);
    assert_eq!(pods.iter().map(gpus).collect::<Vec<_>>(), [4; 6]);
    for pod in &pods {
        let Membership { gang, also, role, terms, staged, .. } = membership(pod);
        assert_eq!((gang.dialect, terms.min_member), (Dialect::Testudo, Some(6)));
        assert_eq!(terms.roles[role].tensor_parallel, Some(if &**role == "decode" { 16 } else { 4 }));
        assert_eq!(also.len(), 1, "its LeaderWorkerSet");
        assert_eq!(*staged, &**role == "decode", "a group of one makes no further pods");
    }
    assert_eq!(groups("prefill-decode.yaml").len(), 2);
}
