//! The extender's HTTP client, as kube-scheduler has one: same keys, same forms, same checks of the answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;
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
    /// Where the pod may go.
    pub nodes: Vec<String>,
    /// Why not elsewhere.
    pub refused: BTreeMap<String, String>,
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
    pub async fn filter(&mut self, pod: &Pod, nodes: &[&Node]) -> anyhow::Result<Filtered> {
        let args = Args::of(pod, nodes, self.form);
        let result: FilterResult = self.post("filter", &args).await?;
        ensure!(result.error.is_empty(), "{}", result.error);
        let fit = match (self.form, result.node_names, result.nodes) {
            (OfferForm::Names, Some(names), _) => names,
            (OfferForm::Nodes, _, Some(list)) => list.items.into_iter().map(|item| item.metadata.name).collect(),
            _ => bail!("filter answered in another form than it was asked in"),
        };
        if let Some(stranger) = fit.iter().find(|name| nodes.iter().all(|node| node.metadata.name != **name)) {
            bail!("extender claims a filtered node {stranger:?} which is not found in the input node list");
        }
        let refused = result.failed_nodes.unwrap_or_default();
        let unresolvable = result.failed_and_unresolvable_nodes.unwrap_or_default();
        Ok(Filtered { nodes: fit, refused: refused.into_iter().chain(unresolvable).collect() })
    }

    /// How good are these places?
    ///
    /// # Errors
    /// As [`Self::filter`].
    pub async fn prioritize(&mut self, pod: &Pod, nodes: &[&Node]) -> anyhow::Result<BTreeMap<String, i64>> {
        let args = Args::of(pod, nodes, self.form);
        let scores: Vec<HostPriority> = self.post("prioritize", &args).await?;
        Ok(scores.into_iter().map(|priority| (priority.host, priority.score)).collect())
    }

    /// Binds the pod to the node.
    ///
    /// # Errors
    /// As [`Self::filter`].
    pub async fn bind(&mut self, pod: &Pod, node: &str) -> anyhow::Result<()> {
        let Metadata { name, namespace, uid, .. } = &pod.metadata;
        let args = BindingArgs { pod_name: name, pod_namespace: namespace, pod_uid: uid, node };
        let result: BindingResult = self.post("bind", &args).await?;
        ensure!(result.error.is_empty(), "{}", result.error);
        Ok(())
    }

    async fn post<A: Serialize + Sync, R: DeserializeOwned>(
        &mut self,
        verb: &'static str,
        args: &A,
    ) -> anyhow::Result<R> {
        let body = serde_json::to_vec(args)?;
        let request =
            self.http.post(format!("{}/{verb}", self.url)).header("Content-Type", "application/json").body(body);
        let start = Instant::now();
        let response = request.send().await.with_context(|| format!("no answer from {verb}"))?;
        let status = response.status();
        let answer = response.bytes().await.with_context(|| format!("the answer of {verb} broke off"))?;
        self.latencies.entry(verb).or_default().push(start.elapsed());
        ensure!(status == reqwest::StatusCode::OK, "{verb}: {status}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).with_context(|| format!("the answer of {verb} cannot be read"))
    }
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

#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterResult {
    nodes: Option<NodeList<Named>>,
    node_names: Option<Vec<String>>,
    failed_nodes: Option<BTreeMap<String, String>>,
    failed_and_unresolvable_nodes: Option<BTreeMap<String, String>>,
    error: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostPriority {
    host: String,
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
}
