//! Node selectors, node affinity and tolerations: from the wire to values.
//!
//! Order that has no meaning is normalised away, so that equal wishes are equal values. A requirement that cannot be
//! understood makes its term match nothing, as upstream; the other terms still count.

use testudo_core::model::selector::{NodeAffinity, Operator, Preference, Requirement, Term};
use testudo_core::model::taint::{Comparison, Effect, Toleration};

use super::object;
use super::problem::Report;

/// Reads `spec.nodeSelector` and `spec.affinity.nodeAffinity`.
pub(super) fn node_affinity(spec: &object::PodSpec, report: &mut Report) -> NodeAffinity {
    let selector = spec.node_selector.iter().collect();
    let Some(affinity) = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()) else {
        return NodeAffinity { selector, ..NodeAffinity::default() };
    };
    let base = "spec.affinity.nodeAffinity";
    let required = affinity.required.as_ref().map(|required| {
        let path = format!("{base}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
        let terms = required.node_selector_terms.iter().enumerate();
        sorted(terms.filter_map(|(at, wire)| term(&format!("{path}[{at}]"), wire, report)))
    });
    let preferred = affinity.preferred.iter().enumerate().filter_map(|(at, wish)| {
        let path = format!("{base}.preferredDuringSchedulingIgnoredDuringExecution[{at}].preference");
        term(&path, &wish.preference, report).map(|term| Preference { weight: wish.weight, term })
    });
    let mut preferred: Vec<_> = preferred.collect();
    preferred.sort();
    NodeAffinity { selector, required, preferred }
}

/// Reads `spec.tolerations`. One that cannot be understood tolerates nothing.
pub(super) fn tolerations(wire: &[object::Toleration], report: &mut Report) -> Vec<Toleration> {
    sorted(wire.iter().enumerate().filter_map(|(at, wire)| match toleration(wire) {
        Ok(toleration) => Some(toleration),
        Err(what) => {
            report.note(format_args!("spec.tolerations[{at}]"), format_args!("{what}; it tolerates nothing"));
            None
        }
    }))
}

fn toleration(wire: &object::Toleration) -> Result<Toleration, String> {
    let value = wire.value.as_deref().unwrap_or_default();
    let comparison = match wire.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => Comparison::Equal(value.into()),
        "Exists" => Comparison::Exists,
        "Lt" => Comparison::Below(whole_number("Lt", value)?),
        "Gt" => Comparison::Above(whole_number("Gt", value)?),
        other => return Err(format!("unknown operator {other:?}")),
    };
    let effect = match wire.effect.as_deref().unwrap_or_default() {
        "" => None,
        text => Some(Effect::parse(text).ok_or_else(|| format!("unknown effect {text:?}"))?),
    };
    Ok(Toleration { key: wire.key.clone().filter(|key| !key.is_empty()), comparison, effect })
}

/// None for a term that matches nothing: an empty one, or one that cannot be understood.
fn term(path: &str, wire: &object::NodeSelectorTerm, report: &mut Report) -> Option<Term> {
    let mut read = |list: &str, wires: &[object::Requirement], operator_of: ReadOperator| {
        let mut all_understood = true;
        let understood = sorted(wires.iter().enumerate().filter_map(|(at, wire)| match operator_of(wire) {
            Ok(operator) => Some(Requirement { key: wire.key.clone(), operator }),
            Err(what) => {
                all_understood = false;
                report.note(format_args!("{path}.{list}[{at}]"), format_args!("{what}; the term matches no node"));
                None
            }
        }));
        all_understood.then_some(understood)
    };
    let labels = read("matchExpressions", &wire.match_expressions, label_operator);
    let name = read("matchFields", &wire.match_fields, field_operator);
    let term = Term { labels: labels?, name: name? };
    (term != Term::default()).then_some(term)
}

type ReadOperator = fn(&object::Requirement) -> Result<Operator, String>;

fn label_operator(wire: &object::Requirement) -> Result<Operator, String> {
    let operator = wire.operator.as_str();
    let values = || sorted(wire.values.iter().cloned());
    match (operator, wire.values.as_slice()) {
        _ if wire.key.is_empty() => Err("key is missing".into()),
        ("In" | "NotIn", []) => Err(format!("operator {operator} needs values")),
        ("In", _) => Ok(Operator::In(values())),
        ("NotIn", _) => Ok(Operator::NotIn(values())),
        ("Exists", []) => Ok(Operator::Exists),
        ("DoesNotExist", []) => Ok(Operator::DoesNotExist),
        ("Exists" | "DoesNotExist", _) => Err(format!("operator {operator} takes no values")),
        ("Gt", [value]) => Ok(Operator::Gt(whole_number(operator, value)?)),
        ("Lt", [value]) => Ok(Operator::Lt(whole_number(operator, value)?)),
        ("Gt" | "Lt", _) => Err(format!("operator {operator} takes exactly one value")),
        _ => Err(format!("unknown operator {operator:?}")),
    }
}

/// Upstream knows one field of a node, and asks for exactly one value of it.
fn field_operator(wire: &object::Requirement) -> Result<Operator, String> {
    let operator = wire.operator.as_str();
    match (operator, wire.values.as_slice()) {
        _ if wire.key != "metadata.name" => Err(format!("unknown field {:?}: metadata.name is the only one", wire.key)),
        ("In", [name]) => Ok(Operator::In(vec![name.clone()])),
        ("NotIn", [name]) => Ok(Operator::NotIn(vec![name.clone()])),
        ("In" | "NotIn", _) => Err(format!("operator {operator} takes exactly one value on a field")),
        _ => Err(format!("operator {operator:?} is not for fields: use In or NotIn")),
    }
}

fn whole_number(operator: &str, value: &str) -> Result<i64, String> {
    value.parse().map_err(|_| format!("operator {operator} needs a whole number, not {value:?}"))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items.dedup();
    items
}
