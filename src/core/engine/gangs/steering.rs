//! Pointing kube-scheduler to the places: what is to be written on which pod.
//!
//! Level-based: what a pod shows is compared with what it should show, so that a write that got lost, or that
//! kube-scheduler has wiped out, is made again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::batch::{Batch, Clearing, Place};
use super::{GangKeeper, Kept};
use crate::cluster::Cluster;
use crate::engine::Policy;
use crate::model::gang::GangKey;
use crate::model::node::NodeName;
use crate::model::pod::{Gate, Pod, Promise};

/// Something to write on a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Point the scheduler to the pod's place, and take our gate away.
    Steer {
        /// The pod.
        pod: Arc<Pod>,
        /// Its place, and the plan.
        promise: Promise,
        /// How often this was tried before. Part of what is written, so that the scheduler looks at the pod again.
        attempt: u32,
    },
    /// The pod has no place any more.
    Withdraw {
        /// The pod.
        pod: Arc<Pod>,
    },
    /// Evict the pod, if its disruption budget allows it.
    Evict {
        /// The pod.
        pod: Arc<Pod>,
        /// For which gang.
        gang: GangKey,
    },
}

impl GangKeeper {
    /// What is to be written now. A member whom the scheduler does not bring to bind in spite of being pointed there several
    /// times has been refused its place, and its batch fails.
    pub fn orders(&mut self, cluster: &mut Cluster, policy: &Policy, now_ms: u64) -> Vec<Order> {
        let mut orders = vec![];
        let mut stuck: Vec<(GangKey, Arc<Pod>, NodeName)> = vec![];
        for (key, kept) in &mut self.kept {
            for batch in &mut kept.batches {
                if let Some(clearing) = &mut batch.clearing {
                    orders.extend(clearing.evictions(key, cluster, now_ms, policy.gangs.steer_again_ms));
                    continue;
                }
                let (id, until_ms, is_going) = (Arc::clone(&batch.id), batch.until_ms, batch.is_going);
                for place in batch.waiting() {
                    let Some(pod) = &place.pod else { continue };
                    let promise =
                        Promise { plan: Arc::clone(&id), node: place.node.clone(), until_s: (until_ms / 1000) as i64 };
                    if !place.is_due(pod, &promise, now_ms, policy.gangs.steer_again_ms) {
                        continue;
                    }
                    if place.steered >= policy.gangs.max_steers && !is_going {
                        stuck.push((key.clone(), Arc::clone(pod), place.node.clone()));
                        continue;
                    }
                    orders.push(Order::Steer { pod: Arc::clone(pod), promise, attempt: place.steered });
                    place.steered_ms = Some(now_ms);
                    place.steered += 1;
                }
            }
            orders.extend(kept.withdrawals(now_ms, policy.gangs.steer_again_ms));
        }
        for (key, pod, node) in stuck {
            let text = format!("the scheduler did not bring pod {} to node {node}", pod.key);
            self.fail(&key, cluster, &text, BTreeSet::from([node]), policy, now_ms);
        }
        orders
    }
}

impl Batch {
    /// The places of members that the scheduler has yet to bring to bind.
    fn waiting(&mut self) -> impl Iterator<Item = &mut Place> {
        self.places.values_mut().filter(|place| !place.has_arrived)
    }
}

impl Clearing {
    /// The evictions to ask for now: a disruption budget may refuse one for a while.
    fn evictions(&mut self, gang: &GangKey, cluster: &Cluster, now_ms: u64, again_ms: u64) -> Vec<Order> {
        let due =
            self.victims.iter_mut().filter(|(_, asked_ms)| asked_ms.is_none_or(|asked| now_ms >= asked + again_ms));
        let mut orders = vec![];
        for (uid, asked_ms) in due {
            if let Some(pod) = cluster.pod(uid).filter(|pod| !pod.leaving) {
                *asked_ms = Some(now_ms);
                orders.push(Order::Evict { pod: Arc::clone(pod), gang: gang.clone() });
            }
        }
        orders
    }
}

impl Place {
    /// Is it time to write, because the pod does not show its place, or because nothing came of it?
    fn is_due(&self, pod: &Pod, promise: &Promise, now_ms: u64, again_ms: u64) -> bool {
        let Some(steered_ms) = self.steered_ms else { return true };
        let steering = &pod.steering;
        let shows =
            steering.promise.as_ref().is_some_and(|shown| shown.plan == promise.plan && shown.node == promise.node)
                && steering.nominated.as_ref() == Some(&promise.node)
                && steering.gate == Gate::Open;
        let pause = if shows { again_ms << self.steered.min(4) } else { again_ms };
        now_ms >= steered_ms + pause
    }
}

impl Kept {
    /// For pending members that show a place which is not theirs any more.
    fn withdrawals(&mut self, now_ms: u64, again_ms: u64) -> Vec<Order> {
        let seats = self.roster.iter().flat_map(|roster| roster.seats.iter().chain(&roster.extras));
        let without_place = seats.filter(|seat| seat.node.is_none() && !self.has_place(seat));
        let misled: Vec<Arc<Pod>> =
            without_place.filter_map(|seat| seat.pod.clone()).filter(|pod| pod.steering.promise.is_some()).collect();
        self.withdrawn.retain(|_, written_ms| now_ms < *written_ms + again_ms);
        let mut orders = vec![];
        for pod in misled {
            if !self.withdrawn.contains_key(&pod.uid) {
                self.withdrawn.insert(pod.uid.clone(), now_ms);
                orders.push(Order::Withdraw { pod });
            }
        }
        orders
    }
}
