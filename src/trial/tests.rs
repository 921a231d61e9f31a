use super::*;
use crate::claims;
use crate::k8s::object;
use crate::web::view::testing::{gpu_claim, gpu_node};
use serde_json::{Value, json};

struct World {
    trial: Trial,
    now_ms: u64,
}

impl World {
    /// So many nodes of 8 GPUs, and these pods.
    fn new(nodes: usize, pods: &[Value]) -> Self {
        let mut world = Self { trial: Trial::new(Catalogue::builtin()), now_ms: 0 };
        let names: Vec<String> = (0..nodes).map(|at| format!("n{at}")).collect();
        for name in &names {
            let amounts = json!({"nvidia.com/gpu": "8", "cpu": "96", "memory": "1Ti", "pods": "110"});
            let node = json!({
                "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}},
                "status": {"capacity": amounts, "allocatable": amounts},
            });
            let node: object::Node = serde_json::from_value(node).unwrap();
            world.take(ClusterEvent::NodeApplied(Box::new(node)));
        }
        world.take(ClusterEvent::NodesSynced(names.into_iter().collect()));
        pods.iter().for_each(|pod| world.see(pod.clone()));
        let uids = pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned()).collect();
        world.take(ClusterEvent::PodsSynced(uids));
        world
    }

    fn take(&mut self, event: ClusterEvent) {
        self.trial.take(event, self.now_ms);
    }

    fn see(&mut self, pod: Value) {
        let pod: object::Pod = serde_json::from_value(pod).unwrap();
        self.take(ClusterEvent::PodApplied(Box::new(pod)));
    }

    fn report(&mut self) -> Report {
        self.trial.report(self.now_ms)
    }
}

fn pod(name: &str, gpus: u32, node: Option<&str>) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "team", "uid": name},
        "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}}}]},
    })
}

fn member(name: &str, node: Option<&str>) -> Value {
    let mut pod = pod(name, 8, node);
    pod["metadata"]["annotations"] = json!({"testudo.dev/pod-group": "g", "testudo.dev/min-member": "2"});
    pod
}

#[test]
fn a_pod_that_opens_an_idle_node_is_on_a_worse_place() {
    let mut world = World::new(3, &[pod("old", 4, Some("n0"))]);
    world.see(pod("good", 4, Some("n0")));
    assert_eq!(world.report().pods, Tally { placed: 1, as_good: 1, ..Tally::default() });
    world.see(pod("a", 1, Some("n1")));
    world.see(pod("b", 1, Some("n2")));
    let report = world.report();
    assert_eq!(report.pods, Tally { placed: 3, as_good: 2, worse: 1, refused: 0 });
    assert_eq!(report.examples.len(), 1);
    assert_eq!((report.examples[0].pod.as_str(), report.examples[0].would_be_on.as_deref()), ("team/b", Some("n1")));
    assert_eq!((report.is.idle_nodes, report.would.idle_nodes), (0, 1), "{report:?}");
    assert_eq!((report.is.used, report.would.used), (10.0, 10.0));
}

#[test]
fn pods_that_were_there_before_are_not_judged_and_those_that_end_leave_both() {
    let mut world = World::new(2, &[pod("a", 4, Some("n0")), pod("b", 4, Some("n1"))]);
    world.see(pod("a", 4, Some("n0")));
    assert_eq!(world.report().pods, Tally::default());
    world.see(pod("c", 4, None));
    world.see(pod("c", 4, Some("n1")));
    world.see(pod("c", 4, Some("n1")));
    assert_eq!(world.report().pods.placed, 1, "counted once");
    world.take(ClusterEvent::PodDeleted("c".into()));
    let report = world.report();
    assert_eq!((report.is.used, report.would.used), (8.0, 8.0));
}

#[test]
fn gangs_that_are_half_placed_are_counted_with_what_they_hold() {
    let mut world = World::new(2, &[]);
    world.see(member("g-0", None));
    world.see(member("g-1", None));
    assert_eq!(world.report().gangs, HalvesReport::default());
    world.see(member("g-0", Some("n0")));
    world.now_ms += 1_800_000;
    let gangs = world.report().gangs;
    assert_eq!((gangs.half_placed, gangs.half_placed_now, gangs.longest_seconds), (1, 1, 1_800));
    assert_eq!(gangs.device_hours, 4.0, "eight GPUs for half an hour");
    world.see(member("g-1", Some("n1")));
    world.now_ms += 1_800_000;
    let gangs = world.report().gangs;
    assert_eq!((gangs.half_placed, gangs.half_placed_now, gangs.longest_seconds), (1, 0, 1_800));
    assert_eq!(gangs.device_hours, 4.0);
}

#[test]
fn a_node_that_would_have_been_refused_is_told_with_the_reason() {
    let mut world = World::new(1, &[pod("old", 6, Some("n0"))]);
    // The running scheduler knows something that we do not.
    world.see(pod("forced", 4, Some("n0")));
    let report = world.report();
    assert_eq!((report.pods.refused, report.without_place), (1, 1));
    assert!(report.examples[0].why.contains("too few are free"), "{report:?}");
    world.take(ClusterEvent::PodDeleted("old".into()));
    assert_eq!(world.report().without_place, 0, "it finds its place when something goes");
}

#[test]
fn devices_of_claims_are_in_use_on_both() {
    let mut world = World::new(0, &[]);
    let (node, slice) = gpu_node("n", 2);
    world.take(ClusterEvent::NodeApplied(Box::new(node)));
    world.take(ClusterEvent::SliceApplied(claims::slice(&slice).unwrap().into()));
    let claim = claims::seen_claim(&gpu_claim("c", Some(("n", "gpu-0")))).unwrap();
    world.take(ClusterEvent::ClaimApplied(Box::new(claim)));
    let report = world.report();
    assert_eq!((report.is.used, report.would.used), (1.0, 1.0), "{report:?}");
    world.take(ClusterEvent::ClaimDeleted("claim-c".into()));
    let report = world.report();
    assert_eq!((report.is.idle_nodes, report.would.idle_nodes, report.is.used), (1, 1, 0.0), "{report:?}");
}
