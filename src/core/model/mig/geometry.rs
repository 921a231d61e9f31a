//! The placement table of one product: profiles, and the placements that they allow.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use super::kind::{NameParts, ProfileKind};

/// Most memory slices that a geometry can have: an [`Occupancy`] has one bit for each.
const MAX_MEMORY_SLICES: u8 = 16;

/// Which memory slices of one GPU are taken; bit `i` is slice `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Occupancy(pub u16);

impl Occupancy {
    /// No slice taken.
    pub const EMPTY: Occupancy = Occupancy(0);

    /// Whether the two share a slice.
    pub fn overlaps(self, other: Occupancy) -> bool {
        self.0 & other.0 != 0
    }

    /// Slices of either.
    pub fn union(self, other: Occupancy) -> Occupancy {
        Occupancy(self.0 | other.0)
    }

    /// Slices of this that are not in the other.
    pub fn minus(self, other: Occupancy) -> Occupancy {
        Occupancy(self.0 & !other.0)
    }

    /// Number of slices taken.
    pub fn taken(self) -> u32 {
        self.0.count_ones()
    }

    /// `size` slices from `start` on; the caller has checked that they lie on the GPU.
    fn span(start: u8, size: u8) -> Occupancy {
        let wide = ((1u32 << size) - 1) << start;
        Occupancy(u16::try_from(wide).expect("the geometry checked that its placements lie on the GPU"))
    }
}

impl fmt::Display for Occupancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// Fixed-function engines that can run out before the slices do. Zero means that an engine never binds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engines {
    /// Sets of decoder, encoder and JPEG engine (they go together where they bind: four on RTX PRO 6000).
    pub media: u8,
    /// Optical-flow engines: a GPU has one, and `+me` takes it.
    pub ofa: u8,
}

/// One profile of a product's geometry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigProfile {
    /// The profile apart from the product.
    pub kind: ProfileKind,
    /// The product's name for it, `3g.20gb`.
    pub name: String,
    /// Names that other driver versions give to the same profile.
    pub aliases: Vec<String>,
    /// GPU-instance profile id, as in `nvidia-smi mig -lgip`.
    pub gi_profile_id: u8,
    /// Compute slices.
    pub compute_slices: u8,
    /// Memory slices, the width of a placement.
    pub size: u8,
    /// First memory slices at which it may lie, ascending.
    pub starts: Vec<u8>,
    /// Instances that one GPU can hold.
    pub max_instances: u8,
    /// Memory of an instance in MiB as the driver reports it, where known.
    pub memory_mib: Option<u32>,
    /// Engines that one instance takes.
    pub engines: Engines,
}

/// A profile of one geometry, by position in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileId(u8);

impl ProfileId {
    /// Position in [`MigGeometry::profiles`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A place where a profile of a geometry may lie. Only a [`MigGeometry`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placement {
    start: u8,
    size: u8,
    profile: ProfileId,
}

impl Placement {
    /// The profile, in the geometry that this came from.
    pub fn profile(self) -> ProfileId {
        self.profile
    }

    /// First memory slice.
    pub fn start(self) -> u8 {
        self.start
    }

    /// Memory slices.
    pub fn size(self) -> u8 {
        self.size
    }

    /// The memory slices that it takes.
    pub fn slices(self) -> Occupancy {
        Occupancy::span(self.start, self.size)
    }
}

/// A table that describes no GPU.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GeometryError {
    /// Slice counts out of range.
    #[error("{memory} memory and {compute} compute slices: both must be 1 to 16")]
    Slices {
        /// Memory slices given.
        memory: u8,
        /// Compute slices given.
        compute: u8,
    },
    /// Two profiles with the same kind, id or name.
    #[error("profile {name}: {what} is used by another profile too")]
    Duplicate {
        /// The later profile.
        name: String,
        /// What they share.
        what: &'static str,
    },
    /// A placement that does not lie on the GPU, or no placement.
    #[error("profile {name}: starts {starts:?} with size {size} must be ascending and lie on {memory} memory slices")]
    Starts {
        /// The profile.
        name: String,
        /// Starts given.
        starts: Vec<u8>,
        /// Size given.
        size: u8,
        /// Memory slices of the GPU.
        memory: u8,
    },
    /// A profile that needs more than the GPU has, or of which no instance is allowed.
    #[error("profile {name}: {what} must be 1 to {limit}")]
    Range {
        /// The profile.
        name: String,
        /// The field.
        what: &'static str,
        /// The most that the GPU has.
        limit: u8,
    },
    /// A profile that needs more engines than the GPU has.
    #[error("profile {name} needs more engines than the GPU has")]
    Engines {
        /// The profile.
        name: String,
    },
}

/// What the GPUs of one product can be cut into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigGeometry {
    name: String,
    memory_slices: u8,
    compute_slices: u8,
    engines: Engines,
    profiles: Vec<MigProfile>,
}

impl MigGeometry {
    /// A geometry from its table.
    ///
    /// # Errors
    /// When the table contradicts itself; the error names the profile.
    pub fn new(
        name: impl Into<String>,
        memory_slices: u8,
        compute_slices: u8,
        engines: Engines,
        profiles: Vec<MigProfile>,
    ) -> Result<MigGeometry, GeometryError> {
        let in_range = |n: u8| (1..=MAX_MEMORY_SLICES).contains(&n);
        if !in_range(memory_slices) || !in_range(compute_slices) {
            return Err(GeometryError::Slices { memory: memory_slices, compute: compute_slices });
        }
        let geometry = MigGeometry { name: name.into(), memory_slices, compute_slices, engines, profiles };
        for profile in &geometry.profiles {
            geometry.check(profile)?;
        }
        geometry.check_unique()?;
        Ok(geometry)
    }

    fn check(&self, profile: &MigProfile) -> Result<(), GeometryError> {
        let name = || profile.name.clone();
        let ascending = profile.starts.is_sorted_by(|a, b| a < b);
        let room = self.memory_slices.checked_sub(profile.size).filter(|_| profile.size > 0);
        let fits = room.zip(profile.starts.last()).is_some_and(|(room, &last)| last <= room);
        if !ascending || !fits {
            let (starts, size) = (profile.starts.clone(), profile.size);
            return Err(GeometryError::Starts { name: name(), starts, size, memory: self.memory_slices });
        }
        if !(1..=self.compute_slices).contains(&profile.compute_slices) {
            return Err(GeometryError::Range { name: name(), what: "compute slices", limit: self.compute_slices });
        }
        if !(1..=self.memory_slices).contains(&profile.max_instances) {
            return Err(GeometryError::Range { name: name(), what: "max instances", limit: self.memory_slices });
        }
        if profile.engines.media > self.engines.media || profile.engines.ofa > self.engines.ofa {
            return Err(GeometryError::Engines { name: name() });
        }
        Ok(())
    }

    fn check_unique(&self) -> Result<(), GeometryError> {
        let (mut kinds, mut ids, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for profile in &self.profiles {
            let duplicate = |what| Err(GeometryError::Duplicate { name: profile.name.clone(), what });
            if !kinds.insert(profile.kind) {
                return duplicate("its kind");
            }
            if !ids.insert(profile.gi_profile_id) {
                return duplicate("its GI profile id");
            }
            for name in std::iter::once(&profile.name).chain(&profile.aliases) {
                if !names.insert(resource_form(name)) {
                    return duplicate("one of its names");
                }
            }
        }
        Ok(())
    }

    /// The family's name, `A100-40GB`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Memory slices of a whole GPU.
    pub fn memory_slices(&self) -> u8 {
        self.memory_slices
    }

    /// Compute slices of a whole GPU.
    pub fn compute_slices(&self) -> u8 {
        self.compute_slices
    }

    /// Engines of a whole GPU that can bind.
    pub fn engines(&self) -> Engines {
        self.engines
    }

    /// All profiles with their ids, in the order of the table.
    pub fn profiles(&self) -> impl ExactSizeIterator<Item = (ProfileId, &MigProfile)> {
        // A geometry has at most 256 profiles: their GI ids are distinct bytes.
        self.profiles.iter().enumerate().map(|(i, profile)| (ProfileId(i as u8), profile))
    }

    /// The profile of an id.
    ///
    /// # Panics
    /// When the id is from a geometry with more profiles.
    pub fn profile(&self, id: ProfileId) -> &MigProfile {
        &self.profiles[id.index()]
    }

    fn find(&self, mut wanted: impl FnMut(&MigProfile) -> bool) -> Option<ProfileId> {
        self.profiles().find(|(_, profile)| wanted(profile)).map(|(id, _)| id)
    }

    /// The profile of a kind.
    pub fn profile_by_kind(&self, kind: ProfileKind) -> Option<ProfileId> {
        self.find(|profile| profile.kind == kind)
    }

    /// The profile of a GPU-instance profile id.
    pub fn profile_by_gi_id(&self, gi_profile_id: u8) -> Option<ProfileId> {
        self.find(|profile| profile.gi_profile_id == gi_profile_id)
    }

    /// The profile with exactly this name or alias, as the driver writes it (`1g.5gb+me`) or as a resource does
    /// (`1g.5gb.me`, the end of `nvidia.com/mig-1g.5gb.me`).
    pub fn profile_by_name(&self, name: &str) -> Option<ProfileId> {
        let wanted = resource_form(name);
        self.find(|profile| {
            std::iter::once(&profile.name).chain(&profile.aliases).any(|known| resource_form(known) == wanted)
        })
    }

    /// The profile that a node of this product means by a name, also when the driver rounds the memory in a way that
    /// the table does not know: same slices and suffix, and a memory figure within an eighth (GB300 calls its 3g both
    /// `3g.139gb` and `3g.126gb`), if just one profile is that near. For names read from a node, not for wishes.
    pub fn profile_like_name(&self, name: &str) -> Option<ProfileId> {
        self.profile_by_name(name).or_else(|| {
            let wanted = NameParts::parse(name)?;
            let mut near = self.profiles().filter(|(_, profile)| {
                let known = NameParts::parse(&profile.name);
                wanted.fits_kind(profile.kind)
                    && known.is_some_and(|k| k.memory_gb.abs_diff(wanted.memory_gb) <= k.memory_gb / 8)
            });
            match (near.next(), near.next()) {
                (Some((id, _)), None) => Some(id),
                _ => None,
            }
        })
    }

    /// The placement of a profile at a start, if the table has it.
    pub fn placement(&self, profile: ProfileId, start: u8) -> Option<Placement> {
        let entry = self.profiles.get(profile.index())?;
        let known = entry.starts.contains(&start);
        known.then_some(Placement { start, size: entry.size, profile })
    }

    /// All placements of one profile, by start.
    pub fn placements_of(&self, profile: ProfileId) -> impl Iterator<Item = Placement> {
        let entry = self.profile(profile);
        entry.starts.iter().map(move |&start| Placement { start, size: entry.size, profile })
    }

    /// All placements, by profile and start.
    pub fn placements(&self) -> impl Iterator<Item = Placement> {
        self.profiles().flat_map(|(id, _)| self.placements_of(id))
    }

    /// The placements of a profile whose slices are free, by start. Slices only: see [`Layout::feasible_starts`] for
    /// all rules.
    ///
    /// [`Layout::feasible_starts`]: super::Layout::feasible_starts
    pub fn feasible(&self, profile: ProfileId, taken: Occupancy) -> impl Iterator<Item = Placement> {
        self.placements_of(profile).filter(move |placement| !placement.slices().overlaps(taken))
    }

    /// How many further instances of a profile fit in the free slices, at most its maximum. Slices only: see
    /// [`Layout::remaining`] for all rules.
    ///
    /// [`Layout::remaining`]: super::Layout::remaining
    pub fn remaining(&self, profile: ProfileId, taken: Occupancy) -> u8 {
        // Placements of one profile are equally wide, so taking the first free one each time gives the most.
        let mut taken = taken;
        let mut count = 0;
        for placement in self.placements_of(profile) {
            if !placement.slices().overlaps(taken) {
                taken = taken.union(placement.slices());
                count += 1;
            }
        }
        self.profile(profile).max_instances.min(count)
    }

    /// A placement in words: `3g.20gb@4`.
    pub fn describe(&self, placement: Placement) -> String {
        match self.profiles.get(placement.profile.index()) {
            Some(profile) => format!("{}@{}", profile.name, placement.start),
            None => format!("profile #{}@{}", placement.profile.index(), placement.start),
        }
    }
}

/// Resource names cannot hold a `+`; the device plugin writes a dot.
fn resource_form(name: &str) -> String {
    name.replace('+', ".")
}

#[cfg(test)]
#[path = "geometry_tests.rs"]
mod tests;
