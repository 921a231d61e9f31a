//! What a plan writes on a pod, so that it is found again after a crash.
//!
//! One text, `{"plan":"...","node":"...","until":"2026-01-02T03:04:05Z","attempt":0}`: in an annotation where the pod's gate is
//! removed in the same write, else in the message of a condition beside the nomination.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::Promise;

use super::super::object;
use super::super::problem::Report;

/// The annotation.
pub const PLAN_ANNOTATION: &str = "testudo.dev/plan";

/// The type of the condition.
pub const PLANNED_CONDITION: &str = "testudo.dev/Planned";

/// The longest id of a plan, or name of a node, that is believed.
const MAX_NAME: usize = 253;

/// Fields that are not known are passed over: a later version may have added them, and gone back to this one.
#[derive(Deserialize, Serialize)]
struct Text {
    plan: String,
    node: String,
    until: String,
    /// Tells one writing from the next: the scheduler looks again at a pod that has changed.
    #[serde(default)]
    attempt: u32,
}

/// The text of a promise.
pub fn encode(promise: &Promise, attempt: u32) -> String {
    let seconds = Duration::from_secs(u64::try_from(promise.until_s).unwrap_or(0));
    // Beyond the year 9999 no time can be written.
    let until = SystemTime::UNIX_EPOCH + seconds.min(Duration::from_secs(253_402_300_799));
    let text = Text {
        plan: promise.plan.to_string(),
        node: promise.node.to_string(),
        until: humantime::format_rfc3339_seconds(until).to_string(),
        attempt,
    };
    serde_json::to_string(&text).unwrap_or_default()
}

/// The promise in a text, or what is wrong with it.
pub fn decode(text: &str) -> Result<Promise, String> {
    let wrong = |what: &str| format!("{what}: expected {{\"plan\":\"...\",\"node\":\"...\",\"until\":\"RFC 3339\"}}");
    let Text { plan, node, until, .. } = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    for (name, value) in [("plan", &plan), ("node", &node)] {
        if value.is_empty() || value.len() > MAX_NAME {
            return Err(wrong(&format!("{name} is empty or too long")));
        }
    }
    let until_s = object::seconds(&until).ok_or_else(|| wrong(&format!("until is no time: {until:?}")))?;
    Ok(Promise { plan: plan.into(), node: NodeName::from(node.as_str()), until_s })
}

/// The promise that a pod carries. One that cannot be read is none.
pub(in super::super) fn of(pod: &object::Pod, report: &mut Report) -> Option<Promise> {
    let annotation = pod.metadata.annotations.get(PLAN_ANNOTATION);
    let annotation = annotation.map(|text| (format!("metadata.annotations[{PLAN_ANNOTATION}]"), text));
    let (field, text) = annotation.or_else(|| {
        let mut conditions = pod.status.conditions.iter();
        let planned = conditions.find(|condition| condition.kind == PLANNED_CONDITION && condition.status == "True")?;
        Some((format!("status.conditions[{PLANNED_CONDITION}]"), &planned.message))
    })?;
    decode(text).map_err(|what| report.note(field, format_args!("{what}; ignored"))).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_what_it_is() {
        let promise = Promise { plan: "7-llama".into(), node: "gpu-1".into(), until_s: 1_767_323_045 };
        let text = r#"{"plan":"7-llama","node":"gpu-1","until":"2026-01-02T03:04:05Z","attempt":2}"#;
        assert_eq!(encode(&promise, 2), text);
        assert_eq!(decode(text), Ok(promise));
    }

    #[test]
    fn what_is_no_promise_is_said() {
        let error = |text: &str| decode(text).unwrap_err();
        assert!(error("soon").starts_with("expected value"), "{}", error("soon"));
        assert!(error(r#"{"plan":"","node":"n","until":"2026-01-02T03:04:05Z"}"#).starts_with("plan is empty"));
        assert!(error(r#"{"plan":"p","node":"n","until":"soon"}"#).starts_with("until is no time: \"soon\""));
        assert!(error(r#"{"plan":"p","node":"n"}"#).starts_with("missing field `until`"));
    }

    proptest! {
        #[test]
        fn every_promise_comes_back(plan in "[ -~]{1,40}", node in "[a-z0-9.-]{1,40}", until_s in 0..253_402_300_800i64) {
            let promise = Promise { plan: plan.as_str().into(), node: node.as_str().into(), until_s };
            prop_assert_eq!(decode(&encode(&promise, 0)), Ok(promise));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", until_s in any::<i64>()) {
            let _ = decode(&text);
            encode(&Promise { plan: text.as_str().into(), node: "n".into(), until_s }, 1);
        }
    }
}
