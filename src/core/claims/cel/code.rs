//! What a checked expression is compiled to.

use regex::Regex;

use super::fault::Eval;
use super::value::Value;

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

/// Which of the two maps of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facet {
    Attributes,
    Capacity,
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
pub(super) struct Entry {
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
