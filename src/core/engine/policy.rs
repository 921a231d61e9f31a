//! What the operator has decided: which pods are placed by testudo, what for, and how.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ahead::AheadPolicy;
use super::profile::{Profile, Profiles};
use super::quotas::Quotas;
use crate::model::gang::{Dialect, GangKey, Membership, Terms};
use crate::model::pod::Pod;
use crate::model::selector::Requirement;
use crate::placement::fragmentation::Expected;

/// Pods that are none of our business. All conditions that are given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exclusion {
    /// One of these namespaces; none means any.
    pub namespaces: BTreeSet<String>,
    /// All of these hold for the pod's labels.
    pub labels: Vec<Requirement>,
}

impl Exclusion {
    fn covers(&self, pod: &Pod) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(&pod.key.namespace))
            && self.labels.iter().all(|requirement| requirement.holds_for(pod.labels.get(&requirement.key)))
    }
}

/// What the operator has decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Pods that pass untouched.
    pub exclusions: Vec<Exclusion>,
    /// What places are chosen for.
    pub placement: PlacementPolicy,
    /// How gangs are planned.
    pub gangs: GangPolicy,
    /// When pods of no gang are shown their nodes ahead.
    pub ahead: AheadPolicy,
    /// Which claims are allocated.
    pub claims: ClaimPolicy,
    /// How it works beside an autoscaler of nodes; none where there is none.
    pub autoscaling: Option<AutoscalingPolicy>,
}

/// How it works beside an autoscaler of nodes. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoscalingPolicy {
    /// For how long a gang has been short of nodes before its members are shown to the autoscaler: what is about to end
    /// anyway needs no node.
    pub show_after_ms: u64,
    /// The class of the ProvisioningRequest that is made for a gang which is short of nodes; none for no request.
    pub provisioning_class: Option<Arc<str>>,
    /// Whether the autoscaler counts devices for claims, as Cluster Autoscaler does from 1.35 on.
    pub simulates_claims: bool,
    /// Whether nodes that a plan needs are kept from being removed.
    pub protect_nodes: bool,
    /// How long a plan stands before its nodes are protected: one whose members are bound at once needs no writes for that.
    pub protect_after_ms: u64,
}

impl Default for AutoscalingPolicy {
    fn default() -> Self {
        Self {
            show_after_ms: 10_000,
            provisioning_class: None,
            simulates_claims: false,
            protect_nodes: true,
            protect_after_ms: 2_000,
        }
    }
}

/// What places are chosen for: the part of a policy that can be replaced while pods are placed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacementPolicy {
    /// What places are chosen for, by pod.
    pub profiles: Profiles,
    /// How much each namespace may have.
    pub quotas: Quotas,
    /// Which demands are typical before any pod was seen.
    pub expected: Expected,
}

impl From<Profile> for PlacementPolicy {
    fn from(profile: Profile) -> Self {
        Self { profiles: Profiles::new([], profile), ..Self::default() }
    }
}

/// Which claims are ours to allocate, and how. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPolicy {
    /// The device classes: a claim is ours if any of its requests asks for one of these.
    pub classes: BTreeSet<String>,
    /// Only devices of nodes with a taint of this key are given: others are handed out by somebody else as well.
    pub fence: Option<Arc<str>>,
    /// After what time devices that we gave a claim, and that nobody uses, are taken back.
    pub unused_ms: u64,
    /// After what time a write of which nothing was heard is made again.
    pub write_again_ms: u64,
    /// For so long a claim counts that was read and that the watch does not show: longer than it takes to notice that a watch has
    /// died. Who forgets it earlier may give its devices to another.
    pub unwatched_ms: u64,
}

impl Default for ClaimPolicy {
    fn default() -> Self {
        Self { classes: BTreeSet::new(), fence: None, unused_ms: 60_000, write_again_ms: 1_000, unwatched_ms: 300_000 }
    }
}

impl ClaimPolicy {
    /// Are any claims ours?
    pub fn is_on(&self) -> bool {
        !self.classes.is_empty()
    }
}

/// How gangs are planned. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GangPolicy {
    /// The schedulers that ask us. Pods of others are not planned for: nobody would bring them to their places. Empty for
    /// all.
    pub schedulers: BTreeSet<String>,
    /// How long the members of a plan have to come to bind.
    pub bind_window_ms: u64,
    /// For how long places are kept for members that do not exist yet, where the gang does not say.
    pub hold_timeout_ms: u64,
    /// For how long at most, whatever the gang says.
    pub max_hold_timeout_ms: u64,
    /// For how many members that do not exist yet places are kept at a time, in each namespace. Nobody pays for them.
    pub max_expected: u32,
    /// How long to wait after a plan has failed; doubled with each failure in a row, up to 64 times.
    pub retry_ms: u64,
    /// For how long a node that failed a gang is not tried again by it.
    pub avoid_ms: u64,
    /// For how long a node that refused a member is not tried again for that member.
    pub refusal_ms: u64,
    /// How long after it was pointed to a place once more the scheduler has to come, where it seems to have refused it.
    pub confirm_ms: u64,
    /// After what time the scheduler is pointed to a place once more; doubled each time.
    pub steer_again_ms: u64,
    /// How often it is pointed to a place before that counts as refused.
    pub max_steers: u32,
    /// The namespaces whose gangs may evict pods of lower priority.
    pub preempting: BTreeSet<String>,
    /// The namespaces whose gangs are evicted as wholes when a part runs and the rest finds no place.
    pub regrouping: BTreeSet<String>,
    /// After what time.
    pub regroup_after_ms: u64,
    /// How long evicted pods may take to go before the plan is given up.
    pub clearing_ms: u64,
    /// For how many pods of no gang devices are held at a time that kube-scheduler has not brought to bind. It takes one pod
    /// after the other: what is planned far ahead of it would only be held for nothing, and be given up in the end.
    pub max_singles_ahead: usize,
}

impl Default for GangPolicy {
    fn default() -> Self {
        Self {
            schedulers: BTreeSet::new(),
            bind_window_ms: 60_000,
            hold_timeout_ms: 15 * 60_000,
            max_hold_timeout_ms: 60 * 60_000,
            max_expected: 256,
            retry_ms: 1_000,
            avoid_ms: 30_000,
            refusal_ms: 10 * 60_000,
            confirm_ms: 2_000,
            steer_again_ms: 3_000,
            max_steers: 4,
            preempting: BTreeSet::new(),
            clearing_ms: 5 * 60_000,
            max_singles_ahead: 64,
            regrouping: BTreeSet::new(),
            regroup_after_ms: 5 * 60_000,
        }
    }
}

/// How a pod is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// It asks for accelerators, or belongs to a gang: filtered, ordered, checked again at bind.
    Placed,
    /// It asks for none: fits wherever kube-scheduler says, better where there are no accelerators.
    Unconcerned,
    /// The policy excludes it: every node is as good as any other.
    Excluded,
}

impl Policy {
    /// Are gangs planned that this pod is a member of?
    pub fn is_ours(&self, pod: &Pod) -> bool {
        self.stance(pod) != Stance::Excluded && self.is_asked_about(pod)
    }

    /// Is the pod's scheduler one that asks us?
    pub fn is_asked_about(&self, pod: &Pod) -> bool {
        let schedulers = &self.gangs.schedulers;
        schedulers.is_empty() || schedulers.contains(&*pod.scheduler)
    }

    /// The pod as it is planned: one of no gang that uses claims, where claims are ours, is planned like a gang of its own.
    pub fn as_planned(&self, pod: Pod) -> Pod {
        if pod.membership.is_some() || pod.claims.is_empty() || !self.claims.is_on() {
            return pod;
        }
        let (namespace, name) = (pod.key.namespace.clone(), pod.key.name.clone());
        let membership = Membership {
            gang: GangKey { namespace, name, dialect: Dialect::Claims },
            also: vec![],
            role: "".into(),
            part: None,
            index: None,
            staged: false,
            controller: None,
            terms: Terms { min_member: Some(1), ..Terms::default() },
            relations: vec![],
            exclusivity: None,
        };
        Pod { membership: Some(membership.into()), ..pod }
    }

    /// How is this pod treated?
    pub fn stance(&self, pod: &Pod) -> Stance {
        if self.exclusions.iter().any(|exclusion| exclusion.covers(pod)) {
            Stance::Excluded
        } else if pod.demand.wants_accelerators() || pod.membership.is_some() {
            Stance::Placed
        } else {
            Stance::Unconcerned
        }
    }
}
