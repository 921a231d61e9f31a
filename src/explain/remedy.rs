//! What could be done about what stands against a place, as a sentence to somebody with kubectl.

use testudo_core::model::quota::OverQuota;
use testudo_core::model::resources::ResourceName;
use testudo_core::model::taint::TaintPurpose;
use testudo_core::placement::Reason;

use super::Miss;

/// What could be done so that the pod fits on the node: a sentence for each thing that stands against it.
pub fn remedy(miss: &Miss) -> Vec<String> {
    let node = &miss.node;
    let room = miss.leave.as_ref().filter(|leave| !leave.is_empty());
    let mut remedies: Vec<String> = miss
        .obstacles
        .iter()
        .filter(|obstacle| room.is_none() || !obstacle.preemption_can_help())
        .map(|obstacle| sentence(miss, obstacle))
        .collect();
    if let Some(leave) = room {
        let pods: Vec<String> = leave.iter().map(|leaver| leaver.pod.to_string()).collect();
        remedies.push(format!("let {} go from {node}: of lower priority, and the pod then fits", pods.join(", ")));
    }
    remedies
}

fn sentence(miss: &Miss, obstacle: &Reason) -> String {
    let node = &miss.node;
    match obstacle {
        Reason::UnknownNode => format!("wait until testudo has seen {node}"),
        Reason::OverQuota(over) => over_quota(over),
        Reason::Cordoned => format!("let pods onto {node} again: kubectl uncordon {node}"),
        Reason::Taint(taint) => match taint.purpose() {
            TaintPurpose::Startup => format!("wait until {node} is ready and the taint {taint} is gone"),
            TaintPurpose::Disruption => format!("take another node: {node} is being removed (taint {taint})"),
            TaintPurpose::Other => {
                format!("tolerate the taint {taint} in spec.tolerations, or take it off {node}")
            }
        },
        Reason::Affinity if miss.missing_labels.is_empty() => {
            format!("change what the pod's affinity requires of nodes, or the labels of {node}")
        }
        Reason::Affinity => {
            let labels = miss.missing_labels.join(" ");
            format!("take {labels} out of spec.nodeSelector, or put it on the node: kubectl label node {node} {labels}")
        }
        Reason::Absent { resource, .. } => {
            format!("add nodes that have {resource}, or ask for what there is (testudo top shows it): {node} has none")
        }
        Reason::TooLarge { resource, allocatable, unhealthy, .. } => {
            let (most, resource) = (amount(resource, *allocatable), resource);
            match unhealthy {
                0 => format!("ask for {most} {resource} at most, or add larger nodes: {node} has no more"),
                failed => format!("repair {node}, of which {failed} {resource} have failed, or ask for {most} at most"),
            }
        }
        Reason::Insufficient { resource, requested, free } => {
            let missing = amount(resource, requested - free);
            format!("free {missing} more {resource} on {node}, or add a node (testudo plan says which)")
        }
        Reason::Scattered { resource, requested, largest } => {
            format!("ask for {largest} {resource} at most, or free {requested} on one GPU of {node}")
        }
        Reason::UnevenShare { resource, .. } => {
            format!("ask for less than 1000 {resource}, which is a part of one GPU, or for whole thousands")
        }
        Reason::NotASet { resource, .. } => {
            format!("ask for 1 {resource}, or for nodes with whole GPUs: what {node} offers cannot work as one set")
        }
    }
}

/// What could be done for a pod whose namespace would have more than it may.
pub fn over_quota(over: &OverQuota) -> String {
    let OverQuota { namespace, .. } = over;
    format!("let others of namespace {namespace} end, or raise its quota in the policy: {} are in use", over.in_use())
}

/// An amount as people write it.
pub fn amount(resource: &ResourceName, amount: i64) -> String {
    match resource.as_str() {
        ResourceName::CPU if amount % 1000 == 0 => (amount / 1000).to_string(),
        ResourceName::CPU => format!("{amount}m"),
        ResourceName::MEMORY if amount >= 1 << 30 => format!("{:.1}Gi", amount as f64 / f64::from(1 << 30)),
        ResourceName::MEMORY => format!("{}Mi", amount >> 20),
        _ => amount.to_string(),
    }
}
