//! Nodes and device classes.

use serde_json::{Value, json};

use super::config;
use super::dice::Dice;
use super::selectors;
use super::theme::Theme;

/// The drivers; the first has most devices.
pub const DRIVERS: [&str; 3] = ["gpu.nvidia.com", "net.example.com", "compute-domain.nvidia.com"];

/// One to four nodes in two zones.
pub fn nodes(dice: &mut Dice) -> Vec<Value> {
    let count = *dice.weighted(&[(45, 1), (30, 2), (15, 3), (10, 4)]);
    (0..count)
        .map(|index| {
            let name = format!("node-{index}");
            let mut labels = json!({"kubernetes.io/hostname": name, "zone": dice.pick(&["a", "b"])});
            if dice.chance(30) {
                labels["rack"] = json!(dice.between(1, 3).to_string());
            }
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        })
        .collect()
}

/// A selector of nodes, with exactly one term as slices must have.
pub fn node_selector(dice: &mut Dice, nodes: &[Value]) -> Value {
    let name = dice.pick(nodes)["metadata"]["name"].clone();
    let zone = *dice.pick(&["a", "b"]);
    let term = match dice.between(0, 8) {
        0 | 1 => json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}),
        2 => json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b", "a"]}]}),
        3 => json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": [zone]}]}),
        4 => json!({"matchExpressions": [{"key": "rack", "operator": "Exists"}]}),
        5 => json!({"matchExpressions": [{"key": "rack", "operator": "DoesNotExist"}]}),
        6 => json!({"matchExpressions": [{"key": "rack", "operator": *dice.pick(&["Gt", "Lt"]), "values": ["2"]}]}),
        7 => json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}),
        _ => json!({
            "matchExpressions": [
                {"key": "zone", "operator": "Exists"},
                {"key": "kubernetes.io/hostname", "operator": *dice.pick(&["In", "NotIn"]), "values": [name]},
            ],
        }),
    };
    json!({"nodeSelectorTerms": [term]})
}

/// A class for all GPUs, one for partitions, one for each other driver and one for anything.
pub fn classes(dice: &mut Dice, theme: &Theme) -> Vec<Value> {
    let mut classes = vec![
        ("gpu.nvidia.com", vec!["device.driver == 'gpu.nvidia.com'"]),
        ("net.example.com", vec!["device.driver == 'net.example.com'"]),
        ("any.example.com", vec![]),
    ];
    if theme.partitions {
        let is_partition = "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'mig'";
        classes.push(("mig.nvidia.com", vec![is_partition]));
    }
    if dice.chance(30) {
        classes.push((
            "h100.example.com",
            vec![
                "device.driver == 'gpu.nvidia.com'",
                "device.attributes['gpu.nvidia.com'].?model.orValue('') == 'h100'",
            ],
        ));
    }
    classes
        .into_iter()
        .map(|(name, expressions)| {
            let mut expressions: Vec<String> = expressions.into_iter().map(str::to_owned).collect();
            if theme.errors && dice.chance(10) {
                expressions.push(selectors::faulty(dice));
            }
            let mut spec = json!({});
            if !expressions.is_empty() {
                let selectors = expressions.iter().map(|expression| json!({"cel": {"expression": expression}}));
                spec["selectors"] = selectors.collect();
            }
            if theme.config && dice.chance(50) {
                let count = dice.between(1, 2);
                spec["config"] = (0..count).map(|_| config::opaque(dice)).collect();
            }
            json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec,
            })
        })
        .collect()
}
