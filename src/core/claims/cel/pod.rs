//! Selectors of pods: `pod.namespace == "inference" && pod.priority >= 1000`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::check::{self, Compiled, Subject};
use super::code::Code;
use super::eval::Evaluation;
use super::parse;
use super::types::Type;
use super::value::{Key, MapValue, Value};
use super::{CompileError, EvaluationError};
use crate::model::pod::Pod;

/// A field that selectors of pods know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodField {
    /// As in `pod.NAME`.
    pub name: &'static str,
    /// Its type, as CEL writes it.
    pub of: &'static str,
    /// What it is.
    pub what: &'static str,
}

/// The fields of `pod`.
pub const FIELDS: [PodField; 6] = [
    PodField { name: "namespace", of: "string", what: "its namespace" },
    PodField { name: "name", of: "string", what: "its name" },
    PodField { name: "labels", of: "map(string, string)", what: "its labels" },
    PodField {
        name: "priority",
        of: "int",
        what: "`spec.priority`, which a PriorityClass gives it; 0 where none does",
    },
    PodField {
        name: "requests",
        of: "map(string, int)",
        what: "what it asks for: accelerators and other extended resources in units, CPU in thousandths, memory in bytes",
    },
    PodField {
        name: "gang",
        of: "string",
        what: "the name of the gang that it is a member of; empty where it is of none",
    },
];

/// The field of this name, and its type.
pub(super) fn field(name: &str) -> Option<(&'static str, Type)> {
    let field = FIELDS.iter().find(|field| field.name == name)?;
    let of = match field.of {
        "int" => Type::Int,
        "map(string, string)" => Type::map(Type::String, Type::String),
        "map(string, int)" => Type::map(Type::String, Type::Int),
        _ => Type::String,
    };
    Some((field.name, of))
}

/// A pod, in the form in which selectors see it: made once for all selectors that are asked.
#[derive(Debug)]
pub struct PodFacts(Value);

impl PodFacts {
    /// What selectors see of a pod.
    pub fn of(pod: &Pod) -> Self {
        let labels = pod.labels.iter().map(|(key, value)| (key, Value::string(value)));
        let requests = pod.demand.requests.iter().map(|(name, amount)| (name.as_str(), Value::Int(amount)));
        // One that is planned by itself, for its claims, is a member of none.
        let gang = pod.membership.as_ref().map(|membership| &membership.gang).filter(|gang| gang.is_of_several());
        let gang = gang.map_or("", |gang| gang.name.as_str());
        Self(map([
            ("namespace", Value::string(&pod.key.namespace)),
            ("name", Value::string(&pod.key.name)),
            ("labels", map(labels)),
            ("priority", Value::Int(pod.priority.into())),
            ("requests", map(requests)),
            ("gang", Value::string(gang)),
        ]))
    }
}

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let entries = entries.into_iter().map(|(key, value)| (Key::String(key.into()), value));
    Value::Map(Arc::new(MapValue { entries: entries.collect(), lenient: false }))
}

/// A compiled selector of pods.
#[derive(Debug, Clone)]
pub struct PodSelector {
    text: Box<str>,
    code: Code,
    fields: BTreeSet<&'static str>,
}

/// Equal texts select alike.
impl PartialEq for PodSelector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PodSelector {}

impl PodSelector {
    /// Compiles an expression. Like [`Program::compile`](super::Program::compile) it needs a large stack.
    ///
    /// # Errors
    /// When it is no expression about a pod that is true or false.
    pub fn compile(expression: &str) -> Result<Self, CompileError> {
        let Compiled { code, fields } = check::compile(&parse::parse(expression)?, Subject::Pod)?;
        Ok(Self { text: expression.into(), code, fields })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Does it ask for this field of pods?
    pub fn asks_for(&self, field: &str) -> bool {
        self.fields.contains(field)
    }

    /// Whether a pod is selected.
    ///
    /// # Errors
    /// When the expression has no answer for the pod, for instance since it asks for a label that the pod lacks.
    pub fn selects(&self, pod: &PodFacts) -> Result<bool, EvaluationError> {
        match Evaluation::of_pod(pod.0.clone()).value(&self.code)? {
            Value::Bool(value) => Ok(value),
            other => Err(EvaluationError(format!("is of type {}, not bool", other.type_name()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::gang::{Dialect, Terms};
    use crate::testing::pod;

    fn ask(expression: &str, pod: &Pod) -> Result<bool, String> {
        let selector = PodSelector::compile(expression).map_err(|error| error.to_string())?;
        selector.selects(&PodFacts::of(pod)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_selector_sees_what_is_said_of_a_pod() {
        let builder = pod("vllm-0").namespace("inference").label("app", "vllm").gpus(8);
        let pod = Pod { priority: 1000, ..builder.member_of("llama", "", 0, Terms::default()).build() };
        for expression in [
            "pod.namespace == 'inference'",
            "pod.namespace in ['inference', 'serving'] && pod.priority >= 1000",
            "pod.labels['app'] == 'vllm' && !('team' in pod.labels)",
            "pod.labels.?team.orValue('none') == 'none'",
            "pod.requests['nvidia.com/gpu'] == 8 && pod.requests['cpu'] == 1000",
            "pod.gang == 'llama' && pod.name.startsWith('vllm-')",
            "pod.labels.exists(key, key.startsWith('a'))",
            "has(pod.labels.app)",
        ] {
            assert_eq!(ask(expression, &pod), Ok(true), "{expression}");
        }
        let selector = PodSelector::compile("pod.priority > 0 || pod.labels['namespace'] == 'a'").unwrap();
        assert!(selector.asks_for("priority") && !selector.asks_for("namespace"));
        assert_eq!(ask("pod.priority < 0", &pod), Ok(false));
        assert_eq!(ask("pod.labels['team'] == 'gold'", &pod), Err("no such key: team".into()));
    }

    #[test]
    fn a_pod_that_is_planned_by_itself_is_of_no_gang() {
        let mut pod = pod("alone").member_of("alone", "", 0, Terms::default()).build();
        let mut membership = pod.membership.as_deref().expect("a member").clone();
        membership.gang.dialect = Dialect::Claims;
        pod.membership = Some(membership.into());
        assert_eq!(ask("pod.gang == ''", &pod), Ok(true));
    }

    #[test]
    fn what_pods_do_not_have_is_found_when_it_is_compiled() {
        let error = |expression| ask(expression, &pod("p").build()).unwrap_err();
        assert_eq!(error("pod.annotations['a'] == 'b'"), "undefined field 'annotations'");
        assert_eq!(error("device.driver == 'gpu.nvidia.com'"), "undeclared reference to 'device'");
        assert!(error("pod.priority == 'high'").starts_with("found no matching overload for '_==_'"));
        assert_eq!(error("pod.name"), "must evaluate to bool or the unknown type, not string");
        assert!(error("pod.name ==").starts_with("syntax error"));
    }

    #[test]
    fn every_field_is_there() {
        let facts = PodFacts::of(&pod("p").build());
        for field in FIELDS {
            let Value::Map(fields) = &facts.0 else { panic!("{facts:?}") };
            assert!(fields.contains(&Value::string(field.name)), "{}", field.name);
        }
    }
}
