//! GPUs that can be cut up: devices that draw on shared counters, as dynamic MIG publishes them.

use serde_json::{Map, Value, json};

use super::devices;
use super::dice::Dice;
use super::theme::Theme;

/// A partition's name in device names, its profile, memory slices, and where it may start.
const SHAPES: [(&str, &str, usize, &[usize]); 4] = [
    ("1g10gb-19", "1g.10gb", 1, &[0, 1, 2, 3]),
    ("1g20gb-15", "1g.20gb", 2, &[0, 2]),
    ("2g20gb-14", "2g.20gb", 2, &[0, 2]),
    ("3g40gb-9", "3g.40gb", 4, &[0]),
];
/// Of each GPU: half of an H100, so that cases stay small.
const MEMORY_SLICES: usize = 4;
const MULTIPROCESSORS: usize = 66;

/// The counters of GPUs and their devices: the whole GPU, and partitions of some shapes.
pub fn gpus(dice: &mut Dice, theme: &Theme, driver: &str) -> (Vec<Value>, Vec<Value>) {
    let shapes = dice.some(&SHAPES);
    let gpus = dice.between(1, 2);
    let mut devices = vec![];
    let mut counter_sets = vec![];
    for gpu in 0..gpus {
        let set = format!("gpu-{gpu}-counter-set");
        counter_sets.push(json!({"name": set, "counters": counters(0, MEMORY_SLICES, MULTIPROCESSORS)}));
        let mut whole = json!({
            "name": format!("gpu-{gpu}"),
            "attributes": devices::attributes(dice, theme, driver, gpu),
            "consumesCounters": [{"counterSet": set, "counters": counters(0, MEMORY_SLICES, MULTIPROCESSORS)}],
        });
        whole["attributes"]["type"] = json!({"string": "gpu"});
        if dice.chance(80) {
            devices.push(whole);
        }
        for (name, profile, slices, starts) in &shapes {
            // The wide 1g has the memory of a 2g, and half of its multiprocessors.
            let multiprocessors = if *profile == "1g.20gb" { 16 } else { 16 * slices };
            for start in *starts {
                let mut device = json!({
                    "name": format!("gpu-{gpu}-mig-{name}-{start}"),
                    "attributes": devices::attributes(dice, theme, driver, gpu),
                    "capacity": {"memory": {"value": format!("{}Gi", 10 * slices)}},
                    "consumesCounters": [{"counterSet": set, "counters": counters(*start, *slices, multiprocessors)}],
                });
                device["attributes"]["type"] = json!({"string": "mig"});
                device["attributes"]["profile"] = json!({"string": profile});
                device["attributes"]["parentUUID"] = json!({"string": format!("GPU-{gpu}")});
                if dice.chance(4) {
                    // Shared and cut up at once: whoever comes second draws no counters.
                    device["allowMultipleAllocations"] = json!(true);
                }
                devices.push(device);
            }
        }
    }
    if gpus == 2 && dice.chance(10) {
        // What needs both GPUs.
        let draws = (0..2).map(|gpu| {
            json!({"counterSet": format!("gpu-{gpu}-counter-set"), "counters": {"multiprocessors": {"value": "33"}}})
        });
        devices.push(json!({
            "name": "gpu-pair", "attributes": {"type": {"string": "mig"}}, "consumesCounters": draws.collect::<Value>(),
        }));
    }
    for device in &mut devices {
        devices::decorate(dice, theme, device);
    }
    dice.shuffle(&mut devices);
    devices.truncate(12);
    (counter_sets, devices)
}

fn counters(start: usize, slices: usize, multiprocessors: usize) -> Value {
    let mut counters = Map::new();
    for slice in start..start + slices {
        counters.insert(format!("memory-slice-{slice}"), json!({"value": "1"}));
    }
    counters.insert("multiprocessors".into(), json!({"value": multiprocessors.to_string()}));
    counters.into()
}
