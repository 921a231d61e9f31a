//! One question to both allocators.

use serde_json::Value;

/// Objects, and the node that they are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it was drawn from.
    pub seed: u64,
    /// Nodes, classes, slices and claims.
    pub objects: Vec<Value>,
    /// The node.
    pub node: String,
}

impl Case {
    /// The objects of a kind, in their order.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The names of all nodes.
    pub fn nodes(&self) -> Vec<&str> {
        self.of("Node").filter_map(|node| node["metadata"]["name"].as_str()).collect()
    }
}

/// Whether a claim is one that has to be allocated.
pub fn is_pending(claim: &Value) -> bool {
    claim["status"]["allocation"].is_null()
}

/// The items of a list; none where there is no list.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty where there is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
