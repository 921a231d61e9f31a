//! The claims of a workload: those of its manifest, and those that would be made from templates with its pods.

use std::collections::BTreeMap;

use serde_json::Value;
use testudo_core::claims::{ClaimKey, SeenClaim};

use super::workload::WorkloadError;
use crate::claims::{self, MalformedObject, Template};
use crate::k8s::devices::API_GROUP;
use crate::k8s::object;

/// The version of claims that is read.
const VERSION: &str = "v1";

/// The claims and templates that manifests have.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    named: BTreeMap<ClaimKey, SeenClaim>,
    templates: BTreeMap<ClaimKey, Template>,
}

/// A claim of a pod of a copy.
#[derive(Debug, Clone)]
pub(super) struct PodClaim {
    /// What the pod calls it.
    pub alias: String,
    /// The claim, with no devices yet.
    pub seen: SeenClaim,
    /// It was made with the pod, and goes with it.
    pub is_made: bool,
}

impl Claims {
    /// Takes in an object, if it is a claim or a template.
    ///
    /// # Errors
    /// When it is one that cannot be read.
    pub fn add(&mut self, object: &Value) -> Result<(), WorkloadError> {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let (kind, Some((API_GROUP, version))) = (text("/kind"), text("/apiVersion").split_once('/')) else {
            return Ok(());
        };
        if !matches!(kind, "ResourceClaim" | "ResourceClaimTemplate") {
            return Ok(());
        }
        let malformed = |what| WorkloadError::Malformed { object: format!("{kind} {}", text("/metadata/name")), what };
        if version != VERSION {
            return Err(malformed(format!("version {version} is not read: use {API_GROUP}/{VERSION}")));
        }
        let unreadable = |MalformedObject { field, what, .. }: MalformedObject| malformed(format!("{field}: {what}"));
        let mut object = object.clone();
        if text("/metadata/namespace").is_empty() {
            object["metadata"]["namespace"] = "default".into();
        }
        if kind == "ResourceClaim" {
            let seen = claims::seen_claim(&object).map_err(unreadable)?;
            // As it is when it has just been made.
            let seen = SeenClaim { allocation: None, version: 0, is_reserved: false, leaving: false, ..seen };
            self.named.insert(seen.claim.key.clone(), seen);
        } else {
            self.know(claims::template(&object).map_err(unreadable)?);
        }
        Ok(())
    }

    /// Takes in a template, unless there is another of its name.
    pub fn know(&mut self, template: Template) {
        self.templates.entry(template.key.clone()).or_insert(template);
    }

    /// The template that one of these pods names and that is not known.
    pub fn missing<'p>(&self, pods: impl IntoIterator<Item = &'p object::Pod>) -> Option<ClaimKey> {
        let named = |pod: &'p object::Pod| {
            let templates = pod.spec.resource_claims.iter().filter_map(|it| it.resource_claim_template_name.as_deref());
            templates.map(|template| key(pod, template))
        };
        pods.into_iter().flat_map(named).find(|key| !self.templates.contains_key(key))
    }

    /// Gives a pod of a copy its claims: those from templates are made, under names that begin with the pod's.
    pub fn give(&self, pod: &mut object::Pod) -> Vec<PodClaim> {
        let mut given = vec![];
        for reference in &pod.spec.resource_claims {
            let alias = reference.name.clone();
            let template = reference.resource_claim_template_name.as_deref();
            if let Some(template) = template.and_then(|name| self.templates.get(&key(pod, name))) {
                let name = format!("{}-{alias}", pod.metadata.name);
                given.push(PodClaim { alias: alias.clone(), seen: template.claim(&name), is_made: true });
                pod.status.resource_claim_statuses.push(object::ResourceClaimReference {
                    name: alias,
                    resource_claim_name: Some(name),
                    resource_claim_template_name: None,
                });
            } else if let Some(seen) =
                reference.resource_claim_name.as_deref().and_then(|name| self.named.get(&key(pod, name)))
            {
                given.push(PodClaim { alias, seen: seen.clone(), is_made: false });
            }
        }
        given
    }
}

fn key(pod: &object::Pod, name: &str) -> ClaimKey {
    ClaimKey { namespace: pod.metadata.namespace.as_str().into(), name: name.into() }
}
