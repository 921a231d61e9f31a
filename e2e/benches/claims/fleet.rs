//! A fleet of GPU nodes as NVIDIA's driver publishes it, half of it in use.

use serde_json::{Value, json};
use testudo::sim::rng::Rng;
use testudo_e2e::devices::{self, DRIVER, class, request};

/// Nodes with 8 H100 each, whole ones.
pub fn whole_gpus(nodes: usize) -> Vec<Value> {
    fleet(nodes, devices::whole_gpus)
}

/// The same nodes, with every MIG partition of every GPU to be made on demand.
pub fn dynamic_mig(nodes: usize) -> Vec<Value> {
    fleet(nodes, devices::dynamic_mig)
}

/// Claims that hold devices of `fleet`: of each node, `names` picked at random with a chance of one half each.
pub fn held(nodes: usize, names: &[&str], seed: u64) -> Vec<Value> {
    let mut rng = Rng::new(seed);
    let mut claims = vec![];
    for node in 0..nodes {
        for name in names.iter().filter(|_| rng.below(2) == 0) {
            let mut held = claim(&format!("held-{node}-{name}"), vec![request("r", "gpu.nvidia.com", 1, None)], vec![]);
            let result = json!({"request": "r", "driver": DRIVER, "pool": name_of(node), "device": name});
            held["status"] = json!({"allocation": {"devices": {"results": [result]}}});
            claims.push(held);
        }
    }
    claims
}

/// A claim with requests and constraints.
pub fn claim(name: &str, requests: Vec<Value>, constraints: Vec<Value>) -> Value {
    devices::claim("default", name, requests, constraints)
}

/// The name of a node and of its pool.
pub fn name_of(node: usize) -> String {
    format!("node-{node:03}")
}

fn fleet(nodes: usize, slices: impl Fn(&str) -> Vec<Value>) -> Vec<Value> {
    let names = || (0..nodes).map(name_of);
    let node = |name| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let classes = [class("gpu.nvidia.com", "gpu"), class("mig.nvidia.com", "mig")];
    classes.into_iter().chain(names().map(node)).chain(names().flat_map(|name| slices(&name))).collect()
}
