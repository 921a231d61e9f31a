//! Devices that are given out whole: GPUs and network cards.

use serde_json::{Value, json};

use super::cluster::DRIVERS;
use super::dice::Dice;
use super::theme::Theme;

/// A plain device of a driver.
pub fn device(dice: &mut Dice, theme: &Theme, driver: &str, index: usize) -> Value {
    let kind = if driver == DRIVERS[1] { "nic" } else { "gpu" };
    let mut device = json!({"name": format!("{kind}-{index}"), "attributes": attributes(dice, theme, driver, index)});
    device["attributes"]["type"] = json!({"string": kind});
    if dice.chance(70) {
        device["capacity"] = json!({"memory": {"value": *dice.pick(&["80Gi", "80Gi", "40Gi", "81920Mi"])}});
    }
    decorate(dice, theme, &mut device);
    device
}

/// Attributes as devices have them, some missing, some under their full name.
pub fn attributes(dice: &mut Dice, theme: &Theme, driver: &str, index: usize) -> Value {
    let mut attributes = json!({"index": {"int": index}});
    let mut set = |dice: &mut Dice, name: &str, value: Value| {
        let name = if dice.chance(8) { format!("{driver}/{name}") } else { name.to_owned() };
        attributes[name] = value;
    };
    if dice.chance(92) {
        let value = json!({"string": *dice.weighted(&[(3, "h100"), (1, "a100")])});
        set(dice, "model", value);
    }
    if dice.chance(85) {
        let value = json!({"int": dice.between(0, 1)});
        set(dice, "numa", value);
    }
    if dice.chance(60) {
        let value = json!({"bool": dice.chance(70)});
        set(dice, "ecc", value);
    }
    if dice.chance(60) {
        let value = json!({"version": *dice.pick(&["1.2.3", "1.10.0", "2.0.0", "2.0.0-rc.1+b5"])});
        set(dice, "version", value);
    }
    if dice.chance(50) {
        let values = [
            json!({"string": "one"}),
            json!({"string": "1"}),
            json!({"int": 1}),
            json!({"bool": true}),
            json!({"version": "1.0.0"}),
        ];
        let value = dice.pick(&values).clone();
        set(dice, "mixed", value);
    }
    if theme.lists && dice.chance(85) {
        let value = links(dice);
        set(dice, "links", value);
    }
    if dice.chance(85) {
        attributes["resource.kubernetes.io/pcieRoot"] = json!({"string": *dice.pick(&["pci0000:00", "pci0000:80"])});
    }
    attributes
}

/// What a device is linked to: mostly a list, sometimes only one thing, sometimes of another type.
fn links(dice: &mut Dice) -> Value {
    match dice.between(0, 9) {
        0 | 1 => json!({"string": format!("l{}", dice.between(0, 2))}),
        2 => json!({"ints": dice.some(&[0, 1, 2])}),
        _ => json!({"strings": dice.some(&["l0", "l1", "l2"])}),
    }
}

/// Taints and binding conditions, for any kind of device.
pub fn decorate(dice: &mut Dice, theme: &Theme, device: &mut Value) {
    if theme.taints && dice.chance(40) {
        let count = dice.between(1, 2);
        device["taints"] = (0..count).map(|_| taint(dice)).collect();
    }
    if theme.binding && dice.chance(50) {
        device["bindingConditions"] = json!(["example.com/attached"]);
        // One is not admitted without the other.
        device["bindingFailureConditions"] = json!(["example.com/failed", "example.com/gone"]);
        if dice.chance(60) {
            device["bindsToNode"] = json!(true);
        }
    }
}

fn taint(dice: &mut Dice) -> Value {
    let mut taint = json!({
        "key": *dice.pick(&["example.com/ill", "example.com/old"]),
        "effect": *dice.weighted(&[(4, "NoSchedule"), (3, "NoExecute"), (2, "None")]),
    });
    if dice.chance(60) {
        taint["value"] = json!(*dice.pick(&["yes", "no"]));
    }
    taint
}

/// What a request puts up with.
pub fn tolerations(dice: &mut Dice) -> Value {
    let count = dice.between(1, 2);
    (0..count)
        .map(|_| {
            let mut toleration = json!({});
            if dice.chance(45) {
                toleration["operator"] = json!("Exists");
            } else {
                toleration["value"] = json!(*dice.pick(&["yes", "no"]));
                if dice.chance(50) {
                    toleration["operator"] = json!("Equal");
                }
            }
            // Only with Exists may the key be left out by the letter of the API; validation does not look.
            if dice.chance(85) {
                toleration["key"] = json!(*dice.pick(&["example.com/ill", "example.com/old"]));
            }
            if dice.chance(40) {
                toleration["effect"] = json!(*dice.pick(&["NoSchedule", "NoExecute", "None"]));
            }
            toleration
        })
        .collect()
}
