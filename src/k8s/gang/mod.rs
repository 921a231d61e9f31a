//! Gangs, in every way in which people write them.
//!
//! There are a dozen dialects, each in a file of its own. Where a pod belongs to gangs of several, the first of
//! [`Dialect`] counts: what was said to us, then objects made to describe gangs, then controllers whose pods happen to be
//! one, then what waits in a queue together. Dialects that mean the same are no contradiction ([`claims`]). What pods say
//! in our own words goes for gangs of all dialects ([`testudo`]). `docs/gangs.md` has the table.

mod claims;
pub mod copies;
mod coscheduling;
mod grove;
mod jobset;
mod kai;
mod koordinator;
mod kuberay;
mod kueue;
mod leader_worker_set;
mod levels;
mod limits;
mod native;
mod number;
pub mod objects;
pub mod promise;
mod reading;
mod relations;
mod role;
mod testudo;
mod volcano;

use testudo_core::model::exclusive::{Exclusivity, Peers};
use testudo_core::model::gang::{Dialect, GangKey, Membership, Role, Terms};

use self::claims::Claim;
pub use self::leader_worker_set::GROUP_INDEX;
use self::reading::Reading;
use self::testudo::Ours;
pub use self::testudo::POD_GROUP;
use super::object;
use super::problem::Report;

/// The gang that a pod belongs to, and what it says of it. What makes no sense keeps a pod that is still to be placed
/// (`pending`) from being placed.
pub(super) fn membership<'a>(pod: &'a object::Pod, pending: bool, report: &mut Report<'a>) -> Option<Membership> {
    let reading = &mut Reading::of(pod, pending, report);
    let ours = Ours::read(reading);
    let claims = claims::read(reading);
    let (counts, others) = claims.split_first()?;
    let also = claims::without_contradictions(reading, counts, others);
    let key = |claim: &Claim| GangKey {
        namespace: pod.metadata.namespace.clone(),
        name: claim.name.clone(),
        dialect: claim.dialect,
    };
    let mut also: Vec<GangKey> = also.into_iter().map(key).collect();
    also.dedup();
    let number = number::of(reading, counts.dialect);
    let (gang, role, mut terms) = said_by(reading, key(counts));
    let role = ours.role.clone().unwrap_or(role);
    kueue::add_topology(reading, &role, &mut terms);
    let index = ours.index.or(number.index);
    if counts.dialect == Dialect::Kueue && kueue::is_server(reading) && !ours.is_of_sets() {
        terms.min_member = Some(1);
    }
    ours.overrule(&mut terms);
    let relations = relations::of(reading, number.part.is_some());
    let exclusivity = jobset::exclusivity(reading).or_else(|| leader_worker_set::exclusivity(reading));
    // Of a LeaderWorkerSet the leader and the workers of a group are parts of two roles, so of several groups in one gang it
    // is not said here which have a domain together.
    if let Some(Exclusivity { peers: Peers::Jobs, topology: Some(topology) }) = &exclusivity {
        terms.roles.entry(role.clone()).or_default().exclusive = Some(topology.clone());
    }
    let (part, staged, controller) = (number.part, is_staged(pod), controller(pod));
    Some(Membership { gang, also, role, part, index, staged, controller, terms, relations, exclusivity })
}

/// What the dialect of the gang says of it: its full key, the pod's role and the terms.
fn said_by(reading: &mut Reading<'_, '_>, mut gang: GangKey) -> (GangKey, Role, Terms) {
    let role = role::of(reading, gang.dialect);
    let terms = match gang.dialect {
        Dialect::Koordinator => {
            let own = gang.name.clone();
            let bundle = koordinator::bundle(reading, &own);
            let terms = koordinator::terms(reading, &own, bundle.as_ref());
            if let Some(bundle) = bundle {
                gang.name = bundle.into_iter().collect::<Vec<_>>().join("+");
                return (gang, own.as_str().into(), terms);
            }
            terms
        }
        Dialect::Coscheduling => coscheduling::terms(reading),
        Dialect::Volcano if leader_worker_set::has_made(reading, &gang.name) => leader_worker_set::terms(reading),
        Dialect::Volcano => volcano::terms(reading),
        Dialect::LeaderWorkerSet => leader_worker_set::terms(reading),
        Dialect::Kueue => kueue::terms(reading),
        Dialect::Testudo
        | Dialect::Native
        | Dialect::Kai
        | Dialect::Grove
        | Dialect::JobSet
        | Dialect::KubeRay
        | Dialect::Claims => Terms::default(),
    };
    (gang, role, terms)
}

/// Kind and name of its controller.
fn controller(pod: &object::Pod) -> Option<Box<str>> {
    let owner = pod.metadata.owner_references.iter().find(|owner| owner.controller == Some(true))?;
    Some(format!("{}/{}", owner.kind, owner.name).into())
}

/// Do its controllers make pods one after the other? Of a StatefulSet it cannot be seen whether they do.
fn is_staged(pod: &object::Pod) -> bool {
    if leader_worker_set::is_alone(pod) {
        return false;
    }
    let labels = &pod.metadata.labels;
    let makers = [leader_worker_set::WORKER_INDEX, jobset::REPLICATED_JOB, "apps.kubernetes.io/pod-index"];
    makers.iter().any(|key| labels.contains_key(*key))
        || pod.metadata.owner_references.iter().any(|owner| owner.kind == "StatefulSet")
}

#[cfg(test)]
mod examples_tests;
#[cfg(test)]
mod tests;
