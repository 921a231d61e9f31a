//! Profiles: what places are chosen for, by pod.
//!
//! The profile of a pod is that of the first selector that takes it. It is found out when the pod is judged, and then known
//! for all nodes; what is kept per demand ([`verdicts`](super::verdicts)) holds whatever the profile is.

use std::sync::Arc;

use crate::claims::cel::{PodFacts, PodSelector};
use crate::model::pod::Pod;
use crate::placement::{CapacityPolicy, Order, ZonePolicy};

/// What places are chosen for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name, for people.
    pub name: Arc<str>,
    /// What counts, and in which order.
    pub order: Order,
    /// Which kind of capacity suits which priority.
    pub capacity: CapacityPolicy,
    /// In which zones the replicas of a service belong.
    pub zones: ZonePolicy,
    /// When nodes are kept free for a gang that waits; never where nothing is said.
    pub starvation: Option<Starvation>,
}

/// When nodes are kept free for a gang that waits. All times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starvation {
    /// After what time.
    pub after_ms: u64,
    /// For how long.
    pub keep_free_ms: u64,
    /// For how long not again after that.
    pub pause_ms: u64,
}

impl Profile {
    /// Are ranks of a pod of this priority what is kept for its demand, whatever the node is?
    pub(super) fn leaves_ranks(&self, priority: i32) -> bool {
        self.order == Order::default() && self.capacity.is_indifferent(priority)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            name: Profiles::DEFAULT.into(),
            order: Order::default(),
            capacity: CapacityPolicy::default(),
            zones: ZonePolicy::default(),
            starvation: None,
        }
    }
}

impl Default for Starvation {
    fn default() -> Self {
        Self { after_ms: 15 * 60_000, keep_free_ms: 30 * 60_000, pause_ms: 30 * 60_000 }
    }
}

/// All profiles, and who has which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profiles {
    /// Those that are chosen by a selector, in the order in which they are asked.
    chosen: Vec<(PodSelector, Arc<Profile>)>,
    /// That of all other pods.
    default: Arc<Profile>,
}

impl Profiles {
    /// What the profile is called that pods have for which no selector holds.
    pub const DEFAULT: &str = "default";

    /// Profiles with their selectors, in the order in which these are asked, and that of all other pods.
    pub fn new(chosen: impl IntoIterator<Item = (PodSelector, Profile)>, default: Profile) -> Self {
        let chosen = chosen.into_iter().map(|(selector, profile)| (selector, Arc::new(profile))).collect();
        Self { chosen, default: Arc::new(default) }
    }

    /// The profile of a pod. A selector that has no answer for it, since it asks for a label that the pod lacks, does not take
    /// it.
    pub fn of(&self, pod: &Pod) -> &Arc<Profile> {
        if self.chosen.is_empty() {
            return &self.default;
        }
        let facts = PodFacts::of(pod);
        let takes = |selector: &PodSelector| selector.selects(&facts).unwrap_or(false);
        self.chosen.iter().find(|(selector, _)| takes(selector)).map_or(&self.default, |(_, profile)| profile)
    }

    /// All profiles, that of all other pods last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.chosen.iter().map(|(_, profile)| profile).chain([&self.default])
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
