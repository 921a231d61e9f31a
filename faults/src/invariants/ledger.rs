//! Testudo's ledger says what the cluster says.

use std::collections::BTreeMap;

use testudo_core::cluster::Standing;
use testudo_core::engine::Engine;
use testudo_core::model::pod::PodUid;

use super::{Rule, Violation, wrong};
use crate::api::store::{Kind, Store};
use crate::facts::Pod;

/// Where they differ.
pub fn differs(store: &Store, engine: &Engine) -> Option<Violation> {
    let cluster = engine.cluster();
    let pods = store.all(Kind::Pod).map(|(_, pod)| pod.pod()).filter(|pod| pod.is_ours && !pod.ended);
    let on_nodes: BTreeMap<String, Pod> =
        pods.filter(|pod| pod.node.is_some()).map(|pod| (pod.uid.clone(), pod.clone())).collect();
    for (uid, pod) in &on_nodes {
        let node = pod.node.as_deref().unwrap_or_default();
        let entry = cluster.holding(&PodUid::from(uid.as_str()));
        let is_right = entry.is_some_and(|it| it.holding.node.as_str() == node && it.standing == Standing::Observed);
        if !is_right {
            let said = entry.map_or("nothing".to_owned(), |it| format!("{:?} on {}", it.standing, it.holding.node));
            return wrong(Rule::Ledger, format!("pod {} is on {node}, and the ledger says {said}", pod.key));
        }
    }
    for state in cluster.slots().iter().flatten() {
        let stray = state.holders().iter().find(|(uid, holding)| {
            !on_nodes.contains_key(uid.as_str()) && holding.pod.namespace == crate::actors::users::NAMESPACE
        });
        if let Some((uid, holding)) = stray {
            let text = format!("the ledger holds {} for {} ({uid}), which is not there", state.name(), holding.pod);
            return wrong(Rule::Ledger, text);
        }
    }
    None
}
