//! Accelerator products, and what the label `nvidia.com/gpu.product` says.

use std::sync::Arc;

use super::fabric::Bandwidth;
use super::mig::MigGeometry;

/// Who makes an accelerator, with what is particular to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// A GPU.
    Nvidia {
        /// What it can be cut into, if it can.
        mig: Option<Arc<MigGeometry>>,
        /// NVLink bandwidth of one GPU, if it has NVLink.
        nvlink: Option<Bandwidth>,
        /// Whether every machine with several of them links each with each.
        switched: bool,
    },
    /// An AWS Neuron chip.
    Neuron {
        /// NeuronCores of one chip, `aws.amazon.com/neuroncore` where they are not grouped (LNC1).
        cores: u8,
    },
}

/// A model of accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Our name for it.
    pub name: String,
    /// Maker and particulars.
    pub vendor: Vendor,
    /// How node labels spell it, besides the name.
    pub spellings: Vec<String>,
    /// Device memory in MiB as the driver reports it, nominal where that is not known. A node's own label is exact.
    pub memory_mib: u32,
}

impl Product {
    /// What it can be cut into, if it can.
    pub fn mig(&self) -> Option<&Arc<MigGeometry>> {
        match &self.vendor {
            Vendor::Nvidia { mig, .. } => mig.as_ref(),
            Vendor::Neuron { .. } => None,
        }
    }

    /// NVLink bandwidth of one GPU, if it has NVLink.
    pub fn nvlink(&self) -> Option<Bandwidth> {
        match self.vendor {
            Vendor::Nvidia { nvlink, .. } => nvlink,
            Vendor::Neuron { .. } => None,
        }
    }

    /// The NVLink bandwidth between any two on one machine, if every machine links them all.
    pub fn switch_bandwidth(&self) -> Option<Bandwidth> {
        match self.vendor {
            Vendor::Nvidia { nvlink, switched: true, .. } => nvlink,
            Vendor::Nvidia { .. } | Vendor::Neuron { .. } => None,
        }
    }
}

/// How the GPUs of a node are offered, as the suffix of the product label says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductForm {
    /// Whole GPUs, and MIG slices in the mixed strategy.
    Full,
    /// `-SHARED`: replicas of whole GPUs, by time-slicing or MPS.
    Shared,
    /// `-MIG-1g.5gb`: slices of one profile, in the single strategy.
    Mig(String),
    /// `-MIG-1g.5gb-SHARED`: replicas of such slices.
    MigShared(String),
    /// `-MIG-INVALID`: single strategy asked for, but the slices are not of one profile.
    MigInvalid,
}

impl ProductForm {
    /// The profile of the slices that are offered as GPUs, if they are.
    pub fn slice(&self) -> Option<&str> {
        match self {
            Self::Mig(profile) | Self::MigShared(profile) => Some(profile),
            Self::Full | Self::Shared | Self::MigInvalid => None,
        }
    }
}

/// The value of `nvidia.com/gpu.product`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductLabel {
    /// The product's spelling, `NVIDIA-A100-SXM4-40GB`.
    pub product: String,
    /// The suffix.
    pub form: ProductForm,
}

impl ProductLabel {
    /// Takes a label value apart. Every text is a product name, so this cannot fail; whether the product is known is
    /// the catalogue's matter.
    pub fn parse(value: &str) -> ProductLabel {
        let (unshared, shared) = match value.strip_suffix("-SHARED") {
            Some(rest) => (rest, true),
            None => (value, false),
        };
        let (product, form) = match (unshared.rsplit_once("-MIG-"), shared) {
            (Some((product, "INVALID")), _) => (product, ProductForm::MigInvalid),
            (Some((product, profile)), false) => (product, ProductForm::Mig(profile.to_owned())),
            (Some((product, profile)), true) => (product, ProductForm::MigShared(profile.to_owned())),
            (None, true) => (unshared, ProductForm::Shared),
            (None, false) => (unshared, ProductForm::Full),
        };
        ProductLabel { product: product.to_owned(), form }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_taken_apart() {
        let a100 = "NVIDIA-A100-SXM4-40GB";
        for (suffix, form) in [
            ("", ProductForm::Full),
            ("-SHARED", ProductForm::Shared),
            ("-MIG-1g.5gb", ProductForm::Mig("1g.5gb".into())),
            ("-MIG-1g.5gb.me", ProductForm::Mig("1g.5gb.me".into())),
            ("-MIG-3g.20gb-SHARED", ProductForm::MigShared("3g.20gb".into())),
            ("-MIG-INVALID", ProductForm::MigInvalid),
            ("-MIG-INVALID-SHARED", ProductForm::MigInvalid),
        ] {
            let label = ProductLabel::parse(&format!("{a100}{suffix}"));
            assert_eq!(label, ProductLabel { product: a100.into(), form }, "{suffix}");
        }
        assert_eq!(ProductLabel::parse("").form, ProductForm::Full);
        // Only the last mark begins the suffix.
        assert_eq!(ProductLabel::parse("ACME-MIG-9-MIG-1g.5gb").product, "ACME-MIG-9");
    }
}
