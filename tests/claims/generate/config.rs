//! Opaque configuration, of classes and of claims.

use serde_json::{Value, json};

use super::cluster::DRIVERS;
use super::dice::Dice;

/// Parameters for a driver.
pub fn opaque(dice: &mut Dice) -> Value {
    let parameters = json!({"kind": "GpuConfig", "sharing": {"strategy": *dice.pick(&["TimeSlicing", "MPS"])}});
    json!({"opaque": {"driver": *dice.pick(&DRIVERS), "parameters": parameters}})
}

/// The configuration of a claim: for all of its requests or for some, subrequests among them.
pub fn of_claim(dice: &mut Dice, requests: &[Value]) -> Vec<Value> {
    let names = request_names(requests);
    let count = dice.between(1, 2);
    (0..count)
        .map(|_| {
            let mut config = opaque(dice);
            if dice.chance(65) {
                config["requests"] = json!(dice.some(&names));
            }
            config
        })
        .collect()
}

/// All names that constraints and configuration may give: requests, and subrequests behind their request.
pub fn request_names(requests: &[Value]) -> Vec<String> {
    let mut names = vec![];
    for request in requests {
        let name = request["name"].as_str().expect("a request has a name");
        names.push(name.to_owned());
        for alternative in request["firstAvailable"].as_array().into_iter().flatten() {
            names.push(format!("{name}/{}", alternative["name"].as_str().expect("a subrequest has a name")));
        }
    }
    names
}
