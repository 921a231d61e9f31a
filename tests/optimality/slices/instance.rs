//! Small fleets of A100 and the MIG instances that are asked for, one after the other.

use testudo::sim::rng::Rng;
use testudo_core::model::mig::{MigGeometry, MigProfile, ProfileId};

/// A number of empty GPUs, and the profiles that arrive.
#[derive(Debug, Clone)]
pub struct Instance {
    pub gpus: usize,
    pub arrivals: Vec<ProfileId>,
}

/// Where an arrival went: which GPU, and from which memory slice on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    pub gpu: usize,
    pub start: u8,
}

impl Instance {
    /// The instance of a seed: as many arrivals as fill the GPUs, or half as many more.
    pub fn draw(seed: u64, gpus: usize, geometry: &MigGeometry) -> Instance {
        let mut rng = Rng::new(seed);
        let weights: Vec<usize> = geometry.profiles().map(|_| 1 + rng.below(6)).collect();
        let enough = gpus * usize::from(geometry.memory_slices()) * (20 + rng.below(11)) / 20;
        let (mut arrivals, mut offered) = (vec![], 0);
        while offered < enough {
            let mut drawn = rng.below(weights.iter().sum());
            let weighted = geometry.profiles().zip(&weights);
            let mut found = weighted.skip_while(|(_, weight)| {
                let passes = drawn >= **weight;
                drawn = drawn.saturating_sub(**weight);
                passes
            });
            let ((id, profile), _) = found.next().expect("drawn below the sum");
            offered += usize::from(profile.size);
            arrivals.push(id);
        }
        Instance { gpus, arrivals }
    }

    /// Checks where arrivals went by the numbers of the product's table alone. Returns the memory slices placed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, seats: &[Option<Seat>], geometry: &MigGeometry) -> Result<i64, String> {
        if seats.len() != self.arrivals.len() || seats.iter().flatten().any(|seat| seat.gpu >= self.gpus) {
            return Err(format!("{} arrivals on {} GPUs, placed {seats:?}", self.arrivals.len(), self.gpus));
        }
        let placed = || self.arrivals.iter().zip(seats).filter_map(|(id, seat)| Some((*id, (*seat)?)));
        for gpu in 0..self.gpus {
            let here: Vec<(ProfileId, Seat)> = placed().filter(|(_, seat)| seat.gpu == gpu).collect();
            check_gpu(&here, geometry).map_err(|wrong| format!("GPU {gpu}: {wrong}"))?;
        }
        Ok(placed().map(|(id, _)| i64::from(geometry.profile(id).size)).sum())
    }
}

fn check_gpu(here: &[(ProfileId, Seat)], geometry: &MigGeometry) -> Result<(), String> {
    let profile = |id: ProfileId| geometry.profile(id);
    for (id, seat) in here {
        if !profile(*id).starts.contains(&seat.start) {
            return Err(format!("{} cannot lie at {}", profile(*id).name, seat.start));
        }
        if here.iter().filter(|(other, _)| other == id).count() > usize::from(profile(*id).max_instances) {
            return Err(format!("too many {}", profile(*id).name));
        }
    }
    for slice in 0..geometry.memory_slices() {
        let covers = |(id, seat): &&(ProfileId, Seat)| (seat.start..seat.start + profile(*id).size).contains(&slice);
        if here.iter().filter(covers).count() > 1 {
            return Err(format!("slice {slice} is given twice"));
        }
    }
    for (what, has, takes) in limits(geometry) {
        if here.iter().map(|(id, _)| takes(profile(*id))).sum::<u32>() > has {
            return Err(format!("more {what} than {has}"));
        }
    }
    Ok(())
}

/// A number that a profile takes of a GPU.
type Takes = fn(&MigProfile) -> u32;

/// What runs out on a GPU besides memory slices: its name, how much there is, and how much a profile takes.
pub fn limits(geometry: &MigGeometry) -> [(&'static str, u32, Takes); 3] {
    let has = geometry.engines();
    [
        ("compute slices", geometry.compute_slices().into(), |profile| profile.compute_slices.into()),
        ("media engines", has.media.into(), |profile| profile.engines.media.into()),
        ("optical flow engines", has.ofa.into(), |profile| profile.engines.ofa.into()),
    ]
}
