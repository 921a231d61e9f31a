//! What allocating claims costs: a fleet of 500 nodes with 8 GPUs each that are cut on demand, and one pod's claims; and what
//! planning a pod with a claim costs in a cluster of 5,000 such nodes. What the next pod of a kind stands beside is the first
//! one, for which every node is looked at.

#[path = "common/figures.rs"]
mod figures;
#[path = "common/in_turn.rs"]
mod in_turn;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group};
use figures::Figure;
use in_turn::{medians, timed};
use serde_json::{Value, json};
use testudo::claims;
use testudo_core::claims::{Claim, SeenClaim, Slice};
use testudo_core::engine::{Change, ClaimOrder, ClaimOutcome, ClaimPolicy, Engine, GangPolicy, Order, Policy};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::{Node, NodeParts};
use testudo_core::model::pod::{Demand, Pod, PodClaim, PodKey};
use testudo_core::model::resources::Resources;

const API: &str = "resource.k8s.io/v1";
const PROFILES: &[(&str, u8, u8, &[u8])] = &[
    ("1g.10gb", 19, 1, &[0, 1, 2, 3, 4, 5, 6]),
    ("2g.20gb", 14, 2, &[0, 2, 4]),
    ("3g.40gb", 9, 4, &[0, 4]),
    ("7g.80gb", 0, 8, &[0]),
];

/// Nodes with 8 H100 each, as NVIDIA's driver publishes them.
fn fleet(nodes: usize) -> Vec<Value> {
    let class = |name: &str, of: &str| {
        let expression =
            format!("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == '{of}'");
        json!({ "apiVersion": API, "kind": "DeviceClass", "metadata": { "name": name },
            "spec": { "selectors": [{ "cel": { "expression": expression } }] } })
    };
    let mut objects = vec![class("gpu.nvidia.com", "gpu"), class("mig.nvidia.com", "mig")];
    for node in (0..nodes).map(|node| format!("node-{node:03}")) {
        objects.push(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node } }));
        let slice = |part: &str, spec: Value| {
            let mut object = json!({ "apiVersion": API, "kind": "ResourceSlice",
                "metadata": { "name": format!("{node}-{part}") }, "spec": spec });
            object["spec"]["driver"] = "gpu.nvidia.com".into();
            object["spec"]["nodeName"] = node.as_str().into();
            object["spec"]["pool"] = json!({ "name": node, "generation": 1, "resourceSliceCount": 2 });
            object
        };
        let counters = |slices: std::ops::Range<u8>| {
            Value::Object(slices.map(|slice| (format!("memory-slice-{slice}"), json!({ "value": "1" }))).collect())
        };
        let set = |gpu: u8| json!({ "name": format!("gpu-{gpu}-counter-set"), "counters": counters(0..8) });
        objects.push(slice("counters", json!({ "sharedCounters": (0..8).map(set).collect::<Vec<_>>() })));
        let devices: Vec<Value> = (0..8).flat_map(|gpu| gpu_devices(gpu, &counters)).collect();
        objects.push(slice("devices", json!({ "devices": devices })));
    }
    objects
}

fn gpu_devices(gpu: u8, counters: &impl Fn(std::ops::Range<u8>) -> Value) -> Vec<Value> {
    let device = |name: String, of: &str, profile: &str, memory: u8, slices: std::ops::Range<u8>| {
        json!({ "name": name,
            "attributes": {
                "type": { "string": of }, "profile": { "string": profile },
                "productName": { "string": "NVIDIA H100 80GB HBM3" }, "driverVersion": { "version": "570.124.6" },
                "resource.kubernetes.io/pcieRoot": { "string": format!("pci0000:{:x}0", gpu / 2) } },
            "capacity": { "memory": { "value": format!("{}Gi", memory * 10) } },
            "consumesCounters": [{ "counterSet": format!("gpu-{gpu}-counter-set"), "counters": counters(slices) }] })
    };
    let mut devices = vec![device(format!("gpu-{gpu}"), "gpu", "", 8, 0..8)];
    for (profile, id, size, starts) in PROFILES {
        for start in *starts {
            let name = format!("gpu-{gpu}-mig-{}-{id}-{start}", profile.replace('.', ""));
            devices.push(device(name, "mig", profile, *size, *start..start + size));
        }
    }
    devices
}

/// A claim for two GPUs on one PCIe root, and one for a MIG instance.
fn claims() -> [Value; 2] {
    let claim = |name: &str, devices: Value| {
        json!({ "apiVersion": API, "kind": "ResourceClaim",
            "metadata": { "name": name, "namespace": "default", "uid": name }, "spec": { "devices": devices } })
    };
    let ask = |class: &str, count: u8, expression: &str| {
        json!({ "deviceClassName": class, "allocationMode": "ExactCount", "count": count,
            "selectors": [{ "cel": { "expression": expression } }] })
    };
    let version = "device.attributes['gpu.nvidia.com'].driverVersion.isGreaterThan(semver('550.0.0'))";
    let profile = "device.attributes['gpu.nvidia.com'].profile == '2g.20gb'";
    [
        claim(
            "pair",
            json!({
            "requests": [{ "name": "gpus", "exactly": ask("gpu.nvidia.com", 2, version) }],
            "constraints": [{ "matchAttribute": "resource.kubernetes.io/pcieRoot" }] }),
        ),
        claim("slice", json!({ "requests": [{ "name": "slice", "exactly": ask("mig.nvidia.com", 1, profile) }] })),
    ]
}

fn allocation(c: &mut Criterion) {
    let mut objects = fleet(500);
    objects.extend(claims());
    let mut group = c.benchmark_group("claims");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    for (name, node) in [("decode, and one node of 500", Some("node-250")), ("decode, and the best of 500 nodes", None)]
    {
        group.bench_function(name, |b| {
            b.iter(|| match claims::allocate(black_box(&objects), node) {
                claims::Outcome::Allocated { node, .. } => node,
                other => panic!("{other:?}"),
            });
        });
    }
    let mut cluster = claims::Cluster::read(&objects).expect("the objects are sound");
    for (name, node) in [("one node of 500", Some("node-250")), ("the best of 500 nodes", None)] {
        group.bench_function(name, |b| b.iter(|| cluster.place(black_box(node)).expect("an answer").steps));
    }
    group.finish();
}

/// An engine over nodes with 8 H100 each, to which pods with one claim come.
struct Planned {
    engine: Engine,
    pods: usize,
}

const NOW_MS: u64 = 1_000_000;

impl Planned {
    fn new(nodes: usize) -> Planned {
        let classes = BTreeSet::from(["gpu.nvidia.com".to_owned(), "mig.nvidia.com".to_owned()]);
        let claims = ClaimPolicy { classes, ..ClaimPolicy::default() };
        // Nobody binds these pods.
        let gangs = GangPolicy { max_singles_ahead: usize::MAX, ..GangPolicy::default() };
        let policy = Policy { claims, gangs, ..Policy::default() };
        let mut engine = Engine::new(policy);
        let objects = fleet(1);
        let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
        for class in of_kind("DeviceClass") {
            engine.apply(Change::ClassApplied(Box::new(claims::class(class).expect("a class"))), NOW_MS);
        }
        let slices: Vec<Slice> = of_kind("ResourceSlice").map(|slice| claims::slice(slice).expect("a slice")).collect();
        for name in (0..nodes).map(|node| format!("node-{node:04}")) {
            engine.apply(Change::NodeApplied(Box::new(node(&name))), NOW_MS);
            for (part, slice) in slices.iter().enumerate() {
                let mut slice = slice.clone();
                slice.name = format!("{name}-{part}").into();
                (slice.pool.name, slice.nodes.name) = (name.as_str().into(), Some(name.as_str().into()));
                engine.apply(Change::SliceApplied(Arc::new(slice)), NOW_MS);
            }
        }
        engine.keep_gangs(NOW_MS);
        Planned { engine, pods: 0 }
    }

    /// Plans one more pod; how long that took. What the claim asks for is asked for by the first time if `is_new`.
    fn plan(&mut self, mut claim: Claim, is_new: bool) -> Duration {
        self.pods += 1;
        let name = format!("pod-{}", self.pods);
        (claim.key.name, claim.uid) = (name.as_str().into(), name.as_str().into());
        if is_new {
            claim.requests[0].name = name.as_str().into();
        }
        let seen = SeenClaim {
            claim: Arc::new(claim),
            version: 1,
            allocation: None,
            is_reserved: false,
            leaving: false,
            made_for: None,
            is_of_group: false,
        };
        self.engine.apply(Change::ClaimApplied(Box::new(seen)), NOW_MS);
        let key = PodKey { namespace: "default".into(), name: name.clone() };
        let demand = Demand { requests: Resources::from([("cpu", 1_000), ("pods", 1)]), ..Demand::default() };
        let uses = PodClaim { alias: "gpu".into(), name: Some(name.as_str().into()), from_template: false };
        let pod = Pod { claims: vec![uses], ..Pod::new(key, name.as_str().into(), demand) };
        self.engine.apply(Change::PodApplied(Box::new(pod)), NOW_MS);
        self.engine.keep_gangs(NOW_MS);
        let took = timed(|| {
            let task = self.engine.next_plan(NOW_MS).expect("the pod is to be planned");
            self.engine.adopt(task.solve(), NOW_MS);
        });
        let orders = self.engine.orders(NOW_MS);
        let allocated = orders.iter().filter_map(|order| match order {
            Order::Claim(ClaimOrder::Allocate { claim, uid, .. }) => Some((claim, uid)),
            _ => None,
        });
        let allocated: Vec<_> = allocated.collect();
        assert_eq!(allocated.len(), 1, "the claim has its devices");
        for (claim, uid) in allocated {
            self.engine.conclude(claim, uid, ClaimOutcome::Allocated { version: 2 }, NOW_MS);
        }
        took
    }
}

fn node(name: &str) -> Node {
    let resources = Resources::from([("cpu", 192_000), ("memory", 2 << 40), ("pods", 250)]);
    let parts = NodeParts {
        name: name.into(),
        labels: [("kubernetes.io/hostname", name)].into_iter().collect(),
        taints: vec![],
        cordoned: false,
        capacity: resources.clone(),
        allocatable: resources,
    };
    Node::new(parts, &Catalogue::builtin()).0
}

fn planning(c: &mut Criterion) {
    let mut group = c.benchmark_group("claims of a pod, 5,000 nodes");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let mut planned = Planned::new(5_000);
    for (name, claim) in planned_claims() {
        for (whose, is_new) in [("the first of its kind", true), ("the next of its kind", false)] {
            planned.plan(claim.clone(), is_new);
            group.bench_function(format!("{name}, {whose}"), |b| {
                b.iter_custom(|count| (0..count).map(|_| planned.plan(claim.clone(), is_new)).sum());
            });
        }
    }
    group.finish();
}

fn planned_claims() -> [(&'static str, Claim); 2] {
    let [pair, slice] = claims().map(|claim| (*claims::seen_claim(&claim).expect("a claim").claim).clone());
    [("2 GPUs of one PCIe root", pair), ("a MIG instance", slice)]
}

fn tell_planning() {
    let mut planned = Planned::new(5_000);
    for (name, claim) in planned_claims() {
        let [first] = medians(20, |_| [planned.plan(claim.clone(), true)]);
        let [next] = medians(20, |_| [planned.plan(claim.clone(), false)]);
        Figure {
            name: format!("a pod with a claim planned, 5,000 nodes: {name}, the next of its kind"),
            value: next / 1e3,
            unit: "ms",
            reference: Some(("the first of its kind", first / 1e3)),
            aim: "",
        }
        .tell();
    }
}

criterion_group!(benches, allocation, planning);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Not when the benches only run once each, to see that they work (`cargo test --benches`).
    if std::env::args().any(|arg| arg == "--bench") {
        tell_planning();
    }
}
