//! Constraints over the devices of a claim.

use serde_json::{Value, json};

use super::cluster::DRIVERS;
use super::config::request_names;
use super::dice::Dice;
use super::theme::Theme;

/// That devices have an attribute in common, or that no two have.
pub fn constraint(dice: &mut Dice, theme: &Theme, requests: &[Value]) -> Value {
    let driver = *dice.weighted(&[(70, DRIVERS[0]), (25, DRIVERS[1]), (5, "other.example.com")]);
    let name = *dice.weighted(&[
        (25, "numa"),
        (15, "model"),
        (10, "mixed"),
        (8, "index"),
        (6, "ecc"),
        (6, "version"),
        (3, "absent"),
        (if theme.partitions { 40 } else { 0 }, "parentUUID"),
        (if theme.lists { 80 } else { 0 }, "links"),
    ]);
    let attribute = match dice.chance(30) {
        true => "resource.kubernetes.io/pcieRoot".to_owned(),
        false => format!("{driver}/{name}"),
    };
    let mut constraint = json!({});
    if dice.chance(50) {
        constraint["requests"] = json!(dice.some(&request_names(requests)));
    }
    let covered = requests.iter().filter(|request| covers(&constraint, request));
    let kind = match dice.chance(35) && covered.into_iter().all(upstream_tells_devices_apart) {
        true => "distinctAttribute",
        false => "matchAttribute",
    };
    constraint[kind] = json!(attribute);
    constraint
}

fn covers(constraint: &Value, request: &Value) -> bool {
    let Some(names) = constraint["requests"].as_array() else { return true };
    let name = request["name"].as_str().unwrap_or_default();
    names.iter().filter_map(Value::as_str).any(|other| other.split('/').next() == Some(name))
}

/// For distinctAttribute upstream remembers one device a request. Several of an exact count the test asks for as several
/// requests (see `oracle::unrolled`), for which it has no way with All and with alternatives.
fn upstream_tells_devices_apart(request: &Value) -> bool {
    let one = |demand: &Value| demand["allocationMode"] != "All" && demand["count"].as_u64().unwrap_or(1) == 1;
    match request["firstAvailable"].as_array() {
        Some(alternatives) => alternatives.iter().all(one),
        None => request["exactly"]["allocationMode"] != "All",
    }
}
