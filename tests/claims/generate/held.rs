//! Claims that hold devices already.

use serde_json::{Value, json};

use super::dice::Dice;

/// Allocated claims over some of the devices of `slices`.
pub fn held(dice: &mut Dice, slices: &[Value]) -> Vec<Value> {
    let mut devices: Vec<(&Value, &Value)> = slices
        .iter()
        .flat_map(|slice| slice["spec"]["devices"].as_array().into_iter().flatten().map(move |device| (slice, device)))
        .collect();
    if devices.is_empty() {
        return vec![];
    }
    dice.shuffle(&mut devices);
    let share = *dice.pick(&[6, 5, 4, 3, 2]);
    let count = devices.len().div_ceil(share).min(8);
    let mut results = vec![];
    for (slice, device) in devices.into_iter().take(count) {
        let shares = if device["allowMultipleAllocations"] == true { dice.between(1, 3) } else { 1 };
        for _ in 0..shares {
            results.push(result(dice, slice, device));
        }
    }
    if dice.chance(5) {
        let gone = json!({"request": "r", "driver": "gpu.nvidia.com", "pool": "node-0", "device": "gone"});
        results.push(gone);
    }
    let size = dice.between(1, 3);
    results.chunks(size).enumerate().map(|(index, results)| claim(index, results)).collect()
}

fn result(dice: &mut Dice, slice: &Value, device: &Value) -> Value {
    let mut result = json!({
        "request": "r",
        "driver": slice["spec"]["driver"],
        "pool": slice["spec"]["pool"]["name"],
        "device": device["name"],
    });
    if dice.chance(8) {
        result["adminAccess"] = json!(true);
    }
    if device["allowMultipleAllocations"] == true {
        result["shareID"] = json!(uid(dice));
        let mut consumed = json!({});
        for name in device["capacity"].as_object().into_iter().flatten().map(|(name, _)| name) {
            consumed[name] = match name.ends_with("memory") {
                true => json!(*dice.pick(&["5Gi", "10Gi", "20Gi"])),
                false => json!(*dice.pick(&["500m", "1", "2", "3", "5", "8"])),
            };
        }
        if consumed.as_object().is_some_and(|consumed| !consumed.is_empty()) && dice.chance(95) {
            result["consumedCapacity"] = consumed;
        }
    }
    result
}

fn claim(index: usize, results: &[Value]) -> Value {
    json!({
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": format!("held-{index}"), "namespace": "default"},
        "spec": {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "any.example.com", "count": results.len()}},
        ]}},
        "status": {"allocation": {"devices": {"results": results}}},
    })
}

fn uid(dice: &mut Dice) -> String {
    let mut hex = |digits: usize| -> String {
        (0..digits).map(|_| char::from_digit(dice.between(0, 15) as u32, 16).expect("below 16")).collect()
    };
    format!("{}-{}-4{}-8{}-{}", hex(8), hex(4), hex(3), hex(3), hex(12))
}
