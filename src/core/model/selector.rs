//! Labels, node selectors and node affinity.

use std::collections::BTreeMap;

/// Labels or annotations of an object: sorted pairs, since a node has few dozen and a cluster has many nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

impl<K: AsRef<str>, V: AsRef<str>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let sorted: BTreeMap<Box<str>, Box<str>> =
            pairs.into_iter().map(|(k, v)| (k.as_ref().into(), v.as_ref().into())).collect();
        Self(sorted.into_iter().collect())
    }
}

/// What a requirement asks of the value of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// One of these.
    In(Vec<String>),
    /// Absent, or none of these.
    NotIn(Vec<String>),
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
    /// A whole number above this one.
    Gt(i64),
    /// A whole number below this one.
    Lt(i64),
}

/// A requirement on one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label key (or the field, for [`Term::fields`]).
    pub key: String,
    /// What is asked of its value.
    pub operator: Operator,
}

impl Requirement {
    /// `key` has exactly `value`.
    pub fn equals(key: &str, value: &str) -> Self {
        Self { key: key.into(), operator: Operator::In(vec![value.into()]) }
    }

    /// Does it hold for a key with this value?
    pub fn holds_for(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
            Operator::NotIn(values) => value.is_none_or(|v| values.iter().all(|x| x != v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt(bound) => number().is_some_and(|n| n > *bound),
            Operator::Lt(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

/// A conjunction of requirements on a node. An empty one matches nothing, as in the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term {
    /// On labels.
    pub labels: Vec<Requirement>,
    /// On the node's name (`metadata.name` is the only field there is).
    pub name: Vec<Requirement>,
}

impl Term {
    /// Does it match the node of this name and these labels?
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        !(self.labels.is_empty() && self.name.is_empty())
            && self.labels.iter().all(|r| r.holds_for(labels.get(&r.key)))
            && self.name.iter().all(|r| r.holds_for(Some(name)))
    }
}

/// A term with a weight: a wish, not a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Preference {
    /// 1 to 100.
    pub weight: i32,
    /// What is wished for.
    pub term: Term,
}

/// Which nodes a pod accepts, and which it would rather have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeAffinity {
    /// `spec.nodeSelector`: all of these labels.
    pub selector: Labels,
    /// `requiredDuringSchedulingIgnoredDuringExecution`: one of these terms; none means no condition.
    pub required: Option<Vec<Term>>,
    /// `preferredDuringSchedulingIgnoredDuringExecution`.
    pub preferred: Vec<Preference>,
}

impl NodeAffinity {
    /// Does the pod accept the node of this name and these labels?
    pub fn accepts(&self, name: &str, labels: &Labels) -> bool {
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }

    /// The sum of the weights of the wishes that the node fulfils.
    pub fn preference(&self, name: &str, labels: &Labels) -> i64 {
        self.preferred.iter().filter(|p| p.term.matches(name, labels)).map(|p| i64::from(p.weight)).sum()
    }

    /// Does the pod condition itself on the label `key`, be it in the selector or in every required term?
    pub fn conditions_on(&self, key: &str) -> bool {
        let in_term = |term: &Term| {
            term.labels
                .iter()
                .any(|r| r.key == key && !matches!(r.operator, Operator::DoesNotExist | Operator::NotIn(_)))
        };
        self.selector.get(key).is_some()
            || self.required.as_ref().is_some_and(|terms| !terms.is_empty() && terms.iter().all(in_term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    fn term(key: &str, operator: Operator) -> Term {
        Term { labels: vec![Requirement { key: key.into(), operator }], name: vec![] }
    }

    #[test]
    fn operators_match_as_upstream() {
        let node = labels(&[("zone", "a"), ("gpus", "8")]);
        let matches = |key: &str, operator| term(key, operator).matches("n", &node);
        assert!(matches("zone", Operator::In(vec!["a".into(), "b".into()])));
        assert!(!matches("zone", Operator::NotIn(vec!["a".into()])));
        assert!(matches("rack", Operator::NotIn(vec!["a".into()])));
        assert!(matches("zone", Operator::Exists));
        assert!(matches("rack", Operator::DoesNotExist));
        assert!(matches("gpus", Operator::Gt(7)));
        assert!(!matches("gpus", Operator::Lt(8)));
        assert!(!matches("zone", Operator::Gt(0)), "a value that is no number matches no comparison");
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_one_matches_nothing() {
        let node = labels(&[("zone", "a")]);
        let affinity = |terms| NodeAffinity { required: Some(terms), ..Default::default() };
        assert!(affinity(vec![Term::default(), term("zone", Operator::Exists)]).accepts("n", &node));
        assert!(!affinity(vec![Term::default()]).accepts("n", &node));
        assert!(!affinity(vec![]).accepts("n", &node));
        assert!(NodeAffinity::default().accepts("n", &node));
        let by_name = Term { name: vec![Requirement::equals("metadata.name", "n")], ..Default::default() };
        assert!(affinity(vec![by_name.clone()]).accepts("n", &node));
        assert!(!affinity(vec![by_name]).accepts("m", &node));
    }

    #[test]
    fn wishes_add_up() {
        let wish = |weight, key| Preference { weight, term: term(key, Operator::Exists) };
        let affinity = NodeAffinity { preferred: vec![wish(10, "zone"), wish(5, "rack")], ..Default::default() };
        assert_eq!(affinity.preference("n", &labels(&[("zone", "a")])), 10);
        assert_eq!(affinity.preference("n", &labels(&[("zone", "a"), ("rack", "1")])), 15);
    }

    #[test]
    fn a_condition_must_hold_in_every_alternative() {
        let named = NodeAffinity { selector: labels(&[("nvidia.com/gpu.product", "x")]), ..Default::default() };
        assert!(named.conditions_on("nvidia.com/gpu.product"));
        let either = NodeAffinity {
            required: Some(vec![term("a", Operator::Exists), term("b", Operator::Exists)]),
            ..Default::default()
        };
        assert!(!either.conditions_on("a"));
        let absent = NodeAffinity { required: Some(vec![term("a", Operator::DoesNotExist)]), ..Default::default() };
        assert!(!absent.conditions_on("a"));
    }
}
