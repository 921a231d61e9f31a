//! Levels of topology, by the names that people give them.

use testudo_core::model::gang::{Strictness, TopologyLevel, TopologyRule};

use super::limits::{RULES, is_label_key};

/// The level that a label of nodes stands for.
pub(super) fn of_label(key: &str) -> TopologyLevel {
    match key {
        "kubernetes.io/hostname" => TopologyLevel::Node,
        "nvidia.com/gpu.clique" => TopologyLevel::Clique,
        key => TopologyLevel::Label(key.into()),
    }
}

/// The level of this name, or the label of nodes that it is.
pub(super) fn parse(name: &str) -> Result<TopologyLevel, String> {
    match name {
        "device-fabric" => Ok(TopologyLevel::DeviceFabric),
        "node" => Ok(TopologyLevel::Node),
        "clique" => Ok(TopologyLevel::Clique),
        "zone" => Ok(TopologyLevel::Label("topology.kubernetes.io/zone".into())),
        "region" => Ok(TopologyLevel::Label("topology.kubernetes.io/region".into())),
        key if is_label_key(key) => Ok(of_label(key)),
        other => Err(format!(
            "{other:?} is no level: device-fabric, node, clique, zone, region or the key of a label of nodes"
        )),
    }
}

/// A list such as `required=clique,preferred=node`.
pub(super) fn parse_rules(text: &str) -> Result<Vec<TopologyRule>, String> {
    let mut rules = text.split(',').map(|rule| parse_rule(rule.trim())).collect::<Result<Vec<_>, _>>()?;
    rules.sort();
    rules.dedup();
    if rules.len() > RULES { Err(format!("has more than {RULES} rules")) } else { Ok(rules) }
}

fn parse_rule(text: &str) -> Result<TopologyRule, String> {
    let (strictness, level) = match text.split_once('=') {
        Some(("required", level)) => (Strictness::Required, level),
        Some(("preferred", level)) => (Strictness::Preferred, level),
        _ => return Err(format!("{text:?} is neither required=LEVEL nor preferred=LEVEL")),
    };
    Ok(TopologyRule { strictness, level: parse(level.trim())? })
}

/// A rule on the domains of a label, where one is named.
pub(super) fn rule(strictness: Strictness, key: Option<&str>) -> Option<TopologyRule> {
    let key = key.filter(|key| !key.is_empty())?;
    Some(TopologyRule { strictness, level: of_label(key) })
}
