//! From a question of the API server to the answer: `AdmissionReview` of `admission.k8s.io/v1`.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::k8s::gang::{GROUP_INDEX, POD_GROUP};
use crate::k8s::object;
use crate::k8s::pod::DEFAULT_SCHEDULER;
use crate::k8s::steering::SCHEDULING_GATE;

/// What an answer and a question are.
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// A question that has no answer.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// It is no JSON, or not of the form.
    #[error("not an AdmissionReview: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of another version or kind.
    #[error("{0} {1} is not known here, {API_VERSION} {KIND} is")]
    Version(String, String),
    /// There is nothing in it.
    #[error("the AdmissionReview has no request")]
    Empty,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<Request>,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
    #[serde(default)]
    object: Option<Value>,
}

/// What members of gangs get.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The schedulers that call us; a pod of the default scheduler gets the first.
    pub schedulers: BTreeSet<String>,
    /// Whether they get our gate, too: whether somebody opens it when there are places.
    pub gate: bool,
}

/// The answer to a question, and whether the pod is changed by it. Every pod is allowed: what is no pod, or none of ours, stays as
/// it is.
///
/// # Errors
/// When it is no question that could be answered.
pub fn answer(body: &[u8], given: &Given) -> Result<(Value, bool), ReviewError> {
    let review: Review = serde_json::from_slice(body)?;
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(ReviewError::Version(review.api_version, review.kind));
    }
    let request = review.request.ok_or(ReviewError::Empty)?;
    let patch = request.object.map(|object| patch(&object, given)).transpose()?.unwrap_or_default();
    let mut response = json!({ "uid": request.uid, "allowed": true });
    if !patch.is_empty() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(ByteString(serde_json::to_vec(&patch)?));
    }
    Ok((json!({ "apiVersion": API_VERSION, "kind": KIND, "response": response }), !patch.is_empty()))
}

/// What is to be changed of a pod, as a JSON patch; nothing of one that is no member, that names another scheduler, or that was
/// given its node by hand.
fn patch(object: &Value, given: &Given) -> Result<Vec<Value>, serde_json::Error> {
    let pod: object::Pod = Deserialize::deserialize(object)?;
    let named = pod.spec.scheduler_name.as_deref().unwrap_or_default();
    let is_nobodys = named.is_empty() || named == DEFAULT_SCHEDULER;
    let has_node = pod.spec.node_name.as_deref().is_some_and(|node| !node.is_empty());
    let Some(first) = given.schedulers.first() else { return Ok(vec![]) };
    if !is_member(&pod) || has_node || !(is_nobodys || given.schedulers.contains(named)) {
        return Ok(vec![]);
    }
    let mut patch = vec![];
    if is_nobodys {
        patch.push(json!({ "op": "add", "path": "/spec/schedulerName", "value": first }));
    }
    if !given.gate {
        return Ok(patch);
    }
    let gate = json!({ "name": SCHEDULING_GATE });
    let gates = &pod.spec.scheduling_gates;
    if gates.is_empty() {
        patch.push(json!({ "op": "add", "path": "/spec/schedulingGates", "value": [gate] }));
    } else if !gates.iter().any(|gate| gate.name == SCHEDULING_GATE) {
        patch.push(json!({ "op": "add", "path": "/spec/schedulingGates/-", "value": gate }));
    }
    Ok(patch)
}

fn is_member(pod: &object::Pod) -> bool {
    let (annotations, labels) = (&pod.metadata.annotations, &pod.metadata.labels);
    annotations.contains_key(POD_GROUP) || labels.contains_key(POD_GROUP) || labels.contains_key(GROUP_INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "testudo-scheduler";

    fn given(gate: bool) -> Given {
        Given { schedulers: [OURS.to_owned(), "testudo-small".to_owned()].into(), gate }
    }

    fn asked(object: Value, given: &Given) -> Value {
        let request = json!({ "uid": "42", "operation": "CREATE", "object": object });
        let review = json!({ "apiVersion": API_VERSION, "kind": KIND, "request": request });
        let (answer, is_changed) = answer(review.to_string().as_bytes(), given).unwrap();
        assert_eq!((answer["response"]["uid"].as_str(), &answer["response"]["allowed"]), (Some("42"), &json!(true)));
        assert_eq!(is_changed, answer["response"]["patch"].is_string());
        answer
    }

    /// What the patch says.
    fn patched(object: Value) -> Value {
        patched_with(object, &given(true))
    }

    fn patched_with(object: Value, given: &Given) -> Value {
        let answer = asked(object, given);
        let patch = answer["response"]["patch"].clone();
        if patch.is_null() {
            return json!([]);
        }
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        let ByteString(patch) = serde_json::from_value(patch).unwrap();
        serde_json::from_slice(&patch).unwrap()
    }

    fn documents(text: &str) -> Vec<Value> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        documents.into_iter().filter(Value::is_object).collect()
    }

    /// The same pods as the policy of the same purpose is tried on.
    #[test]
    fn the_pods_of_the_policy_are_treated_alike() {
        let good = documents(include_str!("../../policies/gangs/good.yaml"));
        let patches: Vec<Value> = good.into_iter().map(patched).collect();
        let scheduler = json!({ "op": "add", "path": "/spec/schedulerName", "value": OURS });
        let gate = json!({ "name": "testudo.dev/gang" });
        let gates = json!({ "op": "add", "path": "/spec/schedulingGates", "value": [gate] });
        let one_more = json!({ "op": "add", "path": "/spec/schedulingGates/-", "value": gate });
        assert_eq!(patches, [json!([scheduler, gates]), json!([scheduler, one_more]), json!([])]);
        for pod in documents(include_str!("../../policies/gangs/untouched.yaml")) {
            assert_eq!(patched(pod.clone()), json!([]), "{pod}");
        }
    }

    #[test]
    fn a_member_keeps_the_one_of_our_schedulers_that_it_names() {
        let member = |scheduler: &str| {
            let metadata = json!({ "labels": { "testudo.dev/pod-group": "g" } });
            json!({ "metadata": metadata, "spec": { "schedulerName": scheduler, "containers": [] } })
        };
        assert_eq!(patched(member("testudo-small")).as_array().unwrap().len(), 1, "the gate alone");
        assert_eq!(patched(member("default-scheduler"))[0]["value"], OURS);
        assert_eq!(patched(member("kai-scheduler")), json!([]));
    }

    #[test]
    fn who_only_observes_gives_no_gate() {
        let metadata = json!({ "labels": { "testudo.dev/pod-group": "g" } });
        let member = json!({ "metadata": metadata, "spec": { "containers": [] } });
        let scheduler = json!({ "op": "add", "path": "/spec/schedulerName", "value": OURS });
        assert_eq!(patched_with(member, &given(false)), json!([scheduler]));
    }

    #[test]
    fn what_is_not_asked_is_not_answered() {
        let ask = |body: &str| answer(body.as_bytes(), &given(true)).map_err(|error| error.to_string());
        assert!(ask("{").unwrap_err().starts_with("not an AdmissionReview"));
        let old = json!({ "apiVersion": "admission.k8s.io/v1beta1", "kind": KIND }).to_string();
        assert!(ask(&old).unwrap_err().contains("admission.k8s.io/v1beta1 AdmissionReview is not known"));
        let empty = json!({ "apiVersion": API_VERSION, "kind": KIND }).to_string();
        assert_eq!(ask(&empty).unwrap_err(), "the AdmissionReview has no request");
        let wrong = json!({ "apiVersion": API_VERSION, "kind": KIND,
            "request": { "uid": "1", "object": { "spec": { "containers": "none" } } } });
        assert!(ask(&wrong.to_string()).is_err());
        let deleted = json!({ "apiVersion": API_VERSION, "kind": KIND, "request": { "uid": "1", "object": null } });
        assert!(ask(&deleted.to_string()).is_ok_and(|(_, is_changed)| !is_changed));
    }
}
