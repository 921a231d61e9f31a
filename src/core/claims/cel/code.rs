//! What a checked expression is compiled to.

use regex::Regex;

use super::fault::Eval;
use super::value::Value;
use crate::claims::features::Facet;

/// A function at work on its arguments.
pub(super) type Function = fn(&[Value]) -> Eval<Value>;

/// What is asked of a field or an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// What it has.
    Get,
    /// Whether it is there: `has(a.b)`.
    Has,
    /// What it has, if it is there: `a.?b`.
    Optional,
}

/// A step of a program.
#[derive(Debug, Clone)]
pub(super) enum Code {
    Const(Value),
    /// A variable of a comprehension, by its place on the stack.
    Variable(usize),
    Device,
    /// The pod, as a map of its fields.
    Pod,
    Driver,
    Shareable,
    /// All domains.
    Facet(Facet),
    /// One domain.
    Domain(Facet, Box<Code>),
    /// An entry of a domain, where both are written out: what selectors mostly ask for.
    Entry(Box<Entry>, Access),
    Select(Box<Code>, Box<str>, Access),
    Index(Box<Code>, Box<Code>),
    OptionalIndex(Box<Code>, Box<Code>),
    And(Box<[Code; 2]>),
    Or(Box<[Code; 2]>),
    Conditional(Box<[Code; 3]>),
    NotStrictlyFalse(Box<Code>),
    /// Whether a text matches a pattern that is written out.
    Matches(Box<Code>, Regex),
    Call(&'static str, Function, Vec<Code>),
    /// Elements, and whether each is an optional that may be missing.
    List(Vec<(Code, bool)>),
    Map(Vec<(Code, Code, bool)>),
    Comprehension(Box<Comprehension>),
}

/// An entry of a domain.
#[derive(Debug, Clone)]
pub(in crate::claims) struct Entry {
    pub facet: Facet,
    pub domain: Box<str>,
    pub id: Box<str>,
    /// `domain/id`.
    pub qualified: Box<str>,
}

/// A fold over a list or the keys of a map.
#[derive(Debug, Clone)]
pub(super) struct Comprehension {
    pub range: Code,
    /// Two variables: index or key, and value.
    pub pairs: bool,
    pub init: Code,
    pub condition: Code,
    pub step: Code,
    pub result: Code,
}

impl Code {
    /// Finds the entries of domains that are looked at. Returns whether these are all of the attributes and capacities that
    /// are looked at.
    pub fn reads<'c>(&'c self, found: &mut Vec<&'c Entry>) -> bool {
        match self {
            Code::Const(_) | Code::Variable(_) | Code::Driver | Code::Shareable => true,
            Code::Device | Code::Pod | Code::Facet(_) | Code::Domain(..) => false,
            Code::Entry(entry, _) => {
                found.push(entry);
                true
            }
            Code::Select(operand, ..) | Code::NotStrictlyFalse(operand) | Code::Matches(operand, _) => {
                operand.reads(found)
            }
            Code::Index(operand, index) | Code::OptionalIndex(operand, index) => {
                operand.reads(found) && index.reads(found)
            }
            Code::And(operands) | Code::Or(operands) => operands.iter().all(|code| code.reads(found)),
            Code::Conditional(parts) => parts.iter().all(|code| code.reads(found)),
            Code::Call(_, _, args) => args.iter().all(|code| code.reads(found)),
            Code::List(elements) => elements.iter().all(|(element, _)| element.reads(found)),
            Code::Map(entries) => entries.iter().all(|(key, value, _)| key.reads(found) && value.reads(found)),
            Code::Comprehension(fold) => {
                let parts = [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result];
                parts.into_iter().all(|code| code.reads(found))
            }
        }
    }
}
