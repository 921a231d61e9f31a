//! How a pod asks to stand to members like itself.

use testudo_core::model::gang::Relation;

use super::super::object::{self, LabelSelector, PodAffinity, PodAffinityTerm};
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

/// Conditions on pods that select the pod itself, which so are conditions among members like it.
pub(super) fn of(reading: &mut Reading<'_, '_>) -> Vec<Relation> {
    let pod = reading.pod;
    let affinity = pod.spec.affinity.as_ref();
    let among_own = |side: Option<&PodAffinity>, relation: fn(std::sync::Arc<str>) -> Relation| {
        let terms = side.map_or(&[][..], |side| &side.required);
        let own = terms.iter().filter(|term| means_own(term, pod) && !term.topology_key.is_empty());
        own.map(|term| relation(term.topology_key.as_str().into())).collect::<Vec<_>>()
    };
    let mut relations = among_own(affinity.and_then(|a| a.pod_anti_affinity.as_ref()), Relation::Apart);
    relations.extend(among_own(affinity.and_then(|a| a.pod_affinity.as_ref()), Relation::Together));
    relations.extend(pod.spec.topology_spread_constraints.iter().filter_map(|spread| {
        let counts = spread.when_unsatisfiable == "DoNotSchedule" && !spread.topology_key.is_empty();
        let max_skew = u32::try_from(spread.max_skew).ok().filter(|skew| *skew > 0)?;
        (counts && selects(spread.label_selector.as_ref(), pod))
            .then(|| Relation::Spread { key: spread.topology_key.as_str().into(), max_skew })
    }));
    relations.sort();
    relations.dedup();
    if relations.len() > RULES {
        reading.note("spec.affinity", format_args!("more than {RULES} conditions among members; the first count"));
        relations.truncate(RULES);
    }
    relations
}

fn means_own(term: &PodAffinityTerm, pod: &object::Pod) -> bool {
    let own_namespace = match &term.namespace_selector {
        // It selects all.
        Some(selector) if *selector == LabelSelector::default() => true,
        None if term.namespaces.is_empty() => true,
        // What labels namespaces have is not known here.
        _ => term.namespaces.contains(&pod.metadata.namespace),
    };
    let mismatched = term.mismatch_label_keys.iter().any(|key| pod.metadata.labels.contains_key(key));
    own_namespace && !mismatched && selects(term.label_selector.as_ref(), pod)
}

/// As in the Kubernetes API no selector selects nothing, and an empty one everything.
fn selects(selector: Option<&LabelSelector>, pod: &object::Pod) -> bool {
    let Some(selector) = selector else { return false };
    let labels = &pod.metadata.labels;
    let of_part = |key: &String| LABELS_OF_PARTS.contains(&key.as_str());
    let part_only = selector.match_labels.keys().any(of_part)
        || selector.match_expressions.iter().any(|e| e.operator == "In" && of_part(&e.key));
    !part_only
        && selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
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
