//! Claims of one pod, and their requests.

use serde_json::{Value, json};

use super::cluster::DRIVERS;
use super::dice::Dice;
use super::theme::Theme;
use super::{config, constraints, devices, selectors, shares};

/// The claims that have to be allocated.
pub fn pending(dice: &mut Dice, theme: &Theme, slices: &[Value]) -> Vec<Value> {
    let drivers: Vec<&str> = slices.iter().filter_map(|slice| slice["spec"]["driver"].as_str()).collect();
    let count = *dice.weighted(&[(66, 1), (22, 2), (8, 3), (4, 4)]).min(&if theme.large { 2 } else { 4 });
    // A search through all choices takes a while, and upstream's goes through them all.
    let mut budget = if theme.large { usize::MAX } else { 7 };
    (0..count).map(|index| claim(dice, theme, &drivers, index, &mut budget)).collect()
}

fn claim(dice: &mut Dice, theme: &Theme, drivers: &[&str], index: usize, budget: &mut usize) -> Value {
    let count = match theme.constraints {
        // Constraints are about several requests.
        true => *dice.weighted(&[(40, 1), (40, 2), (14, 3), (6, 4)]),
        false => *dice.weighted(&[(64, 1), (25, 2), (7, 3), (4, 4)]),
    };
    let requests: Vec<Value> = (0..count).map(|index| request(dice, theme, drivers, index, budget)).collect();
    let mut devices = json!({"requests": requests});
    if theme.constraints && dice.chance(85) {
        let count = *dice.weighted(&[(80, 1), (20, 2)]);
        let constraints: Vec<Value> = (0..count).map(|_| constraints::constraint(dice, theme, &requests)).collect();
        devices["constraints"] = json!(constraints);
    }
    if theme.config && dice.chance(70) {
        devices["config"] = json!(config::of_claim(dice, &requests));
    }
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": format!("claim-{index}"), "namespace": "default"},
        "spec": {"devices": devices},
    })
}

fn request(dice: &mut Dice, theme: &Theme, drivers: &[&str], index: usize, budget: &mut usize) -> Value {
    let name = format!("r{index}");
    if theme.alternatives && dice.chance(55) {
        let count = *dice.weighted(&[(10, 1), (50, 2), (30, 3), (10, 4)]);
        let mut left = *budget;
        let alternatives: Vec<Value> = (0..count)
            .map(|index| {
                // Only one of them will be chosen.
                let mut budget = *budget;
                let mut alternative = demand(dice, theme, drivers, &mut budget);
                alternative["name"] = json!(format!("s{index}"));
                left = left.min(budget);
                alternative
            })
            .collect();
        *budget = left;
        return json!({"name": name, "firstAvailable": alternatives});
    }
    let mut exactly = demand(dice, theme, drivers, budget);
    if theme.admin && dice.chance(60) {
        exactly["adminAccess"] = json!(dice.chance(90));
    }
    json!({"name": name, "exactly": exactly})
}

/// What requests and subrequests have in common.
fn demand(dice: &mut Dice, theme: &Theme, drivers: &[&str], budget: &mut usize) -> Value {
    let (class, driver) = class(dice, theme, drivers);
    let mut demand = json!({"deviceClassName": class});
    if theme.everything && dice.chance(55) {
        demand["allocationMode"] = json!("All");
    } else if theme.large && dice.chance(80) {
        demand["count"] = json!(*dice.pick(&[2, 8, 15, 16, 17, 20, 30, 31, 32, 33]));
    } else {
        let count = (*dice.weighted(&[(72, 1), (20, 2), (6, 3), (2, 4)])).min((*budget).max(1));
        *budget = budget.saturating_sub(count);
        // What is left out is 1 of an exact count.
        if count > 1 || dice.chance(40) {
            demand["count"] = json!(count);
        }
        if dice.chance(40) {
            demand["allocationMode"] = json!("ExactCount");
        }
    }
    let mut expressions = vec![];
    if theme.selectors && dice.chance(55) {
        let count = *dice.weighted(&[(80, 1), (20, 2)]);
        expressions.extend((0..count).map(|_| selectors::harmless(dice, driver)));
    }
    if theme.errors && dice.chance(30) {
        expressions.push(selectors::faulty(dice));
    }
    if theme.refused && dice.chance(50) {
        expressions.push(selectors::broken(dice));
    }
    if !expressions.is_empty() {
        demand["selectors"] = expressions.iter().map(|expression| json!({"cel": {"expression": expression}})).collect();
    }
    if theme.taints && dice.chance(60) {
        demand["tolerations"] = devices::tolerations(dice);
    }
    if dice.chance(if theme.shares { 55 } else { 1 }) {
        demand["capacity"] = shares::wanted(dice);
    }
    demand
}

/// A class, and the driver whose devices it is mostly about: mostly one that has some.
fn class(dice: &mut Dice, theme: &Theme, drivers: &[&str]) -> (&'static str, &'static str) {
    if theme.large {
        return ("gpu.nvidia.com", DRIVERS[0]);
    }
    if theme.errors && dice.chance(8) {
        return ("absent.example.com", DRIVERS[0]);
    }
    let weight = |driver: &str, weight: usize| if drivers.contains(&driver) { weight } else { weight / 8 };
    let shares = if theme.shares { 30 } else { 12 };
    let partitions = if theme.partitions { 50 } else { 0 };
    *dice.weighted(&[
        (weight(DRIVERS[0], 45), ("gpu.nvidia.com", DRIVERS[0])),
        (weight(DRIVERS[1], shares), ("net.example.com", DRIVERS[1])),
        (weight(DRIVERS[1], shares), ("any.example.com", DRIVERS[1])),
        (weight(DRIVERS[0], 12), ("any.example.com", DRIVERS[0])),
        (partitions, ("mig.nvidia.com", DRIVERS[0])),
        (4, ("any.example.com", DRIVERS[2])),
    ])
}
