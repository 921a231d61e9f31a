//! Devices that several claims share, each with some of their capacity.

use serde_json::{Value, json};

use super::devices;
use super::dice::Dice;
use super::theme::Theme;

/// A device that may be given out several times.
pub fn device(dice: &mut Dice, theme: &Theme, driver: &str, index: usize) -> Value {
    let mut capacity = json!({});
    if dice.chance(85) {
        let name = if dice.chance(8) { format!("{driver}/bandwidth") } else { "bandwidth".to_owned() };
        capacity[name] = bandwidth(dice);
    }
    if dice.chance(50) {
        capacity["memory"] = memory(dice);
    }
    let mut device = json!({
        "name": format!("shared-{index}"),
        "allowMultipleAllocations": true,
        "attributes": devices::attributes(dice, theme, driver, index),
        "capacity": capacity,
    });
    device["attributes"]["type"] = json!({"string": "nic"});
    devices::decorate(dice, theme, &mut device);
    device
}

/// Ten of something, with any policy for how it may be asked for.
fn bandwidth(dice: &mut Dice) -> Value {
    let mut capacity = json!({"value": "10"});
    let policy = match dice.between(0, 8) {
        0 => return capacity,
        1 => json!({"default": "2"}),
        2 => json!({"default": "2", "validValues": ["1", "2", "4", "8"]}),
        3 => json!({"default": "5", "validValues": ["5"]}),
        4 => json!({"default": "1", "validRange": {"min": "1"}}),
        5 => json!({"default": "2", "validRange": {"min": "2", "max": "6"}}),
        6 => json!({"default": "3", "validRange": {"min": "1", "max": "9", "step": "2"}}),
        7 => json!({"default": "4", "validRange": {"min": "4", "step": "3"}}),
        _ => json!({"default": "500m", "validRange": {"min": "500m", "max": "10"}}),
    };
    capacity["requestPolicy"] = policy;
    capacity
}

fn memory(dice: &mut Dice) -> Value {
    match dice.between(0, 3) {
        0 => json!({"value": "40Gi"}),
        1 => json!({"value": "40Gi", "requestPolicy": {"default": "10Gi"}}),
        2 => json!({
            "value": "40Gi", "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "max": "33Gi", "step": "1Gi"}},
        }),
        _ => json!({
            "value": "40Gi", "requestPolicy": {"default": "10240Mi", "validValues": ["5Gi", "10Gi", "20Gi"]},
        }),
    }
}

/// How much of a device a request wants, of what it may or may not have.
pub fn wanted(dice: &mut Dice) -> Value {
    let mut requests = json!({});
    let bandwidths = ["0", "1", "2", "3", "4", "5", "7", "8", "10", "11", "1500m", "2500m"];
    match dice.between(0, 9) {
        0 => requests["net.example.com/bandwidth"] = json!(*dice.pick(&bandwidths)),
        1 => requests["absent"] = json!("1"),
        2 | 3 => requests["memory"] = json!(*dice.pick(&["1Gi", "5500Mi", "20Gi", "40Gi", "50Gi"])),
        4 => {
            requests["bandwidth"] = json!(*dice.pick(&bandwidths));
            requests["memory"] = json!(*dice.pick(&["1Gi", "8Gi", "20G"]));
        }
        _ => requests["bandwidth"] = json!(*dice.pick(&bandwidths)),
    }
    json!({"requests": requests})
}
