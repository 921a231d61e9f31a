//! What a claim gets.

use super::capacity::Amounts;
use super::claim::{Claim, Wish};
use super::inventory::Inventory;
use super::nodes::{NodeSelector, NodeTerm};
use super::question::Question;
use super::search::Found;
use super::slice::DeviceId;
use super::trial::Chosen;
use super::usage::{Holding, HoldingKind};
use super::view::View;

/// The devices of one claim, and where they can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// By request, in the order of the claim.
    pub devices: Vec<AllocatedDevice>,
    /// The configurations that go with them.
    pub configs: Vec<ConfigRef>,
    /// The nodes on which the devices can be used; none means all.
    pub nodes: Option<NodeTerm>,
}

/// A device of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocatedDevice {
    /// Which request of the claim it is for.
    pub request: usize,
    /// Which of the request's asks.
    pub alternative: usize,
    /// `request`, or `request/subrequest`.
    pub request_name: String,
    /// The device.
    pub device: DeviceId,
    /// Whether it is for administration.
    pub admin_access: bool,
    /// What is taken of it, where it is shared.
    pub share: Option<Share>,
    /// Conditions that must hold before the pod is bound.
    pub binding_conditions: Vec<String>,
    /// Conditions under which it must not be bound.
    pub binding_failure_conditions: Vec<String>,
}

/// A share of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// In the form of a UID, and the same whenever the same claim gets the same device for the same request.
    pub id: String,
    /// What is taken.
    pub consumed: Amounts,
}

/// A configuration of a class or a claim that goes with an allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRef {
    /// Where it is.
    pub source: ConfigSource,
    /// The requests that it is for; none means all.
    pub requests: Vec<String>,
}

/// Where a configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// In a class.
    Class {
        /// The class.
        class: Box<str>,
        /// Its configuration of this number.
        index: usize,
    },
    /// In the claim: its configuration of this number.
    Claim(usize),
}

impl Allocation {
    /// What it takes of what there is.
    pub fn holdings(&self) -> impl Iterator<Item = Holding> {
        self.devices.iter().map(|device| {
            let kind = match &device.share {
                _ if device.admin_access => HoldingKind::Admin,
                // An empty map is not written, so nobody who reads the allocation knows how much it takes.
                Some(share) => HoldingKind::Share(Some(share.consumed.clone()).filter(|taken| !taken.is_empty())),
                None => HoldingKind::Exclusive,
            };
            Holding { device: device.device.clone(), kind }
        })
    }
}

/// A short text that follows from the devices of a claim: by it who wrote an allocation knows it again.
pub fn fingerprint<'h>(holdings: impl IntoIterator<Item = &'h Holding>) -> String {
    let mut devices: Vec<String> = holdings.into_iter().map(|holding| holding.device.to_string()).collect();
    devices.sort_unstable();
    format!("{:016x}", fnv1a(FNV_BASIS, &devices.join("\0")))
}

/// The allocations of a question's claims, from what a search found; or the number of terms of a node selector that
/// cannot be written into an allocation.
pub(super) fn allocations(
    question: &Question,
    view: &View,
    inventory: &Inventory,
    found: &Found,
) -> Result<Vec<Allocation>, (String, usize)> {
    let claims = question.claims.iter().enumerate();
    claims
        .map(|(at, claim)| {
            let chosen: Vec<&Chosen> =
                found.chosen.iter().filter(|chosen| question.asks[chosen.ask].claim == at).collect();
            Ok(Allocation {
                devices: devices(question, view, inventory, claim, &chosen),
                configs: configs(question, at, &found.alternatives[at]),
                nodes: nodes(view, inventory, &chosen)?,
            })
        })
        .collect()
}

fn devices(
    question: &Question,
    view: &View,
    inventory: &Inventory,
    claim: &Claim,
    chosen: &[&Chosen],
) -> Vec<AllocatedDevice> {
    let device = |chosen: &&Chosen| {
        let (entry, seat) = (&question.asks[chosen.ask], &view.seats[chosen.seat.index()]);
        let request_name = claim.requests[entry.request].name_of(entry.alternative);
        let id = inventory.device_id(seat.no).clone();
        let share = chosen.taken.clone().map(|consumed| Share { id: share_id(claim, &request_name, &id), consumed });
        AllocatedDevice {
            request: entry.request,
            alternative: entry.alternative,
            request_name,
            device: id,
            admin_access: entry.ask.admin_access,
            share,
            binding_conditions: seat.device.binding_conditions.clone().unwrap_or_default(),
            binding_failure_conditions: seat.device.binding_failure_conditions.clone().unwrap_or_default(),
        }
    };
    chosen.iter().map(device).collect()
}

/// Those of the classes, each once, then those of the claim.
fn configs(question: &Question, claim: usize, alternatives: &[usize]) -> Vec<ConfigRef> {
    let mut configs: Vec<ConfigRef> = vec![];
    let wanted = &question.claims[claim];
    for (request, alternative) in alternatives.iter().enumerate() {
        let entry = &question.asks[question.asks_of(claim, request).start + alternative];
        let name = wanted.requests[request].name_of(*alternative);
        for index in 0..entry.class.configs {
            let source = ConfigSource::Class { class: entry.class.name.clone(), index };
            match configs.iter_mut().find(|config| config.source == source) {
                Some(config) => config.requests.push(name.clone()),
                None => configs.push(ConfigRef { source, requests: vec![name.clone()] }),
            }
        }
    }
    for (at, requests) in wanted.configs.iter().enumerate() {
        let config = || ConfigRef { source: ConfigSource::Claim(at), requests: requests.clone() };
        if requests.is_empty() {
            configs.push(config());
            continue;
        }
        // As upstream: once for each request that it names.
        for (request, alternative) in wanted.requests.iter().zip(alternatives) {
            let by_alternative = matches!(request.wish, Wish::FirstAvailable(_)) && {
                let name = request.name_of(*alternative);
                requests.contains(&name)
            };
            if requests.iter().any(|name| **name == *request.name) || by_alternative {
                configs.push(config());
            }
        }
    }
    configs
}

/// The nodes on which all of these can be used.
fn nodes(view: &View, inventory: &Inventory, chosen: &[&Chosen]) -> Result<Option<NodeTerm>, (String, usize)> {
    let mut term = NodeTerm::default();
    for chosen in chosen {
        let seat = &view.seats[chosen.seat.index()];
        let slice = inventory.slice_of(seat.listing);
        let nodes = if slice.per_device_nodes { &seat.device.nodes } else { &slice.nodes };
        if nodes.name.is_some() || seat.device.binds_to_node {
            return Ok(Some(NodeTerm::of_node(&view.node.name)));
        }
        match nodes.selector.as_ref().map(|NodeSelector { terms, .. }| terms.as_slice()) {
            None | Some([]) => {}
            Some([only]) => term.add(only),
            Some(terms) => return Err((slice.name.to_string(), terms.len())),
        }
    }
    Ok((!term.is_empty()).then_some(term))
}

/// A UID (of version 8: "custom", RFC 9562) that follows from what it is for.
fn share_id(claim: &Claim, request: &str, device: &DeviceId) -> String {
    let text = format!("{}\0{}\0{request}\0{device}", claim.uid, claim.key);
    let (high, low) = (fnv1a(FNV_BASIS, &text), fnv1a(0x9e37_79b9_7f4a_7c15, &text));
    format!(
        "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// The FNV-1a hash, from a basis of choice, with the bits mixed once more: texts that differ at the end only differ in all.
fn fnv1a(basis: u64, text: &str) -> u64 {
    let hash = text.bytes().fold(basis, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ hash >> 32
}
