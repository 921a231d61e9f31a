//! A ResourceClaim, explained: which devices it has or could get, and what stands against it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use serde_json::Value;
use testudo_core::claims::NodeRefusal;

use super::super::output::table;
use crate::claims::{self, Outcome as Allocation};
use crate::explain;

/// A ResourceClaim, explained.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimExplanation {
    claim: String,
    verdict: ClaimVerdict,
    /// The best node for it, where it could get devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// `driver/pool/device` of each that it has or could get.
    devices: Vec<String>,
    /// What stands against it on each node, the nearest miss first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    misses: Vec<MissLine>,
    what_to_do: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ClaimVerdict {
    Allocated,
    Fits,
    FitsNowhere,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MissLine {
    node: String,
    /// How many devices it could use there, of those that it needs.
    usable: usize,
    /// Absent where all that match are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<u64>,
    reason: String,
}

impl ClaimExplanation {
    /// Explains a claim of these objects; none if it is not among them. Other claims that wait are passed over.
    ///
    /// # Errors
    /// When the objects ask for what cannot be judged.
    pub fn new(objects: &[Value], namespace: &str, name: &str) -> anyhow::Result<Option<Self>> {
        let Some(claim) = objects.iter().find(|object| is_claim(object, namespace, name)) else { return Ok(None) };
        let title = format!("{namespace}/{name}");
        if is_allocated(claim) {
            let devices = devices(claim);
            let verdict = ClaimVerdict::Allocated;
            return Ok(Some(Self { claim: title, verdict, node: None, devices, misses: vec![], what_to_do: vec![] }));
        }
        let counts = |object: &&Value| {
            object["kind"] != "ResourceClaim" || is_allocated(object) || is_claim(object, namespace, name)
        };
        let objects: Vec<Value> = objects.iter().filter(counts).cloned().collect();
        Ok(Some(match claims::allocate(&objects, None) {
            Allocation::Allocated { node, claims, .. } => {
                let claim = claims.iter().find(|object| is_claim(object, namespace, name));
                let devices = claim.map(devices).unwrap_or_default();
                let (verdict, node) = (ClaimVerdict::Fits, Some(node));
                Self { claim: title, verdict, node, devices, misses: vec![], what_to_do: vec![] }
            }
            Allocation::DoesNotFit { reason, .. } => {
                let mut misses: Vec<MissLine> = reason.0.iter().map(MissLine::new).collect();
                misses.sort_by_key(|miss| (Reverse(miss.usable), miss.node.clone()));
                let what_to_do = explain::claim_remedy(&reason.0);
                let verdict = ClaimVerdict::FitsNowhere;
                Self { claim: title, verdict, node: None, devices: vec![], misses, what_to_do }
            }
            Allocation::Error(error) => return Err(error.into()),
        }))
    }

    /// Has it devices, or could it get them?
    pub fn has_devices(&self) -> bool {
        self.verdict != ClaimVerdict::FitsNowhere
    }

    /// Writes one screen, or the whole table.
    pub fn table(&self, out: &mut dyn Write, all_nodes: bool) -> std::io::Result<()> {
        let devices = self.devices.join(", ");
        match (self.verdict, &self.node) {
            (ClaimVerdict::Allocated, _) => return writeln!(out, "ResourceClaim {}: has {devices}", self.claim),
            (_, Some(node)) => return writeln!(out, "ResourceClaim {}: would get {devices} on {node}", self.claim),
            (_, None) => writeln!(out, "ResourceClaim {}: fits on none of {} nodes", self.claim, self.misses.len())?,
        }
        let mut table = table();
        if all_nodes {
            table.set_header(["NODE", "USABLE", "NEEDED", "STANDS AGAINST IT"]);
            for miss in &self.misses {
                let needed = miss.needed.map_or_else(|| "all".to_owned(), |needed| needed.to_string());
                table.add_row([miss.node.clone(), miss.usable.to_string(), needed, miss.reason.clone()]);
            }
        } else {
            table.set_header(["NODES", "STANDS AGAINST IT", "FOR EXAMPLE"]);
            let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            self.misses.iter().for_each(|miss| groups.entry(&miss.reason).or_default().push(&miss.node));
            for (reason, nodes) in groups {
                table.add_row([nodes.len().to_string(), reason.to_owned(), nodes[..nodes.len().min(3)].join(", ")]);
            }
        }
        writeln!(out, "{table}")?;
        for (at, advice) in self.what_to_do.iter().enumerate() {
            writeln!(out, "{} {advice}", if at == 0 { "To do:" } else { "   or:" })?;
        }
        Ok(())
    }
}

impl MissLine {
    fn new(refusal: &NodeRefusal) -> Self {
        let nearest = refusal.asks.iter().max_by_key(|ask| ask.usable);
        Self {
            node: refusal.node.to_string(),
            usable: nearest.map_or(0, |ask| ask.usable),
            needed: nearest.and_then(|ask| ask.needs),
            reason: refusal.to_string(),
        }
    }
}

fn is_claim(object: &Value, namespace: &str, name: &str) -> bool {
    let metadata = &object["metadata"];
    let own = metadata["namespace"].as_str().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
    object["kind"] == "ResourceClaim" && metadata["name"] == name && own == namespace
}

fn is_allocated(claim: &Value) -> bool {
    claim.pointer("/status/allocation").is_some_and(|allocation| !allocation.is_null())
}

fn devices(claim: &Value) -> Vec<String> {
    let results = claim.pointer("/status/allocation/devices/results").and_then(Value::as_array);
    let text = |result: &Value, field: &str| result[field].as_str().unwrap_or_default().to_owned();
    let device = |result: &Value| ["driver", "pool", "device"].map(|field| text(result, field)).join("/");
    results.into_iter().flatten().map(device).collect()
}
