//! Keeping autoscalers from removing a node, by annotations that they know.
//!
//! What stood on the node before is not ours: only annotations that were missing are set, and which those were is written
//! beside them, so that whoever leads next takes away these and no others. Each write has the version that was read as its
//! precondition.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::pages;

/// What we set on a node: the annotations that were set with it, separated by commas.
pub const PROTECTED_ANNOTATION: &str = "testudo.dev/protected";

/// By these autoscalers know that a node is not to be removed.
const ANNOTATIONS: [&str; 2] = ["cluster-autoscaler.kubernetes.io/scale-down-disabled", "karpenter.sh/do-not-disrupt"];

/// What they are set to.
const SET: &str = "true";

/// Writes on nodes that they are not to be removed.
#[derive(Clone)]
pub struct Protector {
    nodes: Api<Node>,
}

impl Protector {
    /// One that writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { nodes: Api::all(client) }
    }

    /// Protects a node, unless it is protected already.
    ///
    /// # Errors
    /// When the API server refuses, or the node has changed meanwhile.
    pub async fn protect(&self, node: &str) -> Result<(), kube::Error> {
        self.change(node, protecting).await
    }

    /// Takes the protection from a node, as far as it is ours.
    ///
    /// # Errors
    /// When the API server refuses, or the node has changed meanwhile.
    pub async fn unprotect(&self, node: &str) -> Result<(), kube::Error> {
        self.change(node, unprotecting).await
    }

    /// Takes our protection from all nodes, or with `dry_run` only says from which.
    ///
    /// # Errors
    /// When nodes cannot be listed, or one cannot be written.
    pub async fn unprotect_all(&self, dry_run: bool) -> Result<Vec<String>, kube::Error> {
        let mut protected = vec![];
        let mut page = Some(pages::first());
        while let Some(asked) = page {
            let nodes = self.nodes.list_metadata(&asked).await?;
            page = pages::after(&nodes.metadata);
            let ours = nodes.items.iter().filter(|node| node.annotations().contains_key(PROTECTED_ANNOTATION));
            protected.extend(ours.map(ResourceExt::name_any));
        }
        if !dry_run {
            for node in &protected {
                self.unprotect(node).await?;
            }
        }
        Ok(protected)
    }

    /// Changes the annotations of a node, if there is anything to change and it is still there.
    async fn change(
        &self,
        name: &str,
        annotations: impl FnOnce(&BTreeMap<String, String>) -> Option<Value>,
    ) -> Result<(), kube::Error> {
        let Some(node) = self.nodes.get_metadata_opt(name).await? else { return Ok(()) };
        let Some(annotations) = annotations(node.annotations()) else { return Ok(()) };
        let patch = json!({"metadata": {"resourceVersion": version(&node), "annotations": annotations}});
        self.nodes.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }
}

fn version(node: &PartialObjectMeta<Node>) -> Option<&str> {
    node.metadata.resource_version.as_deref()
}

/// What is missing, and the note that it was us who set it.
fn protecting(annotations: &BTreeMap<String, String>) -> Option<Value> {
    if annotations.contains_key(PROTECTED_ANNOTATION) {
        return None;
    }
    let missing: Vec<&str> = ANNOTATIONS.into_iter().filter(|key| !annotations.contains_key(*key)).collect();
    let mut set: serde_json::Map<String, Value> = missing.iter().map(|key| ((*key).to_owned(), json!(SET))).collect();
    set.insert(PROTECTED_ANNOTATION.to_owned(), json!(missing.join(",")));
    Some(set.into())
}

/// What we have set is taken away, unless somebody has given it another value since.
fn unprotecting(annotations: &BTreeMap<String, String>) -> Option<Value> {
    let ours = annotations.get(PROTECTED_ANNOTATION)?;
    // What stands in the note is looked for among what we could have written: others may write there, too.
    let ours = ANNOTATIONS.into_iter().filter(|key| ours.split(',').any(|set| set == *key));
    let as_set = ours.filter(|key| annotations.get(*key).is_some_and(|value| value == SET));
    let mut gone: serde_json::Map<String, Value> = as_set.map(|key| (key.to_owned(), Value::Null)).collect();
    gone.insert(PROTECTED_ANNOTATION.to_owned(), Value::Null);
    Some(gone.into())
}

#[cfg(test)]
mod tests {
    use super::super::mock::{ApiServer, failure};
    use super::*;

    const CLUSTER_AUTOSCALER: &str = ANNOTATIONS[0];
    const KARPENTER: &str = ANNOTATIONS[1];

    fn node(annotations: &[(&str, &str)]) -> Value {
        let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "n", "resourceVersion": "7", "annotations": annotations},
        })
    }

    /// What is written on a node that has these annotations.
    async fn written(annotations: &[(&str, &str)], protect: bool) -> Option<Value> {
        let node = node(annotations).to_string();
        let server = ApiServer::new(move |_| Some((200, node.clone())));
        let protector = Protector::new(server.client.clone());
        match protect {
            true => protector.protect("n").await.unwrap(),
            false => protector.unprotect("n").await.unwrap(),
        }
        let requests = server.requests.lock().clone();
        let patch = requests.iter().find(|request| request.starts_with("PATCH /api/v1/nodes/n"))?;
        let body: Value = serde_json::from_str(&patch[patch.find('{')?..]).unwrap();
        assert_eq!(body["metadata"]["resourceVersion"], "7");
        Some(body["metadata"]["annotations"].clone())
    }

    #[tokio::test]
    async fn only_what_was_missing_is_set_and_only_that_is_taken_away() {
        let both = format!("{CLUSTER_AUTOSCALER},{KARPENTER}");
        let set = json!({CLUSTER_AUTOSCALER: "true", KARPENTER: "true", PROTECTED_ANNOTATION: both});
        assert_eq!(written(&[("other", "1")], true).await, Some(set));
        let set = json!({CLUSTER_AUTOSCALER: "true", PROTECTED_ANNOTATION: CLUSTER_AUTOSCALER});
        assert_eq!(written(&[(KARPENTER, "false")], true).await, Some(set), "what a user says is left alone");

        let of_user = [(KARPENTER, "true"), (CLUSTER_AUTOSCALER, "true"), (PROTECTED_ANNOTATION, CLUSTER_AUTOSCALER)];
        let gone = json!({CLUSTER_AUTOSCALER: null, PROTECTED_ANNOTATION: null});
        assert_eq!(written(&of_user, false).await, Some(gone));
        let changed = [(CLUSTER_AUTOSCALER, "false"), (PROTECTED_ANNOTATION, both.as_str())];
        assert_eq!(written(&changed, false).await, Some(json!({PROTECTED_ANNOTATION: null})));
        let forged = [("other", "true"), (PROTECTED_ANNOTATION, "other")];
        assert_eq!(written(&forged, false).await, Some(json!({PROTECTED_ANNOTATION: null})));
    }

    #[tokio::test]
    async fn what_is_so_already_is_not_written() {
        assert_eq!(written(&[(PROTECTED_ANNOTATION, "")], true).await, None);
        assert_eq!(written(&[(CLUSTER_AUTOSCALER, "true")], false).await, None);
    }

    #[tokio::test]
    async fn a_node_that_is_gone_needs_nothing_and_a_conflict_is_told() {
        let server = ApiServer::new(|_| Some(failure(404, "NotFound", "gone")));
        Protector::new(server.client.clone()).unprotect("n").await.unwrap();
        let server = ApiServer::new(|request| match request.starts_with("GET") {
            true => Some((200, node(&[]).to_string())),
            false => Some(failure(409, "Conflict", "it has changed")),
        });
        assert!(Protector::new(server.client.clone()).protect("n").await.is_err());
    }

    #[tokio::test]
    async fn all_that_is_ours_is_found() {
        let server = ApiServer::new(|request| {
            let ours = node(&[(PROTECTED_ANNOTATION, CLUSTER_AUTOSCALER), (CLUSTER_AUTOSCALER, "true")]);
            let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {},
                "items": [ours, {"metadata": {"name": "other"}}]});
            Some((200, if request.starts_with("GET /api/v1/nodes?") { list.to_string() } else { ours.to_string() }))
        });
        let protector = Protector::new(server.client.clone());
        assert_eq!(protector.unprotect_all(true).await.unwrap(), ["n"]);
        assert!(server.requests.lock().iter().all(|request| !request.starts_with("PATCH")));
        assert_eq!(protector.unprotect_all(false).await.unwrap(), ["n"]);
        assert_eq!(server.requests.lock().iter().filter(|request| request.starts_with("PATCH")).count(), 1);
    }
}
