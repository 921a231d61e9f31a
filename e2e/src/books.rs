//! Are the books in order? An audit over API objects, whatever a scheduler believes.

#[cfg(test)]
mod tests;
pub mod watched;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::audit::BindingRequest;
use crate::control_plane::ControlPlane;
use crate::namespace::Namespace;

/// Which gang a pod is of, and how many of it must start together, in testudo's own words.
const GANG: &str = "testudo.dev/pod-group";
const MIN_MEMBER: &str = "testudo.dev/min-member";

impl Namespace {
    /// Fails if the pods of any node of this scenario, whosever they are, ask for more of an extended resource than it has to give.
    pub async fn check_nothing_is_overcommitted(&self) -> Result<()> {
        let pods = self.all_pods().list(&ListParams::default()).await.context("cannot list pods")?;
        let faults = overcommitted(&self.own_nodes().await?, &pods.items)?;
        ensure!(faults.is_empty(), "{}", faults.join("; "));
        Ok(())
    }
}

/// Nodes whose pods ask for more of an extended resource than they have to give. As for a kubelet, a pod that is to go has
/// what it asks for until it is gone, and one that has ended has nothing.
fn overcommitted<'p>(nodes: &[Node], pods: impl IntoIterator<Item = &'p Pod>) -> Result<Vec<String>> {
    let mut used: BTreeMap<(&str, String), i64> = BTreeMap::new();
    // Where kube-scheduler made a claim for the resources that a pod asks for, no node says that it has them.
    let by_claim =
        |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.extended_resource_claim_status.is_some());
    for pod in pods.into_iter().filter(|pod| !has_ended(pod) && !by_claim(pod)) {
        let Some(node) = node_of(pod) else { continue };
        for (resource, amount) in extended_requests(pod)? {
            *used.entry((node, resource)).or_default() += amount;
        }
    }
    let nodes: BTreeMap<String, &Node> = nodes.iter().map(|node| (node.name_any(), node)).collect();
    let mut faults = vec![];
    for ((node, resource), used) in used {
        // A node may be gone before its pods are.
        let Some(has) = nodes.get(node) else { continue };
        let has = allocatable(has, &resource)?;
        if used > has {
            faults.push(format!("node {node} has {has} {resource}, its pods ask for {used}"));
        }
    }
    Ok(faults)
}

/// What is free, who waits and which gangs run, in units of one kind, read from the API's objects alone.
#[derive(Debug, Default)]
pub struct Books {
    /// Units that are free on each node.
    pub free: BTreeMap<String, i64>,
    /// Units that are in use.
    pub used: i64,
    /// What each pod without a node asks for, and of which gang it is, by name.
    pub pending: BTreeMap<String, (i64, Option<String>)>,
    /// By name.
    pub gangs: BTreeMap<String, Gang>,
}

/// How far a gang has come.
#[derive(Debug, Default)]
pub struct Gang {
    /// Members that there are.
    pub members: usize,
    /// Those of them that have a node.
    pub running: usize,
    /// How many must start together.
    pub size: usize,
}

impl Gang {
    /// Does a part of it run although nobody has taken the rest away?
    fn is_half(&self) -> bool {
        self.members >= self.size && (1..self.size).contains(&self.running)
    }

    /// How many of those that wait start together next; none while members have yet to be made. Those beyond the size start
    /// each for itself.
    fn next(&self) -> Option<usize> {
        let waits = self.members >= self.size && self.members > self.running;
        waits.then(|| self.size.saturating_sub(self.running).max(1))
    }
}

impl Books {
    /// Those of nodes that have so many units, and of the pods that ask for any. Gangs are those of testudo's own words.
    pub fn of(free: BTreeMap<String, i64>, pods: &[Pod], asks: impl Fn(&Pod) -> Result<i64>) -> Result<Self> {
        let mut books = Self { free, ..Self::default() };
        for pod in pods.iter().filter(|pod| !has_ended(pod)) {
            let asks = asks(pod)?;
            if asks == 0 {
                continue;
            }
            let gang = pod.annotations().get(GANG).cloned();
            let node = node_of(pod);
            if let Some(gang) = &gang {
                let size = pod.annotations().get(MIN_MEMBER).map_or(Ok(1), |size| size.parse());
                let gang = books.gangs.entry(gang.clone()).or_default();
                gang.members += 1;
                gang.running += usize::from(node.is_some());
                gang.size = gang.size.max(size.context("not a number of members")?);
            }
            match node {
                Some(node) => {
                    *books.free.entry(node.to_owned()).or_default() -= asks;
                    books.used += asks;
                }
                None => drop(books.pending.insert(pod.name_any(), (asks, gang))),
            }
        }
        Ok(books)
    }

    /// Units that are in use, and those that are waited for.
    pub fn asked(&self) -> i64 {
        self.used + self.pending.values().map(|(asks, _)| asks).sum::<i64>()
    }

    /// What is not as it should be, of a cluster in which nothing happens any more: a node of which more is in use than it has, a
    /// gang that runs in part, a pod or a whole gang that waits although it would fit.
    pub fn faults(&self) -> Vec<String> {
        let over = self.free.iter().filter(|(_, free)| **free < 0);
        let over = over.map(|(node, free)| format!("node {node} has given {} more than it has", -free));
        let half = self.gangs.iter().filter(|(_, gang)| gang.is_half());
        let half = half.map(|(name, Gang { running, size, .. })| format!("{running} of {size} of gang {name} run"));
        let alone = self.pending.iter().filter(|(_, (asks, gang))| gang.is_none() && self.have_room(vec![*asks]));
        let alone = alone.map(|(pod, (asks, _))| format!("pod {pod} waits for {asks}, and some node has them free"));
        let whole = self.gangs.keys().filter_map(|name| {
            let next = self.next_of(name)?;
            let fault = format!("gang {name} waits with {} members, and all of {next:?} are free", next.len());
            self.have_room(next).then_some(fault)
        });
        over.chain(half).chain(alone).chain(whole).collect()
    }

    /// What those of a gang ask for that start together next, the least if there are more of them.
    fn next_of(&self, gang: &str) -> Option<Vec<i64>> {
        let count = self.gangs[gang].next()?;
        let waiting = self.pending.values().filter(|(_, of)| of.as_deref() == Some(gang));
        let mut asks: Vec<i64> = waiting.map(|(asks, _)| *asks).collect();
        asks.sort_unstable();
        asks.truncate(count);
        Some(asks)
    }

    /// Can all of these be had at once? First fit, the largest first: what it places has room, and where all ask for the same, what
    /// it does not place has none.
    fn have_room(&self, mut asks: Vec<i64>) -> bool {
        asks.sort_unstable_by(|a, b| b.cmp(a));
        let mut free: Vec<i64> = self.free.values().copied().collect();
        asks.into_iter().all(|asks| {
            let place = free.iter_mut().find(|free| **free >= asks);
            place.map(|free| *free -= asks).is_some()
        })
    }
}

impl Namespace {
    /// The books of this scenario, kept in units of one resource.
    pub async fn books(&self, resource: &str) -> Result<Books> {
        let nodes = self.own_nodes().await?;
        let free: Result<_> = nodes.iter().map(|node| Ok((node.name_any(), allocatable(node, resource)?))).collect();
        Books::of(free?, &self.list().await?, |pod| Ok(extended_requests(pod)?.get(resource).copied().unwrap_or(0)))
    }

    /// Fails if a pod of this scenario was bound twice, or if anybody but `user` has so much as tried to bind one. Returns, by
    /// unique id, how many requests have bound it, and how many ended in doubt: whoever asked was killed meanwhile.
    pub fn check_nothing_is_bound_twice(&self, cp: &ControlPlane, user: &str) -> Result<BTreeMap<String, (u32, u32)>> {
        let files = cp.dir().path().read_dir().context("cannot read the folder of the audit log")?;
        let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
        let rotated = names.into_iter().find(|name| name.starts_with("audit-") && name.ends_with(".log"));
        ensure!(rotated.is_none(), "a part of the audit log was put away as {rotated:?}, where nobody reads it");
        bound_once(cp.bindings_in(self.name())?, user)
    }

    /// Fails unless every pod of this scenario that has a node was bound exactly once, and by `user`; other users must
    /// not even have tried, and no pod that is gone was bound twice.
    pub async fn check_bindings(&self, cp: &ControlPlane, user: &str) -> Result<()> {
        let bound = self.check_nothing_is_bound_twice(cp, user)?;
        for pod in self.list().await? {
            let name = pod.name_any();
            let (done, doubtful) = bound.get(&pod.uid().unwrap_or_default()).copied().unwrap_or_default();
            let node = pod.spec.and_then(|spec| spec.node_name);
            let right = match node {
                Some(_) => done == 1 || (done == 0 && doubtful > 0),
                None => done == 0,
            };
            ensure!(right, "pod {name} is on {node:?}: bound {done} times, {doubtful} requests in doubt");
        }
        Ok(())
    }
}

fn bound_once(requests: Vec<BindingRequest>, user: &str) -> Result<BTreeMap<String, (u32, u32)>> {
    let mut bound: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for request in requests {
        if request.user != user {
            bail!("{} has asked to bind pod {}; only {user} is to bind", request.user, request.pod);
        }
        // An API server that has just started may know no roles yet, and refuses before it has read what is asked for.
        if request.code == 403 {
            continue;
        }
        ensure!(!request.uid.is_empty(), "pod {} was bound without its unique id", request.pod);
        let (done, doubtful) = bound.entry(request.uid).or_default();
        *done += u32::from(request.code == 201);
        *doubtful += u32::from(request.code >= 500);
        ensure!(*done <= 1, "pod {} was bound twice", request.pod);
    }
    Ok(bound)
}

pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// What a node has to give of a resource; nothing if it has none.
fn allocatable(node: &Node, resource: &str) -> Result<i64> {
    let has = node.status.as_ref().and_then(|status| status.allocatable.as_ref()?.get(resource));
    has.map_or(Ok(0), |quantity| quantity.0.parse()).with_context(|| format!("not a count of {resource}"))
}

pub(crate) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What a pod asks for by names with a domain, as `nvidia.com/gpu`; pods of this harness have no init containers.
fn extended_requests(pod: &Pod) -> Result<BTreeMap<String, i64>> {
    let mut requests: BTreeMap<String, i64> = BTreeMap::new();
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        let asked = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        for (resource, quantity) in asked.into_iter().flatten().filter(|(resource, _)| resource.contains('/')) {
            let amount: i64 = quantity.0.parse().with_context(|| format!("not a count of {resource}"))?;
            *requests.entry(resource.clone()).or_default() += amount;
        }
    }
    Ok(requests)
}
