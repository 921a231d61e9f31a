//! Taints of nodes and the tolerations of pods.

use std::fmt;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Not placed there.
    NoSchedule,
    /// Placed there only when nothing else fits.
    PreferNoSchedule,
    /// Not placed there, and evicted when already there.
    NoExecute,
}

impl Effect {
    /// The effect by its API name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "NoSchedule" => Self::NoSchedule,
            "PreferNoSchedule" => Self::PreferNoSchedule,
            "NoExecute" => Self::NoExecute,
            _ => return None,
        })
    }
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// Its key, for example `nvidia.com/gpu`.
    pub key: String,
    /// Its value, often empty.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        write!(f, ":{:?}", self.effect)
    }
}

/// Why a node carries a taint, where its key says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaintPurpose {
    /// The node is on its way out: an autoscaler or an interruption handler is removing it.
    Disruption,
    /// The node is on its way in: something on it is not ready yet.
    Startup,
    /// Anything else, for example a pool reserved for GPU work.
    Other,
}

/// Keys with which autoscalers and interruption handlers mark a node that is about to go.
const DISRUPTION_KEYS: &[&str] = &[
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "ToBeDeletedByClusterAutoscaler",
    "DeletionCandidateOfClusterAutoscaler",
    "aws-node-termination-handler/spot-itn",
    "aws-node-termination-handler/scheduled-maintenance",
    "aws-node-termination-handler/asg-lifecycle-termination",
    "aws-node-termination-handler/rebalance-recommendation",
    "cloud.google.com/impending-node-termination",
    "node.cloudprovider.kubernetes.io/shutdown",
    "node.kubernetes.io/out-of-service",
];

/// Keys with which a node that is not ready for work yet is marked.
const STARTUP_KEYS: &[&str] = &[
    "karpenter.sh/unregistered",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cilium.io/agent-not-ready",
    "ebs.csi.aws.com/agent-not-ready",
    "efs.csi.aws.com/agent-not-ready",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/unreachable",
];

/// Prefix of startup taints that Cluster Autoscaler knows by name only.
const STARTUP_PREFIXES: &[&str] =
    &["startup-taint.cluster-autoscaler.kubernetes.io/", "ignore-taint.cluster-autoscaler.kubernetes.io/"];

impl Taint {
    /// The taint that a cordoned node has, be it written on the node or not: who tolerates it is let in.
    pub fn of_cordon() -> Self {
        Self { key: "node.kubernetes.io/unschedulable".into(), value: String::new(), effect: Effect::NoSchedule }
    }

    /// What the key says about why the taint is there.
    pub fn purpose(&self) -> TaintPurpose {
        let key = self.key.as_str();
        if DISRUPTION_KEYS.contains(&key) {
            TaintPurpose::Disruption
        } else if STARTUP_KEYS.contains(&key) || STARTUP_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            TaintPurpose::Startup
        } else {
            TaintPurpose::Other
        }
    }
}

/// How a toleration compares values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// Any value, be it none.
    Exists,
    /// Exactly this value.
    Equal(String),
    /// A taint value that is a whole number below this one (Kubernetes 1.35, alpha).
    Below(i64),
    /// A taint value that is a whole number above this one (Kubernetes 1.35, alpha).
    Above(i64),
}

/// A toleration of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Toleration {
    /// The key of the taint, or none for every key.
    pub key: Option<String>,
    /// What is asked of its value.
    pub comparison: Comparison,
    /// The effect tolerated, or none for every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Does it tolerate `taint`?
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && self.key.as_ref().is_none_or(|key| *key == taint.key)
            && match &self.comparison {
                Comparison::Exists => true,
                Comparison::Equal(value) => *value == taint.value,
                Comparison::Below(bound) => taint.value.parse::<i64>().is_ok_and(|value| value < *bound),
                Comparison::Above(bound) => taint.value.parse::<i64>().is_ok_and(|value| value > *bound),
            }
    }

    /// Does it name the key of `taint`, rather than tolerate everything?
    pub fn names(&self, taint: &Taint) -> bool {
        self.key.is_some() && self.tolerates(taint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: Effect) -> Taint {
        Taint { key: key.into(), value: value.into(), effect }
    }

    fn toleration(key: Option<&str>, comparison: Comparison, effect: Option<Effect>) -> Toleration {
        Toleration { key: key.map(Into::into), comparison, effect }
    }

    #[test]
    fn tolerations_match_as_upstream() {
        let gpu = taint("nvidia.com/gpu", "present", Effect::NoSchedule);
        assert!(toleration(None, Comparison::Exists, None).tolerates(&gpu));
        assert!(toleration(Some("nvidia.com/gpu"), Comparison::Exists, None).tolerates(&gpu));
        assert!(toleration(Some("nvidia.com/gpu"), Comparison::Equal("present".into()), None).tolerates(&gpu));
        assert!(!toleration(Some("nvidia.com/gpu"), Comparison::Equal("".into()), None).tolerates(&gpu));
        assert!(!toleration(Some("nvidia.com/gpu"), Comparison::Exists, Some(Effect::NoExecute)).tolerates(&gpu));
        assert!(!toleration(Some("other"), Comparison::Exists, None).tolerates(&gpu));
        let sla = taint("sla", "950", Effect::NoSchedule);
        assert!(toleration(Some("sla"), Comparison::Above(900), None).tolerates(&sla));
        assert!(!toleration(Some("sla"), Comparison::Below(900), None).tolerates(&sla));
    }

    #[test]
    fn autoscaler_taints_have_a_purpose() {
        let purpose = |key| taint(key, "", Effect::NoSchedule).purpose();
        assert_eq!(purpose("karpenter.sh/disrupted"), TaintPurpose::Disruption);
        assert_eq!(purpose("ToBeDeletedByClusterAutoscaler"), TaintPurpose::Disruption);
        assert_eq!(purpose("karpenter.sh/unregistered"), TaintPurpose::Startup);
        assert_eq!(purpose("startup-taint.cluster-autoscaler.kubernetes.io/cni"), TaintPurpose::Startup);
        assert_eq!(purpose("nvidia.com/gpu"), TaintPurpose::Other);
    }
}
