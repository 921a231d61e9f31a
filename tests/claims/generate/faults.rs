//! Pools that are being replaced, not all there, or wrong in themselves.

use serde_json::{Value, json};

use super::devices;
use super::dice::Dice;
use super::pools::{Content, Pool, Reach, Slice, any_node};
use super::theme::Theme;

/// Does one thing to a pool that makes some or all of it unusable.
pub fn spoil(dice: &mut Dice, theme: &Theme, nodes: &[Value], pool: &mut Pool) {
    match dice.between(0, 11) {
        0 | 1 => pool.miscounted = 1,
        2 => pool.miscounted = -1,
        3 | 4 => stale(dice, theme, pool),
        5 | 6 => superseded(dice, theme, nodes, pool),
        7 | 8 => duplicate_device(dice, pool),
        9 => lost_counters(pool),
        10 => duplicate_counters(pool),
        _ => unknown_counter(pool),
    }
}

/// A slice of the generation before is still there, with devices that are gone.
fn stale(dice: &mut Dice, theme: &Theme, pool: &mut Pool) {
    let old = pool.generation;
    pool.generation += 1;
    for slice in &mut pool.slices {
        slice.generation = pool.generation;
    }
    let count = dice.between(1, 3);
    let members = (10..10 + count).map(|index| devices::device(dice, theme, pool.driver, index)).collect();
    let reach = reach_of_all(pool);
    let slice = Slice { reach, content: Content::Devices(members), generation: old };
    let place = dice.between(0, pool.slices.len());
    pool.slices.insert(place, slice);
}

/// A slice of the next generation is there already, for a node that may not be the one that is asked for.
fn superseded(dice: &mut Dice, theme: &Theme, nodes: &[Value], pool: &mut Pool) {
    let node = if dice.chance(50) { "node-9".to_owned() } else { any_node(dice, nodes) };
    let members = vec![devices::device(dice, theme, pool.driver, 20)];
    // Only who does not see all slices of a pool looks whether there are newer ones.
    match pool.slices.last_mut() {
        Some(last) if !matches!(last.reach, Reach::PerDevice) && dice.chance(60) => {
            last.reach = Reach::Node("node-9".to_owned());
        }
        _ if dice.chance(50) => pool.miscounted = 1,
        _ => {}
    }
    let generation = pool.generation + 1;
    pool.slices.push(Slice { reach: Reach::Node(node), content: Content::Devices(members), generation });
}

fn duplicate_device(dice: &mut Dice, pool: &mut Pool) {
    let devices = pool.slices.iter().find_map(|slice| match &slice.content {
        Content::Devices(devices) if !devices.is_empty() => Some((slice.reach.clone(), dice.pick(devices).clone())),
        _ => None,
    });
    if let Some((reach, device)) = devices {
        let generation = pool.generation;
        pool.slices.push(Slice { reach, content: Content::Devices(vec![device]), generation });
    }
}

fn lost_counters(pool: &mut Pool) {
    pool.slices.retain(|slice| matches!(slice.content, Content::Devices(_)));
}

fn duplicate_counters(pool: &mut Pool) {
    let sets = pool.slices.iter().find_map(|slice| match &slice.content {
        Content::Counters(sets) => Some((slice.reach.clone(), sets.clone())),
        Content::Devices(_) => None,
    });
    if let Some((reach, sets)) = sets {
        let generation = pool.generation;
        pool.slices.push(Slice { reach, content: Content::Counters(sets), generation });
    }
}

fn unknown_counter(pool: &mut Pool) {
    for slice in &mut pool.slices {
        if let Content::Devices(devices) = &mut slice.content
            && let Some(draws) = devices.iter_mut().find_map(|device| device.get_mut("consumesCounters"))
        {
            draws[0]["counters"]["unheard-of"] = json!({"value": "1"});
            return;
        }
    }
}

fn reach_of_all(pool: &Pool) -> Reach {
    match &pool.slices[0].reach {
        // Devices of a stale slice have no node of their own.
        Reach::PerDevice => Reach::AllNodes,
        reach => reach.clone(),
    }
}
