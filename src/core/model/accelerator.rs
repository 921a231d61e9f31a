//! Extended resources that stand for accelerators, and what one unit of them is.

use std::fmt;

use super::gpu_share::{self, ShareRequest};

/// What the name of an extended resource says, before any node is known.
///
/// The same name can mean different things on different nodes: `nvidia.com/gpu` is a whole GPU, a time-sliced or MPS
/// replica, or (MIG strategy `single`) a MIG slice. What it is there, the node's [`Unit`] says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AcceleratorResource {
    /// Which accelerator.
    pub kind: AcceleratorKind,
    /// Carries the suffix `.shared` that the device plugin adds to replicas under `renameByDefault`.
    pub shared: bool,
}

/// Which accelerator a resource name speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AcceleratorKind {
    /// `nvidia.com/gpu`.
    Gpu,
    /// `nvidia.com/mig-<profile>` (MIG strategy `mixed`), with the profile as NVIDIA writes it: `1g.5gb+me`.
    Mig(String),
    /// `alibabacloud.com/gpu-milli`: thousandths of GPUs, see [`super::gpu_share`].
    GpuShare,
    /// `aws.amazon.com/neuron` and its older name `aws.amazon.com/neurondevice`: a whole Trainium or Inferentia chip.
    NeuronDevice,
    /// `aws.amazon.com/neuroncore`: one core of a chip.
    NeuronCore,
}

impl AcceleratorResource {
    /// Reads a resource name; none for resources that are no accelerator known here.
    pub fn parse(name: &str) -> Option<Self> {
        if name == gpu_share::RESOURCE {
            return Some(Self { kind: AcceleratorKind::GpuShare, shared: true });
        }
        if let Some(rest) = name.strip_prefix("nvidia.com/") {
            let (base, shared) = rest.strip_suffix(".shared").map_or((rest, false), |base| (base, true));
            let kind = match base {
                "gpu" => AcceleratorKind::Gpu,
                _ => AcceleratorKind::Mig(profile_of_resource(base.strip_prefix("mig-")?)),
            };
            return Some(Self { kind, shared });
        }
        let kind = match name.strip_prefix("aws.amazon.com/")? {
            "neuron" | "neurondevice" => AcceleratorKind::NeuronDevice,
            "neuroncore" => AcceleratorKind::NeuronCore,
            _ => return None,
        };
        Some(Self { kind, shared: false })
    }

    /// Is it one of the names of Neuron hardware? On a node they all name the same devices, whole or by cores.
    pub fn is_neuron(&self) -> bool {
        matches!(self.kind, AcceleratorKind::NeuronDevice | AcceleratorKind::NeuronCore)
    }

    /// Does the name itself say which form of the accelerator is wanted? `nvidia.com/gpu` does not.
    pub fn is_explicit(&self) -> bool {
        self.shared || self.kind != AcceleratorKind::Gpu
    }
}

/// Resource names cannot hold `+`, so the device plugin writes `1g.5gb+me` as `1g.5gb.me`.
fn profile_of_resource(suffix: &str) -> String {
    match suffix.find("gb.") {
        Some(at) => format!("{}gb+{}", &suffix[..at], &suffix[at + 3..]),
        None => suffix.into(),
    }
}

/// How replicas of one device share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sharing {
    /// Replicas take turns; memory is not divided.
    TimeSlicing,
    /// CUDA Multi-Process Service: replicas run side by side, each with its share of memory and threads.
    Mps,
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeSlicing => "time-slicing",
            Self::Mps => "MPS",
        })
    }
}

/// What one unit of an accelerator resource is on a given node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A whole device.
    Device,
    /// A MIG slice of this profile.
    Slice(String),
    /// A share of a device, or of a MIG slice of the named profile.
    Replica {
        /// The profile of the slice that is shared; none for a whole device.
        slice: Option<String>,
        /// How it is shared.
        sharing: Sharing,
    },
    /// A thousandth of a GPU.
    Thousandth,
    /// One core of a Neuron device.
    Core,
}

impl Unit {
    /// Can several units work as one tensor-parallel set? MIG slices have no peer access over NVLink, and two replicas
    /// may be the same device.
    pub fn joins_sets(&self) -> bool {
        matches!(self, Self::Device | Self::Core | Self::Thousandth)
    }

    /// Over how many units that could work as one set is a request of so many spread? For whole devices and cores that
    /// is the request itself, for thousandths the number of GPUs; 0 for what joins no sets.
    pub fn set_size(&self, requested: i64) -> i64 {
        match self {
            Self::Device | Self::Core => requested,
            Self::Thousandth => ShareRequest::of(requested).map_or(0, |request| request.gpus() as i64),
            Self::Slice(_) | Self::Replica { .. } => 0,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("whole devices"),
            Self::Slice(profile) => write!(f, "MIG slices {profile}"),
            Self::Replica { slice: None, sharing } => write!(f, "{sharing} replicas of GPUs"),
            Self::Replica { slice: Some(profile), sharing } => write!(f, "{sharing} replicas of MIG slices {profile}"),
            Self::Thousandth => f.write_str("thousandths of GPUs"),
            Self::Core => f.write_str("Neuron cores"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_device_plugins() {
        let parse = |name| AcceleratorResource::parse(name).map(|r| (r.kind, r.shared));
        assert_eq!(parse("nvidia.com/gpu"), Some((AcceleratorKind::Gpu, false)));
        assert_eq!(parse("nvidia.com/gpu.shared"), Some((AcceleratorKind::Gpu, true)));
        assert_eq!(parse("nvidia.com/mig-3g.20gb"), Some((AcceleratorKind::Mig("3g.20gb".into()), false)));
        assert_eq!(parse("nvidia.com/mig-1g.5gb.shared"), Some((AcceleratorKind::Mig("1g.5gb".into()), true)));
        assert_eq!(parse("nvidia.com/mig-1g.5gb.me"), Some((AcceleratorKind::Mig("1g.5gb+me".into()), false)));
        assert_eq!(
            parse("nvidia.com/mig-1g.24gb.me.all"),
            Some((AcceleratorKind::Mig("1g.24gb+me.all".into()), false))
        );
        assert_eq!(parse("nvidia.com/mig-1g.24gb-me"), Some((AcceleratorKind::Mig("1g.24gb-me".into()), false)));
        assert_eq!(parse("aws.amazon.com/neuron"), Some((AcceleratorKind::NeuronDevice, false)));
        assert_eq!(parse("aws.amazon.com/neurondevice"), Some((AcceleratorKind::NeuronDevice, false)));
        assert_eq!(parse("alibabacloud.com/gpu-milli"), Some((AcceleratorKind::GpuShare, true)));
        assert_eq!(parse("aws.amazon.com/neuroncore"), Some((AcceleratorKind::NeuronCore, false)));
        for name in ["cpu", "nvidia.com/other", "vpc.amazonaws.com/efa", "aws.amazon.com/neuronlink"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
