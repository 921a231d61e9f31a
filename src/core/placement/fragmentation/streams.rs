//! Sample streams: sequences of typical pods that could come to a node.

use super::classes::Class;
use super::mix::{Mix, MixEntry};
use super::room::{Bite, What};
use crate::model::gpu_share::{self, ShareRequest};

/// How many streams a class of nodes is filled with.
pub(super) const STREAMS: usize = 8;

/// The longest stream.
const STEPS: usize = 64;

/// A stream offers at most so many times what the node has.
const HORIZON: i64 = 4;

/// The golden ratio as a fraction of 2^64. Its multiples spread evenly whatever their number (Weyl's sequence), so that
/// even a short stream has every sort of pod in about its share.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

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
    let typical = |(at, MixEntry { shape, weight }): (usize, &MixEntry)| {
        let pool = class.pool(&shape.accelerator)?;
        let what = what(shape.units, pool, class)?;
        let milli = shape.units.saturating_mul(class.pools[pool].1);
        let bite = Bite { cpu: shape.cpu_milli, memory: shape.memory, what, milli };
        Some(Typical { bite, weight: *weight, fits: class.accepts(at) && class.empty.fits(&bite) })
    };
    mix.entries.iter().enumerate().map(typical).collect()
}

/// The streams of a class: of the pods that ask for its accelerators, in their shares. Those that do not fit on an empty
/// node pass by: they are part of the demand, but go elsewhere.
pub(super) fn streams(typical: &[Typical], class: &Class) -> Vec<Vec<Bite>> {
    let all: u64 = typical.iter().map(|typical| typical.weight).sum();
    if all == 0 {
        return vec![];
    }
    let horizon = HORIZON * class.capacity();
    let stream = |stream: usize| {
        let mut bites = vec![];
        let mut offered = 0;
        for step in 0..STEPS {
            if offered >= horizon {
                break;
            }
            let turn = (step * STREAMS + stream) as u64;
            let next = at_fraction(typical, all, turn.wrapping_mul(GOLDEN));
            offered += next.bite.milli;
            if next.fits {
                bites.push(next.bite);
            }
        }
        bites
    };
    (0..STREAMS).map(stream).collect()
}

/// The pod that covers this fraction, of 2^64, of the weights.
fn at_fraction(typical: &[Typical], all: u64, fraction: u64) -> &Typical {
    let mut rest = ((u128::from(fraction) * u128::from(all)) >> 64) as u64;
    let covering = typical.iter().find(|typical| match rest.checked_sub(typical.weight) {
        Some(left) => {
            rest = left;
            false
        }
        None => true,
    });
    covering.expect("a fraction is less than all")
}

/// What so many units of a pool are.
pub(super) fn what(units: i64, pool: usize, class: &Class) -> Option<What> {
    if class.shared_pool == Some(pool) {
        return Some(match ShareRequest::of(units)? {
            ShareRequest::Part(thousandths) => What::Part(thousandths),
            ShareRequest::Whole(gpus) => What::Whole(gpus.min(gpu_share::MAX_SHARED_GPUS as u8)),
        });
    }
    Some(What::Units { pool: u8::try_from(pool).ok()?, count: u16::try_from(units).ok()? })
}
