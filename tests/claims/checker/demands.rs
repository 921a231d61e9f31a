//! What a claim asks for, and which results answer which request.

use serde_json::{Value, json};

use crate::case::{items, text};

/// A request, or the one of its alternatives that was taken.
pub struct Demand<'a> {
    /// As results, constraints and configuration may name it: `request`, or `request/subrequest`.
    pub name: String,
    /// The request's own name.
    pub request: &'a str,
    /// What both kinds have in common.
    pub spec: &'a Value,
    /// Of `results`, in their order.
    pub results: Vec<&'a Value>,
}

/// The demands of a claim with their results. An error is a result that answers nothing, or a request answered in two ways.
pub fn demands<'a>(claim: &'a Value, results: &'a [Value]) -> Result<Vec<Demand<'a>>, String> {
    let requests = items(&claim["spec"]["devices"]["requests"]);
    let mut demands: Vec<Demand<'a>> = vec![];
    let mut left = results;
    for request in requests {
        let name = text(&request["name"]);
        let is_ours = |result: &Value| text(&result["request"]).split('/').next() == Some(name);
        let count = left.iter().take_while(|result| is_ours(result)).count();
        let (ours, rest) = left.split_at(count);
        left = rest;
        let (name_of_demand, spec) = match request["firstAvailable"].as_array() {
            None => (name.to_owned(), &request["exactly"]),
            Some(alternatives) => {
                let full = |alternative: &Value| format!("{name}/{}", text(&alternative["name"]));
                let answered = ours.first().map(|result| text(&result["request"])).unwrap_or_default();
                let taken = alternatives.iter().find(|alternative| full(alternative) == answered);
                let taken = taken.ok_or_else(|| format!("request {name} has no answer"))?;
                (full(taken), taken)
            }
        };
        if let Some(other) = ours.iter().find(|result| text(&result["request"]) != name_of_demand) {
            return Err(format!("{} beside {name_of_demand}", other["request"]));
        }
        demands.push(Demand { name: name_of_demand, request: name, spec, results: ours.iter().collect() });
    }
    match left.first() {
        Some(result) => Err(format!("a result for {}, out of order or for no request", result["request"])),
        None => Ok(demands),
    }
}

impl Demand<'_> {
    /// Whether all devices that match are wanted.
    pub fn wants_all(&self) -> bool {
        self.spec["allocationMode"] == "All"
    }

    /// How many devices are wanted, if not all.
    pub fn count(&self) -> usize {
        self.spec["count"].as_u64().filter(|count| *count > 0).unwrap_or(1) as usize
    }

    /// Whether devices are wanted that others may have.
    pub fn is_admin(&self) -> bool {
        self.spec["adminAccess"] == true
    }

    /// Whether a constraint or configuration with these request names is about this one.
    pub fn is_named(&self, names: &Value) -> bool {
        names.as_array().is_none_or(|names| {
            names.is_empty() || names.iter().any(|name| text(name) == self.name || text(name) == self.request)
        })
    }

    /// Tolerations as the API server stores them.
    pub fn tolerations(&self) -> Vec<Value> {
        let mut tolerations = items(&self.spec["tolerations"]).to_vec();
        for toleration in &mut tolerations {
            if toleration["operator"].is_null() {
                toleration["operator"] = json!("Equal");
            }
        }
        tolerations
    }

    /// Whether a device's taints are none that matter, or are put up with.
    pub fn tolerates(&self, device: &Value) -> bool {
        let tolerations = self.tolerations();
        items(&device["taints"]).iter().filter(|taint| taint["effect"] != "None").all(|taint| {
            tolerations.iter().any(|toleration| {
                let agrees = |part: &str| toleration[part].is_null() || toleration[part] == taint[part];
                let same_value = text(&toleration["value"]) == text(&taint["value"]);
                agrees("key") && agrees("effect") && (toleration["operator"] == "Exists" || same_value)
            })
        })
    }
}
