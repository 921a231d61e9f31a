//! Selectors of devices in CEL, as `k8s.io/dynamic-resource-allocation/cel` (v0.36) compiles and evaluates them; and selectors
//! of pods ([`PodSelector`]), in the same language with another variable.
//!
//! Text is parsed by the `cel` crate, with its macros. Type checker and evaluator are our own, for what the crate has
//! not: it does not check types, so that `device.driver == 1` and unknown names would be found only by evaluating, or
//! never; its evaluation cannot be bounded, while upstream's ends at a cost of a million; and some rules of Kubernetes'
//! values are not expressible as overloads (a version on the left of `==` refuses to be compared with a text, one on the
//! right is just not equal). What is compiled here also looks up attributes where the device has them, instead of building
//! maps of them for each evaluation.

mod check;
mod code;
mod collections;
mod decimal;
mod duration;
mod eval;
mod fault;
mod format;
mod formatting;
mod functions;
mod net;
mod parse;
mod pod;
mod quote;
mod semver;
mod signatures;
mod text;
mod timestamp;
mod types;
mod url;
mod value;

use thiserror::Error;

pub use parse::{MAX_DEPTH, MAX_LENGTH};
pub use pod::{FIELDS as POD_FIELDS, PodFacts, PodField, PodSelector};

use super::attribute::Attribute;
use super::slice::Device;
use check::Subject;
use code::Code;
pub(super) use code::Entry;
use eval::Evaluation;
use fault::Fault;
use value::Value;

/// A compiled selector.
#[derive(Debug, Clone)]
pub struct Program {
    code: Code,
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompileError {
    /// It has too many characters.
    #[error("has {0} bytes, {MAX_LENGTH} are allowed")]
    TooLong(usize),
    /// It is nested too deep.
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It is no expression.
    #[error("syntax error: {0}")]
    Syntax(String),
    /// Its types do not go together, or it speaks of what is not there.
    #[error("{0}")]
    Type(String),
    /// It says something else than yes or no.
    #[error("must evaluate to bool or the unknown type, not {0}")]
    NotBool(String),
}

/// Why a selector has no answer for a device.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct EvaluationError(String);

impl From<Fault> for EvaluationError {
    fn from(fault: Fault) -> Self {
        EvaluationError(fault.to_string())
    }
}

impl Program {
    /// Compiles an expression. Parsing recurses with its nesting, which is bounded by [`MAX_DEPTH`]: call it where the
    /// stack has 64 MiB (without optimisation) for that.
    ///
    /// # Errors
    /// What upstream's compiler refuses.
    pub fn compile(expression: &str) -> Result<Program, CompileError> {
        Ok(Program { code: check::compile(&parse::parse(expression)?, Subject::Device)?.code })
    }

    /// The attributes and capacities that it looks at; none when these depend on the device. What else it sees is the driver
    /// and whether the device can be shared.
    pub(super) fn reads(&self) -> Option<Vec<&Entry>> {
        let mut entries = vec![];
        self.code.reads(&mut entries).then_some(entries)
    }

    /// Whether a device of a driver is selected.
    ///
    /// # Errors
    /// When the expression fails on the device, or the device has attributes that no expression can look at.
    pub fn matches(&self, driver: &str, device: &Device) -> Result<bool, EvaluationError> {
        check_attributes(device)?;
        match Evaluation::of_device(driver, device).value(&self.code)? {
            Value::Bool(value) => Ok(value),
            other => {
                Err(EvaluationError(format!("CEL result of type {} could not be converted to bool", other.type_name())))
            }
        }
    }
}

/// Upstream looks at all attributes before it evaluates anything.
fn check_attributes(device: &Device) -> Result<(), EvaluationError> {
    device.attributes.iter().try_for_each(|(name, attribute)| check_attribute(name, attribute))
}

/// Whether expressions can look at a device with this attribute.
pub(super) fn check_attribute(name: &str, attribute: &Attribute) -> Result<(), EvaluationError> {
    let version = |text: &str| match semver::Semver::parse(text) {
        Ok(_) => Ok(()),
        Err(what) => Err(EvaluationError(format!("attribute {name}: parse semantic version: {what}"))),
    };
    match attribute {
        Attribute::Version(text) => version(text),
        Attribute::Versions(texts) => texts.iter().try_for_each(|text| version(text)),
        Attribute::Unknown => Err(EvaluationError(format!("attribute {name}: unsupported attribute value"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod corpus_tests;
