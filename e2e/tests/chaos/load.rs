//! What comes and goes meanwhile: pods and gangs that ask for GPUs by count, and others that ask for devices by claims.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use testudo_e2e::device_books::{Inventory, Moment};
use testudo_e2e::devices::{self, request};
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{ControlPlane, Namespace, PodBuilder, node, pod};

use super::Numbers;

const GPU: &str = "nvidia.com/gpu";
/// GPUs of a node, of either kind.
const GPUS: u32 = 8;
/// Nodes whose GPUs are asked for by count.
const COUNTED: usize = 12;
/// Nodes whose GPUs are devices that claims get.
const CLAIMED: usize = 6;
/// The class of these devices, which testudo allocates.
pub const CLASS: &str = "chaos-gpu";

/// How GPUs are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Count,
    Claim,
}

impl By {
    const BOTH: [Self; 2] = [Self::Count, Self::Claim];

    fn of(pod: &Pod) -> Self {
        let has_claims = pod.spec.as_ref().is_some_and(|spec| spec.resource_claims.is_some());
        if has_claims { Self::Claim } else { Self::Count }
    }

    /// As many GPUs are asked for at a time: a quarter more than there are.
    fn most(self) -> i64 {
        let nodes = match self {
            Self::Count => COUNTED,
            Self::Claim => CLAIMED,
        };
        nodes as i64 * i64::from(GPUS) * 5 / 4
    }
}

/// A place where pods come and go, and its books.
pub struct Load {
    cp: Arc<ControlPlane>,
    pub ns: Namespace,
    scheduler: String,
    inventory: Inventory,
    /// The nodes that have devices.
    nodes: BTreeSet<String>,
    /// How many devices the claims from each template ask for.
    templates: BTreeMap<String, i64>,
}

/// What is to be done yet.
#[derive(Default)]
struct Work {
    /// Each pod comes with the number of devices for the claim of its own name, if it has one.
    to_make: VecDeque<(PodBuilder, Option<u32>)>,
    /// Names of pods, and of claims that are called so.
    to_delete: VecDeque<String>,
}

/// What has happened.
#[derive(Debug, Default)]
pub struct Happened {
    /// How many pods were made.
    made: usize,
    /// How many times all was looked at.
    looks: usize,
    /// The pods that were seen with a node, by unique id.
    counted: BTreeSet<String>,
    /// Those of them that have claims.
    claimed: BTreeSet<String>,
    /// What was wrong at any of these times.
    faults: BTreeSet<String>,
}

impl Happened {
    /// Fails if anything was wrong, or if there was nothing of which it could have been seen.
    pub fn check(&self) -> Result<()> {
        let faults: Vec<&str> = self.faults.iter().map(String::as_str).collect();
        ensure!(faults.is_empty(), "at some time: {}", faults.join("; "));
        ensure!(!self.counted.is_empty() && !self.claimed.is_empty(), "little has happened: {self}");
        Ok(())
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, looks, counted, claimed, .. } = self;
        let (counted, claimed) = (counted.len(), claimed.len());
        write!(f, "{made} pods made, {counted} without and {claimed} with claims seen on nodes, in {looks} looks")
    }
}

impl Load {
    pub async fn new(cp: &Arc<ControlPlane>, ns: Namespace, scheduler: &str) -> Result<Self> {
        let named = |kind: &str, at: usize| format!("{}-{kind}-{at}", ns.name());
        let counted =
            (0..COUNTED).map(|at| node(&named("counted", at)).product("NVIDIA-H100-80GB-HBM3", 81559).gpus(GPUS));
        let nodes: BTreeSet<String> = (0..CLAIMED).map(|at| named("claimed", at)).collect();
        ns.create_nodes(counted.chain(nodes.iter().map(|name| node(name)))).await?;
        let slices = nodes.iter().flat_map(|name| devices::whole_gpus(name));
        let templates = (1..=GPUS).map(|count| devices::template(ns.name(), &template(count), vec![ask(count)]));
        for object in [devices::class(CLASS, "gpu")].into_iter().chain(slices).chain(templates) {
            cp.apply(object).await?;
        }
        let (inventory, templates) = (Inventory::read(cp).await?, ns.templates(cp).await?);
        Ok(Self { cp: Arc::clone(cp), ns, scheduler: scheduler.to_owned(), inventory, nodes, templates })
    }

    /// Makes pods and gangs, and deletes others, until it is over. What the API server does not take is tried again, as a
    /// controller would: in the end no gang has less members than it was to have.
    pub async fn play(&self, mut numbers: Numbers, is_over: &AtomicBool) -> Result<Happened> {
        let (mut happened, mut work) = (Happened::default(), Work::default());
        while !is_over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50 + numbers.below(500))).await;
            let by = By::BOTH[numbers.below(2) as usize];
            let Ok(moment) = self.ns.moment(&self.cp).await else { continue };
            self.look(&moment, &mut happened);
            if self.finish(&mut work).await.is_err() {
                continue;
            }
            let asked = match by {
                By::Claim => moment.books(&self.inventory, &self.nodes, &self.templates)?.asked(),
                By::Count => match self.ns.books(GPU).await {
                    Ok(books) => books.asked(),
                    Err(_) => continue,
                },
            };
            if asked < by.most() {
                // The number makes their names unique.
                work.to_make.extend(some_pods(by, happened.made, &mut numbers));
                happened.made += work.to_make.len();
            } else {
                work.to_delete.extend(some_names(by, &moment, &mut numbers));
            }
        }
        wait::until("the last pods to be made and deleted", PATIENCE, async || {
            let outcome = self.finish(&mut work).await;
            Ok(outcome.map_or_else(|error| Look::NotYet(format!("{error:#}")), Look::Done))
        })
        .await?;
        Ok(happened)
    }

    /// What must be so at any time.
    fn look(&self, moment: &Moment, happened: &mut Happened) {
        happened.looks += 1;
        happened.faults.extend(moment.check(&self.inventory, &self.nodes).err().map(|error| format!("{error:#}")));
        let is_placed = |pod: &&Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        for pod in moment.pods.iter().filter(is_placed) {
            let seen = match By::of(pod) {
                By::Count => &mut happened.counted,
                By::Claim => &mut happened.claimed,
            };
            seen.extend(pod.uid());
        }
    }

    /// Makes and deletes what is to be; what is left after a failure stays to be done.
    async fn finish(&self, work: &mut Work) -> Result<()> {
        while let Some((pod, claimed)) = work.to_make.front() {
            if let Some(count) = claimed {
                self.cp.apply(devices::claim(self.ns.name(), pod.name(), vec![ask(*count)], vec![])).await?;
            }
            let made = self.ns.create(pod.clone().scheduler(&self.scheduler)).await;
            made.map(drop).or_else(unless(409))?;
            work.to_make.pop_front();
        }
        while let Some(name) = work.to_delete.front() {
            let pod = self.ns.pods().delete(name, &DeleteParams::default()).await;
            pod.map(drop).map_err(Into::into).or_else(unless(404))?;
            let claim = self.ns.device_claims().delete(name, &DeleteParams::default()).await;
            claim.map(drop).map_err(Into::into).or_else(unless(404))?;
            work.to_delete.pop_front();
        }
        Ok(())
    }

    /// Nothing is double, half, lost or idle: waits until it is so.
    pub async fn in_order(&self, patience: Duration) -> Result<()> {
        wait::until("the books to be in order", patience, async || {
            let faults = self.faults().await?;
            Ok(if faults.is_empty() { Look::Done(()) } else { Look::NotYet(faults.join("; ")) })
        })
        .await
    }

    async fn faults(&self) -> Result<Vec<String>> {
        let moment = self.ns.moment(&self.cp).await?;
        let mut faults = self.ns.books(GPU).await?.faults();
        faults.extend(moment.books(&self.inventory, &self.nodes, &self.templates)?.faults());
        let checks = [moment.check(&self.inventory, &self.nodes), moment.check_used()];
        faults.extend(checks.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")));
        Ok(faults)
    }

    /// Nothing is leaked: when all pods are gone every node can be filled.
    pub async fn nothing_is_held(&self) -> Result<()> {
        self.ns.clear_pods().await?;
        let counted = (0..COUNTED).map(|at| pod(&format!("whole-{at}")).gpus(GPUS));
        let claimed = (0..CLAIMED).map(|at| pod(&format!("all-{at}")).device_claim_template(&template(GPUS)));
        let pods = counted.chain(claimed).map(|pod| pod.scheduler(&self.scheduler));
        self.ns.create_at_once(pods).await?;
        self.ns.until_count_bound(COUNTED + CLAIMED).await.context("every node was to be filled").map(drop)
    }
}

/// A pod, or the members of a gang.
fn some_pods(by: By, number: usize, numbers: &mut Numbers) -> Vec<(PodBuilder, Option<u32>)> {
    let name = format!("by-{by:?}-{number}").to_lowercase();
    let asking = |name: &str, gpus: u32| match by {
        By::Count => pod(name).gpus(gpus),
        By::Claim => pod(name).device_claim_template(&template(gpus)),
    };
    if numbers.below(2) == 0 {
        let (name, gpus) = (format!("{name}-0"), 1 + numbers.below(u64::from(GPUS)) as u32);
        // Some are there for a while after they are deleted, and some claims outlive their pods.
        let grace = numbers.below(2) as i64;
        let is_named = numbers.below(2) == 0 && by == By::Claim;
        let one = if is_named { pod(&name).device_claim(&name) } else { asking(&name, gpus) };
        let one = one.spec(|spec| spec.termination_grace_period_seconds = Some(grace));
        return vec![(one, is_named.then_some(gpus))];
    }
    let (gpus, size) = ([2, 4, 8][numbers.below(3) as usize], 2 + numbers.below(3));
    let member = |at| {
        let member = asking(&format!("{name}-{at}"), gpus).annotation("testudo.dev/pod-group", &name);
        (member.annotation("testudo.dev/min-member", &size.to_string()), None)
    };
    (0..size).map(member).collect()
}

/// A pod that is chosen, running or not, or a whole gang, as its controller would end it.
fn some_names(by: By, moment: &Moment, numbers: &mut Numbers) -> Vec<String> {
    let mut names: Vec<String> = moment.pods.iter().filter(|pod| By::of(pod) == by).map(Pod::name_any).collect();
    names.sort_unstable();
    let base = |name: &String| name.rsplit_once('-').map(|(base, _)| base.to_owned());
    let chosen = names.get(numbers.below(names.len().max(1) as u64) as usize).and_then(base);
    names.retain(|name| base(name) == chosen);
    names
}

/// Nothing, if the API server has said this: it has taken it before, and its answer was lost.
fn unless(code: u16) -> impl Fn(anyhow::Error) -> Result<()> {
    move |error| match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if status.code == code => Ok(()),
        _ => Err(error),
    }
}

/// The template for claims of so many devices.
fn template(count: u32) -> String {
    format!("take-{count}")
}

fn ask(count: u32) -> serde_json::Value {
    request("r", CLASS, count as usize, None)
}
