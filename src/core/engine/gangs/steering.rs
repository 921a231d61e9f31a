//! Pointing kube-scheduler to the places: what is to be written on which pod.
//!
//! Level-based: what a pod shows is compared with what it should show, so that a write that got lost, or that
//! kube-scheduler has wiped out, is made again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::batch::{Batch, Clearing, Place};
use super::shortfall::NodeRequest;
use super::{ELSEWHERE, GangKeeper, Kept, same_words, without_numbers};
use crate::cluster::Cluster;
use crate::engine::claims::{ClaimOrder, Mark};
use crate::engine::{GangPolicy, Policy};
use crate::model::gang::{GangKey, names_a_gang};
use crate::model::node::NodeName;
use crate::model::pod::{Gate, Pod, PodUid, Promise, Stage};

/// How long a reason holds before it is brought to members that show another, in milliseconds.
const CORRECT_AFTER_MS: u64 = 1_000;

/// What kube-scheduler says where a claim had devices already when it came to write its own choice
/// (`DynamicResources`, `PreBind`).
const ALLOCATED_MEANWHILE: &str = "got allocated elsewhere in the meantime";

/// Pods woken at once, at most, when places are given up.
pub const MAX_WOKEN: usize = 64;

/// Something to write on a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Show the scheduler the pod's place ahead, behind our gate, while its claims are given their devices.
    Nominate {
        /// The pod.
        pod: Arc<Pod>,
        /// Its place, and the plan.
        promise: Promise,
    },
    /// Show the scheduler a node for a pod of no gang, ahead of its turn. Nothing rests on it.
    Hint {
        /// The pod.
        pod: Arc<Pod>,
        /// Where it would go.
        node: NodeName,
    },
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
    /// Make the scheduler look at the pod again.
    Wake {
        /// The pod.
        pod: Arc<Pod>,
    },
    /// Take our gate away though the pod has no place, so that an autoscaler sees it.
    Show {
        /// The pod.
        pod: Arc<Pod>,
    },
    /// Ask an autoscaler for nodes.
    Request(NodeRequest),
    /// Keep autoscalers from removing a node.
    Protect {
        /// The node.
        node: NodeName,
        /// For which gang.
        gang: GangKey,
    },
    /// Nobody needs a node any more that autoscalers were kept from.
    Unprotect {
        /// The node.
        node: NodeName,
    },
    /// Give a claim its devices, or take them back.
    Claim(ClaimOrder),
    /// Show on the pod that a device of it was given to another claim, too, or not any more.
    Mark(Mark),
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
        if self.stands_by {
            return vec![];
        }
        let mut orders = vec![];
        let mut refused: BTreeMap<GangKey, Vec<(Arc<Pod>, NodeName, String)>> = BTreeMap::new();
        for (key, kept) in &mut self.kept {
            for batch in &mut kept.batches {
                if let Some(clearing) = &mut batch.clearing {
                    orders.extend(clearing.evictions(key, cluster, now_ms, policy.gangs.steer_again_ms));
                    continue;
                }
                let have_devices = self.claims.are_given(batch.awaited_claims());
                let (id, until_ms, is_going) = (Arc::clone(&batch.id), batch.until_ms, batch.is_going());
                for place in batch.waiting() {
                    let Some(pod) = &place.pod else { continue };
                    let promise =
                        Promise { plan: Arc::clone(&id), node: place.node.clone(), until_s: (until_ms / 1000) as i64 };
                    if !have_devices {
                        // Without our gate the scheduler would look at the pod at once, and too early.
                        if pod.steering.gate == Gate::Ours && !std::mem::replace(&mut place.is_nominated, true) {
                            orders.push(Order::Nominate { pod: Arc::clone(pod), promise });
                        }
                        continue;
                    }
                    if !is_going && let Some(why) = place.refusal(now_ms, &policy.gangs) {
                        refused.entry(key.clone()).or_default().push((Arc::clone(pod), place.node.clone(), why));
                        continue;
                    }
                    if place.is_due(pod, &promise, now_ms, policy.gangs.steer_again_ms) {
                        orders.push(Order::Steer { pod: Arc::clone(pod), promise, attempt: place.steered });
                        place.steer(now_ms);
                    }
                }
            }
            if let Some(leaving) = kept.regrouping.leaving() {
                orders.extend(leaving.evictions(key, cluster, now_ms, policy.gangs.steer_again_ms));
            }
            if let Some(gang) = cluster.gangs().get(key) {
                orders.extend(kept.withdrawals(&gang.members, policy, now_ms));
                orders.extend(kept.corrections(&gang.members, now_ms));
            }
            orders.extend(kept.showings(key, policy, now_ms));
        }
        let claim_orders = self.claims.orders(cluster, policy, now_ms);
        let begun: BTreeSet<GangKey> = claim_orders.iter().filter_map(|order| self.claims.gang_of(order)).collect();
        // From now on the cluster may show devices of a part of them.
        begun.iter().for_each(|gang| self.post(gang, now_ms));
        orders.extend(claim_orders.into_iter().map(Order::Claim));
        orders.extend(self.claims.marks(cluster, policy.gangs.steer_again_ms, now_ms).into_iter().map(Order::Mark));
        orders.extend(self.protections(policy, now_ms));
        for (key, refusals) in refused {
            self.refuse(&key, &refusals, cluster, policy, now_ms);
        }
        orders
    }
}

impl GangKeeper {
    /// A pod could not be pointed to its place: that the scheduler does not bring it there says nothing then.
    pub fn not_steered(&mut self, pod: &Pod) {
        let kept = pod.membership.as_ref().and_then(|membership| self.kept.get_mut(&membership.gang));
        let places = kept.into_iter().flat_map(|kept| &mut kept.batches).filter_map(|it| it.places.get_mut(&pod.uid));
        places.for_each(|place| place.steered = place.steered.saturating_sub(1));
    }

    /// A pod could not be woken: nothing else would tell the scheduler.
    pub fn not_woken(&mut self, pod: &Pod, now_ms: u64) {
        self.second_look.again(now_ms);
        if let Some(kept) = pod.membership.as_ref().and_then(|membership| self.kept.get_mut(&membership.gang)) {
            kept.corrected.remove(&pod.uid);
        }
    }

    /// Pods that the scheduler has put aside and that may fit now, since places were given up: no event of the API tells it.
    /// The most important first, then the oldest.
    pub fn take_sleepers(&mut self, cluster: &Cluster, policy: &Policy) -> Vec<Arc<Pod>> {
        if !std::mem::take(&mut self.freed_places) {
            return vec![];
        }
        let is_aside = |pod: &&Arc<Pod>| {
            pod.stage == Stage::Pending
                && pod.steering.gate == Gate::Open
                && pod.steering.unscheduled.is_some()
                && policy.is_ours(pod)
                && pod.membership.as_ref().is_none_or(|membership| !self.board.is_together(&membership.gang))
        };
        let mut pods: Vec<Arc<Pod>> = cluster.pods().filter(is_aside).cloned().collect();
        pods.sort_by_cached_key(|pod| (Reverse(pod.priority), pod.created_s, pod.key.clone()));
        pods
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
    /// What the scheduler says against the place, once it has said something since it was pointed there.
    pub(super) fn objection(&self, pod: &Pod) -> Option<Arc<str>> {
        self.steered_ms?;
        let message = pod.steering.unscheduled.as_ref()?;
        if self.message_before.as_ref().is_some_and(|before| same_words(before, message)) {
            return None;
        }
        // Our own texts say nothing against the place, but for the one that only other nodes are given. Nor does it that
        // we did not answer, or that the scheduler saw a claim as it was before we gave it its devices.
        let is_ours = names_a_gang(message) && !message.contains(ELSEWHERE);
        let is_outage = message.contains("with extender at URL") || message.contains("Post \"http");
        let is_old_sight = message.contains(ALLOCATED_MEANWHILE);
        (!is_ours && !is_outage && !is_old_sight).then(|| Arc::clone(message))
    }

    /// Why the place counts as refused by now, if it does.
    fn refusal(&self, now_ms: u64, policy: &GangPolicy) -> Option<String> {
        let steered_ms = self.steered_ms?;
        match &self.suspicion {
            Some(suspicion) if suspicion.is_checked && now_ms >= steered_ms + policy.confirm_ms => {
                Some(suspicion.message.to_string())
            }
            None if self.steered > policy.max_steers && now_ms >= steered_ms + policy.steer_again_ms => {
                Some("the scheduler does not bring it there".into())
            }
            _ => None,
        }
    }

    /// The scheduler is pointed to the place.
    fn steer(&mut self, now_ms: u64) {
        self.steered_ms = Some(now_ms);
        self.steered += 1;
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.is_checked = true;
        }
    }

    /// Is it time to write, because the pod does not show its place, or because nothing came of it?
    fn is_due(&self, pod: &Pod, promise: &Promise, now_ms: u64, again_ms: u64) -> bool {
        let Some(steered_ms) = self.steered_ms else { return true };
        if self.suspicion.as_ref().is_some_and(|suspicion| !suspicion.is_checked) {
            return true;
        }
        let steering = &pod.steering;
        let shows =
            steering.promise.as_ref().is_some_and(|shown| shown.plan == promise.plan && shown.node == promise.node)
                && steering.nominated.as_ref() == Some(&promise.node)
                && steering.gate == Gate::Open;
        let pause = if shows { again_ms << self.steered.min(4) } else { again_ms };
        now_ms >= steered_ms + pause
    }
}

/// Does a pod show that it waits for its gang?
fn blames_gang(pod: &Pod) -> bool {
    pod.steering.unscheduled.as_ref().is_some_and(|message| names_a_gang(message))
}

impl Kept {
    /// Wakes members that show another reason to wait than the one that holds now: nothing else would for minutes. Each once
    /// for a reason.
    fn corrections(&mut self, members: &BTreeMap<PodUid, Arc<Pod>>, now_ms: u64) -> Vec<Order> {
        let Some((told, since_ms)) = &self.told else { return vec![] };
        if now_ms < since_ms + CORRECT_AFTER_MS {
            return vec![];
        }
        let shows = |pod: &&Arc<Pod>, says: &dyn Fn(&str) -> bool| {
            let shown = pod.steering.unscheduled.as_deref().filter(|_| pod.steering.gate == Gate::Open);
            pod.stage == Stage::Pending && shown.is_some_and(says)
        };
        let misinformed: Vec<Arc<Pod>> = match &self.roster {
            Ok(roster) => {
                let free = roster.free.iter().filter(|seat| seat.pod.as_deref().is_some_and(blames_gang));
                let waiting = roster.all().filter(|seat| seat.node.is_none() && !self.has_place(seat));
                // Numbers come and go with what is free.
                let is_wrong = |shown: &str| !without_numbers(shown).contains(&without_numbers(told));
                let pods = waiting.chain(free).filter_map(|seat| seat.pod.as_ref());
                pods.filter(|pod| shows(pod, &is_wrong)).cloned().collect()
            }
            // Numbers change only while members are being made.
            Err(_) => members.values().filter(|pod| shows(pod, &|shown| !shown.contains(&**told))).cloned().collect(),
        };
        self.corrected.retain(|_, reason| reason == told);
        let news: Vec<Arc<Pod>> =
            misinformed.into_iter().filter(|pod| !self.corrected.contains_key(&pod.uid)).collect();
        self.corrected.extend(news.iter().map(|pod| (pod.uid.clone(), Arc::clone(told))));
        news.into_iter().map(|pod| Order::Wake { pod }).collect()
    }

    /// For pending members that show a place which is not theirs any more, also where the gang cannot be planned: to
    /// kube-scheduler they count there, so that nobody else finds room.
    fn withdrawals(&mut self, members: &BTreeMap<PodUid, Arc<Pod>>, policy: &Policy, now_ms: u64) -> Vec<Order> {
        let has_place = |pod: &Pod| self.places().any(|(uid, _)| *uid == pod.uid);
        let is_misled = |pod: &&Arc<Pod>| {
            pod.stage == Stage::Pending && pod.steering.promise.is_some() && policy.is_ours(pod) && !has_place(pod)
        };
        let misled: Vec<Arc<Pod>> = members.values().filter(is_misled).cloned().collect();
        self.withdrawn.retain(|_, written_ms| now_ms < *written_ms + policy.gangs.steer_again_ms);
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
