//! Allocations become `status.allocation` of ResourceClaims, as upstream writes it.

use serde_json::{Map, Value, json};
use testudo_core::claims::{AllocatedDevice, Allocation, ConfigRef, ConfigSource, NodeRequirement, NodeTerm};

/// The claim with its allocation. `class` finds a DeviceClass of the input.
pub fn allocated<'a>(claim: &Value, allocation: &Allocation, class: impl Fn(&str) -> Option<&'a Value>) -> Value {
    let results: Vec<Value> = allocation.devices.iter().map(|device| result(claim, device)).collect();
    let configs: Vec<Value> =
        allocation.configs.iter().filter_map(|config| self::config(claim, config, &class)).collect();
    let mut devices = Map::new();
    if !results.is_empty() {
        devices.insert("results".into(), results.into());
    }
    if !configs.is_empty() {
        devices.insert("config".into(), configs.into());
    }
    let mut written = Map::from_iter([("devices".to_owned(), devices.into())]);
    if let Some(nodes) = &allocation.nodes {
        written.insert("nodeSelector".into(), json!({ "nodeSelectorTerms": [term(nodes)] }));
    }
    let mut claim = claim.clone();
    if let Some(object) = claim.as_object_mut() {
        let status = object.entry("status").or_insert_with(|| json!({}));
        if !status.is_object() {
            *status = json!({});
        }
        status["allocation"] = written.into();
    }
    claim
}

fn result(claim: &Value, device: &AllocatedDevice) -> Value {
    let mut result = Map::from_iter([
        ("request".to_owned(), device.request_name.as_str().into()),
        ("driver".to_owned(), device.device.pool.driver.as_ref().into()),
        ("pool".to_owned(), device.device.pool.name.as_ref().into()),
        ("device".to_owned(), device.device.name.as_ref().into()),
    ]);
    if device.admin_access {
        result.insert("adminAccess".into(), true.into());
    }
    let tolerations = ask(claim, device).and_then(|ask| ask.get("tolerations")).filter(|list| !is_empty(list));
    if let Some(tolerations) = tolerations {
        result.insert("tolerations".into(), with_operators(tolerations.clone()));
    }
    for (field, conditions) in [
        ("bindingConditions", &device.binding_conditions),
        ("bindingFailureConditions", &device.binding_failure_conditions),
    ] {
        if !conditions.is_empty() {
            result.insert(field.into(), conditions.as_slice().into());
        }
    }
    if let Some(share) = &device.share {
        result.insert("shareID".into(), share.id.as_str().into());
        if !share.consumed.is_empty() {
            let consumed = share.consumed.iter().map(|(name, amount)| (name.to_string(), amount.to_string().into()));
            result.insert("consumedCapacity".into(), Value::Object(consumed.collect()));
        }
    }
    result.into()
}

/// Tolerations as the API server stores them: one without an operator is for equal values.
fn with_operators(mut tolerations: Value) -> Value {
    for toleration in tolerations.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        toleration.entry("operator").or_insert_with(|| "Equal".into());
    }
    tolerations
}

/// The ask that a device was chosen for, as it was written.
fn ask<'a>(claim: &'a Value, device: &AllocatedDevice) -> Option<&'a Value> {
    let request = claim.pointer("/spec/devices/requests")?.get(device.request)?;
    match request.get("firstAvailable").filter(|list| !is_empty(list)) {
        Some(alternatives) => alternatives.get(device.alternative),
        None => request.get("exactly"),
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn config<'a>(claim: &Value, config: &ConfigRef, class: &impl Fn(&str) -> Option<&'a Value>) -> Option<Value> {
    let (source, written) = match &config.source {
        ConfigSource::Class { class: name, index } => ("FromClass", class(name)?.pointer("/spec/config")?.get(index)?),
        ConfigSource::Claim(index) => ("FromClaim", claim.pointer("/spec/devices/config")?.get(index)?),
    };
    let mut written = written.as_object().cloned().unwrap_or_default();
    written.remove("requests");
    written.insert("source".into(), source.into());
    if !config.requests.is_empty() {
        written.insert("requests".into(), config.requests.as_slice().into());
    }
    Some(written.into())
}

fn term(term: &NodeTerm) -> Value {
    let requirement = |requirement: &NodeRequirement| {
        let NodeRequirement { key, operator, values } = requirement;
        let mut written = json!({ "key": key, "operator": operator });
        if !values.is_empty() {
            written["values"] = values.as_slice().into();
        }
        written
    };
    let mut written = Map::new();
    for (field, requirements) in [("matchExpressions", &term.labels), ("matchFields", &term.fields)] {
        if !requirements.is_empty() {
            written.insert(field.into(), requirements.iter().map(requirement).collect());
        }
    }
    written.into()
}
