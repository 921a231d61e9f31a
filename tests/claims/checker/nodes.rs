//! Which nodes a slice or a device can be used from.

use serde_json::{Value, json};

use crate::case::{items, text};

/// Whether a node is one of those that `nodeName`, `nodeSelector` or `allNodes` of `place` say.
pub fn reaches(place: &Value, node: &Value) -> bool {
    if let Some(name) = place["nodeName"].as_str() {
        return name == text(&node["metadata"]["name"]);
    }
    place["allNodes"] == true
        || items(&place["nodeSelector"]["nodeSelectorTerms"]).iter().any(|term| {
            let labels = &node["metadata"]["labels"];
            items(&term["matchExpressions"]).iter().all(|requirement| holds(requirement, labels))
                && items(&term["matchFields"])
                    .iter()
                    .all(|requirement| holds(requirement, &json!({"metadata.name": node["metadata"]["name"]})))
        })
}

fn holds(requirement: &Value, labels: &Value) -> bool {
    let value = labels[text(&requirement["key"])].as_str();
    let values = items(&requirement["values"]);
    let listed = value.is_some_and(|value| values.iter().any(|other| other == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = || Some(number(value?)?.cmp(&number(text(&values[0]))?));
    match text(&requirement["operator"]) {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared() == Some(std::cmp::Ordering::Greater),
        "Lt" => compared() == Some(std::cmp::Ordering::Less),
        other => panic!("{other} is no operator"),
    }
}

/// Where an allocation can be used, as it must be written: on the one node if a device is local to it or binds to it,
/// else wherever all the selectors of slices or devices say, else anywhere.
pub fn selector_of(places: &[(&Value, &Value)], node: &str) -> Value {
    let local = |(place, device): &(&Value, &Value)| !place["nodeName"].is_null() || device["bindsToNode"] == true;
    if places.iter().any(local) {
        let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
        return json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    }
    let mut term = json!({});
    for (place, _) in places {
        for part in ["matchFields", "matchExpressions"] {
            for requirement in items(&place["nodeSelector"]["nodeSelectorTerms"][0][part]) {
                let wanted = term[part].as_array_mut();
                match wanted {
                    Some(wanted) if wanted.iter().any(|other| same(other, requirement)) => {}
                    Some(wanted) => wanted.push(requirement.clone()),
                    None => term[part] = json!([requirement]),
                }
            }
        }
    }
    let empty = term.as_object().is_none_or(serde_json::Map::is_empty);
    if empty { Value::Null } else { json!({"nodeSelectorTerms": [term]}) }
}

/// The order of values is of no account.
fn same(one: &Value, other: &Value) -> bool {
    let values = |requirement: &Value| {
        let mut values: Vec<String> =
            items(&requirement["values"]).iter().map(|value| text(value).to_owned()).collect();
        values.sort();
        values.dedup();
        values
    };
    one["key"] == other["key"] && one["operator"] == other["operator"] && values(one) == values(other)
}
