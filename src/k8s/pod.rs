//! Pods: from the wire to values.

use std::fmt;
use std::sync::Arc;

use testudo_core::model::fabric::DeviceSet;
use testudo_core::model::gpu_share::{INDEX_ANNOTATION, parse_indices};
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{
    ContainerPhase, ContainerRequests, Demand, End, Pod, PodClaim, PodKey, PodUid, Stage, effective_requests,
};
use testudo_core::model::resources::{ResourceName, Resources};

use super::amounts::amounts;
use super::gang;
use super::problem::{Decoded, Report};
use super::resize::{Given, Resize};
use super::{affinity, object, steering};

/// The scheduler of pods that name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// The scheduler that the pod asks for (`spec.schedulerName`).
pub fn scheduler_name(pod: &object::Pod) -> &str {
    pod.spec.scheduler_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_SCHEDULER)
}

/// Reads a pod.
///
/// A request that cannot be read counts as 0, and what makes no sense of a gang is not heard. For a pod that has no node
/// yet both are blocking problems: its demand fits on no node.
pub fn decode(pod: &object::Pod) -> Decoded<Pod> {
    let mut report = Report::on("Pod", &pod.metadata);
    if pod.metadata.uid.is_empty() {
        report.block("metadata.uid", "is missing");
    }
    let stage = stage(pod);
    // Before the demand: what makes no sense of a gang keeps the pod off every node.
    let membership = gang::membership(pod, stage == Stage::Pending, &mut report);
    let demand = demand(pod, &stage, &mut report);
    let value = Pod {
        key: PodKey { namespace: pod.metadata.namespace.clone(), name: pod.metadata.name.clone() },
        uid: PodUid::from(pod.metadata.uid.as_str()),
        labels: pod.metadata.labels.iter().collect(),
        priority: pod.spec.priority.unwrap_or(0),
        preempts: pod.spec.preemption_policy.as_deref() != Some("Never"),
        stage,
        demand: Arc::new(demand),
        gpus: gpus(&pod.metadata, &mut report),
        created_s: pod.metadata.creation_timestamp.as_deref().and_then(object::seconds).unwrap_or(0),
        scheduler: scheduler_name(pod).into(),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        ends_s: pod.metadata.deletion_timestamp.as_deref().and_then(object::seconds),
        membership: membership.map(Arc::new),
        steering: steering::decode(pod, &mut report),
        claims: claims(pod),
        claim_made: pod
            .status
            .extended_resource_claim_status
            .as_ref()
            .map(|made| made.resource_claim_name.as_str().into()),
    };
    (value, report.into_problems())
}

/// How the resources begin that every DeviceClass serves: `ResourceDeviceClassPrefix` of `k8s.io/api/resource/v1`.
const OF_DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";

/// The claims that a pod uses. Those from templates are named by its status, once they have been made; one of which that
/// says that it needs none is left out.
fn claims(pod: &object::Pod) -> Vec<PodClaim> {
    let claim = |reference: &object::ResourceClaimReference| {
        let statuses = &pod.status.resource_claim_statuses;
        let made = statuses.iter().find(|status| status.name == reference.name);
        let name = match (&reference.resource_claim_name, made) {
            (Some(name), _) => Some(name.as_str().into()),
            (None, Some(made)) => Some(made.resource_claim_name.as_deref()?.into()),
            (None, None) => None,
        };
        let from_template = reference.resource_claim_name.is_none();
        Some(PodClaim { alias: reference.name.as_str().into(), name, from_template })
    };
    pod.spec.resource_claims.iter().filter_map(claim).collect()
}

/// What a pod asks for. If there is a blocking problem, it fits on no node.
pub(super) fn demand(pod: &object::Pod, stage: &Stage, report: &mut Report) -> Demand {
    let spec = &pod.spec;
    let mut requests = requests(pod, stage, report);
    let mut demand = Demand {
        class_devices: requests.take_out(OF_DEVICE_CLASS),
        requests,
        affinity: affinity::node_affinity(spec, report),
        tolerations: affinity::tolerations(&spec.tolerations, report),
    };
    if report.is_blocked() {
        demand.requests.set(ResourceName::PODS.into(), i64::MAX);
    }
    demand
}

/// The shareable GPUs that the pod was given when it was bound.
fn gpus(metadata: &object::Metadata, report: &mut Report) -> Option<DeviceSet> {
    let text = metadata.annotations.get(INDEX_ANNOTATION)?;
    let gpus = parse_indices(text);
    if gpus.is_none() {
        report.note(
            format_args!("metadata.annotations[{INDEX_ANNOTATION}]"),
            format_args!("{text:?} is no list of GPU indices such as 0-1; ignored"),
        );
    }
    gpus
}

fn stage(pod: &object::Pod) -> Stage {
    let node = pod.spec.node_name.as_deref().filter(|name| !name.is_empty());
    match (pod.status.phase.as_deref(), node) {
        (Some("Succeeded"), _) => Stage::Finished(End::Succeeded),
        (Some("Failed"), _) => Stage::Finished(End::Failed),
        (_, Some(node)) => Stage::Bound(NodeName::from(node)),
        (_, None) => Stage::Pending,
    }
}

fn requests(pod: &object::Pod, stage: &Stage, report: &mut Report) -> Resources {
    let (spec, status) = (&pod.spec, &pod.status);
    let init = spec.init_containers.iter().enumerate().map(|(at, c)| ("initContainers", at, c, init_phase(c)));
    let main = spec.containers.iter().enumerate().map(|(at, c)| ("containers", at, c, ContainerPhase::Main));
    let mut reader = AmountReader { stage, report };
    let resize = Resize::of(status);
    let containers: Vec<_> = init
        .chain(main)
        .map(|(list, at, container, phase)| {
            let path = format_args!("spec.{list}[{at}].resources");
            let mut requests = reader.requests(path, &container.resources, |_| true);
            if phase != ContainerPhase::Init
                && let Some(given) = resize.of_container(&container.name)
            {
                resize.apply(&mut requests, &reader.given(format_args!("status of {list}[{at}]"), &given));
            }
            ContainerRequests { requests, phase }
        })
        .collect();
    let pod_level = spec.resources.as_ref().map_or_else(Resources::default, |resources| {
        let named_by_container = |name: &str| containers.iter().any(|c| c.requests.contains(name));
        let mut requests = reader.requests(format_args!("spec.resources"), resources, |name| !named_by_container(name));
        if let Some(given) = resize.of_pod() {
            resize.apply(&mut requests, &reader.given(format_args!("status"), &given));
        }
        supported_at_pod_level(&requests, reader.report)
    });
    let overhead = reader.amounts(format_args!("spec.overhead"), &spec.overhead);
    effective_requests(&containers, &pod_level, &overhead)
}

struct AmountReader<'a, 'b> {
    stage: &'a Stage,
    report: &'a mut Report<'b>,
}

impl AmountReader<'_, '_> {
    /// Requests, and the limits without a request for which `limit_counts`. The API server writes a container's limits
    /// into its requests before it stores a pod; a manifest may not have been there yet.
    fn requests(
        &mut self,
        path: fmt::Arguments<'_>,
        resources: &object::ResourceRequirements,
        limit_counts: impl Fn(&str) -> bool,
    ) -> Resources {
        let limits = resources.limits.iter();
        let limits = limits.filter(|(name, _)| !resources.requests.contains_key(*name) && limit_counts(name));
        let mut requests = self.amounts(format_args!("{path}.requests"), &resources.requests);
        requests.add(&self.amounts(format_args!("{path}.limits"), limits));
        requests
    }

    /// The greater of what is in force and what was set aside.
    fn given(&mut self, path: fmt::Arguments<'_>, given: &Given<'_>) -> Resources {
        let mut resources = self.amounts(format_args!("{path}.resources"), given.actuated);
        resources.raise_to(&self.amounts(format_args!("{path}.allocatedResources"), given.allocated));
        resources
    }

    fn amounts<'t>(
        &mut self,
        path: fmt::Arguments<'_>,
        list: impl IntoIterator<Item = (&'t String, &'t object::QuantityText)>,
    ) -> Resources {
        amounts(list, |name, what| {
            let field = format_args!("{path}[{name}]");
            if *self.stage == Stage::Pending {
                self.report.block(field, format_args!("{what}; the pod is not placed"));
            } else {
                self.report.note(field, format_args!("{what}; counted as 0"));
            }
        })
    }
}

fn init_phase(container: &object::Container) -> ContainerPhase {
    match container.restart_policy.as_deref() {
        Some("Always") => ContainerPhase::Sidecar,
        _ => ContainerPhase::Init,
    }
}

/// Upstream counts CPU, memory and huge pages at pod level, and passes over the rest.
fn supported_at_pod_level(requests: &Resources, report: &mut Report) -> Resources {
    let mut supported = Resources::default();
    for (name, amount) in requests.iter() {
        match name.as_str() {
            ResourceName::CPU | ResourceName::MEMORY => supported.set(name.clone(), amount),
            other if other.starts_with("hugepages-") => supported.set(name.clone(), amount),
            other => report.note(format_args!("spec.resources[{other}]"), "is not counted at pod level; ignored"),
        }
    }
    supported
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use testudo_core::model::selector::{Labels, Operator, Preference, Requirement, Term};
    use testudo_core::model::taint::{Comparison, Effect, Toleration};

    use super::*;

    fn read(spec: Value) -> (Pod, Vec<String>) {
        read_with_phase(spec, "Pending")
    }

    fn read_with_phase(spec: Value, phase: &str) -> (Pod, Vec<String>) {
        let metadata = json!({"name": "p", "namespace": "team", "uid": "u-1", "labels": {"app": "x"}});
        let pod = json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}});
        let (pod, problems) = decode(&serde_json::from_value(pod).unwrap());
        (pod, problems.iter().map(ToString::to_string).collect())
    }

    fn demand(spec: Value) -> Arc<Demand> {
        let (pod, problems) = read(spec);
        assert_eq!(problems, Vec::<String>::new());
        pod.demand
    }

    fn requests(spec: Value) -> Resources {
        demand(spec).requests.clone()
    }

    #[test]
    fn reads_who_and_where() {
        let (pod, problems) = read(json!({"priority": 1000}));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((pod.key.to_string().as_str(), pod.uid.as_str(), pod.priority), ("team/p", "u-1", 1000));
        assert_eq!(pod.labels.get("app"), Some("x"));
        let stage = |spec, phase| read_with_phase(spec, phase).0.stage;
        assert_eq!(stage(json!({}), "Pending"), Stage::Pending);
        assert_eq!(stage(json!({"nodeName": ""}), "Pending"), Stage::Pending);
        assert_eq!(stage(json!({"nodeName": "n"}), "Pending"), Stage::Bound("n".into()));
        assert_eq!(stage(json!({"nodeName": "n"}), "Running"), Stage::Bound("n".into()));
        assert_eq!(stage(json!({"nodeName": "n"}), "Succeeded"), Stage::Finished(End::Succeeded));
        assert_eq!(stage(json!({}), "Failed"), Stage::Finished(End::Failed));
    }

    #[test]
    fn a_pod_without_an_id_is_not_placed() {
        let (_, problems) = decode(&object::Pod::default());
        assert!(problems.iter().any(|problem| problem.blocking && problem.field == "metadata.uid"));
    }

    #[test]
    fn a_pod_that_names_no_scheduler_has_the_default_one() {
        let named = |name: Option<&str>| {
            let spec = object::PodSpec { scheduler_name: name.map(Into::into), ..Default::default() };
            scheduler_name(&object::Pod { spec, ..Default::default() }).to_owned()
        };
        assert_eq!(named(None), "default-scheduler");
        assert_eq!(named(Some("")), "default-scheduler");
        assert_eq!(named(Some("testudo-scheduler")), "testudo-scheduler");
    }

    #[test]
    fn counts_every_kind_of_container() {
        let total = requests(json!({
            "initContainers": [
                {"name": "pull", "resources": {"requests": {"cpu": "4", "memory": "1Gi"}}},
                {"name": "mesh", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m", "nvidia.com/gpu": "1"}}},
            ],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "9", "nvidia.com/gpu": 2}}},
                {"name": "b", "resources": {"limits": {"memory": "512Mi", "nvidia.com/gpu": "2"}}},
                {"name": "c"},
            ],
            "overhead": {"cpu": "250m"},
        }));
        let expected = [("cpu", 4250), ("memory", 1 << 30), ("nvidia.com/gpu", 5), ("pods", 1)];
        assert_eq!(total, Resources::from(expected));
    }

    #[test]
    fn pod_level_requests_replace_and_pod_level_limits_fill_in() {
        let container = json!({"resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "1"}}});
        let total = requests(json!({
            "containers": [container],
            "resources": {"requests": {"memory": "2Gi"}, "limits": {"cpu": "8", "memory": "4Gi", "hugepages-2Mi": "2Mi"}},
        }));
        let expected =
            [("cpu", 1000), ("hugepages-2Mi", 2 << 20), ("memory", 2 << 30), ("nvidia.com/gpu", 1), ("pods", 1)];
        assert_eq!(total, Resources::from(expected));
        let (pod, problems) = read(json!({"resources": {"requests": {"cpu": "3", "nvidia.com/gpu": "1"}}}));
        assert_eq!(pod.demand.requests, Resources::from([("cpu", 3000), ("pods", 1)]));
        assert_eq!(problems, ["Pod team/p: spec.resources[nvidia.com/gpu]: is not counted at pod level; ignored"]);
    }

    #[test]
    fn while_a_pod_is_resized_the_more_counts_and_what_is_infeasible_does_not() {
        let cpu = |asked: &str, status: Value| {
            let resources = json!({"requests": {"cpu": asked, "nvidia.com/gpu": "1"}});
            let spec = json!({"nodeName": "n", "containers": [{"name": "a", "resources": resources}]});
            let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": status});
            let (pod, problems) = decode(&serde_json::from_value(pod).unwrap());
            assert_eq!(problems.len(), 0, "{problems:?}");
            assert_eq!(pod.demand.requests.get("nvidia.com/gpu"), 1);
            pod.demand.requests.get("cpu")
        };
        let given = |actuated: &str, allocated: &str, reason: &str| {
            let container = json!({
                "name": "a", "resources": {"requests": {"cpu": actuated}}, "allocatedResources": {"cpu": allocated},
            });
            let pending = json!({"type": "PodResizePending", "status": "True", "reason": reason});
            json!({"phase": "Running", "conditions": [pending], "containerStatuses": [container]})
        };
        assert_eq!(cpu("2", json!({"phase": "Running"})), 2000);
        assert_eq!(cpu("1", given("4", "1", "")), 4000, "not yet less");
        assert_eq!(cpu("4", given("1", "2", "Deferred")), 4000);
        assert_eq!(cpu("10000", given("1", "2", "Infeasible")), 2000);
        let as_a_whole = json!({
            "nodeName": "n", "containers": [{"name": "a"}], "resources": {"requests": {"cpu": "10000"}},
        });
        let status = json!({
            "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
            "resources": {"requests": {"cpu": "3"}}, "allocatedResources": {"cpu": "3"},
        });
        let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": as_a_whole, "status": status});
        assert_eq!(decode(&serde_json::from_value(pod).unwrap()).0.demand.requests.get("cpu"), 3000);
    }

    #[test]
    fn devices_asked_for_by_the_name_of_their_class_are_no_resource_of_a_node() {
        let by_class =
            json!({"limits": {"deviceclass.resource.kubernetes.io/nic.example.com": "2", "nvidia.com/gpu": "1"}});
        let demand = demand(json!({"containers": [{"resources": by_class}]}));
        assert_eq!(demand.requests, Resources::from([("nvidia.com/gpu", 1), ("pods", 1)]));
        assert_eq!(demand.class_devices, Resources::from([("nic.example.com", 2)]));
    }

    #[test]
    fn a_request_that_cannot_be_read_keeps_a_pending_pod_off_every_node() {
        let spec = json!({"nodeName": "", "containers": [
            {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "lots"}}},
            {"resources": {"requests": {"nvidia.com/gpu": "two", "memory": "-1"}}},
        ]});
        let (pod, problems) = read(spec.clone());
        assert_eq!(pod.demand.requests.get("pods"), i64::MAX);
        assert_eq!(pod.demand.requests.get("cpu"), 1000, "a limit beside a request is not read");
        assert_eq!(
            problems[0],
            "Pod team/p: spec.containers[1].resources.requests[memory]: quantity \"-1\" is below 0; the pod is not placed"
        );
        assert!(problems[1].starts_with("Pod team/p: spec.containers[1].resources.requests[nvidia.com/gpu]: quantity"));
        let (pod, problems) = read_with_phase(json!({"nodeName": "n", "containers": spec["containers"]}), "Running");
        assert_eq!(pod.demand.requests, Resources::from([("cpu", 1000), ("pods", 1)]), "the rest counts as 0");
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn reads_affinity() {
        let affinity = demand(json!({
            "nodeSelector": {"pool": "gpu"},
            "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [
                        {"key": "zone", "operator": "In", "values": ["b", "a", "b"]},
                        {"key": "gpus", "operator": "Gt", "values": ["3"]},
                        {"key": "age", "operator": "Lt", "values": ["-1"]},
                        {"key": "spot", "operator": "DoesNotExist"},
                        {"key": "rack", "operator": "Exists", "values": []},
                        {"key": "os", "operator": "NotIn", "values": ["windows"]},
                    ]},
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
                    {},
                ]},
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 9, "preference": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}},
                    {"weight": 1, "preference": {"matchExpressions": [{"key": "y", "operator": "Exists"}]}},
                ],
            }},
        }))
        .affinity
        .clone();
        let requirement = |key: &str, operator| Requirement { key: key.into(), operator };
        let texts = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        assert_eq!(affinity.selector, Labels::from_iter([("pool", "gpu")]));
        let labels = vec![
            requirement("age", Operator::Lt(-1)),
            requirement("gpus", Operator::Gt(3)),
            requirement("os", Operator::NotIn(texts(&["windows"]))),
            requirement("rack", Operator::Exists),
            requirement("spot", Operator::DoesNotExist),
            requirement("zone", Operator::In(texts(&["a", "b"]))),
        ];
        let by_name = Term { labels: vec![], name: vec![Requirement::equals("metadata.name", "n")] };
        assert_eq!(affinity.required, Some(vec![by_name, Term { labels, name: vec![] }]));
        let wish = |weight, key| Preference {
            weight,
            term: Term { labels: vec![requirement(key, Operator::Exists)], name: vec![] },
        };
        assert_eq!(affinity.preferred, [wish(1, "y"), wish(9, "x")]);
    }

    #[test]
    fn a_requirement_that_cannot_be_understood_makes_its_term_match_nothing() {
        let required = |term: Value| {
            let good = json!({"matchExpressions": [{"key": "ok", "operator": "Exists"}]});
            let (pod, problems) = read(json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term, good]},
            }}}));
            assert_eq!(pod.demand.affinity.required.as_ref().map(Vec::len), Some(1), "the good term stays");
            assert_eq!(problems.len(), 1, "{problems:?}");
            problems[0].split_once("[1]: ").or(problems[0].split_once("[0]: ")).unwrap().1.to_owned()
        };
        let label = |operator: &str, values: &[&str]| {
            let exists = json!({"key": "a", "operator": "Exists"});
            required(json!({"matchExpressions": [exists, {"key": "k", "operator": operator, "values": values}]}))
        };
        let field = |key: &str, operator: &str, values: &[&str]| {
            required(json!({"matchFields": [{"key": key, "operator": operator, "values": values}]}))
        };
        assert_eq!(label("Like", &["x"]), "unknown operator \"Like\"; the term matches no node");
        assert_eq!(label("Gt", &["many"]), "operator Gt needs a whole number, not \"many\"; the term matches no node");
        assert_eq!(label("Lt", &["1", "2"]), "operator Lt takes exactly one value; the term matches no node");
        assert_eq!(label("In", &[]), "operator In needs values; the term matches no node");
        assert_eq!(label("Exists", &["x"]), "operator Exists takes no values; the term matches no node");
        let other_field =
            "unknown field \"spec.unschedulable\": metadata.name is the only one; the term matches no node";
        assert_eq!(field("spec.unschedulable", "In", &["x"]), other_field);
        assert!(field("metadata.name", "In", &["a", "b"]).contains("exactly one value on a field"));
        assert!(field("metadata.name", "Exists", &[]).starts_with("operator \"Exists\" is not for fields"));
        let unkeyed = required(json!({"matchExpressions": [{"operator": "Exists"}]}));
        assert_eq!(unkeyed, "key is missing; the term matches no node");
    }

    #[test]
    fn a_condition_of_which_nothing_is_left_accepts_no_node() {
        let required = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Near"}]}]});
        let (pod, _) =
            read(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}));
        assert!(!pod.demand.affinity.accepts("n", &Labels::from_iter([("k", "v")])));
    }

    #[test]
    fn reads_tolerations() {
        let tolerations = demand(json!({"tolerations": [
            {"operator": "Exists"},
            {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "team", "value": "a"},
            {"key": "team", "operator": "Equal", "value": "a", "effect": ""},
            {"key": "sla", "operator": "Gt", "value": "950"},
            {"key": "sla", "operator": "Lt", "value": "5", "effect": "NoExecute"},
        ]}))
        .tolerations
        .clone();
        let toleration =
            |key: Option<&str>, comparison, effect| Toleration { key: key.map(Into::into), comparison, effect };
        let mut expected = [
            toleration(None, Comparison::Exists, None),
            toleration(Some("gpu"), Comparison::Exists, Some(Effect::NoSchedule)),
            toleration(Some("team"), Comparison::Equal("a".into()), None),
            toleration(Some("sla"), Comparison::Above(950), None),
            toleration(Some("sla"), Comparison::Below(5), Some(Effect::NoExecute)),
        ];
        expected.sort();
        assert_eq!(tolerations, expected);
    }

    #[test]
    fn a_toleration_that_cannot_be_understood_tolerates_nothing() {
        let (pod, problems) = read(json!({"tolerations": [
            {"key": "a", "operator": "Near"}, {"key": "b", "operator": "Exists", "effect": "Banish"},
            {"key": "c", "operator": "Gt", "value": "high"},
        ]}));
        assert_eq!(pod.demand.tolerations, []);
        assert_eq!(
            problems,
            [
                "Pod team/p: spec.tolerations[0]: unknown operator \"Near\"; it tolerates nothing",
                "Pod team/p: spec.tolerations[1]: unknown effect \"Banish\"; it tolerates nothing",
                "Pod team/p: spec.tolerations[2]: operator Gt needs a whole number, not \"high\"; it tolerates nothing",
            ]
        );
    }

    #[test]
    fn equal_wishes_written_differently_are_equal() {
        let wish = |reversed: bool| {
            let order = |mut list: Vec<Value>| {
                if reversed {
                    list.reverse();
                }
                list
            };
            let exists = |key: &str| json!({"key": key, "operator": "Exists"});
            let term = |a: &str, b: &str| json!({"matchExpressions": order(vec![exists(a), exists(b)])});
            demand(json!({
                "tolerations": order(vec![exists("x"), exists("y")]),
                "affinity": {"nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution":
                        {"nodeSelectorTerms": order(vec![term("a", "b"), term("c", "d")])},
                    "preferredDuringSchedulingIgnoredDuringExecution": order(vec![
                        json!({"weight": 1, "preference": term("e", "f")}),
                        json!({"weight": 2, "preference": term("g", "h")}),
                    ]),
                }},
            }))
        };
        assert_eq!(wish(false), wish(true));
    }
}
