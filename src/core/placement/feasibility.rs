//! Does a pod fit on a node?

use super::asked::{Asked, Wanted};
use super::reason::Reason;
use crate::cluster::NodeState;
use crate::model::accelerator::{AcceleratorResource, Sharing, Unit};
use crate::model::gpu_share::{self, ShareRequest};
use crate::model::inventory::Pool;
use crate::model::node::Node;
use crate::model::pod::Demand;
use crate::model::taint::{Effect, Taint, TaintPurpose};

/// Checks whether a pod with this demand fits on a node as it is now. The first reason against it is returned, those
/// that no waiting can cure before those that it can. For many nodes, see [`Asked::check`].
pub fn check(demand: &Demand, state: &NodeState) -> Result<(), Reason> {
    Asked::of(demand).check(state)
}

impl Asked<'_> {
    /// [`check`] on one of many nodes.
    pub fn check(&self, state: &NodeState) -> Result<(), Reason> {
        let node = state.node().ok_or(Reason::UnknownNode)?;
        check_admission(self.demand, node)?;
        let free = check_free(self.demand, state);
        if free.is_err() {
            // What is free now would be free on an empty node, too: asked only for the better reason.
            check_size(self.demand, node)?;
        }
        check_sets(self, node)?;
        free
    }
}

/// Is the pod allowed on the node at all?
pub(super) fn check_admission(demand: &Demand, node: &Node) -> Result<(), Reason> {
    let parts = &node.parts;
    if parts.cordoned && !demand.tolerates(&Taint::of_cordon()) {
        return Err(Reason::Cordoned);
    }
    let repels = |taint: &&Taint| taint.effect != Effect::PreferNoSchedule && !accepts(demand, taint);
    let repelling = parts.taints.iter().find(repels);
    if let Some(taint) = repelling {
        return Err(Reason::Taint(taint.clone()));
    }
    if !demand.affinity.accepts(parts.name.as_str(), &parts.labels) {
        return Err(Reason::Affinity);
    }
    Ok(())
}

/// Does the pod accept a taint? That a node is about to go is accepted only by naming it: pods that tolerate whatever there
/// is, as many that ask for GPUs do, mean nodes that are for GPUs.
fn accepts(demand: &Demand, taint: &Taint) -> bool {
    match taint.purpose() {
        TaintPurpose::Disruption => demand.tolerations.iter().any(|toleration| toleration.names(taint)),
        TaintPurpose::Startup | TaintPurpose::Other => demand.tolerates(taint),
    }
}

/// Would it fit on the node if the node were empty?
fn check_size(demand: &Demand, node: &Node) -> Result<(), Reason> {
    let parts = &node.parts;
    for (resource, requested) in demand.requests.iter().filter(|(_, requested)| *requested > 0) {
        let allocatable = parts.allocatable.get(resource.as_str());
        if requested <= allocatable {
            continue;
        }
        let resource = resource.clone();
        let capacity = parts.capacity.get(resource.as_str());
        if allocatable == 0 && capacity == 0 {
            return Err(Reason::Absent { resource, requested });
        }
        let is_accelerator = AcceleratorResource::parse(resource.as_str()).is_some();
        let unhealthy = if is_accelerator { capacity.saturating_sub(allocatable).max(0) } else { 0 };
        return Err(Reason::TooLarge { resource, requested, allocatable, unhealthy });
    }
    Ok(())
}

/// Can the units asked for work together? Replicas may be one and the same device, and MIG slices see no peers. A pod
/// that selects such nodes on purpose gets them, save with MPS: there the kubelet refuses more than one replica.
fn check_sets(asked: &Asked, node: &Node) -> Result<(), Reason> {
    for (_, pool, wanted) in asked.pools(&node.inventory) {
        if wanted.count > 1 && !pool.unit.joins_sets() && !is_chosen_form(asked, wanted, pool) {
            let (resource, unit) = (wanted.name.clone(), pool.unit.clone());
            return Err(Reason::NotASet { resource, requested: wanted.count, unit });
        }
    }
    Ok(())
}

fn is_chosen_form(asked: &Asked, wanted: &Wanted, pool: &Pool) -> bool {
    let refused_by_kubelet = matches!(pool.unit, Unit::Replica { sharing: Sharing::Mps, .. });
    (wanted.resource.is_explicit() || asked.chooses_form) && !refused_by_kubelet
}

/// Is enough of everything free?
fn check_free(demand: &Demand, state: &NodeState) -> Result<(), Reason> {
    for (resource, requested) in demand.requests.iter().filter(|(_, requested)| *requested > 0) {
        let free = state.free(resource);
        if requested > free {
            return Err(Reason::Insufficient { resource: resource.clone(), requested, free: free.max(0) });
        }
    }
    check_share(demand, state)
}

/// Is there room on single GPUs, where shares of them are asked for?
fn check_share(demand: &Demand, state: &NodeState) -> Result<(), Reason> {
    let requested = demand.requests.get(gpu_share::RESOURCE);
    if requested <= 0 {
        return Ok(());
    }
    let resource = || gpu_share::RESOURCE.into();
    let Some(request) = ShareRequest::of(requested) else {
        return Err(Reason::UnevenShare { resource: resource(), requested });
    };
    let gpus = state.shared_gpus();
    if gpus.fits(request) {
        return Ok(());
    }
    let largest = gpus.free().iter().copied().max().unwrap_or(0);
    Err(Reason::Scattered { resource: resource(), requested, largest: largest.max(0).into() })
}

#[cfg(test)]
#[path = "feasibility_tests.rs"]
mod tests;
