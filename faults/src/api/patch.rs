//! Patches: merge patches, and of strategic merge patches as much as testudo uses.

use serde_json::{Value, json};

/// Lists that are merged by the name of their items.
const BY_NAME: [&str; 1] = ["schedulingGates"];

/// Lists of texts that are merged as sets.
const SETS: [&str; 1] = ["finalizers"];

/// Lays a patch over an object. With `strategic` some lists are merged, otherwise a list replaces another.
pub fn merge(object: &mut Value, patch: &Value, strategic: bool) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        match value {
            Value::Null => {
                if let Some(object) = object.as_object_mut() {
                    object.remove(name);
                }
            }
            Value::Array(items) if strategic && BY_NAME.contains(&name.as_str()) => by_name(object, name, items),
            Value::Array(items) if strategic && SETS.contains(&name.as_str()) => as_set(object, name, items),
            value => merge(&mut object[name], value, strategic),
        }
    }
}

fn by_name(object: &mut Value, list: &str, items: &[Value]) {
    let mut known = object[list].as_array().cloned().unwrap_or_default();
    for item in items {
        let is_same = |other: &Value| other["name"] == item["name"];
        if item["$patch"] == "delete" {
            known.retain(|other| !is_same(other));
        } else if let Some(other) = known.iter_mut().find(|other| is_same(other)) {
            merge(other, item, true);
        } else {
            known.push(item.clone());
        }
    }
    match (known.is_empty(), object.as_object_mut()) {
        (true, Some(fields)) => _ = fields.remove(list),
        _ => object[list] = Value::Array(known),
    }
}

fn as_set(object: &mut Value, list: &str, items: &[Value]) {
    let mut known = object[list].as_array().cloned().unwrap_or_default();
    known.extend(items.iter().filter(|item| !known.contains(item)).cloned().collect::<Vec<_>>());
    object[list] = Value::Array(known);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(mut object: Value, patch: Value) -> Value {
        merge(&mut object, &patch, true);
        object
    }

    #[test]
    fn fields_are_merged_and_null_takes_away() {
        let object = json!({"metadata": {"annotations": {"a": "1", "b": "2"}}, "status": {"phase": "Pending"}});
        let patch = json!({"metadata": {"annotations": {"a": null, "c": "3"}}, "status": {"nominatedNodeName": "n"}});
        let expected = json!({"metadata": {"annotations": {"b": "2", "c": "3"}}, "status": {"phase": "Pending", "nominatedNodeName": "n"}});
        assert_eq!(merged(object, patch), expected);
    }

    #[test]
    fn one_gate_is_taken_away_and_a_finalizer_comes_once() {
        let gates = json!({"spec": {"schedulingGates": [{"name": "ours"}, {"name": "other"}]}});
        let opening = json!({"spec": {"schedulingGates": [{"$patch": "delete", "name": "ours"}]}});
        let one = merged(gates, opening.clone());
        assert_eq!(one, json!({"spec": {"schedulingGates": [{"name": "other"}]}}));
        let none = merged(json!({"spec": {"schedulingGates": [{"name": "ours"}]}}), opening);
        assert_eq!(none, json!({"spec": {}}));
        let finalizer = json!({"metadata": {"finalizers": ["f"]}});
        assert_eq!(merged(finalizer.clone(), finalizer.clone()), finalizer);
    }
}
