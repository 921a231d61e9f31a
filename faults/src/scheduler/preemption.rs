//! What happens when no node will do: others are evicted, or a claim loses devices that it has in vain.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cycle::Refusals;
use super::{Around, Room, Scheduler, Waiting};
use crate::api::store::{Kind, text};
use crate::facts::Pod;

impl Scheduler {
    /// PostFilter: returns the node that the pod is nominated to.
    pub(super) fn after_filter(
        &mut self,
        waiting: &Waiting,
        refusals: &Refusals,
        around: &mut Around<'_>,
    ) -> Option<String> {
        let node = self.preempt(waiting, refusals, around);
        if node.is_none() {
            self.clear_claim(&waiting.pod, around);
        }
        node
    }

    /// Default preemption: evicts pods of lower priority from one node where the pod then fits.
    fn preempt(&mut self, waiting: &Waiting, refusals: &Refusals, around: &mut Around<'_>) -> Option<String> {
        let rooms = self.room();
        let is_leaving =
            |node: &String| rooms[node].pods.iter().any(|pod| pod.leaving && pod.priority < waiting.pod.priority);
        if waiting.pod.nominated.as_ref().filter(|node| rooms.contains_key(*node)).is_some_and(is_leaving) {
            return waiting.pod.nominated.clone();
        }
        let curable = refusals.nodes.iter().filter(|(_, (_, curable))| *curable).map(|(node, _)| node);
        let mut candidates: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
        for room in curable.filter_map(|node| rooms.get(node)) {
            if let Some(victims) = self.victims(&waiting.pod, room) {
                candidates.insert(room.node.name.clone(), victims);
            }
        }
        if candidates.is_empty() {
            return None;
        }
        let meta = |victims: &Vec<Pod>| {
            let pods: Vec<Value> = victims.iter().map(|pod| json!({"UID": pod.uid})).collect();
            json!({"Pods": pods, "NumPDBViolations": 0})
        };
        let offered: BTreeMap<&String, Value> =
            candidates.iter().map(|(node, victims)| (node, meta(victims))).collect();
        let body = json!({"Pod": **waiting.object, "NodeNameToMetaVictims": offered});
        let answer = around.service.ask("preempt", &body, around.now_ms).ok()?;
        let (node, kept) = answer["NodeNameToMetaVictims"].as_object()?.iter().next()?;
        let uids: Vec<&str> = kept["Pods"].as_array()?.iter().map(|pod| text(pod, "/UID")).collect();
        let (node, name) = (node.clone(), &waiting.pod.key);
        around
            .story
            .tell(around.now_ms, || format!("kube-scheduler: evicts {} from {node} for {name}", uids.join(", ")));
        for victim in candidates.get(&node)?.iter().filter(|victim| uids.contains(&victim.uid.as_str())) {
            // One that is gone already is no obstacle.
            let _ = around.store.delete(Kind::Pod, &victim.key);
        }
        Some(node)
    }

    /// Who would have to go: none more than needed, the least important first.
    fn victims(&self, pod: &Pod, room: &Room) -> Option<Vec<Pod>> {
        let (mut lower, rest): (Vec<Pod>, Vec<Pod>) =
            room.pods.iter().cloned().partition(|other| other.priority < pod.priority && !other.leaving);
        lower.sort_by_key(|other| (other.priority, other.uid.clone()));
        let mut left = Room { node: room.node.clone(), pods: rest };
        left.pods.extend(lower.iter().cloned());
        let mut victims = vec![];
        for victim in lower {
            if self.admits(pod, &left, &Ok(vec![])).is_ok() {
                break;
            }
            left.pods.retain(|other| other.uid != victim.uid);
            victims.push(victim);
        }
        (!victims.is_empty() && self.admits(pod, &left, &Ok(vec![])).is_ok()).then_some(victims)
    }

    /// The plugin for claims: takes its devices from one claim of the pod that cannot be used on some node and that nobody
    /// else has reserved. The finalizer stays. One of two schedulers that has not seen that the pod was bound takes the devices
    /// of a pod that runs, with testudo or without it: that is left out.
    fn clear_claim(&mut self, pod: &Pod, around: &mut Around<'_>) {
        let is_bound = around.store.get(Kind::Pod, &pod.key).is_some_and(|now| now.pod().node.is_some());
        if is_bound {
            return;
        }
        let Ok(claims) = self.claims_of(pod) else { return };
        let nodes = self.view.all(Kind::Node).count();
        let is_in_the_way = |claim: &crate::facts::Claim| {
            claim.devices.is_some() && nodes > 1 && claim.reserved.iter().all(|it| *it == pod.uid)
        };
        let Some(claim) = claims.into_iter().find(is_in_the_way) else { return };
        let Some(seen) = self.view.get(Kind::Claim, &claim.key).cloned() else { return };
        let (name, now_ms) = (claim.key.clone(), around.now_ms);
        let cleared = around.store.update(Kind::Claim, &claim.key, |claim| {
            if claim["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"] {
                return Err(crate::api::store::Refused::conflict("it has changed"));
            }
            claim["status"] = json!({});
            Ok(())
        });
        if cleared.is_ok() {
            around
                .story
                .tell(now_ms, || format!("kube-scheduler: takes its devices from claim {name}: no node will do"));
        }
    }
}
