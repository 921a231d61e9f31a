//! A node, explained: what it is taken for.

use std::io::Write;

use serde::Serialize;
use testudo_core::claims::{Gpu, Part};
use testudo_core::cluster::NodeState;

use super::super::output::table;

/// What a node is taken for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplanation {
    node: String,
    product: Option<String>,
    machine: Option<String>,
    instance_type: Option<String>,
    zone: Option<String>,
    clique: Option<String>,
    link_complete: bool,
    cordoned: bool,
    taints: Vec<String>,
    pools: Vec<PoolLine>,
    /// GPUs that its driver publishes for claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gpus: Vec<GpuLine>,
    pods: Vec<String>,
    not_understood: Vec<String>,
}

/// A GPU that claims can have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GpuLine {
    gpu: String,
    /// How many of its memory slices are given, of how many.
    slices: u8,
    slices_given: u8,
    /// Devices and the claims that have them.
    given: Vec<String>,
    tainted: bool,
}

impl GpuLine {
    fn new(gpu: &Gpu) -> Self {
        let claims = |part: &Part| {
            let claims: Vec<String> = part.takers.iter().map(|taker| taker.claim.to_string()).collect();
            format!("{}: {}", part.device, claims.join(", "))
        };
        Self {
            gpu: gpu.name.to_string(),
            slices: gpu.width,
            slices_given: gpu.taken(),
            given: gpu.parts.iter().filter(|part| !part.takers.is_empty()).map(claims).collect(),
            tainted: gpu.is_tainted,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolLine {
    resource: String,
    unit: String,
    capacity: i64,
    allocatable: i64,
    free: i64,
}

impl NodeExplanation {
    /// Explains a node that has been seen.
    pub fn new(state: &NodeState, gpus: &[Gpu], not_understood: Vec<String>) -> Self {
        let node = state.node().expect("the caller found the node");
        let inventory = &node.inventory;
        Self {
            node: state.name().to_string(),
            product: inventory
                .product
                .as_ref()
                .map(|product| product.name.clone())
                .or_else(|| gpus.iter().find_map(|gpu| gpu.product.clone())),
            machine: inventory.machine.as_ref().map(|machine| machine.name.clone()),
            instance_type: node.place.instance_type.clone(),
            zone: node.place.zone.clone(),
            clique: node.place.clique.clone(),
            link_complete: inventory.is_link_complete(),
            cordoned: node.parts.cordoned,
            taints: node.parts.taints.iter().map(ToString::to_string).collect(),
            pools: inventory
                .pools
                .iter()
                .map(|pool| PoolLine {
                    resource: pool.resource.to_string(),
                    unit: pool.unit.to_string(),
                    capacity: pool.capacity,
                    allocatable: pool.allocatable,
                    free: state.free_units(pool),
                })
                .collect(),
            gpus: gpus.iter().map(GpuLine::new).collect(),
            pods: state.holders().values().map(|holding| holding.pod.to_string()).collect(),
            not_understood,
        }
    }

    /// Writes one screen.
    pub fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let or_unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        writeln!(out, "Node {}", self.node)?;
        writeln!(out, "  product   {}", or_unknown(&self.product))?;
        writeln!(out, "  machine   {} (instance type {})", or_unknown(&self.machine), or_unknown(&self.instance_type))?;
        writeln!(out, "  zone      {}", or_unknown(&self.zone))?;
        if let Some(clique) = &self.clique {
            writeln!(out, "  clique    {clique}")?;
        }
        let links =
            if self.link_complete { "all devices are linked" } else { "not all devices are linked and healthy" };
        if !self.pools.is_empty() {
            writeln!(out, "  links     {links}")?;
        }
        for taint in &self.taints {
            writeln!(out, "  taint     {taint}")?;
        }
        if self.cordoned {
            writeln!(out, "  cordoned")?;
        }
        writeln!(out, "  pods      {}", self.pods.len())?;
        if !self.gpus.is_empty() {
            let mut gpus = table();
            gpus.set_header(["GPU", "SLICES", "GIVEN", "TO CLAIMS"]);
            for gpu in &self.gpus {
                let taint = if gpu.tainted { "tainted " } else { "" };
                let given = format!("{taint}{}", gpu.given.join("; "));
                gpus.add_row([gpu.gpu.clone(), gpu.slices.to_string(), gpu.slices_given.to_string(), given]);
            }
            writeln!(out, "{gpus}")?;
        }
        if self.pools.is_empty() && !self.gpus.is_empty() {
            return self.problems(out);
        }
        let mut table = table();
        table.set_header(["RESOURCE", "UNITS ARE", "CAPACITY", "ALLOCATABLE", "FREE"]);
        for pool in &self.pools {
            let counts = [pool.capacity, pool.allocatable, pool.free].map(|count| count.to_string());
            table.add_row([vec![pool.resource.clone(), pool.unit.clone()], counts.to_vec()].concat());
        }
        writeln!(out, "{table}")?;
        self.problems(out)
    }

    fn problems(&self, out: &mut dyn Write) -> std::io::Result<()> {
        self.not_understood.iter().try_for_each(|problem| writeln!(out, "Not understood: {problem}"))
    }
}
