//! CEL expressions that a device may or may not match.

use super::dice::Dice;

/// An expression that is true for some of the devices of a driver, and never fails.
pub fn harmless(dice: &mut Dice, driver: &str) -> String {
    let domain = format!("device.attributes['{driver}']");
    let capacity = format!("device.capacity['{driver}']");
    let model = *dice.pick(&["h100", "h100", "a100"]);
    match dice.between(0, 17) {
        0 | 1 => format!("'model' in {domain} && {domain}.model == '{model}'"),
        2 => format!("{domain}.?model.orValue('h100') == '{model}'"),
        3 => format!("has({domain}.numa) && {domain}.numa == {}", dice.between(0, 1)),
        4 => format!("{domain}.?index.orValue(0) {} {}", dice.pick(&["<", ">=", "!="]), dice.between(1, 3)),
        5 => format!("{domain}.?ecc.orValue(true)"),
        6 => format!("!({domain}.?ecc.orValue(false))"),
        7 => format!(
            "'memory' in {capacity} && {capacity}.memory.compareTo(quantity('{}')) >= 0",
            dice.pick(&["40Gi", "64Gi", "80Gi", "0.05Ti"])
        ),
        8 => format!("!('memory' in {capacity}) || {capacity}.memory.isLessThan(quantity('60Gi'))"),
        9 => format!(
            "'version' in {domain} && {domain}.version.isGreaterThan(semver('{}'))",
            dice.pick(&["1.0.0", "1.9.0", "2.0.0-rc.1"])
        ),
        10 => format!("cel.bind(own, {domain}, has(own.type) && own.type in ['gpu', 'nic', '{model}'])"),
        11 => "device.allowMultipleAllocations".to_owned(),
        12 => "!device.allowMultipleAllocations".to_owned(),
        13 => format!("'links' in {domain} && {domain}.links.includes('l{}')", dice.between(0, 2)),
        14 => "'pcieRoot' in device.attributes['resource.kubernetes.io']".to_owned(),
        15 => "!has(device.attributes['unknown.example.com'].anything)".to_owned(),
        16 => format!("device.driver == '{driver}'"),
        _ => format!("{domain}.exists(name, name == 'numa')"),
    }
}

/// An expression that fails for some devices, or for all.
pub fn faulty(dice: &mut Dice) -> String {
    let domain = "device.attributes['gpu.nvidia.com']";
    match dice.between(0, 8) {
        0 => format!("{domain}.model == 'h100'"),
        1 => format!("{domain}.numa == 0"),
        2 => format!("{domain}.mixed"),
        3 => format!("{domain}.type"),
        4 => format!("{domain}.links.exists(link, link == 'l0')"),
        5 => "device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('60Gi'))".to_owned(),
        6 => format!("{domain}.mixed > 1"),
        7 => format!("1 / {domain}.?index.orValue(0) >= 0"),
        _ => format!("{domain}.?mixed.orValue('') == 'one' || {domain}.absent == 1"),
    }
}

/// An expression that does not compile, which the API server would have refused.
pub fn broken(dice: &mut Dice) -> String {
    let all = [
        "device.driver ==",
        "device.nothing == 1",
        "'text'",
        "device.driver == 1",
        "unknown_function(device.driver)",
        "device.attributes['a'].b.exists(x)",
    ];
    (*dice.pick(&all)).to_owned()
}
