//! How a pod asks to stand to members like itself.

use std::sync::Arc;

use testudo_core::model::gang::{Relation, SpreadRule};

use super::super::object::{self, LabelSelector, PodAffinity, PodAffinityTerm, StringMap, TopologySpreadConstraint};
use super::limits::RULES;
use super::reading::Reading;

/// Labels that only some members of a gang share. What a selector of one of them asks for is asked for among those, and
/// is known from the topology of parts and subgroups, not as a relation of all.
const LABELS_OF_PARTS: &[&str] = &[
    "jobset.sigs.k8s.io/job-key",
    "leaderworkerset.sigs.k8s.io/subgroup-key",
    "leaderworkerset.sigs.k8s.io/subgroup-index",
    "ray.io/worker-group-replica-name",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

/// The same, where a gang is of several groups of LeaderWorkerSets.
const LABEL_OF_GROUP: &str = "leaderworkerset.sigs.k8s.io/group-key";

/// Conditions on pods that select the pod itself, which so are conditions among members like it. `in_parts`: the gang is
/// of several groups of what its controllers call one.
pub(super) fn of(reading: &mut Reading<'_, '_>, in_parts: bool) -> Vec<Relation> {
    let pod = reading.pod;
    let own = |selector: Option<&LabelSelector>| {
        selector.is_some_and(|selector| selects(selector, &pod.metadata.labels) && !is_of_part(selector, in_parts))
    };
    let affinity = pod.spec.affinity.as_ref();
    let among_own = |side: Option<&PodAffinity>, relation: fn(Arc<str>) -> Relation| {
        let terms = side.map_or(&[][..], |side| &side.required).iter();
        let terms = terms.filter(|term| means_own_namespace(term, pod) && own(term.label_selector.as_ref()));
        terms.map(|term| relation(term.topology_key.as_str().into())).collect::<Vec<_>>()
    };
    let mut relations = among_own(affinity.and_then(|a| a.pod_anti_affinity.as_ref()), Relation::Apart);
    relations.extend(among_own(affinity.and_then(|a| a.pod_affinity.as_ref()), Relation::Together));
    relations.extend(pod.spec.topology_spread_constraints.iter().filter_map(|spread| {
        let max_skew = u32::try_from(spread.max_skew).ok().filter(|skew| *skew > 0)?;
        (spread.when_unsatisfiable == "DoNotSchedule" && own(spread.label_selector.as_ref()))
            .then(|| Relation::Spread(spread_rule(spread, max_skew)))
    }));
    relations.sort();
    relations.dedup();
    if relations.len() > RULES {
        reading.note("spec.affinity", format_args!("more than {RULES} conditions among members; the first count"));
        relations.truncate(RULES);
    }
    relations
}

fn spread_rule(spread: &TopologySpreadConstraint, max_skew: u32) -> SpreadRule {
    let default = SpreadRule::new(&spread.topology_key, max_skew);
    let honors =
        |policy: &Option<String>, by_default: bool| policy.as_ref().map_or(by_default, |policy| policy == "Honor");
    SpreadRule {
        min_domains: spread.min_domains.and_then(|least| u32::try_from(least).ok()).unwrap_or(default.min_domains),
        by_affinity: honors(&spread.node_affinity_policy, default.by_affinity),
        by_taints: honors(&spread.node_taints_policy, default.by_taints),
        ..default
    }
}

/// May pods of the pod's own namespace be meant, and is the pod not set apart by a label of its own?
fn means_own_namespace(term: &PodAffinityTerm, pod: &object::Pod) -> bool {
    let own_namespace = match &term.namespace_selector {
        // It selects all.
        Some(selector) if *selector == LabelSelector::default() => true,
        None if term.namespaces.is_empty() => true,
        // What labels namespaces have is not known here.
        _ => term.namespaces.contains(&pod.metadata.namespace),
    };
    own_namespace && !term.mismatch_label_keys.iter().any(|key| pod.metadata.labels.contains_key(key))
}

fn is_of_part(selector: &LabelSelector, in_parts: bool) -> bool {
    let of_part = |key: &String| LABELS_OF_PARTS.contains(&key.as_str()) || (in_parts && key == LABEL_OF_GROUP);
    selector.match_labels.keys().any(of_part)
        || selector.match_expressions.iter().any(|expression| expression.operator == "In" && of_part(&expression.key))
}

/// As in the Kubernetes API, an empty selector selects everything.
fn selects(selector: &LabelSelector, labels: &StringMap) -> bool {
    selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            match expression.operator.as_str() {
                "In" => value.is_some_and(|value| expression.values.contains(value)),
                "NotIn" => value.is_none_or(|value| !expression.values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
