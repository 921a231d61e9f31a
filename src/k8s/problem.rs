//! What could not be understood about an object.

use std::fmt;

use super::object::Metadata;

/// A value, and what could not be understood on the way to it.
///
/// Decoding never fails: one field that nobody can read must not hide the rest of an object, nor stop a watch. What such
/// a field counts as is chosen so that nothing is placed on a guess, and is said where it is decoded.
pub type Decoded<T> = (T, Vec<Problem>);

/// A field of an object that could not be understood. One line, fit for a log, a condition or an Event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{object}: {field}: {what}")]
pub struct Problem {
    /// The object: `Node gpu-1`, `Pod team/job-0`.
    pub object: String,
    /// The field, as `kubectl explain` would name it.
    pub field: String,
    /// What is wrong, and what is made of it.
    pub what: String,
    /// The pod must not be placed, for what it asks is not known. Even where nobody looks here it fits on no node: its
    /// [`Demand`](testudo_core::model::pod::Demand) asks for more pods than any node takes.
    pub blocking: bool,
}

/// Collects the problems of one object.
pub(super) struct Report<'a> {
    kind: &'a str,
    metadata: &'a Metadata,
    /// What stands before each field: where in the object that is which is being read.
    within: String,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(super) fn on(kind: &'a str, metadata: &'a Metadata) -> Self {
        Self { kind, metadata, within: String::new(), problems: Vec::new() }
    }

    /// The problems of a part of the object, such as `spec.template.`
    pub(super) fn within(kind: &'a str, metadata: &'a Metadata, part: &str) -> Self {
        Self { within: part.to_owned(), ..Self::on(kind, metadata) }
    }

    /// Something is ignored or replaced; the object works without it.
    pub(super) fn note(&mut self, field: impl fmt::Display, what: impl fmt::Display) {
        self.push(field, what, false);
    }

    /// The pod must not be placed.
    pub(super) fn block(&mut self, field: impl fmt::Display, what: impl fmt::Display) {
        self.push(field, what, true);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.problems.iter().any(|problem| problem.blocking)
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn push(&mut self, field: impl fmt::Display, what: impl fmt::Display, blocking: bool) {
        self.problems.push(Problem {
            object: describe(self.kind, self.metadata),
            field: shortened(format!("{}{field}", self.within)),
            what: shortened(what.to_string()),
            blocking,
        });
    }
}

/// Texts quote what stands in an object, and annotations may have 256 kB: of so many bytes the middle is left out.
const MAX_TEXT: usize = 1_000;

fn shortened(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let begin = text.floor_char_boundary(MAX_TEXT * 3 / 4);
    let end = text.ceil_char_boundary(text.len() - MAX_TEXT / 4);
    format!("{} [...] {}", &text[..begin], &text[end..])
}

/// `Node gpu-1`, `Pod team/job-0`.
pub(super) fn describe(kind: &str, metadata: &Metadata) -> String {
    let name = if metadata.name.is_empty() { "(no name)" } else { &metadata.name };
    match metadata.namespace.as_str() {
        "" => format!("{kind} {name}"),
        namespace => format!("{kind} {namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::gang::objects::{self, GroupObject, KINDS};
    use super::super::{node, object, pod};

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let pod = |text: String| {
            let annotations = json!({"testudo.dev/pod-group": "g", "testudo.dev/min-member": text});
            let metadata = json!({"name": "p", "namespace": "team", "annotations": annotations});
            let pod: object::Pod = serde_json::from_value(json!({"metadata": metadata})).unwrap();
            let problem = pod::decode(&pod).1.into_iter().find(|problem| problem.field.contains("min-member"));
            problem.expect("a problem").what
        };
        let what = pod("ü".repeat(100_000));
        assert!(what.len() < 1_100, "{}", what.len());
        assert!(what.starts_with("\"üü") && what.ends_with("from 1 to 10000; the pod is not placed"), "{what}");
        assert!(!pod("two".into()).contains("[...]"));
    }

    const GANG_WORDS: &[&str] = &[
        "testudo.dev/pod-group",
        "testudo.dev/min-member",
        "testudo.dev/tensor-parallel-size",
        "testudo.dev/topology",
        "testudo.dev/hold-timeout",
        "testudo.dev/role",
        "testudo.dev/index",
        "testudo.dev/plan",
        "scheduling.x-k8s.io/pod-group",
        "scheduling.k8s.io/group-name",
        "scheduling.volcano.sh/group-min-member",
        "pod-group-name",
        "gang.scheduling.koordinator.sh/name",
        "gang.scheduling.koordinator.sh/min-available",
        "gang.scheduling.koordinator.sh/groups",
        "gang.scheduling.koordinator.sh/waiting-time",
        "grove.io/podgang",
        "leaderworkerset.sigs.k8s.io/name",
        "leaderworkerset.sigs.k8s.io/group-index",
        "leaderworkerset.sigs.k8s.io/worker-index",
        "leaderworkerset.sigs.k8s.io/size",
        "leaderworkerset.sigs.k8s.io/subgroup-size",
        "leaderworkerset.sigs.k8s.io/subgroup-exclusive-topology",
        "jobset.sigs.k8s.io/jobset-name",
        "jobset.sigs.k8s.io/replicatedjob-name",
        "ray.io/cluster",
        "ray.io/node-type",
        "kueue.x-k8s.io/pod-group-name",
        "kueue.x-k8s.io/pod-group-total-count",
        "kueue.x-k8s.io/podset-slice-required-topology",
        "kueue.x-k8s.io/podset-slice-size",
    ];

    /// Texts that mean something somewhere, and some that mean nothing.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "",
                "cpu",
                "500m",
                "-1",
                "1e30",
                "9Ei",
                "Exists",
                "Gt",
                "In",
                "NoSchedule",
                "Always",
                "metadata.name",
                "nvidia.com/gpu",
                "Failed",
                "Pending",
                "99999999999999999999",
            ])
            .prop_map(str::to_owned),
            "[ -~]{0,12}",
        ]
    }

    fn field() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "metadata",
            "spec",
            "status",
            "name",
            "namespace",
            "uid",
            "labels",
            "capacity",
            "allocatable",
            "cpu",
            "taints",
            "key",
            "value",
            "values",
            "effect",
            "operator",
            "unschedulable",
            "containers",
            "initContainers",
            "resources",
            "requests",
            "limits",
            "overhead",
            "restartPolicy",
            "affinity",
            "nodeAffinity",
            "nodeSelector",
            "requiredDuringSchedulingIgnoredDuringExecution",
            "preferredDuringSchedulingIgnoredDuringExecution",
            "nodeSelectorTerms",
            "matchExpressions",
            "matchFields",
            "weight",
            "preference",
            "tolerations",
            "phase",
            "nodeName",
            "priority",
            "annotations",
            "ownerReferences",
            "creationTimestamp",
            "podAffinity",
            "podAntiAffinity",
            "labelSelector",
            "topologySpreadConstraints",
            "schedulingGates",
            "schedulingGroup",
            "podGroupName",
            "workloadRef",
            "podGroup",
            "conditions",
        ])
        .prop_map(str::to_owned)
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(field(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn amounts() -> impl Strategy<Value = Value> {
        prop::collection::btree_map(text(), text(), 0..4).prop_map(|list| json!(list))
    }

    fn requirement() -> impl Strategy<Value = Value> {
        (text(), text(), prop::collection::vec(text(), 0..3))
            .prop_map(|(key, operator, values)| json!({"key": key, "operator": operator, "values": values}))
    }

    fn containers() -> impl Strategy<Value = Vec<Value>> {
        let container = (amounts(), amounts(), text()).prop_map(|(requests, limits, policy)| {
            json!({"resources": {"requests": requests, "limits": limits}, "restartPolicy": policy})
        });
        prop::collection::vec(container, 0..4)
    }

    /// Labels or annotations by which gangs are told, with anything for values.
    fn gang_words() -> impl Strategy<Value = Value> {
        let value = prop_oneof![
            text(),
            (0..12_000u32).prop_map(|number| number.to_string()),
            prop::sample::select(vec!["a", "a/b", "required=node,preferred=x/y", "[\"team/a\",\"/\"]", "10m", "é"])
                .prop_map(str::to_owned),
        ];
        let words = prop::sample::subsequence(GANG_WORDS, 0..8);
        words.prop_flat_map(move |words| {
            let count = words.len();
            prop::collection::vec(value.clone(), count).prop_map(move |values| {
                json!(words.iter().copied().zip(values).collect::<std::collections::BTreeMap<_, _>>())
            })
        })
    }

    /// Objects of the right shape with anything for texts, which the slim types accept.
    fn well_shaped_pod() -> impl Strategy<Value = Value> {
        let terms = prop::collection::vec((requirement(), requirement()), 0..3).prop_map(|terms| {
            let term = |(a, b)| json!({"matchExpressions": [a], "matchFields": [b]});
            terms.into_iter().map(term).collect::<Vec<_>>()
        });
        let metadata = (gang_words(), gang_words()).prop_map(
            |(labels, annotations)| json!({"uid": "u", "namespace": "team", "labels": labels, "annotations": annotations}),
        );
        (containers(), containers(), amounts(), terms, requirement(), text(), metadata).prop_map(
            |(init, main, pod_level, terms, toleration, node, metadata)| {
                let toleration = json!({"key": toleration["key"], "operator": toleration["operator"]});
                let required = json!({"nodeSelectorTerms": terms});
                let affinity = json!({"requiredDuringSchedulingIgnoredDuringExecution": required});
                let selector = json!({"matchExpressions": [toleration]});
                let among = json!({"requiredDuringSchedulingIgnoredDuringExecution":
                    [{"labelSelector": selector, "topologyKey": node}]});
                json!({"metadata": metadata, "spec": {
                    "initContainers": init, "containers": main, "resources": {"requests": pod_level},
                    "affinity": {"nodeAffinity": affinity, "podAffinity": among}, "tolerations": [toleration], "nodeName": node,
                }})
            },
        )
    }

    /// Specs with the fields of all kinds and any numbers in them.
    fn group_spec() -> impl Strategy<Value = Value> {
        let number = || prop_oneof![any::<i64>(), -2..20i64, 9_990..10_010i64];
        (number(), number(), number(), number(), text()).prop_map(|(a, b, c, d, text)| {
            let template = json!({"metadata": {"annotations": {"testudo.dev/role": text}}});
            json!({
                "minMember": a, "minTaskMember": {"x": b}, "scheduleTimeoutSeconds": c,
                "schedulingPolicy": {"gang": {"minCount": a}},
                "podGroups": [{"name": "a", "policy": {"gang": {"minCount": b}}}, {"name": text}],
                "subGroups": [{"name": "a", "minMember": c}, {"name": "b", "parent": text, "minMember": d}],
                "podgroups": [{"name": "a", "minReplicas": a}, {"name": "b", "minReplicas": b}],
                "leaderWorkerTemplate": {"size": a, "subGroupPolicy": {"subGroupSize": b}, "workerTemplate": template},
                "replicatedJobs": [
                    {"name": "a", "replicas": a, "template": {"spec": {"parallelism": b, "completions": c, "template": template}}},
                    {"name": "b", "replicas": d},
                ],
                "headGroupSpec": {"template": template},
                "workerGroupSpecs": [
                    {"groupName": "a", "replicas": a, "minReplicas": b, "maxReplicas": c, "numOfHosts": d, "template": template},
                ],
            })
        })
    }

    proptest! {
        #[test]
        fn no_object_makes_decoding_panic(json in any_json()) {
            let _ = serde_json::from_value::<object::Node>(json.clone()).map(|object| node::decode(&object));
            let _ = serde_json::from_value::<object::Pod>(json.clone()).map(|object| pod::decode(&object));
            for kind in KINDS {
                let _ = serde_json::from_value::<GroupObject>(json!({"spec": json})).map(|object| objects::decode(kind, "v1", &object));
            }
        }

        #[test]
        fn group_objects_of_any_size_are_bounded(spec in group_spec(), annotations in gang_words()) {
            let object: GroupObject =
                serde_json::from_value(json!({"metadata": {"name": "g", "annotations": annotations}, "spec": spec})).unwrap();
            for kind in KINDS {
                let Ok((groups, problems)) = objects::decode(kind, "v1", &object) else { continue };
                let blocked = problems.iter().any(|problem| problem.blocking);
                for group in groups {
                    prop_assert_eq!(group.fault.is_some(), blocked);
                    let roles = group.terms.roles.values();
                    let sizes = roles.flat_map(|role| [role.min_member, role.total]).chain([group.terms.min_member, group.terms.total]);
                    prop_assert!(sizes.flatten().all(|size| size <= 20_000));
                }
            }
        }

        #[test]
        fn a_blocked_pod_fits_on_no_node_and_others_ask_for_what_could_be_read(json in well_shaped_pod()) {
            let object: object::Pod = serde_json::from_value(json).unwrap();
            let (pod, problems) = pod::decode(&object);
            let blocked = problems.iter().any(|problem| problem.blocking);
            prop_assert!(pod.demand.requests.iter().all(|(_, amount)| amount >= 0));
            prop_assert_eq!(pod.demand.requests.get("pods"), if blocked { i64::MAX } else { 1 });
            prop_assert_eq!(pod::decode(&object).0, pod);
        }
    }
}
