//! Are the books in order? An audit over API objects, whatever a scheduler believes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::control_plane::ControlPlane;
use crate::namespace::Namespace;

/// Which gang a pod is of, and how many of it must start together, in testudo's own words.
const GANG: &str = "testudo.dev/pod-group";
const MIN_MEMBER: &str = "testudo.dev/min-member";

impl Namespace {
    /// Fails if the pods of any node of this scenario, whosever they are, ask for more of an extended resource than it has to give.
    pub async fn check_nothing_is_overcommitted(&self) -> Result<()> {
        let pods = self.all_pods().list(&ListParams::default()).await.context("cannot list pods")?;
        let nodes = self.own_nodes().await?;
        let mut used: BTreeMap<(String, String), i64> = BTreeMap::new();
        // Where kube-scheduler made a claim for the resources that a pod asks for, no node says that it has them.
        let by_claim =
            |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.extended_resource_claim_status.is_some());
        for pod in pods.items.iter().filter(|pod| !has_ended(pod) && !by_claim(pod)) {
            let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { continue };
            for (resource, amount) in extended_requests(pod)? {
                *used.entry((node.clone(), resource)).or_default() += amount;
            }
        }
        let allocatable: BTreeMap<String, Node> = nodes.into_iter().map(|node| (node.name_any(), node)).collect();
        for ((node, resource), used) in used {
            // A node may be gone before its pods are.
            let Some(status) = allocatable.get(&node).and_then(|node| node.status.as_ref()) else { continue };
            let has = status.allocatable.as_ref().and_then(|all| all.get(&resource));
            let has: i64 = has.map_or(Ok(0), |quantity| quantity.0.parse()).context("not a count of devices")?;
            ensure!(used <= has, "node {node} has {has} {resource}, its pods ask for {used}");
        }
        Ok(())
    }
}

/// What is free, who waits and which gangs run, read from the API's objects alone.
#[derive(Debug, Default)]
pub struct Books {
    /// Units of the resource that are free on each node.
    pub free: BTreeMap<String, i64>,
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
}

impl Books {
    /// What is not as it should be, of a cluster in which nothing happens any more: a gang that runs in part, or one pod of
    /// its own that waits although it would fit.
    pub fn faults(&self) -> Vec<String> {
        let half = self.gangs.iter().filter(|(_, gang)| gang.is_half());
        let half = half.map(|(name, Gang { running, size, .. })| format!("{running} of {size} of gang {name} run"));
        let most = self.free.values().copied().max().unwrap_or(0);
        let alone = self.pending.iter().filter(|(_, (asks, gang))| gang.is_none() && *asks <= most);
        let alone = alone.map(|(pod, (asks, _))| format!("pod {pod} waits for {asks}, and some node has {most} free"));
        half.chain(alone).collect()
    }
}

impl Namespace {
    /// The books of this scenario, kept in units of one resource. Gangs are those of testudo's own words.
    pub async fn books(&self, resource: &str) -> Result<Books> {
        let mut books = Books::default();
        for node in self.own_nodes().await? {
            let has = node.status.as_ref().and_then(|status| status.allocatable.as_ref()?.get(resource));
            let has = has.map_or(Ok(0), |quantity| quantity.0.parse()).context("not a count of devices")?;
            books.free.insert(node.name_any(), has);
        }
        for pod in self.list().await?.iter().filter(|pod| !has_ended(pod)) {
            let asks = extended_requests(pod)?.get(resource).copied().unwrap_or(0);
            let gang = pod.annotations().get(GANG).cloned();
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            if let Some(gang) = &gang {
                let size = pod.annotations().get(MIN_MEMBER).map_or(Ok(1), |size| size.parse());
                let gang = books.gangs.entry(gang.clone()).or_default();
                gang.members += 1;
                gang.running += usize::from(node.is_some());
                gang.size = gang.size.max(size.context("not a number of members")?);
            }
            match node {
                Some(node) => *books.free.entry(node.to_owned()).or_default() -= asks,
                None => drop(books.pending.insert(pod.name_any(), (asks, gang))),
            }
        }
        Ok(books)
    }

    /// Fails if a pod of this scenario was bound twice, or if anybody but `user` has so much as tried to bind one. Returns, by
    /// unique id, how many requests have bound it, and how many ended in doubt: whoever asked was killed meanwhile.
    pub fn check_nothing_is_bound_twice(&self, cp: &ControlPlane, user: &str) -> Result<BTreeMap<String, (u32, u32)>> {
        let mut bound: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for request in cp.bindings_in(self.name())? {
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

fn has_ended(pod: &Pod) -> bool {
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
