//! What can be placed is placed, and gangs are whole.

use std::collections::{BTreeMap, BTreeSet};

use super::feasible::Free;
use super::quotas::Used;
use super::{Rule, Violation, wrong};
use crate::api::store::{Kind, Store, is_leaving};
use crate::facts::{Claim, Node, Pod};
use crate::script::Quota;

fn pods(store: &Store) -> Vec<Pod> {
    store.all(Kind::Pod).map(|(_, pod)| pod.pod().clone()).filter(|pod| pod.is_ours).collect()
}

/// Members of gangs that there are, by gang, and how many must start together.
fn gangs(pods: &[Pod]) -> BTreeMap<String, (usize, Vec<&Pod>)> {
    let mut gangs: BTreeMap<String, (usize, Vec<&Pod>)> = BTreeMap::new();
    for pod in pods {
        if let Some((gang, together)) = &pod.gang {
            gangs.entry(gang.clone()).or_insert((*together, vec![])).1.push(pod);
        }
    }
    gangs
}

/// The gangs of which some members have started and others not: how many have, and how many must.
pub fn half_started(store: &Store) -> BTreeMap<String, (usize, usize)> {
    let pods = pods(store);
    let started = |members: Vec<&Pod>| members.iter().filter(|pod| pod.node.is_some()).count();
    // Of one that is made in stages others may never be made.
    let waits = |members: &[&Pod]| members.iter().any(|pod| pod.is_pending() || !pod.staged);
    let may_be_whole = gangs(&pods).into_iter().filter(|(_, (_, members))| waits(members));
    let counts = may_be_whole.map(|(gang, (together, members))| (gang, (started(members), together)));
    counts.filter(|(_, (started, together))| *started > 0 && started < together).collect()
}

/// A pod, or a gang, that waits although there is room for it, or would be if an autoscaler had added these nodes.
pub fn left_out(store: &Store, quota: Option<Quota>, could_add: &[Node]) -> Option<Violation> {
    let pods = pods(store);
    let nodes: Vec<Node> = store.all(Kind::Node).map(|(_, node)| node.node().clone()).collect();
    let claims: Vec<Claim> = store.all(Kind::Claim).map(|(_, claim)| claim.claim().clone()).collect();
    let slices = store.all(Kind::Slice).map(|(_, slice)| &***slice);
    let free = Free::of(&nodes, &pods, &claims, slices.clone());
    let grown = Free::of(&[&nodes, could_add].concat(), &pods, &claims, slices);
    let used = Used::of(pods.iter(), &claims.iter().collect::<Vec<_>>());
    let places = |wanted: &[(&Pod, Vec<(String, usize)>)]| {
        if !quota.is_none_or(|quota| used.with(wanted).is_within(quota)) {
            return None;
        }
        // Pods with claims the autoscaler leaves to others, and those that are yet to be made it does not see.
        let uids: BTreeSet<&str> = wanted.iter().map(|(pod, _)| pod.uid.as_str()).collect();
        let are_seen = uids.len() == wanted.len() && wanted.iter().all(|(_, asks)| asks.is_empty());
        let makes_room = !could_add.is_empty() && are_seen;
        free.places(wanted).or_else(|| grown.places(wanted).filter(|_| makes_room))
    };
    let asks = |pod: &Pod| -> Vec<(String, usize)> {
        let of_claim = |key| claims.iter().find(|claim| claim.key == key).map(|claim| claim.asks.clone());
        pod.claim_keys().filter_map(of_claim).flatten().collect()
    };
    let say = |who: String, waiting: &[&Pod], places: Vec<String>| {
        let message = waiting.first().map(|pod| pod.message.clone()).unwrap_or_default();
        wrong(Rule::Placed, format!("{who} waits, and would fit on {}; it is told: {message}", places.join(", ")))
    };
    // With one that is being deleted kube-scheduler lets nobody pass.
    let is_there = |key| store.get(Kind::Claim, &key).is_some_and(|claim| !is_leaving(claim));
    let has_claims = |pod: &Pod| pod.claims.iter().all(Option::is_some) && pod.claim_keys().all(is_there);
    for pod in pods.iter().filter(|pod| pod.is_pending() && pod.gang.is_none() && has_claims(pod)) {
        if let Some(places) = places(&[(pod, asks(pod))]) {
            return say(format!("pod {}", pod.key), &[pod], places);
        }
    }
    for (gang, (together, members)) in gangs(&pods) {
        let started = members.iter().filter(|pod| pod.node.is_some() && !pod.ended && !pod.leaving).count();
        let done = members.iter().filter(|pod| pod.staged && pod.succeeded && !pod.leaving).count();
        let mut waiting: Vec<&Pod> = members.into_iter().filter(|pod| pod.is_pending() && has_claims(pod)).collect();
        // Who must start first where members differ: role by role.
        waiting.sort_by_key(|pod| (&pod.role, &pod.key));
        let needed = together.saturating_sub(started + done);
        if let Some(last) = waiting.last().filter(|pod| pod.staged).copied() {
            // Those that are yet to be made are like it.
            waiting.resize(waiting.len().max(needed), last);
        }
        if waiting.len() < needed {
            continue;
        }
        // Who is left when enough have started may start alone, and nobody waits there for somebody else.
        let groups: Vec<&[&Pod]> = match needed {
            0 => waiting.chunks(1).collect(),
            needed => vec![&waiting[..needed]],
        };
        for waiting in groups {
            let wanted: Vec<_> = waiting.iter().map(|pod| (*pod, asks(pod))).collect();
            if let Some(places) = places(&wanted) {
                return say(format!("gang {gang} ({started} started)"), waiting, places);
            }
        }
    }
    None
}
