//! Which nodes a slice or a device is for.

use crate::model::selector::{Labels, Operator, Requirement, Term};

/// A node, as far as slices select it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: Box<str>,
    /// Its labels.
    pub labels: Labels,
}

/// A requirement of a node selector, as it was written: allocations repeat it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRequirement {
    /// The label, or the field.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: String,
    /// What it compares with.
    pub values: Vec<String>,
}

impl NodeRequirement {
    /// Whether both ask for the same; the order of the values says nothing.
    fn is_same(&self, other: &NodeRequirement) -> bool {
        let has = |values: &[String], value: &String| values.contains(value);
        self.key == other.key
            && self.operator == other.operator
            && self.values.iter().all(|value| has(&other.values, value))
            && other.values.iter().all(|value| has(&self.values, value))
    }
}

/// A term of a node selector, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeTerm {
    /// `matchExpressions`.
    pub labels: Vec<NodeRequirement>,
    /// `matchFields`.
    pub fields: Vec<NodeRequirement>,
}

impl NodeTerm {
    /// The node of this name.
    pub fn of_node(name: &str) -> NodeTerm {
        let values = vec![name.to_owned()];
        let requirement = NodeRequirement { key: "metadata.name".into(), operator: "In".into(), values };
        NodeTerm { labels: vec![], fields: vec![requirement] }
    }

    /// Adds the requirements of another term that this one does not have yet.
    pub fn add(&mut self, other: &NodeTerm) {
        for (from, to) in [(&other.labels, &mut self.labels), (&other.fields, &mut self.fields)] {
            for requirement in from {
                if !to.iter().any(|known| known.is_same(requirement)) {
                    to.push(requirement.clone());
                }
            }
        }
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// A node selector: as it was written, and as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSelector {
    /// Its terms.
    pub terms: Vec<NodeTerm>,
    /// What they mean, or why they mean nothing: then looking for nodes with it is an error, as upstream.
    pub meaning: Result<Vec<Term>, String>,
}

impl NodeSelector {
    /// Any of these terms.
    pub fn new(terms: Vec<NodeTerm>) -> NodeSelector {
        let meaning = terms.iter().filter(|term| !term.is_empty()).map(meaning).collect();
        NodeSelector { terms, meaning }
    }

    /// Is a node one of these? None is, where it makes no sense.
    pub fn takes(&self, name: &str, labels: &Labels) -> bool {
        self.meaning.as_ref().is_ok_and(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }

    /// The node of this name.
    pub fn of_node(name: &str) -> NodeSelector {
        let by_name = Requirement { key: "metadata.name".into(), operator: Operator::In(vec![name.to_owned()]) };
        NodeSelector {
            terms: vec![NodeTerm::of_node(name)],
            meaning: Ok(vec![Term { labels: vec![], name: vec![by_name] }]),
        }
    }
}

/// What a term means. Upstream refuses to select with one that it does not understand.
fn meaning(term: &NodeTerm) -> Result<Term, String> {
    let read =
        |requirement: &NodeRequirement, operator: Operator| Requirement { key: requirement.key.clone(), operator };
    let labels = term.labels.iter().map(|requirement| Ok(read(requirement, label_operator(requirement)?)));
    let name = term.fields.iter().map(|requirement| Ok(read(requirement, field_operator(requirement)?)));
    Ok(Term { labels: labels.collect::<Result<_, String>>()?, name: name.collect::<Result<_, String>>()? })
}

fn label_operator(requirement: &NodeRequirement) -> Result<Operator, String> {
    let NodeRequirement { key, operator, values } = requirement;
    let number = |value: &String| {
        value.parse::<i64>().map_err(|_| format!("{operator} of {key} needs a whole number, not {value:?}"))
    };
    match (operator.as_str(), values.as_slice()) {
        _ if key.is_empty() => Err("a key is missing".into()),
        ("In" | "NotIn", []) => Err(format!("{operator} of {key} needs values")),
        ("In", values) => Ok(Operator::In(values.to_vec())),
        ("NotIn", values) => Ok(Operator::NotIn(values.to_vec())),
        ("Exists", []) => Ok(Operator::Exists),
        ("DoesNotExist", []) => Ok(Operator::DoesNotExist),
        ("Gt", [value]) => Ok(Operator::Gt(number(value)?)),
        ("Lt", [value]) => Ok(Operator::Lt(number(value)?)),
        ("Exists" | "DoesNotExist" | "Gt" | "Lt", values) => {
            Err(format!("{operator} of {key} does not go with {} values", values.len()))
        }
        _ => Err(format!("operator {operator:?} is not known")),
    }
}

/// A node has one field, and exactly one value can be asked of it. The others are empty.
fn field_operator(requirement: &NodeRequirement) -> Result<Operator, String> {
    let NodeRequirement { key, operator, values } = requirement;
    let is_name = key == "metadata.name";
    match (operator.as_str(), values.as_slice()) {
        ("In", [value]) if is_name => Ok(Operator::In(vec![value.clone()])),
        ("NotIn", [value]) if is_name => Ok(Operator::NotIn(vec![value.clone()])),
        ("In", [value]) => Ok(if value.is_empty() { Operator::Exists } else { Operator::DoesNotExist }),
        ("NotIn", [value]) => Ok(if value.is_empty() { Operator::DoesNotExist } else { Operator::Exists }),
        ("In" | "NotIn", _) => Err(format!("{operator} of field {key} takes exactly one value")),
        _ => Err(format!("operator {operator:?} is not for fields")),
    }
}

/// Which nodes something is for. Of several answers the first counts, in the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// `nodeName`.
    pub name: Option<Box<str>>,
    /// `allNodes`.
    pub all: bool,
    /// `nodeSelector`.
    pub selector: Option<NodeSelector>,
}

impl Nodes {
    /// The one node, if it is one. An empty name is none.
    pub fn single(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether anything is said.
    pub fn is_given(&self) -> bool {
        self.single().is_some() || self.all || self.selector.is_some()
    }

    /// Whether a node is among them.
    ///
    /// # Errors
    /// When the selector cannot be understood.
    pub fn include(&self, node: &Node) -> Result<bool, &str> {
        if let Some(name) = self.single() {
            return Ok(*name == *node.name);
        }
        match &self.selector {
            _ if self.all => Ok(true),
            Some(selector) => {
                let terms = selector.meaning.as_ref().map_err(String::as_str)?;
                Ok(terms.iter().any(|term| term.matches(&node.name, &node.labels)))
            }
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(key: &str, values: &[&str]) -> NodeRequirement {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        NodeRequirement { key: key.into(), operator: "In".into(), values }
    }

    #[test]
    fn what_is_there_already_is_not_added_again() {
        let mut term = NodeTerm { labels: vec![requirement("zone", &["a", "b"])], fields: vec![] };
        term.add(&NodeTerm { labels: vec![requirement("zone", &["b", "a"])], fields: vec![] });
        assert_eq!(term.labels.len(), 1);
        term.add(&NodeTerm { labels: vec![requirement("zone", &["a"])], fields: vec![] });
        assert_eq!(term.labels.len(), 2);
    }

    #[test]
    fn the_first_answer_counts() {
        let node = Node { name: "n".into(), labels: [("zone", "a")].into_iter().collect() };
        let nodes = |name: &str, all| Nodes { name: Some(name.into()), all, selector: None };
        assert_eq!(nodes("n", false).include(&node), Ok(true));
        assert_eq!(nodes("m", true).include(&node), Ok(false));
        assert_eq!(nodes("", true).include(&node), Ok(true));
        assert_eq!(Nodes::default().include(&node), Ok(false));
        let selector = NodeSelector { terms: vec![], meaning: Err("unknown operator".into()) };
        assert!(Nodes { selector: Some(selector), ..Nodes::default() }.include(&node).is_err());
    }
}
