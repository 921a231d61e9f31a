//! What the API server would not admit, and an allocator that reads files gets nevertheless.

use serde_json::{Value, json};

use super::dice::Dice;

/// Puts something into a claim that cannot be understood.
pub fn garble(dice: &mut Dice, claim: &mut Value) {
    let devices = &mut claim["spec"]["devices"];
    let names: Vec<Value> = devices["requests"].as_array().into_iter().flatten().map(|r| r["name"].clone()).collect();
    let index = dice.between(0, names.len() - 1);
    let class = "any.example.com";
    match dice.between(0, 4) {
        0 => devices["constraints"] = json!([{"requests": [names[index]]}]),
        1 => devices["requests"][index] = json!({"name": names[index]}),
        2 => {
            let exactly = json!({"deviceClassName": class, "allocationMode": "Some"});
            devices["requests"][index] = json!({"name": names[index], "exactly": exactly});
        }
        3 => {
            let exactly = json!({"deviceClassName": class, "selectors": [{}]});
            devices["requests"][index] = json!({"name": names[index], "exactly": exactly});
        }
        _ => devices["requests"][index] = json!({"name": names[index], "exactly": {"count": 1}}),
    }
}
