//! Do nodes show their GPUs, in the ways from which testudo knows them?

use std::collections::BTreeMap;

use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::node::Node;

use super::{Finding, SliceNodes, few};
use crate::k8s::manifests::Manifests;
use crate::k8s::node;

const DEVICES: &str = "devices";
const LABELS: &str = "labels";

/// Labels by which a node says that it has GPUs, whether or not anybody offers them to pods.
const HAS_GPUS: [(&str, &str); 2] =
    [("nvidia.com/gpu.present", "true"), ("feature.node.kubernetes.io/pci-10de.present", "true")];

/// The nodes that have GPUs, and what is wrong with them.
#[derive(Debug, Default)]
pub struct GpuNodes {
    /// Those that offer some, by extended resources or by slices.
    offering: usize,
    /// Those that have some and offer none.
    silent: Vec<String>,
    /// Those whose product is not known.
    nameless: Vec<String>,
    /// Those with fewer working devices than they have.
    degraded: Vec<String>,
    /// What could not be understood, with the nodes of which that is so.
    problems: BTreeMap<String, Vec<String>>,
}

impl GpuNodes {
    /// Looks at all nodes, and at which of them slices are.
    pub fn of(manifests: &Manifests, slices: &SliceNodes) -> Self {
        let catalogue = Catalogue::builtin();
        let mut found = Self::default();
        for object in &manifests.nodes {
            let name = object.metadata.name.clone();
            let (parts, decoding) = node::decode(object);
            let has_gpus = HAS_GPUS.iter().any(|(key, value)| parts.labels.get(key) == Some(value));
            let (node, inventory) = Node::new(parts, &catalogue);
            for problem in
                decoding.iter().map(|problem| problem.what.clone()).chain(inventory.iter().map(ToString::to_string))
            {
                found.problems.entry(problem).or_default().push(name.clone());
            }
            let has_slices = slices.contains_key(&name);
            if node.inventory.has_accelerators() || has_slices {
                found.offering += 1;
                // Slices say themselves what their devices are.
                if node.inventory.product.is_none() && !has_slices {
                    found.nameless.push(name.clone());
                }
                if node.inventory.is_degraded() {
                    found.degraded.push(name);
                }
            } else if has_gpus {
                found.silent.push(name);
            }
        }
        found
    }

    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![match (self.offering, self.silent.is_empty()) {
            (0, _) => Finding::failed(
                DEVICES,
                "no node offers accelerators",
                "install the device plugin or the DRA driver: docs/install.md, Devices",
            ),
            (1, _) => Finding::ok(DEVICES, "1 node offers accelerators"),
            (nodes, _) => Finding::ok(DEVICES, format!("{nodes} nodes offer accelerators")),
        }];
        if !self.silent.is_empty() {
            findings.push(Finding::failed(
                DEVICES,
                format!("nodes with GPUs offer none to pods: {}", few(&self.silent)),
                "see whether the device plugin or the DRA driver runs there, and tolerates the nodes' taints",
            ));
        }
        if !self.degraded.is_empty() {
            findings.push(Finding::warning(
                DEVICES,
                format!("some devices do not work on {}", few(&self.degraded)),
                "testudo explain node NODE; sets over NVLink are placed elsewhere first",
            ));
        }
        if self.offering > 0 {
            findings.push(match self.nameless.is_empty() {
                true => Finding::ok(LABELS, "the product of all accelerators is known"),
                false => Finding::warning(
                    LABELS,
                    format!("what the accelerators are is not known of {}", few(&self.nameless)),
                    "run GPU Feature Discovery (nvidia.com/gpu.product), or add the product: config.catalogueFile; NVLink and \
                     MIG are not known of these nodes",
                ),
            });
        }
        findings.extend(self.problems.iter().map(|(problem, nodes)| {
            Finding::warning(
                LABELS,
                format!("{}: {problem}", few(nodes)),
                "testudo explain node NODE; the node works by counts",
            )
        }));
        findings
    }
}
