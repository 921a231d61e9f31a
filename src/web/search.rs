//! Finding nodes, pods, gangs and namespaces by a part of their name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use testudo_core::model::pod::Stage;

use crate::host::Host;

/// As many of each sort are shown.
const MAX_FOUND: usize = 8;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// `node`, `pod`, `gang`, `claim` or `namespace`.
    pub kind: &'static str,
    /// Its namespace, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Where a pod is, how far a gang has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What has the text in its name, without regard to case: names that begin with it first.
pub fn search(host: &Host, text: &str) -> Vec<Found> {
    let text = text.trim().to_lowercase();
    if text.is_empty() {
        return vec![];
    }
    let mut best: BTreeMap<&'static str, BTreeMap<(usize, String), Found>> = BTreeMap::new();
    let mut offer = |found: Found| {
        let full = found.namespace.iter().map(|ns| format!("{ns}/")).collect::<String>() + &found.name;
        let at = found.name.to_lowercase().find(&text).or_else(|| full.to_lowercase().find(&text));
        let Some(at) = at else { return };
        let kept = best.entry(found.kind).or_default();
        kept.insert((at.min(1), full), found);
        if kept.len() > MAX_FOUND {
            kept.pop_last();
        }
    };
    for state in host.snapshot().slots().iter().flatten().filter(|state| state.node().is_some()) {
        offer(Found { kind: "node", namespace: None, name: state.name().to_string(), note: None });
    }
    let mut namespaces = BTreeSet::new();
    for pod in host.pods() {
        let note = match &pod.stage {
            Stage::Bound(node) => node.to_string(),
            Stage::Pending => "waits".into(),
            Stage::Finished(_) => continue,
        };
        let (namespace, name) = (Some(pod.key.namespace.clone()), pod.key.name.clone());
        offer(Found { kind: "pod", namespace, name, note: Some(note) });
        namespaces.insert(pod.key.namespace.clone());
    }
    for (key, stage) in host.gangs_underway().0.into_iter().filter(|(key, _)| key.is_of_several()) {
        let note = Some(format!("{stage:?}").to_lowercase());
        offer(Found { kind: "gang", namespace: Some(key.namespace), name: key.name, note });
    }
    for (key, note) in host.claim_names() {
        let (namespace, name) = (Some(key.namespace.to_string()), key.name.to_string());
        offer(Found { kind: "claim", namespace, name, note: Some(note.to_owned()) });
    }
    for name in namespaces {
        offer(Found { kind: "namespace", namespace: None, name, note: None });
    }
    let order = ["gang", "node", "pod", "claim", "namespace"];
    order.iter().filter_map(|kind| best.remove(kind)).flat_map(BTreeMap::into_values).collect()
}

#[cfg(test)]
mod tests {
    use super::super::view::testing::{Fleet, gpu_claim, gpu_node, gpus, using};
    use super::*;

    #[test]
    fn names_that_begin_with_it_come_first_and_there_is_an_end() {
        let fleet = Fleet::of(20);
        fleet.run(gpus("my-node", 1), "node-3");
        let found = search(&fleet.host, " NODE ");
        let names: Vec<(&str, &str)> = found.iter().map(|found| (found.kind, found.name.as_str())).collect();
        assert_eq!(names.len(), MAX_FOUND + 1);
        assert_eq!((names[0], names[MAX_FOUND]), (("node", "node-0"), ("pod", "my-node")));
        assert_eq!(found[MAX_FOUND].note.as_deref(), Some("node-3"));
        assert_eq!(search(&fleet.host, "team/my")[0].kind, "pod", "with its namespace");
        assert!(search(&fleet.host, "").is_empty());
    }

    #[test]
    fn a_pod_that_is_planned_by_itself_for_its_claims_is_no_gang() {
        let fleet = Fleet::allocating(vec![gpu_node("n", 1)], vec![gpu_claim("c", None)]);
        fleet.add(using("alone", "c"));
        assert!(!fleet.host.gangs_underway().0.is_empty(), "it is planned like one");
        let kinds: Vec<&str> = search(&fleet.host, "alone").iter().map(|found| found.kind).collect();
        assert_eq!(kinds, ["pod"]);
    }
}
