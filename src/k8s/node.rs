//! Nodes: from the wire to values.

use testudo_core::model::node::{NodeName, NodeParts};
use testudo_core::model::resources::Resources;
use testudo_core::model::taint::{Effect, Taint};

use super::amounts::amounts;
use super::object;
use super::problem::{Decoded, Report};

/// Reads a node.
///
/// An amount that cannot be read counts as 0: nothing is placed on what may not be there. A taint of unknown effect
/// counts as `NoSchedule`.
pub fn decode(node: &object::Node) -> Decoded<NodeParts> {
    let mut report = Report::on("Node", &node.metadata);
    if node.metadata.name.is_empty() {
        report.note("metadata.name", "is missing");
    }
    let taints = node.spec.taints.iter().enumerate().map(|(at, taint)| decode_taint(at, taint, &mut report)).collect();
    let capacity = decode_amounts("capacity", &node.status.capacity, &mut report);
    let allocatable = decode_amounts("allocatable", &node.status.allocatable, &mut report);
    let parts = NodeParts {
        name: NodeName::from(node.metadata.name.as_str()),
        labels: node.metadata.labels.iter().collect(),
        taints,
        cordoned: node.spec.unschedulable,
        capacity,
        allocatable,
    };
    (parts, report.into_problems())
}

fn decode_amounts(field: &str, list: &object::ResourceList, report: &mut Report) -> Resources {
    amounts(list, |name, what| {
        report.note(format_args!("status.{field}[{name}]"), format_args!("{what}; counted as 0"));
    })
}

fn decode_taint(at: usize, taint: &object::Taint, report: &mut Report) -> Taint {
    let effect = Effect::parse(&taint.effect).unwrap_or_else(|| {
        report.note(
            format_args!("spec.taints[{at}].effect"),
            format_args!("unknown effect {:?}; counted as NoSchedule", taint.effect),
        );
        Effect::NoSchedule
    });
    Taint { key: taint.key.clone(), value: taint.value.clone(), effect }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(node: Value) -> (NodeParts, Vec<String>) {
        let node: object::Node = serde_json::from_value(node).unwrap();
        let (parts, problems) = decode(&node);
        (parts, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn reads_a_gpu_node() {
        let (parts, problems) = read(json!({
            "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.count": "8", "a": "b"}},
            "spec": {"unschedulable": true, "podCIDR": "10.0.0.0/24", "taints": [
                {"key": "nvidia.com/gpu", "effect": "NoSchedule", "timeAdded": null},
                {"key": "spot", "value": "yes", "effect": "PreferNoSchedule"},
            ]},
            "status": {
                "capacity": {"cpu": "192", "memory": "2Ti", "nvidia.com/gpu": "8", "pods": "110"},
                "allocatable": {"cpu": "191450m", "memory": "2199023255551", "nvidia.com/gpu": 7, "pods": "110"},
                "images": [{"names": ["x"], "sizeBytes": 1}],
            },
        }));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(parts.name.as_str(), "gpu-1");
        assert_eq!(parts.labels.get("nvidia.com/gpu.count"), Some("8"));
        assert!(parts.cordoned);
        let taints: Vec<_> = parts.taints.iter().map(ToString::to_string).collect();
        assert_eq!(taints, ["nvidia.com/gpu:NoSchedule", "spot=yes:PreferNoSchedule"]);
        assert_eq!(
            parts.capacity,
            Resources::from([("cpu", 192_000), ("memory", 1 << 41), ("nvidia.com/gpu", 8), ("pods", 110)])
        );
        assert_eq!(
            parts.allocatable,
            Resources::from([("cpu", 191_450), ("memory", (1 << 41) - 1), ("nvidia.com/gpu", 7), ("pods", 110)])
        );
    }

    #[test]
    fn an_amount_that_cannot_be_read_is_nothing() {
        let (parts, problems) = read(json!({
            "metadata": {"name": "n"},
            "status": {"allocatable": {"cpu": "4 cores", "memory": "-1Gi", "pods": "10"}, "capacity": {"cpu": ""}},
        }));
        assert_eq!(parts.allocatable, Resources::from([("cpu", 0), ("memory", 0), ("pods", 10)]));
        assert_eq!(parts.capacity, Resources::from([("cpu", 0)]));
        assert_eq!(problems[0], "Node n: status.capacity[cpu]: quantity \"\" has no digits; counted as 0");
        assert!(
            problems[1].starts_with("Node n: status.allocatable[cpu]: quantity \"4 cores\" has the unknown suffix")
        );
        assert_eq!(problems[2], "Node n: status.allocatable[memory]: quantity \"-1Gi\" is below 0; counted as 0");
    }

    #[test]
    fn a_taint_of_unknown_effect_keeps_pods_away() {
        let (parts, problems) =
            read(json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": "Banish"}]}}));
        assert_eq!(parts.taints[0].effect, Effect::NoSchedule);
        assert_eq!(problems, ["Node n: spec.taints[0].effect: unknown effect \"Banish\"; counted as NoSchedule"]);
    }

    #[test]
    fn a_node_without_a_name_is_reported() {
        assert_eq!(read(json!({})).1, ["Node (no name): metadata.name: is missing"]);
    }
}
