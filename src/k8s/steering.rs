//! What keeps a pod from being scheduled, and where it is to go.

use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{Gate, Steering};

use super::gang::promise;
use super::object;
use super::problem::Report;

/// Our scheduling gate: a pod that has it waits, and costs the scheduler nothing, until its gang has places.
pub const SCHEDULING_GATE: &str = "testudo.dev/gang";

/// The condition of pods of which a claim has a device that was given to another claim, too.
pub(super) const CONFLICT_CONDITION: &str = "testudo.dev/DeviceGivenTwice";

/// Reads gates, nomination, the last refusal and the promise of a pod.
pub(super) fn decode(pod: &object::Pod, report: &mut Report) -> Steering {
    let nominated = pod.status.nominated_node_name.as_deref().filter(|node| !node.is_empty());
    let message = |kind: &str, status: &str| {
        let mut conditions = pod.status.conditions.iter();
        let shown = conditions.find(|condition| condition.kind == kind && condition.status == status);
        shown.map(|condition| condition.message.as_str().into())
    };
    Steering {
        gate: gate(&pod.spec.scheduling_gates),
        nominated: nominated.map(NodeName::from),
        unscheduled: message("PodScheduled", "False"),
        promise: promise::of(pod, report),
        conflict: message(CONFLICT_CONDITION, "True"),
    }
}

fn gate(gates: &[object::SchedulingGate]) -> Gate {
    match gates {
        [] => Gate::Open,
        gates if gates.iter().all(|gate| gate.name == SCHEDULING_GATE) => Gate::Ours,
        _ => Gate::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use testudo_core::model::pod::Promise;

    use super::*;

    fn read(pod: Value) -> (Steering, Vec<String>) {
        let pod: object::Pod = serde_json::from_value(pod).unwrap();
        let mut report = Report::on("Pod", &pod.metadata);
        let steering = decode(&pod, &mut report);
        (steering, report.into_problems().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_gate_of_others_is_not_ours_to_open() {
        let gate = |names: &[&str]| {
            let gates: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            read(json!({"spec": {"schedulingGates": gates}})).0.gate
        };
        assert_eq!(gate(&[]), Gate::Open);
        assert_eq!(gate(&["testudo.dev/gang"]), Gate::Ours);
        assert_eq!(gate(&["testudo.dev/gang", "kueue.x-k8s.io/admission"]), Gate::Foreign);
        assert_eq!(gate(&["grove.io/podgang-pending-creation"]), Gate::Foreign);
        assert_eq!(read(json!({"spec": {"schedulingGates": null}})).0, Steering::default());
    }

    #[test]
    fn the_status_tells_where_a_pod_is_to_go_and_why_it_did_not() {
        let refused =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"});
        let ready = json!({"type": "Ready", "status": "False", "message": null});
        let (steering, problems) =
            read(json!({"status": {"nominatedNodeName": "n-1", "conditions": [ready, refused]}}));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(steering.nominated, Some("n-1".into()));
        assert_eq!(steering.unscheduled.as_deref(), Some("0/3 nodes"));
        let scheduled = json!({"type": "PodScheduled", "status": "True"});
        let (steering, _) = read(json!({"status": {"nominatedNodeName": "", "conditions": [scheduled]}}));
        assert_eq!(steering, Steering::default());
    }

    #[test]
    fn a_device_that_was_given_twice_stands_in_a_condition_while_it_is_so() {
        let shown = |status: &str| {
            let condition = json!({"type": "testudo.dev/DeviceGivenTwice", "status": status, "message": "gpu-0"});
            read(json!({"status": {"conditions": [condition]}})).0.conflict
        };
        assert_eq!((shown("True").as_deref(), shown("False")), (Some("gpu-0"), None));
    }

    #[test]
    fn a_promise_stands_in_the_annotation_or_else_in_the_condition() {
        let promise = |plan: &str| Promise { plan: plan.into(), node: "n".into(), until_s: 0 };
        let condition =
            |status: &str, message: &str| json!({"type": "testudo.dev/Planned", "status": status, "message": message});
        let of_condition = promise::encode(&promise("1-a"), 0);
        let annotated = json!({"annotations": {"testudo.dev/plan": promise::encode(&promise("2-a"), 1)}});
        let status = json!({"conditions": [condition("True", &of_condition)]});
        let (steering, _) = read(json!({"metadata": annotated, "status": status}));
        assert_eq!(steering.promise, Some(promise("2-a")));
        assert_eq!(read(json!({"status": status})).0.promise, Some(promise("1-a")));
        let withdrawn = json!({"status": {"conditions": [condition("False", &of_condition)]}});
        assert_eq!(read(withdrawn).0.promise, None);
        let (steering, problems) =
            read(json!({"metadata": {"name": "p", "namespace": "t", "annotations": {"testudo.dev/plan": "soon"}}}));
        assert_eq!(steering.promise, None);
        assert!(
            problems[0].starts_with("Pod t/p: metadata.annotations[testudo.dev/plan]: expected value"),
            "{problems:?}"
        );
    }
}
