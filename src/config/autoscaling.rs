//! How testudo works beside an autoscaler of nodes.

use std::time::Duration;

use serde::Deserialize;
use testudo_core::engine::AutoscalingPolicy;

use super::{milliseconds, units};

/// How testudo works beside an autoscaler of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AutoscalingSection {
    /// Do node groups grow and shrink? `false` by default: then gangs that are short of nodes keep their gates, which costs
    /// kube-scheduler less.
    pub enabled: bool,
    /// For how long a gang has been short of nodes before its gates are opened, so that the autoscaler sees it, `10s` by
    /// default.
    #[serde(deserialize_with = "units::duration")]
    pub show_after: Duration,
    /// The class of the ProvisioningRequest that is made for a gang which is short of nodes, where the cluster has that kind;
    /// `none` by default.
    pub provisioning_class: ProvisioningClass,
    /// Does the autoscaler count devices for claims, as Cluster Autoscaler does from 1.35 on? `false` by default: then people are
    /// told of gangs that are short of such devices.
    pub simulates_claims: bool,
    /// Are nodes that a plan needs kept from being removed? `true` by default.
    pub protect_nodes: bool,
}

/// How nodes are asked for by a ProvisioningRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProvisioningClass {
    /// Not at all.
    #[default]
    None,
    /// What there is is checked, and kept for the gang.
    CheckCapacity,
    /// All nodes that it needs are made, or none.
    BestEffortAtomicScaleUp,
}

impl ProvisioningClass {
    /// As the autoscaler calls it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::CheckCapacity => Some("check-capacity.autoscaling.x-k8s.io"),
            Self::BestEffortAtomicScaleUp => Some("best-effort-atomic-scale-up.autoscaling.x-k8s.io"),
        }
    }
}

impl Default for AutoscalingSection {
    fn default() -> Self {
        Self {
            enabled: false,
            show_after: Duration::from_secs(10),
            provisioning_class: ProvisioningClass::None,
            simulates_claims: false,
            protect_nodes: true,
        }
    }
}

impl AutoscalingSection {
    /// The part that the engine decides by; nothing where there is no autoscaler.
    pub(super) fn policy(&self) -> Option<AutoscalingPolicy> {
        self.enabled.then(|| AutoscalingPolicy {
            show_after_ms: milliseconds(self.show_after),
            provisioning_class: self.provisioning_class.name().map(Into::into),
            simulates_claims: self.simulates_claims,
            protect_nodes: self.protect_nodes,
            ..AutoscalingPolicy::default()
        })
    }
}
