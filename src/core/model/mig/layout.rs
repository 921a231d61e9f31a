//! What is placed on one GPU: a set of placements that the hardware accepts, by construction.

use std::sync::Arc;

use thiserror::Error;

use super::geometry::{Engines, MigGeometry, Occupancy, Placement, ProfileId};

/// The instances on one GPU. It grows only by [`Layout::insert`], so every value obeys all rules of its geometry:
/// disjoint memory slices, instances per profile, compute slices, engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    geometry: Arc<MigGeometry>,
    /// Sorted: equal layouts are equal values, whatever the order of insertion.
    placed: Vec<Placement>,
}

/// Why a placement does not go into a layout.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// The placement is not one of this geometry.
    #[error("placement {start}+{size} is not in the table of {geometry}")]
    Foreign {
        /// First slice.
        start: u8,
        /// Slices.
        size: u8,
        /// The layout's geometry.
        geometry: String,
    },
    /// Memory slices are taken already.
    #[error("{placement} overlaps {with}")]
    Overlap {
        /// The new one.
        placement: String,
        /// One that lies there.
        with: String,
    },
    /// The profile's maximum is reached.
    #[error("{placement}: a GPU holds at most {max} of this profile")]
    MaxInstances {
        /// The new one.
        placement: String,
        /// The maximum.
        max: u8,
    },
    /// Too few compute slices are left.
    #[error("{placement} needs {needed} compute slices, {left} are left")]
    ComputeSlices {
        /// The new one.
        placement: String,
        /// What it needs.
        needed: u8,
        /// What is left.
        left: u8,
    },
    /// Too few engines are left.
    #[error("{placement} needs {needed} {engine} engines, {left} are left")]
    Engines {
        /// The new one.
        placement: String,
        /// `media` or `OFA`.
        engine: &'static str,
        /// What it needs.
        needed: u8,
        /// What is left.
        left: u8,
    },
}

impl Layout {
    /// An empty GPU.
    pub fn new(geometry: Arc<MigGeometry>) -> Layout {
        Layout { geometry, placed: Vec::new() }
    }

    /// The table that governs it.
    pub fn geometry(&self) -> &Arc<MigGeometry> {
        &self.geometry
    }

    /// What is placed, by start.
    pub fn placements(&self) -> &[Placement] {
        &self.placed
    }

    /// The memory slices that are taken.
    pub fn occupancy(&self) -> Occupancy {
        self.placed.iter().fold(Occupancy::EMPTY, |mask, placement| mask.union(placement.slices()))
    }

    /// Compute slices that no instance has.
    pub fn compute_slices_left(&self) -> u8 {
        let used: u8 = self.placed.iter().map(|p| self.geometry.profile(p.profile()).compute_slices).sum();
        self.geometry.compute_slices() - used
    }

    fn engines_left(&self) -> Engines {
        let mut left = self.geometry.engines();
        for placement in &self.placed {
            let used = self.geometry.profile(placement.profile()).engines;
            left.media -= used.media;
            left.ofa -= used.ofa;
        }
        left
    }

    fn count(&self, profile: ProfileId) -> u8 {
        // At most one placement per memory slice, of which there are at most 16.
        self.placed.iter().filter(|placement| placement.profile() == profile).count() as u8
    }

    /// Whether a placement could be inserted.
    ///
    /// # Errors
    /// The first rule that it would break.
    pub fn check(&self, placement: Placement) -> Result<(), LayoutError> {
        let geometry = &self.geometry;
        if geometry.placement(placement.profile(), placement.start()) != Some(placement) {
            let (start, size) = (placement.start(), placement.size());
            return Err(LayoutError::Foreign { start, size, geometry: geometry.name().to_owned() });
        }
        let named = || geometry.describe(placement);
        if let Some(&other) = self.placed.iter().find(|other| other.slices().overlaps(placement.slices())) {
            return Err(LayoutError::Overlap { placement: named(), with: geometry.describe(other) });
        }
        let profile = geometry.profile(placement.profile());
        if self.count(placement.profile()) >= profile.max_instances {
            return Err(LayoutError::MaxInstances { placement: named(), max: profile.max_instances });
        }
        let left = self.compute_slices_left();
        if profile.compute_slices > left {
            return Err(LayoutError::ComputeSlices { placement: named(), needed: profile.compute_slices, left });
        }
        let left = self.engines_left();
        for (engine, needed, left) in
            [("media", profile.engines.media, left.media), ("OFA", profile.engines.ofa, left.ofa)]
        {
            if needed > left {
                return Err(LayoutError::Engines { placement: named(), engine, needed, left });
            }
        }
        Ok(())
    }

    /// Adds an instance.
    ///
    /// # Errors
    /// As [`Layout::check`]; the layout is then unchanged.
    pub fn insert(&mut self, placement: Placement) -> Result<(), LayoutError> {
        self.check(placement)?;
        let at = self.placed.partition_point(|other| other < &placement);
        self.placed.insert(at, placement);
        Ok(())
    }

    /// Takes an instance away; whether it was there.
    pub fn remove(&mut self, placement: Placement) -> bool {
        let found = self.placed.iter().position(|&other| other == placement);
        found.map(|at| self.placed.remove(at)).is_some()
    }

    /// Where one more instance of a profile may go, by start, under all rules.
    pub fn feasible_starts(&self, profile: ProfileId) -> impl Iterator<Item = Placement> {
        self.geometry.placements_of(profile).filter(|&placement| self.check(placement).is_ok())
    }

    /// How many more instances of a profile fit beside what is there, under all rules.
    pub fn remaining(&self, profile: ProfileId) -> u8 {
        let entry = self.geometry.profile(profile);
        let engines = self.engines_left();
        let per = |left: u8, each: u8| left.checked_div(each).unwrap_or(u8::MAX);
        [
            self.geometry.remaining(profile, self.occupancy()),
            entry.max_instances - self.count(profile),
            per(self.compute_slices_left(), entry.compute_slices),
            per(engines.media, entry.engines.media),
            per(engines.ofa, entry.engines.ofa),
        ]
        .into_iter()
        .fold(u8::MAX, u8::min)
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
