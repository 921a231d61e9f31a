//! Why a pod cannot be placed on a node.

use std::fmt;

use crate::model::accelerator::Unit;
use crate::model::quota::OverQuota;
use crate::model::resources::ResourceName;
use crate::model::taint::{Taint, TaintPurpose};

/// Why a pod cannot be placed on a node.
///
/// The text that [`fmt::Display`] gives goes into the pod's `PodScheduled` condition. kube-scheduler counts equal texts
/// over the nodes, and a text that changes wakes the pod up again: so it names what the pod asks for, which does not
/// change, and never what happens to be free. The numbers are in the fields, for `explain`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No node of this name has been seen.
    UnknownNode,
    /// `spec.unschedulable` is set.
    Cordoned,
    /// The pod does not tolerate a taint.
    Taint(Taint),
    /// The node selector or the required node affinity does not match.
    Affinity,
    /// Nothing of this resource is on the node.
    Absent {
        /// What is asked for.
        resource: ResourceName,
        /// How much of it.
        requested: i64,
    },
    /// The node could not take the pod even if it were empty.
    TooLarge {
        /// What is asked for.
        resource: ResourceName,
        /// How much of it.
        requested: i64,
        /// How much the node has to give in all.
        allocatable: i64,
        /// How much more it would have if all of it worked.
        unhealthy: i64,
    },
    /// Others hold too much of it.
    Insufficient {
        /// What is asked for.
        resource: ResourceName,
        /// How much of it.
        requested: i64,
        /// How much is free.
        free: i64,
    },
    /// Enough is free in all, but not on the GPUs one by one.
    Scattered {
        /// What is asked for.
        resource: ResourceName,
        /// How many thousandths.
        requested: i64,
        /// The thousandths that are free on the emptiest GPU.
        largest: i64,
    },
    /// An amount of thousandths that is neither part of one GPU nor whole GPUs.
    UnevenShare {
        /// What is asked for.
        resource: ResourceName,
        /// How many thousandths.
        requested: i64,
    },
    /// Several units are asked for, but what the node has under this name cannot work as one set.
    NotASet {
        /// What is asked for.
        resource: ResourceName,
        /// How many.
        requested: i64,
        /// What the units are.
        unit: Unit,
    },
    /// Its namespace would have more than it may. Of all nodes alike.
    OverQuota(Box<OverQuota>),
}

impl Reason {
    /// Could the pod fit here if lower-priority pods went? If not, kube-scheduler need not try preemption.
    pub fn preemption_can_help(&self) -> bool {
        matches!(self, Self::Insufficient { .. } | Self::Scattered { .. })
    }

    /// Does a count of what the node has of each resource show it? Then others see it, too.
    pub fn is_counted(&self) -> bool {
        !matches!(self, Self::Scattered { .. } | Self::UnevenShare { .. } | Self::NotASet { .. })
    }

    /// A short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::UnknownNode => "unknown_node",
            Self::Cordoned => "cordoned",
            Self::Taint(_) => "taint",
            Self::Affinity => "affinity",
            Self::Absent { .. } => "absent",
            Self::TooLarge { .. } => "too_large",
            Self::Insufficient { .. } => "insufficient",
            Self::Scattered { .. } => "scattered",
            Self::UnevenShare { .. } => "uneven_share",
            Self::NotASet { .. } => "not_a_set",
            Self::OverQuota(_) => "over_quota",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNode => f.write_str("node not seen by testudo yet"),
            Self::Cordoned => f.write_str("node is cordoned"),
            Self::Taint(taint) => match taint.purpose() {
                TaintPurpose::Disruption => write!(f, "node is being removed (taint {taint})"),
                TaintPurpose::Startup => write!(f, "node is not ready yet (taint {taint})"),
                TaintPurpose::Other => write!(f, "untolerated taint {taint}"),
            },
            Self::Affinity => f.write_str("node selector or affinity does not match"),
            Self::Absent { resource, requested } => {
                write!(f, "needs {} {resource}, node has none", Amount(resource, *requested))
            }
            Self::TooLarge { resource, requested, unhealthy, .. } => {
                write!(f, "needs {} {resource}, more than the node can give", Amount(resource, *requested))?;
                if *unhealthy > 0 { f.write_str(" while some are unhealthy") } else { Ok(()) }
            }
            Self::Insufficient { resource, requested, .. } => {
                write!(f, "needs {} {resource}, too few are free", Amount(resource, *requested))
            }
            Self::Scattered { resource, requested, .. } => {
                write!(f, "needs {requested} {resource}, what is free is scattered over GPUs")
            }
            Self::UnevenShare { resource, requested } => {
                write!(
                    f,
                    "asks for {requested} {resource}: ask for less than 1000 (part of one GPU) or whole thousands"
                )
            }
            Self::NotASet { resource, requested, unit } => {
                write!(f, "needs {requested} {resource} as one set, node offers {unit}")
            }
            Self::OverQuota(over) => over.fmt(f),
        }
    }
}

/// An amount in the unit that people use for the resource.
struct Amount<'a>(&'a ResourceName, i64);

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(resource, amount) = *self;
        match resource.as_str() {
            ResourceName::CPU if amount % 1000 == 0 => write!(f, "{}", amount / 1000),
            ResourceName::CPU => write!(f, "{amount}m"),
            _ => {
                const UNITS: [(i64, &str); 3] = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
                match UNITS.iter().find(|(size, _)| amount != 0 && amount % size == 0) {
                    Some((size, suffix)) => write!(f, "{}{suffix}", amount / size),
                    None => write!(f, "{amount}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::taint::Effect;

    #[test]
    fn texts_name_what_is_asked_and_not_what_is_free() {
        let insufficient = |resource: &str, requested, free| {
            Reason::Insufficient { resource: resource.into(), requested, free }.to_string()
        };
        assert_eq!(insufficient("nvidia.com/gpu", 8, 3), "needs 8 nvidia.com/gpu, too few are free");
        assert_eq!(insufficient("nvidia.com/gpu", 8, 3), insufficient("nvidia.com/gpu", 8, 7));
        assert_eq!(insufficient("cpu", 1500, 0), "needs 1500m cpu, too few are free");
        assert_eq!(insufficient("cpu", 2000, 0), "needs 2 cpu, too few are free");
        assert_eq!(insufficient("memory", 16 << 30, 0), "needs 16Gi memory, too few are free");
    }

    #[test]
    fn taints_say_why_they_are_there() {
        let text = |key: &str| {
            Reason::Taint(Taint { key: key.into(), value: String::new(), effect: Effect::NoSchedule }).to_string()
        };
        assert_eq!(text("karpenter.sh/disrupted"), "node is being removed (taint karpenter.sh/disrupted:NoSchedule)");
        assert_eq!(text("gpu"), "untolerated taint gpu:NoSchedule");
    }
}
