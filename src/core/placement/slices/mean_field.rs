//! One GPU of a large fleet, offered arrivals at prices: what each layout is worth.
//!
//! A fleet of N GPUs has too many states to solve. One GPU has few, and the others act on it only through what comes to
//! it. So: arrivals of each shape are offered to the GPU more often than one comes for each GPU, for a reward; it takes an
//! offer when the reward makes up for the value that it loses. Rewards are such that on average each shape's whole demand
//! is taken: a shape that fits nearly anywhere has a low one, a shape that needs a whole GPU a high one. Instances leave at
//! rate 1. That is the Lagrangian dual of sharing the arrivals out among the GPUs, smoothed.
//!
//! Only additions, multiplications and divisions of floats in a fixed order: the same on every machine.

use super::steps::Steps;

/// Size of a GPU in the unit of rewards and values, whatever the number of slices.
const GPU: f64 = 8.0;

/// Demand for slices, of those that there are: below 1, so that all of it can be taken at some price.
const LOAD: f64 = 0.9;

/// Offers that the GPU sees for each arrival that is its share: the others in the fleet would take it as well.
const OFFERS: f64 = 10.0;

/// Half the width of the range of gains over which an offer goes from surely refused to surely taken: rewards differ
/// from moment to moment by about that.
const WIDTH: f64 = 0.6;

/// No reward exceeds the size of the instance by more than this factor: a mix that no fleet could serve has no price.
const MOST: f64 = 2.0;

/// How far a reward moves in a round when nothing of a shape is taken, as a part of the size.
const PACE: f64 = 0.1;

/// How fast the shares of the layouts follow.
const FOLLOW: f64 = 0.7;

/// Where a solution starts, and what it ends with.
#[derive(Clone, Debug)]
pub(super) struct Solution {
    /// What each layout is worth, compared with the empty one.
    pub value: Vec<f64>,
    /// Share of the GPUs in each layout.
    share: Vec<f64>,
    /// What a GPU earns in a mean duration.
    earned: f64,
    /// The reward of each shape.
    reward: Vec<f64>,
}

/// Arrivals of one shape.
struct Demand {
    /// Per GPU.
    rate: f64,
    size: f64,
    taken: f64,
}

impl Solution {
    /// A guess that depends on no mix.
    pub fn guess(steps: &Steps) -> Solution {
        let states = steps.len();
        let value = (0..states).map(|at| -0.3 * GPU * steps.taken_part(at)).collect();
        let reward = steps.sizes().map(|part| part * GPU).collect();
        Solution { value, share: vec![1.0 / states as f64; states], earned: 0.0, reward }
    }

    /// The solution for these weights of the shapes, from this one on.
    pub fn refined(mut self, steps: &Steps, weights: &[u8], rounds: usize) -> Solution {
        let mut demands = demands(steps, weights);
        for _ in 0..rounds {
            self.round(steps, &mut demands);
        }
        self
    }

    fn round(&mut self, steps: &Steps, demands: &mut [Demand]) {
        let states = steps.len();
        let mut inflow = vec![0.0; states];
        let mut outflow = vec![0.0; states];
        demands.iter_mut().for_each(|demand| demand.taken = 0.0);
        // From full to empty: a layout is worth what those with one instance more are.
        for at in (0..states).rev() {
            let (here, mut gain, mut rate) = (self.value[at], -self.earned, 0.0);
            for (shape, next) in steps.arrivals(at) {
                let demand = &mut demands[shape];
                let to = self.best(next);
                let (chance, surplus) = offer(self.reward[shape] + self.value[to] - here);
                let takes = OFFERS * demand.rate * chance;
                gain += takes * here + OFFERS * demand.rate * surplus;
                rate += takes;
                inflow[to] += self.share[at] * takes;
                demand.taken += self.share[at] * takes;
            }
            for &to in steps.departures(at) {
                let to = usize::from(to);
                gain += self.value[to];
                rate += 1.0;
                inflow[to] += self.share[at];
            }
            outflow[at] = rate;
            if rate > 0.0 {
                self.value[at] = gain / rate;
            }
        }
        let empty = self.value[0];
        self.earned += 0.5 * empty * outflow[0].min(1.0);
        self.value.iter_mut().for_each(|value| *value -= empty);
        for at in 0..states {
            let arrived = if outflow[at] > 0.0 { inflow[at] / outflow[at] } else { self.share[at] };
            self.share[at] += FOLLOW * (arrived - self.share[at]);
        }
        let whole: f64 = self.share.iter().sum();
        self.share.iter_mut().for_each(|share| *share /= whole);
        for (reward, demand) in self.reward.iter_mut().zip(demands) {
            let missing = ((demand.rate - demand.taken) / demand.rate).max(-1.0);
            let limit = demand.size * MOST;
            *reward = (*reward + PACE * demand.size * missing).min(limit).max(-limit);
        }
    }

    /// The layout with the highest value; the first among equals.
    fn best(&self, next: &[u16]) -> usize {
        let states = next.iter().map(|&to| usize::from(to));
        let best = states.reduce(|best, to| if self.value[to] > self.value[best] { to } else { best });
        best.expect("a shape is listed only where it fits")
    }
}

/// The rates at which shapes with these weights ask for [`LOAD`] of a GPU.
fn demands(steps: &Steps, weights: &[u8]) -> Vec<Demand> {
    let sized = steps.sizes().map(|part| part * GPU).zip(weights);
    let demand = |(size, &weight)| Demand { rate: f64::from(weight), size, taken: 0.0 };
    let mut demands: Vec<Demand> = sized.map(demand).collect();
    let asked: f64 = demands.iter().map(|demand| demand.rate * demand.size).sum();
    demands.iter_mut().for_each(|demand| demand.rate *= LOAD * GPU / asked);
    demands
}

/// For the gain of an offer: the chance that it is taken, and what is gained on average.
fn offer(gain: f64) -> (f64, f64) {
    if gain >= WIDTH {
        (1.0, gain)
    } else if gain <= -WIDTH {
        (0.0, 0.0)
    } else {
        let above = gain + WIDTH;
        (above / (2.0 * WIDTH), above * above / (4.0 * WIDTH))
    }
}
