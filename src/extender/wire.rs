//! The types on the wire.
//!
//! The Go types have no JSON tags: their keys are the Go names, and Go reads them in any case. So does this; it writes
//! the exact ones. `null` is read as absent, unknown keys are passed over, the last of several equal keys counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Binding, Candidate};
use crate::k8s::object::Pod;

/// What filter and prioritize are asked (`ExtenderArgs`).
#[derive(Debug, Default)]
pub struct ExtenderArgs<'a> {
    /// The pod to place.
    pub pod: Option<Pod>,
    /// The offer as whole nodes, each still as it came.
    pub nodes: Option<Counted<&'a RawValue>>,
    /// The offer as names.
    pub node_names: Option<Counted<Cow<'a, str>>>,
}

/// A list of which only so many items are kept as were asked for.
#[derive(Debug)]
pub struct Counted<T> {
    /// The items that were kept; `null` among them is left out.
    pub items: Vec<T>,
    /// How many there were.
    pub total: usize,
}

/// Reads [`ExtenderArgs`] and keeps at most `max_nodes` nodes, however many a body packs into its bytes.
#[derive(Debug, Clone, Copy)]
pub struct ReadExtenderArgs {
    /// How many nodes are kept.
    pub max_nodes: usize,
}

impl<'de> DeserializeSeed<'de> for ReadExtenderArgs {
    type Value = ExtenderArgs<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReadExtenderArgs {
    type Value = ExtenderArgs<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with Pod and either Nodes or NodeNames")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut args = ExtenderArgs::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if key.is("Pod") {
                args.pod = map.next_value()?;
            } else if key.is("Nodes") {
                args.nodes = map.next_value_seed(ReadNodeList(self.max_nodes))?;
            } else if key.is("NodeNames") {
                let names = map.next_value_seed(ReadList::<Key<'de>>::new(self.max_nodes, "an array of node names"))?;
                args.node_names = names.map(|list| Counted {
                    items: list.items.into_iter().map(|name| name.0).collect(),
                    total: list.total,
                });
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(args)
    }
}

/// A string that is borrowed from the body unless it has escapes in it. (A `Vec<Cow<str>>` would copy every one.)
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Key<'_> {
    fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

/// A `NodeList`: its `items` are read, the rest is passed over.
struct ReadNodeList(usize);

impl<'de> DeserializeSeed<'de> for ReadNodeList {
    type Value = Option<Counted<&'de RawValue>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadNodeList {
    type Value = Option<Counted<&'de RawValue>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of nodes: an object with items")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut nodes = None;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            if key.is("items") {
                nodes = map.next_value_seed(ReadList::new(self.0, "an array of nodes"))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Some(nodes.unwrap_or(Counted { items: Vec::new(), total: 0 })))
    }
}

struct ReadList<T> {
    max: usize,
    expected: &'static str,
    item: PhantomData<T>,
}

impl<T> ReadList<T> {
    fn new(max: usize, expected: &'static str) -> Self {
        Self { max, expected, item: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for ReadList<T> {
    type Value = Option<Counted<T>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ReadList<T> {
    type Value = Option<Counted<T>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Counted { items: Vec::new(), total: 0 };
        while list.total < self.max
            && let Some(item) = seq.next_element::<Option<T>>()?
        {
            list.total += 1;
            list.items.extend(item);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            list.total += 1;
        }
        Ok(Some(list))
    }
}

/// Reads an object whose keys may be in any case; a field that is `null` or absent has its default.
macro_rules! read_in_any_case {
    ($type:ident $(<$of:ident>)?, $expected:literal, $($key:literal => $field:ident),+) => {
        impl<'de $(, $of: Deserialize<'de>)?> Deserialize<'de> for $type $(<$of>)? {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Read $(<$of>(PhantomData<$of>))?;
                impl<'de $(, $of: Deserialize<'de>)?> Visitor<'de> for Read $(<$of>)? {
                    type Value = $type $(<$of>)?;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = Self::Value::default();
                        while let Some(key) = map.next_key::<Key<'de>>()? {
                            $(if key.is($key) {
                                object.$field = map.next_value::<Option<_>>()?.unwrap_or_default();
                            } else)+ {
                                map.next_value::<IgnoredAny>()?;
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Read $(::<$of>(PhantomData))?)
            }
        }
    };
}

/// What bind is asked.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct ExtenderBindingArgs {
    pub pod_name: String,
    pub pod_namespace: String,
    pub pod_uid: String,
    pub node: String,
}

read_in_any_case!(
    ExtenderBindingArgs, "an object with PodName, PodNamespace, PodUID and Node",
    "PodName" => pod_name, "PodNamespace" => pod_namespace, "PodUID" => pod_uid, "Node" => node
);

impl From<ExtenderBindingArgs> for Binding {
    fn from(args: ExtenderBindingArgs) -> Self {
        Self { pod_name: args.pod_name, pod_namespace: args.pod_namespace, pod_uid: args.pod_uid, node: args.node }
    }
}

/// What preempt is asked.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct ExtenderPreemptionArgs {
    pub pod: Option<Pod>,
    pub node_name_to_victims: Option<VictimsByNode<VictimPod>>,
    pub node_name_to_meta_victims: Option<VictimsByNode<MetaPod>>,
}

read_in_any_case!(
    ExtenderPreemptionArgs, "an object with Pod and either NodeNameToVictims or NodeNameToMetaVictims",
    "Pod" => pod,
    "NodeNameToVictims" => node_name_to_victims, "NodeNameToMetaVictims" => node_name_to_meta_victims
);

/// The victims on each node.
pub type VictimsByNode<P> = BTreeMap<String, Option<Victims<P>>>;

/// `Victims` with whole pods, `MetaVictims` with their UIDs.
#[derive(Debug)]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct Victims<P> {
    pub pods: Vec<Option<P>>,
    pub num_pdb_violations: i64,
}

impl<P> Default for Victims<P> {
    fn default() -> Self {
        Self { pods: Vec::new(), num_pdb_violations: 0 }
    }
}

read_in_any_case!(
    Victims<P>, "an object with Pods and NumPDBViolations",
    "Pods" => pods, "NumPDBViolations" => num_pdb_violations
);

/// A victim by its UID.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct MetaPod {
    #[serde(rename = "UID")]
    pub uid: String,
}

read_in_any_case!(MetaPod, "an object with UID", "UID" => uid);

/// A victim as a whole pod, of which only the UID is of interest.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct VictimPod {
    pub metadata: MetaPod,
}

read_in_any_case!(VictimPod, "a Pod", "metadata" => metadata);

impl<P: Into<MetaPod>> From<Victims<P>> for Candidate {
    fn from(victims: Victims<P>) -> Self {
        Self {
            victim_uids: victims.pods.into_iter().flatten().map(|pod| pod.into().uid).collect(),
            pdb_violations: victims.num_pdb_violations,
        }
    }
}

impl From<VictimPod> for MetaPod {
    fn from(pod: VictimPod) -> Self {
        pod.metadata
    }
}

/// The candidates of a preemption, in whichever form they came.
pub fn candidates<P: Into<MetaPod>>(victims: VictimsByNode<P>) -> BTreeMap<String, Candidate> {
    victims.into_iter().map(|(node, victims)| (node, victims.map(Candidate::from).unwrap_or_default())).collect()
}

/// The answer of filter where there are no verdicts; kube-scheduler shows the text on the pod. The others are
/// [written](super::write) without a type of their own, as are those of prioritize.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct ExtenderFilterResult<'a> {
    pub nodes: Option<()>,
    pub node_names: Option<()>,
    pub failed_nodes: BTreeMap<&'a str, &'a str>,
    pub failed_and_unresolvable_nodes: BTreeMap<&'a str, &'a str>,
    pub error: &'a str,
}

impl<'a> ExtenderFilterResult<'a> {
    /// No verdicts, for this reason.
    pub fn of_error(error: &'a str) -> Self {
        Self { error, ..Self::default() }
    }
}

/// The answer of bind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct ExtenderBindingResult<'a> {
    pub error: &'a str,
}

/// The answer of preempt, always with UIDs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct ExtenderPreemptionResult {
    pub node_name_to_meta_victims: BTreeMap<String, MetaVictims>,
}

/// The victims on one node.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "named as in the extender API")]
pub struct MetaVictims {
    #[serde(rename = "Pods")]
    pub pods: Vec<MetaPod>,
    #[serde(rename = "NumPDBViolations")]
    pub num_pdb_violations: i64,
}

impl From<Candidate> for MetaVictims {
    fn from(candidate: Candidate) -> Self {
        Self {
            pods: candidate.victim_uids.into_iter().map(|uid| MetaPod { uid }).collect(),
            num_pdb_violations: candidate.pdb_violations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_beyond_the_limit_are_counted_and_not_kept() {
        let read = |body: &'static str| {
            let args = ReadExtenderArgs { max_nodes: 2 };
            args.deserialize(&mut serde_json::Deserializer::from_str(body)).unwrap()
        };
        let names = read(r#"{"NodeNames":["a","b","c","d"]}"#).node_names.unwrap();
        assert_eq!((names.items.as_slice(), names.total), (&["a".into(), "b".into()][..], 4));
        assert!(matches!(names.items[0], Cow::Borrowed(_)), "a name without escapes is not copied");
        let nodes = read(r#"{"Nodes":{"items":[{},{},{}]}}"#).nodes.unwrap();
        assert_eq!((nodes.items.len(), nodes.total), (2, 3));
    }
}
