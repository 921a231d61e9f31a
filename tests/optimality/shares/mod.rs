//! Whole GPUs and shares of GPUs: how many thousandths are placed, of those that could be.

mod exact;
mod instance;
mod online;
mod search;

use crate::cluster::Seat;
use crate::gap::{Gaps, show};
use instance::{Instance, SMALL, TINY};

/// How many instances. One in a hundred takes the solver seconds.
const INSTANCES: u64 = 100;

/// The stated distances: mean gaps to the optimum in percent, a third above what was measured (9.5 and 12.3). Part of it
/// is the price of not knowing the future: the optimum turns small pods away for large ones that come later. One such pod
/// can cost most of a small fleet, so nothing is stated about the worst instance.
const INFORMED: f64 = 12.7;
const FRESH: f64 = 16.4;

/// Points by which the engine may be behind best-fit, to which it is equal but for chance: on 1500 such instances it was
/// 0.1 ahead, with a standard error of about 0.2.
const BEHIND_BEST_FIT: f64 = 1.0;

type Rule = fn(&Instance) -> Vec<Option<Seat>>;

const RULES: [(&str, Rule); 4] = [
    ("testudo", online::informed),
    ("testudo without a known mix", online::fresh),
    ("best-fit", online::best_fit),
    ("first-fit", online::first_fit),
];

fn optimum(instance: &Instance) -> i64 {
    let best = exact::best(instance);
    instance.check(&best).unwrap_or_else(|wrong| panic!("the optimum is none: {wrong}\n{instance:?}"))
}

#[test]
fn the_optimum_is_that_of_a_search_through_all_placements() {
    for seed in 0..80 {
        let tiny = Instance::draw(seed, TINY);
        assert_eq!(optimum(&tiny), search::most(&tiny), "seed {seed}: {tiny:?}");
    }
}

#[test]
fn the_engine_is_near_the_optimum() {
    let mut gaps = RULES.map(|(name, _)| (name, Gaps::default()));
    for seed in 0..INSTANCES {
        let instance = Instance::draw(seed, SMALL);
        let optimum = optimum(&instance);
        for ((name, rule), (_, gaps)) in RULES.iter().zip(&mut gaps) {
            let placed = instance.check(&rule(&instance));
            gaps.note(placed.unwrap_or_else(|wrong| panic!("seed {seed}, {name}: {wrong}")), optimum, &instance);
        }
    }
    show("shares of GPUs", &gaps);
    let [informed, fresh, best_fit, first_fit] = gaps.map(|(_, gaps)| gaps.mean());
    assert!(informed <= INFORMED, "{informed:.2} % from the optimum");
    assert!(fresh <= FRESH, "{fresh:.2} % from the optimum without a known mix");
    assert!(informed <= best_fit + BEHIND_BEST_FIT, "{informed:.2} %, best-fit {best_fit:.2} %");
    assert!(informed <= fresh && fresh <= first_fit, "{informed:.2} %, {fresh:.2} %, first-fit {first_fit:.2} %");
}
