//! A ResourceClaim that gets no devices: what stands against it where, and what could be done.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use testudo_core::claims::{AskRefusal, NodeRefusal, Rejection};

/// What nodes have in common that stands against a claim, those of most nodes first, with the nodes by name.
pub fn by_refusal(refusals: &[NodeRefusal]) -> Vec<(String, Vec<String>)> {
    let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    refusals.iter().for_each(|refusal| nodes.entry(refusal.to_string()).or_default().push(refusal.node.to_string()));
    let mut groups: Vec<(String, Vec<String>)> = nodes.into_iter().collect();
    groups.sort_by_key(|(_, nodes)| Reverse(nodes.len()));
    groups
}

/// What could be done about what stands against most devices.
pub fn claim_remedy(refusals: &[NodeRefusal]) -> Vec<String> {
    if refusals.is_empty() {
        return vec!["add nodes: there are none among the objects".to_owned()];
    }
    let asks = || refusals.iter().flat_map(|refusal| &refusal.asks);
    if asks().all(|ask| ask.devices == 0) {
        return vec!["add nodes whose driver publishes ResourceSlices: no node has devices".to_owned()];
    }
    if let Some(most) = most_at_once(refusals) {
        return vec![format!(
            "ask for {most} devices at most, or add nodes that have more: no node has as many that would do"
        )];
    }
    let mut advice = vec![];
    let is_said = |why: Rejection| asks().any(|ask| ask.rejected.contains_key(&why));
    if is_said(Rejection::InUse) || is_said(Rejection::Counters) {
        advice.push("delete claims that are no longer needed: devices that would do are in use".to_owned());
    }
    if is_said(Rejection::Tainted) {
        advice.push("tolerate the devices' taints in the request, or have them taken off".to_owned());
    }
    if is_said(Rejection::NotSelected) {
        advice.push("widen the selectors of the request or of its DeviceClass: they pass over devices".to_owned());
    }
    if is_said(Rejection::Capacity) {
        advice.push("ask for less capacity of a device, or add devices that have as much".to_owned());
    }
    if advice.is_empty() {
        advice.push("loosen the constraints, or add nodes: enough devices are there, but not together".to_owned());
    }
    advice
}

/// How many devices a node has at most that would do if nobody else had any, where that is too few everywhere.
fn most_at_once(refusals: &[NodeRefusal]) -> Option<u64> {
    let on_node = |refusal: &NodeRefusal| {
        let would_do = refusal.asks.iter().map(|ask| {
            let taken = [Rejection::InUse, Rejection::Counters].map(|why| ask.rejected.get(&why).copied().unwrap_or(0));
            (ask.usable + taken.iter().sum::<usize>()) as u64
        });
        let is_enough = |(ask, would_do): (&AskRefusal, u64)| ask.needs.is_none_or(|needs| needs <= would_do);
        let would_do: Vec<u64> = would_do.collect();
        if refusal.asks.iter().zip(would_do.iter().copied()).any(is_enough) { None } else { would_do.into_iter().max() }
    };
    let all: Option<Vec<u64>> = refusals.iter().map(on_node).collect();
    all.and_then(|all| all.into_iter().max()).filter(|most| *most > 0)
}
