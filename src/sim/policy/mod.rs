//! Policies to compare with, each as it was published: a score for every node that fits, the highest wins.
//!
//! Those of the FGD paper (Weng et al., "Beware of Fragmentation", ATC'23) follow the plugins of its simulator
//! (github.com/hkust-adsl/kubernetes-scheduler-simulator, `pkg/simulator/plugin`), integer scores included.

mod best_fit;
mod default_scheduler;
mod dot_prod;
mod fgd;
mod gpu_clustering;
mod gpu_packing;
mod order;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use testudo_core::engine::PlacementPolicy;
use thiserror::Error;

use super::extender::ExtenderPlacer;
use super::flat::FlatPlacer;
use super::occupancy::Place;
use super::placer::{Placer, TieBreak};
use super::rng::Rng;
use super::testudo::TestudoPlacer;
use super::world::World;
use crate::policy::ready_made;

pub use fgd::TypicalPods;

/// How good a place is.
pub trait Scorer {
    /// The higher, the better. Only asked where the pod fits.
    fn score(&self, place: &Place<'_>) -> i64;

    /// Which GPUs the pod gets where it is placed: as in the published experiments, those with the least left.
    fn gpus(&self, place: &Place<'_>, _rng: &mut Rng) -> Vec<usize> {
        place.tightest_gpus()
    }

    /// Equal scores are decided at random even where the experiment fixes their order.
    fn is_random(&self) -> bool {
        false
    }
}

/// A policy that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The engine of this program.
    Testudo,
    /// The same, where all pods have the ready-made profile of this name.
    TestudoAs(ReadyMade),
    /// The same over HTTP, asked by what plays kube-scheduler.
    TestudoExtender,
    /// Any node that fits, any of its GPUs.
    Random,
    /// The first node that fits.
    FirstFit,
    /// Least CPU and GPU left over.
    BestFit,
    /// kube-scheduler's `LeastAllocated`.
    Spread,
    /// kube-scheduler's `MostAllocated`.
    MostAllocated,
    /// Smallest dot product of what is free and what is asked for.
    DotProd,
    /// Requests of one sort together.
    GpuClustering,
    /// GPUs in use before idle ones, nodes in use before idle ones.
    GpuPacking,
    /// Fragmentation gradient descent.
    Fgd,
}

/// A ready-made profile, by the name under which it is compared: `testudo:batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadyMade(&'static str);

/// What stands before the name of a profile.
const PREFIX: &str = "testudo:";

static READY_MADE: LazyLock<Vec<String>> =
    LazyLock::new(|| ready_made::names().map(|name| format!("{PREFIX}{name}")).collect());

impl ReadyMade {
    /// All of them.
    fn all() -> impl Iterator<Item = Self> {
        READY_MADE.iter().map(|name| Self(name))
    }

    fn placement(self) -> PlacementPolicy {
        let profile = self.0.strip_prefix(PREFIX).and_then(ready_made::profile);
        profile.map(PlacementPolicy::from).unwrap_or_default()
    }
}

impl Policy {
    /// All of them, but for the ready-made profiles.
    pub const ALL: [Self; 11] = [
        Self::Testudo,
        Self::TestudoExtender,
        Self::Random,
        Self::FirstFit,
        Self::BestFit,
        Self::Spread,
        Self::MostAllocated,
        Self::DotProd,
        Self::GpuClustering,
        Self::GpuPacking,
        Self::Fgd,
    ];

    /// What it is called on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Testudo => "testudo",
            Self::TestudoAs(ReadyMade(profile)) => profile,
            Self::TestudoExtender => "testudo-extender",
            Self::Random => "random",
            Self::FirstFit => "first-fit",
            Self::BestFit => "best-fit",
            Self::Spread => "spread",
            Self::MostAllocated => "most-allocated",
            Self::DotProd => "dot-prod",
            Self::GpuClustering => "gpu-clustering",
            Self::GpuPacking => "gpu-packing",
            Self::Fgd => "fgd",
        }
    }

    /// All names.
    pub fn known() -> String {
        let profiles = ReadyMade::all().map(Self::TestudoAs);
        Self::ALL.into_iter().chain(profiles).map(Self::name).collect::<Vec<_>>().join(", ")
    }

    /// The policy at work on an empty cluster.
    ///
    /// # Panics
    /// When one needs a server and the system gives it no threads or no port.
    pub fn placer<'w>(self, world: &'w World, ties: TieBreak) -> Box<dyn Placer + 'w> {
        match (self, self.scorer(world)) {
            (_, Some(scorer)) => Box::new(FlatPlacer::new(world, scorer, ties)),
            (Self::TestudoExtender, None) => Box::new(
                ExtenderPlacer::new(world, ties).unwrap_or_else(|error| panic!("{self} cannot be served: {error:#}")),
            ),
            (Self::TestudoAs(profile), None) => Box::new(TestudoPlacer::new(world, profile.placement())),
            (_, None) => Box::new(TestudoPlacer::new(world, PlacementPolicy::default())),
        }
    }

    /// How it scores; the engine of this program has an order of its own.
    fn scorer(self, world: &World) -> Option<Box<dyn Scorer>> {
        Some(match self {
            Self::Testudo | Self::TestudoAs(_) | Self::TestudoExtender => return None,
            Self::Random => Box::new(order::Random),
            Self::FirstFit => Box::new(order::FirstFit),
            Self::BestFit => Box::new(best_fit::BestFit),
            Self::Spread => Box::new(default_scheduler::LeastAllocated),
            Self::MostAllocated => Box::new(default_scheduler::MostAllocated),
            Self::DotProd => Box::new(dot_prod::DotProd),
            Self::GpuClustering => Box::new(gpu_clustering::GpuClustering),
            Self::GpuPacking => Box::new(gpu_packing::GpuPacking),
            Self::Fgd => Box::new(fgd::Fgd::new(world)),
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no policy {name:?} for nodes and pods; there are {}", Policy::known())]
pub struct UnknownPolicy {
    /// What was asked for.
    pub name: String,
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        let profiles = ReadyMade::all().map(Self::TestudoAs);
        let policy = Self::ALL.into_iter().chain(profiles).find(|policy| policy.name() == name);
        policy.ok_or_else(|| UnknownPolicy { name: name.to_owned() })
    }
}

/// The largest machine that the scores of the FGD simulator are scaled by: CPU and GPU in thousandths.
const LARGEST: (f64, f64) = (128_000.0, 8_000.0);

#[cfg(test)]
mod tests;
