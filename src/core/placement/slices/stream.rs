//! Arrivals that are the same whenever they are made: what rules are rehearsed on.

/// Parts of a mean duration in which times are counted.
pub(super) const TICKS: u32 = 256;

/// No instance stays longer than so many mean durations; one in 60,000 would.
const LONGEST: u32 = 11;

/// One more than the longest stay, in ticks.
pub(super) const RING: usize = ((LONGEST + 1) * TICKS) as usize;

/// One instance that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// When.
    pub tick: u32,
    /// For how long, at least 1 and below [`RING`].
    pub stay: u32,
    /// Its shape.
    pub shape: usize,
}

/// So many Poisson arrivals at so many in a mean duration, shapes by weight, exponential durations.
pub(super) fn arrivals(count: usize, rate: f64, weights: &[u8]) -> Vec<Arrival> {
    let mut numbers = SplitMix(1);
    let whole: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut now = 0.0;
    let arrival = |_| {
        now += numbers.exponential() / rate;
        let mut drawn = numbers.below(whole);
        let shape = weights.iter().position(|&weight| {
            let found = drawn < u64::from(weight);
            drawn = drawn.saturating_sub(u64::from(weight));
            found
        });
        let stay = numbers.exponential().min(f64::from(LONGEST)) * f64::from(TICKS);
        Arrival {
            tick: (now * f64::from(TICKS)) as u32,
            stay: 1 + stay as u32,
            shape: shape.expect("below the sum of the weights"),
        }
    };
    (0..count).map(arrival).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014) from a fixed start.
struct SplitMix(u64);

impl SplitMix {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below a small bound.
    fn below(&mut self, bound: u64) -> u64 {
        ((self.number() >> 32) * bound) >> 32
    }

    /// An exponential time of mean 1, by comparisons only (von Neumann 1951), as logarithms differ between machines: the
    /// length of a falling run of uniform numbers is odd with the chance exp(-first).
    fn exponential(&mut self) -> f64 {
        let mut whole = 0.0;
        loop {
            let first = self.number();
            let (mut last, mut odd) = (first, true);
            loop {
                let next = self.number();
                if next >= last {
                    break;
                }
                (last, odd) = (next, !odd);
            }
            if odd {
                return whole + (first >> 11) as f64 / (1u64 << 53) as f64;
            }
            whole += 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exponential_and_shapes_follow_their_weights() {
        let made = arrivals(40_000, 100.0, &[1, 0, 3]);
        let mean = |of: &dyn Fn(&Arrival) -> f64| made.iter().map(of).sum::<f64>() / made.len() as f64;
        let stay = |arrival: &Arrival| (f64::from(arrival.stay) - 0.5) / f64::from(TICKS);
        assert!((mean(&stay) - 1.0).abs() < 0.02, "{}", mean(&stay));
        assert!((mean(&|a| stay(a).powi(2)) - 2.0).abs() < 0.1);
        assert!((mean(&|a| f64::from(u8::from(a.shape == 2))) - 0.75).abs() < 0.01);
        assert!(made.iter().all(|arrival| arrival.shape != 1 && (1..RING as u32).contains(&arrival.stay)));
        let end = f64::from(made.last().expect("arrivals").tick) / f64::from(TICKS);
        assert!((end - 400.0).abs() < 8.0, "{end}");
        assert_eq!(made, arrivals(40_000, 100.0, &[1, 0, 3]));
    }
}
