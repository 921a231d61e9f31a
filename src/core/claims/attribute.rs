//! Attributes of devices: their values, how they are named, and how constraints compare them.

use std::collections::BTreeSet;

/// The value of an attribute. Lists are compared as sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// `int`.
    Int(i64),
    /// `bool`.
    Bool(bool),
    /// `string`.
    String(Box<str>),
    /// `version`, a semantic version as it was written.
    Version(Box<str>),
    /// `ints`.
    Ints(Vec<i64>),
    /// `bools`.
    Bools(Vec<bool>),
    /// `strings`.
    Strings(Vec<Box<str>>),
    /// `versions`.
    Versions(Vec<Box<str>>),
    /// None of the types that are known: an error to every selector, and no match for any constraint.
    Unknown,
}

/// The values of an attribute, for comparison.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueSet {
    /// Integers.
    Ints(BTreeSet<i64>),
    /// Truth values.
    Bools(BTreeSet<bool>),
    /// Texts.
    Strings(BTreeSet<Box<str>>),
    /// Versions; they have only one form, so texts are compared.
    Versions(BTreeSet<Box<str>>),
}

impl Attribute {
    /// What constraints compare; none for a value that cannot be compared.
    pub fn values(&self) -> Option<ValueSet> {
        Some(match self {
            Attribute::Int(value) => ValueSet::Ints([*value].into()),
            Attribute::Bool(value) => ValueSet::Bools([*value].into()),
            Attribute::String(value) => ValueSet::Strings([value.clone()].into()),
            Attribute::Version(value) => ValueSet::Versions([value.clone()].into()),
            Attribute::Ints(values) => ValueSet::Ints(nonempty(values)?),
            Attribute::Bools(values) => ValueSet::Bools(nonempty(values)?),
            Attribute::Strings(values) => ValueSet::Strings(nonempty(values)?),
            Attribute::Versions(values) => ValueSet::Versions(nonempty(values)?),
            Attribute::Unknown => return None,
        })
    }
}

fn nonempty<T: Ord + Clone>(values: &[T]) -> Option<BTreeSet<T>> {
    (!values.is_empty()).then(|| values.iter().cloned().collect())
}

impl ValueSet {
    /// What both have; none when that is nothing, or when they are of different types.
    pub fn common(&self, other: &ValueSet) -> Option<ValueSet> {
        fn both<T: Ord + Clone>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> Option<BTreeSet<T>> {
            let common: BTreeSet<T> = a.intersection(b).cloned().collect();
            (!common.is_empty()).then_some(common)
        }
        match (self, other) {
            (ValueSet::Ints(a), ValueSet::Ints(b)) => both(a, b).map(ValueSet::Ints),
            (ValueSet::Bools(a), ValueSet::Bools(b)) => both(a, b).map(ValueSet::Bools),
            (ValueSet::Strings(a), ValueSet::Strings(b)) => both(a, b).map(ValueSet::Strings),
            (ValueSet::Versions(a), ValueSet::Versions(b)) => both(a, b).map(ValueSet::Versions),
            _ => None,
        }
    }

    /// Whether they have something in common.
    pub fn meets(&self, other: &ValueSet) -> bool {
        match (self, other) {
            (ValueSet::Ints(a), ValueSet::Ints(b)) => !a.is_disjoint(b),
            (ValueSet::Bools(a), ValueSet::Bools(b)) => !a.is_disjoint(b),
            (ValueSet::Strings(a), ValueSet::Strings(b)) => !a.is_disjoint(b),
            (ValueSet::Versions(a), ValueSet::Versions(b)) => !a.is_disjoint(b),
            _ => false,
        }
    }
}

/// Domain and identifier of a name; one without a domain belongs to the driver's.
pub fn qualified<'a>(name: &'a str, driver: &'a str) -> (&'a str, &'a str) {
    name.split_once('/').unwrap_or((driver, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(values: &[i64]) -> ValueSet {
        Attribute::Ints(values.to_vec()).values().expect("values")
    }

    #[test]
    fn lists_are_compared_as_sets_and_a_single_value_is_a_list_of_one() {
        assert_eq!(ints(&[1, 2, 2]).common(&ints(&[2, 3])), Some(ints(&[2])));
        assert_eq!(ints(&[1]).common(&ints(&[2])), None);
        assert!(ints(&[1, 2]).meets(&Attribute::Int(2).values().expect("a value")));
        assert_eq!(Attribute::Ints(vec![]).values(), None);
        assert_eq!(Attribute::Unknown.values(), None);
    }

    #[test]
    fn different_types_have_nothing_in_common() {
        let text = Attribute::String("1.0.0".into()).values().expect("a value");
        let version = Attribute::Version("1.0.0".into()).values().expect("a value");
        assert!(!text.meets(&version));
        assert_eq!(version.common(&text), None);
    }

    #[test]
    fn names_without_a_domain_belong_to_the_driver() {
        assert_eq!(qualified("model", "gpu.example.com"), ("gpu.example.com", "model"));
        assert_eq!(qualified("other.com/model", "gpu.example.com"), ("other.com", "model"));
    }
}
