//! How much each class of nodes is in demand, and what its devices are worth for that.

use std::collections::BTreeMap;

use super::PRICE;
use super::classes::Class;
use super::fleet::UNIT_WORTH;
use super::mix::Mix;
use super::streams::typical;

/// Pressures are counted in so many parts of the demand for each thousandth of a device, over the whole fleet.
const PARTS: i128 = 256;

/// The largest pressure that counts, relative to the class under least: beyond it a class is as dear as can be.
const CLIP: i128 = 2 * PARTS;

/// The worth of a thousandth of a device of each class, in parts.
///
/// Every demand presses on the classes whose empty nodes it fits, in the share of the fleet that they have. A class that
/// only those press who could go elsewhere has the least pressure; one that many need who can go nowhere else has more,
/// and what others take there costs more: by the square, so that small differences make none.
pub(super) fn prices(mix: &Mix, classes: &[Class]) -> Vec<i64> {
    let pressures = pressures(mix, classes);
    let least = pressures.iter().copied().min().unwrap_or(0);
    let price = |(pressure, class): (i128, &Class)| {
        let relative = (pressure - least).min(CLIP);
        let price = PRICE + (i128::from(PRICE) * relative * relative / (PARTS * PARTS)) as i64;
        price * class.device_worth / UNIT_WORTH
    };
    pressures.into_iter().zip(classes).map(price).collect()
}

fn pressures(mix: &Mix, classes: &[Class]) -> Vec<i128> {
    // The thousandths of devices that each entry takes of each class, where it fits.
    let fitting = |class| -> Vec<Option<i64>> {
        let typical = typical(mix, class).into_iter();
        typical.map(|pod| pod.filter(|pod| pod.fits).map(|pod| pod.bite.milli)).collect()
    };
    let takes: Vec<Vec<Option<i64>>> = classes.iter().map(fitting).collect();
    let mut demand_on: BTreeMap<Vec<usize>, i128> = BTreeMap::new();
    for (at, entry) in mix.entries.iter().enumerate() {
        let on: Vec<usize> = (0..classes.len()).filter(|class| takes[*class][at].is_some()).collect();
        let milli = on.iter().filter_map(|class| takes[*class][at]).max().unwrap_or(0);
        *demand_on.entry(on).or_default() += i128::from(entry.weight) * i128::from(milli);
    }
    let milli = |class: &Class| i128::from(class.milli);
    let all: i128 = classes.iter().map(milli).sum();
    let demanded: i128 = demand_on.values().sum();
    let mut pressures = vec![0; classes.len()];
    for (on, demand) in &demand_on {
        let capacity: i128 = on.iter().map(|class| milli(&classes[*class])).sum();
        for class in on {
            pressures[*class] += demand * all * PARTS / (demanded * capacity).max(1);
        }
    }
    pressures
}
