//! Pods that ask for devices.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaimVolumeSource, Pod, PodResourceClaim, PodSchedulingGate, PodSpec, ResourceClaim,
    ResourceRequirements, Toleration, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use crate::scheduler_config::SCHEDULER_NAME;

/// Starts a pod of one container, for the scheduler [`SCHEDULER_NAME`], that asks for nothing.
pub fn pod(name: &str) -> PodBuilder {
    let container = Container {
        name: "main".to_owned(),
        // Never pulled: nothing runs here.
        image: Some("example.invalid/workload".to_owned()),
        ..Container::default()
    };
    let spec = PodSpec {
        scheduler_name: Some(SCHEDULER_NAME.to_owned()),
        automount_service_account_token: Some(false),
        termination_grace_period_seconds: Some(0),
        ..PodSpec::default()
    };
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    PodBuilder {
        metadata,
        spec,
        container,
        resources: BTreeMap::new(),
        claims: vec![],
        scheduling_group: None,
        anywhere: false,
    }
}

/// A pod that is being described.
#[derive(Debug, Clone)]
pub struct PodBuilder {
    metadata: ObjectMeta,
    spec: PodSpec,
    container: Container,
    resources: BTreeMap<String, Quantity>,
    claims: Vec<String>,
    scheduling_group: Option<String>,
    pub(crate) anywhere: bool,
}

impl PodBuilder {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Another name.
    pub fn named(mut self, name: &str) -> Self {
        self.metadata.name = Some(name.to_owned());
        self
    }

    /// A request with a limit of the same size, which extended resources must have.
    pub fn request(mut self, resource: &str, quantity: impl ToString) -> Self {
        self.resources.insert(resource.to_owned(), Quantity(quantity.to_string()));
        self
    }

    /// Whole GPUs.
    pub fn gpus(self, count: u32) -> Self {
        self.request("nvidia.com/gpu", count)
    }

    /// Slices of one MIG profile, as in `mig("3g.20gb", 1)`.
    pub fn mig(self, profile: &str, count: u32) -> Self {
        self.request(&format!("nvidia.com/mig-{profile}"), count)
    }

    /// A node selector.
    pub fn selector(mut self, key: &str, value: &str) -> Self {
        self.spec.node_selector.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// A toleration of every taint with this key.
    pub fn toleration(mut self, key: &str) -> Self {
        let toleration =
            Toleration { key: Some(key.to_owned()), operator: Some("Exists".to_owned()), ..Toleration::default() };
        self.spec.tolerations.get_or_insert_default().push(toleration);
        self
    }

    /// Another scheduler.
    pub fn scheduler(mut self, name: &str) -> Self {
        self.spec.scheduler_name = Some(name.to_owned());
        self
    }

    /// A label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.metadata.labels.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// An annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// A priority class, which must exist.
    pub fn priority_class(mut self, name: &str) -> Self {
        self.spec.priority_class_name = Some(name.to_owned());
        self
    }

    /// A scheduling gate.
    pub fn gate(mut self, name: &str) -> Self {
        self.spec.scheduling_gates.get_or_insert_default().push(PodSchedulingGate { name: name.to_owned() });
        self
    }

    /// The PodGroup of Kubernetes' own API that it belongs to (`spec.schedulingGroup`, since 1.36).
    pub fn scheduling_group(mut self, pod_group: &str) -> Self {
        self.scheduling_group = Some(pod_group.to_owned());
        self
    }

    /// Not bound to the nodes of its scenario (see [`Namespace`](crate::Namespace)).
    pub fn anywhere(mut self) -> Self {
        self.anywhere = true;
        self
    }

    /// A volume that is a persistent volume claim of the same namespace.
    pub fn claim(self, claim: &str) -> Self {
        let source = PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), ..Default::default() };
        let volume = Volume { name: claim.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() };
        self.spec(|spec| spec.volumes.get_or_insert_default().push(volume))
    }

    /// A ResourceClaim of this name, of the same namespace.
    pub fn device_claim(self, name: &str) -> Self {
        let claim = PodResourceClaim {
            name: name.to_owned(),
            resource_claim_name: Some(name.to_owned()),
            ..PodResourceClaim::default()
        };
        self.with_claim(claim)
    }

    /// A ResourceClaim that is made from this template.
    pub fn device_claim_template(self, template: &str) -> Self {
        let claim = PodResourceClaim {
            name: template.to_owned(),
            resource_claim_template_name: Some(template.to_owned()),
            ..PodResourceClaim::default()
        };
        self.with_claim(claim)
    }

    fn with_claim(mut self, claim: PodResourceClaim) -> Self {
        self.claims.push(claim.name.clone());
        self.spec(|spec| spec.resource_claims.get_or_insert_default().push(claim))
    }

    /// Whatever else the specification needs.
    pub fn spec(mut self, change: impl FnOnce(&mut PodSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// The object with what the generated types do not have yet.
    pub(crate) fn build_json(mut self) -> Result<Value> {
        let group = self.scheduling_group.take();
        let mut pod = serde_json::to_value(self.build()).context("a pod that is no JSON")?;
        if let Some(group) = group {
            pod["spec"]["schedulingGroup"] = json!({ "podGroupName": group });
        }
        Ok(pod)
    }

    /// The object.
    pub fn build(self) -> Pod {
        let Self { metadata, mut spec, mut container, resources, claims, .. } = self;
        let claims = claims.into_iter().map(|name| ResourceClaim { name, request: None });
        container.resources = Some(ResourceRequirements {
            claims: Some(claims.collect::<Vec<_>>()).filter(|claims| !claims.is_empty()),
            requests: Some(resources.clone()),
            limits: Some(resources),
        });
        spec.containers.insert(0, container);
        Pod { metadata, spec: Some(spec), status: None }
    }
}
