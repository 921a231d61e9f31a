//! What is compared: rules that choose a place for each arrival.
//!
//! All but the pool keep the hardware's rules, and all but the pool take an instance whenever it fits anywhere.

mod fgd;
mod hami;
mod mfi;
mod simple;
mod testudo;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use testudo_core::model::mig::{LayoutTable, ProfileId};
use thiserror::Error;

use super::fleet::{Choice, Fleet};
use super::mix::Mix;
use crate::sim::rng::Rng;

/// Chooses a place.
pub trait Policy {
    /// A place for an instance of the profile, or none when it does not fit.
    fn place(&mut self, fleet: &Fleet, profile: ProfileId, rng: &mut Rng) -> Option<Choice>;
}

/// The policies by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// Any place that fits, all equally likely.
    Random,
    /// The first GPU that fits, lowest start: the DRA allocator of kube-scheduler.
    FirstFit,
    /// The fullest GPU that fits.
    BestFit,
    /// The emptiest GPU.
    Spread,
    /// Minimum fragmentation increment, arXiv 2511.18906.
    Mfi,
    /// Fragmentation gradient descent (ATC'23) on the MIG tables, told the true mix.
    Fgd,
    /// Largest contiguous run kept, then most placements kept, as HAMi's PR 2855 does on one GPU.
    Hami,
    /// Lowest loss of value, as [`testudo_core::placement::slices`] has it, with the mix learned from what runs.
    Testudo,
    /// No GPUs, only slices: an upper bound for whatever takes all that fits.
    Pool,
}

/// A name that no policy has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no policy {name:?} for MIG instances; there are {}", PolicyKind::known())]
pub struct UnknownPolicy {
    /// What was asked for.
    pub name: String,
}

/// Other names of policies.
const ALIASES: [(&str, PolicyKind); 2] = [("dra-first-fit", PolicyKind::FirstFit), ("hami-like", PolicyKind::Hami)];

impl PolicyKind {
    /// All, in the order in which they are shown.
    pub const ALL: [PolicyKind; 9] = [
        PolicyKind::Random,
        PolicyKind::FirstFit,
        PolicyKind::BestFit,
        PolicyKind::Spread,
        PolicyKind::Mfi,
        PolicyKind::Fgd,
        PolicyKind::Hami,
        PolicyKind::Testudo,
        PolicyKind::Pool,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PolicyKind::Random => "random",
            PolicyKind::FirstFit => "first-fit",
            PolicyKind::BestFit => "best-fit",
            PolicyKind::Spread => "spread",
            PolicyKind::Mfi => "mfi",
            PolicyKind::Fgd => "fgd",
            PolicyKind::Hami => "hami",
            PolicyKind::Pool => "pool",
            PolicyKind::Testudo => "testudo",
        }
    }

    /// All names, with those that mean the same.
    pub fn known() -> String {
        let names = PolicyKind::ALL.map(PolicyKind::name).into_iter().map(str::to_owned);
        let aliases = ALIASES.map(|(alias, kind)| format!("{alias} (which is {kind})"));
        names.chain(aliases).collect::<Vec<_>>().join(", ")
    }

    /// Whether it puts instances somewhere, by the hardware's rules; a bound does not.
    pub fn has_places(self) -> bool {
        self != PolicyKind::Pool
    }

    /// The policy on its first day; none for the pool, which has no places.
    pub(super) fn build(self, table: &Arc<LayoutTable>, mix: &Mix) -> Option<Box<dyn Policy>> {
        Some(match self {
            PolicyKind::Random => Box::new(simple::Random),
            PolicyKind::FirstFit => Box::new(simple::FirstFit),
            PolicyKind::BestFit => Box::new(simple::BestFit),
            PolicyKind::Spread => Box::new(simple::Spread),
            PolicyKind::Mfi => Box::new(mfi::Mfi::new(table)),
            PolicyKind::Fgd => Box::new(fgd::Fgd::new(table, mix)),
            PolicyKind::Hami => Box::new(hami::Hami::new(table)),
            PolicyKind::Testudo => Box::new(testudo::Testudo::new(table).expect("no product has too many shapes")),
            PolicyKind::Pool => return None,
        })
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let names = PolicyKind::ALL.map(|kind| (kind.name(), kind)).into_iter().chain(ALIASES);
        let found = names.into_iter().find(|(name, _)| *name == text).map(|(_, kind)| kind);
        found.ok_or_else(|| UnknownPolicy { name: text.to_owned() })
    }
}
