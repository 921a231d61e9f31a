//! The extender's HTTP client, as kube-scheduler has one: same keys, same forms, same checks of the answers.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::k8s::object::{Metadata, Node, Pod};

/// In which form nodes are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferForm {
    /// Names only: `nodeCacheCapable: true`.
    Names,
    /// Whole nodes: `nodeCacheCapable: false`.
    Nodes,
}

/// How long every call of a verb took.
pub type Latencies = BTreeMap<&'static str, Vec<Duration>>;

/// A client of one extender.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    form: OfferForm,
    latencies: Latencies,
}

/// What filter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filtered {
    /// Where the pod may go, by position in the offer.
    pub nodes: Vec<usize>,
    /// Why not elsewhere, and on how many nodes.
    pub refused: BTreeMap<String, usize>,
}

impl Client {
    /// A client of the extender at `address`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(address: SocketAddr, form: OfferForm) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).timeout(HTTP_TIMEOUT).build()?;
        Ok(Self { http, url: format!("http://{address}/v1"), form, latencies: Latencies::new() })
    }

    /// How long the calls took.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// Where may the pod go?
    ///
    /// # Errors
    /// As kube-scheduler: on any status but 200, an answer that is none, one with an error, a node that was not offered.
    pub async fn filter(&mut self, pod: &Pod, offer: &[&Node]) -> anyhow::Result<Filtered> {
        let answer = self.post("filter", &Args::of(pod, offer, self.form)).await?;
        let result: FilterResult<'_> = read("filter", &answer)?;
        ensure!(result.error.is_empty(), "{}", result.error);
        let names = match (self.form, result.node_names, result.nodes) {
            (OfferForm::Names, Some(names), _) => names,
            (OfferForm::Nodes, _, Some(list)) => list.items.into_iter().map(|item| item.metadata.name).collect(),
            _ => bail!("filter answered in another form than it was asked in"),
        };
        let positions = positions(offer);
        let position = |Text(name): &Text<'_>| {
            positions.get(name.as_ref()).copied().with_context(|| {
                format!("extender claims a filtered node {name:?} which is not found in the input node list")
            })
        };
        let nodes = names.iter().map(position).collect::<anyhow::Result<_>>()?;
        let mut refused = result.failed_nodes.unwrap_or_default().0;
        for (reason, nodes) in result.failed_and_unresolvable_nodes.unwrap_or_default().0 {
            *refused.entry(reason).or_default() += nodes;
        }
        Ok(Filtered { nodes, refused })
    }

    /// How good are these places? In the order of the offer; who is not spoken of has 0.
    ///
    /// # Errors
    /// As [`Self::filter`].
    pub async fn prioritize(&mut self, pod: &Pod, offer: &[&Node]) -> anyhow::Result<Vec<i64>> {
        let answer = self.post("prioritize", &Args::of(pod, offer, self.form)).await?;
        let priorities: Vec<HostPriority<'_>> = read("prioritize", &answer)?;
        let positions = positions(offer);
        let mut scores = vec![0; offer.len()];
        for HostPriority { host: Text(host), score } in priorities {
            if let Some(at) = positions.get(host.as_ref()) {
                scores[*at] = score;
            }
        }
        Ok(scores)
    }

    /// Binds pods to their nodes, all at the same time: those of a gang wait for each other.
    ///
    /// # Errors
    /// As [`Self::filter`], when one of them fails.
    pub async fn bind(&mut self, pods: &[(&Pod, &str)]) -> anyhow::Result<()> {
        let calls = pods.iter().map(|(pod, node)| async {
            let Metadata { name, namespace, uid, .. } = &pod.metadata;
            let args = BindingArgs { pod_name: name, pod_namespace: namespace, pod_uid: uid, node };
            self.send("bind", &args).await
        });
        let answers = futures::future::join_all(calls).await;
        for answer in answers {
            let (answer, took) = answer?;
            self.latencies.entry("bind").or_default().push(took);
            let result: BindingResult = read("bind", &answer)?;
            ensure!(result.error.is_empty(), "{}", result.error);
        }
        Ok(())
    }

    async fn post(&mut self, verb: &'static str, args: &(impl Serialize + Sync)) -> anyhow::Result<Vec<u8>> {
        let (answer, took) = self.send(verb, args).await?;
        self.latencies.entry(verb).or_default().push(took);
        Ok(answer)
    }

    async fn send(&self, verb: &str, args: &(impl Serialize + Sync)) -> anyhow::Result<(Vec<u8>, Duration)> {
        let body = serde_json::to_vec(args)?;
        let request =
            self.http.post(format!("{}/{verb}", self.url)).header("Content-Type", "application/json").body(body);
        let start = Instant::now();
        let response = request.send().await.with_context(|| format!("no answer from {verb}"))?;
        let status = response.status();
        let answer = response.bytes().await.with_context(|| format!("the answer of {verb} broke off"))?;
        let took = start.elapsed();
        ensure!(status == reqwest::StatusCode::OK, "{verb}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok((answer.into(), took))
    }
}

fn read<'a, R: Deserialize<'a>>(verb: &str, answer: &'a [u8]) -> anyhow::Result<R> {
    serde_json::from_slice(answer).with_context(|| format!("the answer of {verb} cannot be read"))
}

/// Where each node stands in the offer.
fn positions<'a>(offer: &[&'a Node]) -> HashMap<&'a str, usize> {
    offer.iter().enumerate().map(|(at, node)| (node.metadata.name.as_str(), at)).collect()
}

/// As in the configuration that we ship.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Args<'a> {
    pod: &'a Pod,
    nodes: Option<NodeList<&'a Node>>,
    node_names: Option<Vec<&'a str>>,
}

impl<'a> Args<'a> {
    fn of(pod: &'a Pod, nodes: &[&'a Node], form: OfferForm) -> Self {
        match form {
            OfferForm::Names => {
                Self { pod, nodes: None, node_names: Some(nodes.iter().map(|n| n.metadata.name.as_str()).collect()) }
            }
            OfferForm::Nodes => Self { pod, nodes: Some(NodeList { items: nodes.to_vec() }), node_names: None },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct NodeList<T> {
    items: Vec<T>,
}

/// A string that is borrowed from the answer unless it has escapes in it: answers name thousands of nodes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    metadata: NamedMetadata<'a>,
}

#[derive(Deserialize)]
struct NamedMetadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterResult<'a> {
    #[serde(borrow)]
    nodes: Option<NodeList<Named<'a>>>,
    #[serde(borrow)]
    node_names: Option<Vec<Text<'a>>>,
    failed_nodes: Option<Reasons>,
    failed_and_unresolvable_nodes: Option<Reasons>,
    error: String,
}

/// What a map from nodes to reasons says: how often each reason is given.
#[derive(Default)]
struct Reasons(BTreeMap<String, usize>);

impl<'de> Deserialize<'de> for Reasons {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Reasons;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a reason for each node")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reasons, A::Error> {
                let mut reasons = Reasons::default();
                while let Some((IgnoredAny, Text(reason))) = map.next_entry()? {
                    match reasons.0.get_mut(reason.as_ref()) {
                        Some(count) => *count += 1,
                        None => drop(reasons.0.insert(reason.into_owned(), 1)),
                    }
                }
                Ok(reasons)
            }
        }
        deserializer.deserialize_map(Count)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostPriority<'a> {
    #[serde(borrow)]
    host: Text<'a>,
    score: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BindingArgs<'a> {
    pod_name: &'a str,
    pod_namespace: &'a str,
    #[serde(rename = "PodUID")]
    pod_uid: &'a str,
    node: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BindingResult {
    error: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_wire_is_what_go_writes() {
        let (pod, node) = (
            Pod::default(),
            Node { metadata: Metadata { name: "n".into(), ..Default::default() }, ..Default::default() },
        );
        let args = |form| serde_json::to_value(Args::of(&pod, &[&node], form)).unwrap();
        let names = args(OfferForm::Names);
        assert_eq!((&names["Nodes"], &names["NodeNames"]), (&json!(null), &json!(["n"])));
        assert!(names["Pod"]["metadata"].is_object());
        let nodes = args(OfferForm::Nodes);
        assert_eq!((&nodes["Nodes"]["items"][0]["metadata"]["name"], &nodes["NodeNames"]), (&json!("n"), &json!(null)));
        let binding = BindingArgs { pod_name: "p", pod_namespace: "d", pod_uid: "u", node: "n" };
        let binding = serde_json::to_value(binding).unwrap();
        assert_eq!(binding, json!({"PodName": "p", "PodNamespace": "d", "PodUID": "u", "Node": "n"}));
    }

    #[test]
    fn reasons_are_counted() {
        let answer = json!({
            "NodeNames": ["a"],
            "FailedNodes": {"b": "is full", "c": "is \"full\"", "d": "is full"},
            "FailedAndUnresolvableNodes": null,
            "Error": "",
        });
        let answer = answer.to_string();
        let result: FilterResult<'_> = read("filter", answer.as_bytes()).unwrap();
        let counts = BTreeMap::from([("is \"full\"".to_owned(), 1), ("is full".to_owned(), 2)]);
        assert_eq!(result.failed_nodes.map(|reasons| reasons.0), Some(counts));
        assert!(result.failed_and_unresolvable_nodes.is_none() && result.nodes.is_none());
        assert!(read::<FilterResult<'_>>("filter", b"[]").is_err());
    }
}
