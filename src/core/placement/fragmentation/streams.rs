//! Sample streams: sequences of typical pods that could come to a node.

use super::classes::Class;
use super::mix::{Mix, MixEntry};
use super::room::Bite;

/// How many streams a class of nodes is filled with.
pub(super) const STREAMS: usize = 8;

/// The longest stream.
const STEPS: usize = 96;

/// A stream has at most so many pods for each device or slice that a node has.
const STEPS_PER_UNIT: usize = 4;

/// A stream offers at most so many times what the node has.
const HORIZON: i64 = 4;

/// What a typical pod takes of a class of nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typical {
    pub bite: Bite,
    /// How many there are to expect, relative to the others.
    pub weight: u64,
    /// Is it accepted there, and does it fit while nothing is in use?
    pub fits: bool,
}

/// For each entry of the mix what it takes of a class, if its nodes have the accelerator at all.
pub(super) fn typical(mix: &Mix, class: &Class) -> Vec<Option<Typical>> {
    let typical = |entry: &MixEntry| {
        let MixEntry { shape, weight, conditions } = entry;
        let (what, milli) = class.what(&shape.accelerator, shape.units)?;
        let bite = Bite { cpu: shape.cpu_milli, memory: shape.memory, what, milli };
        Some(Typical { bite, weight: *weight, fits: class.accepted_with(*conditions) && class.empty.fits(&bite) })
    };
    mix.entries.iter().map(typical).collect()
}

/// The streams of a class: of the pods that ask for its accelerators, in their shares. Those that do not fit on an empty
/// node pass by: they are part of the demand, but go elsewhere.
pub(super) fn streams(typical: &[Typical], class: &Class) -> Vec<Vec<Bite>> {
    let capacity = class.capacity();
    let horizon = HORIZON * capacity;
    let most = (STEPS_PER_UNIT * class.empty.free_units()).clamp(STEPS_PER_UNIT, STEPS);
    let stream = |pods: Vec<&Typical>| {
        let mut offered = 0;
        let within_horizon = |pod: &&Typical| {
            let within = offered < horizon;
            // A pod for a larger node passes by as one that would take all of this one.
            offered += pod.bite.milli.min(capacity);
            within
        };
        pods.into_iter().take_while(within_horizon).filter(|pod| pod.fits).take(most).map(|pod| pod.bite).collect()
    };
    deal(typical).into_iter().map(stream).collect()
}

/// How many sorts of pods the streams are of: those that ask for most.
const SORTS: usize = 64;

/// Deals pods in their shares to the streams, each in an order of its own.
fn deal(typical: &[Typical]) -> Vec<Vec<&Typical>> {
    let typical = &typical[..typical.len().min(SORTS)];
    let all: u64 = typical.iter().map(|pod| pod.weight).sum();
    let mut by_weight: Vec<&Typical> = typical.iter().collect();
    by_weight.sort_by_key(|pod| std::cmp::Reverse(pod.weight));
    let mut streams = vec![vec![]; STREAMS];
    let draws = (STREAMS * STEPS) as u64;
    let (mut at, mut covered) = (0, by_weight.first().map_or(0, |pod| pod.weight));
    for draw in 0..draws {
        while at + 1 < by_weight.len() && 2 * draws * covered < (2 * draw + 1) * all {
            at += 1;
            covered += by_weight[at].weight;
        }
        streams[draw as usize % STREAMS].extend(by_weight.get(at));
    }
    let mut mixer = Mixer(1);
    for stream in &mut streams {
        for last in (1..stream.len()).rev() {
            stream.swap(last, mixer.below(last + 1));
        }
    }
    streams
}

/// A fixed sequence of numbers without a pattern (SplitMix64): the same for everyone, so that equal mixes give equal
/// streams.
struct Mixer(u64);

impl Mixer {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(mixed ^ (mixed >> 31)) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
