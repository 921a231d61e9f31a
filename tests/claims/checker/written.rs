//! What an allocation says beside its devices.

use serde_json::{Value, json};

use super::demands::Demand;
use crate::case::{Case, items, text};

/// The configuration that an allocation must carry: that of each class once, for all requests of that class, then that
/// of the claim. Configuration for several requests is written once for each of them, as upstream does.
pub fn config(case: &Case, claim: &Value, demands: &[Demand<'_>]) -> Vec<Value> {
    let mut config = vec![];
    let mut classes: Vec<&str> = vec![];
    for demand in demands {
        let class = text(&demand.spec["deviceClassName"]);
        if classes.contains(&class) {
            continue;
        }
        classes.push(class);
        let same = demands.iter().filter(|other| other.spec["deviceClassName"] == class);
        let names: Vec<&str> = same.map(|demand| demand.name.as_str()).collect();
        let object = case.of("DeviceClass").find(|object| object["metadata"]["name"] == class);
        for entry in object.map_or(&[][..], |object| items(&object["spec"]["config"])) {
            config.push(json!({"source": "FromClass", "requests": names, "opaque": entry["opaque"]}));
        }
    }
    for entry in items(&claim["spec"]["devices"]["config"]) {
        let mut copy = json!({"source": "FromClaim", "opaque": entry["opaque"]});
        if items(&entry["requests"]).is_empty() {
            config.push(copy);
            continue;
        }
        copy["requests"] = entry["requests"].clone();
        let named = demands.iter().filter(|demand| demand.is_named(&entry["requests"]));
        config.extend(named.map(|_| copy.clone()));
    }
    config
}
