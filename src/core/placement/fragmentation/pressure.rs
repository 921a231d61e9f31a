//! How much each class of nodes is in demand, and what its devices are worth for that.

use std::collections::BTreeMap;

use super::PRICE;
use super::classes::{Class, UNIT_WORTH};
use super::mix::Mix;
use super::streams::typical;

/// The largest pressure that counts, relative to the class under least: beyond it a class is as dear as can be.
const CLIP: f64 = 2.0;

/// The worth of a thousandth of a device of each class, in parts.
///
/// Every demand presses on the classes whose empty nodes it fits, in the share of the fleet that they have. A class that
/// only those press who could go elsewhere has the least pressure; one that many need who can go nowhere else has more,
/// and what others take there costs more: by the square, so that small differences make none.
pub(super) fn prices(mix: &Mix, classes: &[Class]) -> Vec<i64> {
    let mut demand_on: BTreeMap<Vec<usize>, f64> = BTreeMap::new();
    let fitting = |class| -> Vec<Option<i64>> {
        let typical = typical(mix, class).into_iter();
        typical.map(|pod| pod.filter(|pod| pod.fits).map(|pod| pod.bite.milli)).collect()
    };
    let milli_of: Vec<Vec<Option<i64>>> = classes.iter().map(fitting).collect();
    for (at, entry) in mix.entries.iter().enumerate() {
        let on: Vec<usize> = (0..classes.len()).filter(|class| milli_of[*class][at].is_some()).collect();
        let milli = on.iter().filter_map(|class| milli_of[*class][at]).max().unwrap_or(0);
        *demand_on.entry(on).or_default() += entry.weight as f64 * milli as f64;
    }
    let all_milli: f64 = classes.iter().map(|class| class.milli as f64).sum();
    let all_demand: f64 = demand_on.values().sum();
    let mut pressures = vec![0.0; classes.len()];
    for (on, demand) in &demand_on {
        let capacity: f64 = on.iter().map(|class| classes[*class].milli as f64).sum();
        for class in on {
            pressures[*class] += demand / all_demand * all_milli / capacity;
        }
    }
    let least = pressures.iter().copied().fold(f64::MAX, f64::min);
    let price = |(pressure, class): (f64, &Class)| {
        let relative = (pressure - least).min(CLIP);
        ((PRICE as f64 * (1.0 + relative * relative)) as i64) * class.device_worth / UNIT_WORTH
    };
    pressures.into_iter().zip(classes).map(price).collect()
}
