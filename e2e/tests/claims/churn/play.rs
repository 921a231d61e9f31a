//! A sequence of MIG instances that come and go, played in virtual time: the next one comes when the last one is placed or
//! refused for good, and all that have ended before it are gone.
//!
//! Whether there is room is known from the objects alone, at every moment: a scheduler that says no although there is room has
//! looked at an older state, and is waited for; one that places what has no room has given something twice.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::api::{Api, DeleteParams, PostParams};
use testudo_e2e::device_books::{Holding, Inventory};
use testudo_e2e::devices::{self, of_profile, request};
use testudo_e2e::mirror::Mirror;
use testudo_e2e::namespace::pod_scheduled;
use testudo_e2e::wait::PATIENCE;
use testudo_e2e::{ControlPlane, Namespace, PodBuilder};

/// An instance that is asked for. Times are in mean durations.
pub struct Arrival {
    pub at: f64,
    pub ends: f64,
    pub profile: String,
    /// Memory slices.
    pub slices: u32,
}

/// What came of a sequence.
#[derive(Debug, Default)]
pub struct Played {
    /// Memory slices that were asked for and that were given, after the warm-up.
    pub offered: u32,
    pub accepted: u32,
    /// From the creation of each pod that was placed to its binding.
    pub placements: Vec<Duration>,
}

impl Played {
    pub fn accepted_percent(&self) -> f64 {
        100.0 * f64::from(self.accepted) / f64::from(self.offered.max(1))
    }

    /// The mean and the median.
    pub fn placement_ms(&self) -> (f64, f64) {
        let mut all: Vec<f64> = self.placements.iter().map(|took| took.as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
        (mean, all.get(all.len() / 2).copied().unwrap_or_default())
    }
}

/// Where sequences are played.
pub struct Stand {
    ns: Namespace,
    class: String,
    nodes: BTreeSet<String>,
    inventory: Inventory,
    pods: Mirror<Pod>,
    claims: Mirror<ResourceClaim>,
    events: Mirror<Event>,
}

/// What a scheduler says of a pod.
enum Word {
    Placed,
    Refused,
}

impl Stand {
    /// In a namespace, with all nodes that are there for it by now; claims are for this class.
    pub async fn new(cp: &ControlPlane, ns: &Namespace, class: &str, nodes: BTreeSet<String>) -> Result<Self> {
        Ok(Self {
            ns: ns.clone(),
            class: class.to_owned(),
            nodes,
            inventory: Inventory::read(cp).await?,
            pods: Mirror::start(ns.pods()).await?,
            claims: Mirror::start(ns.device_claims()).await?,
            events: Mirror::start(Api::namespaced(cp.client(), ns.name())).await?,
        })
    }

    /// Plays a sequence with pods of this name and form. What comes before the end of the warm-up is not counted.
    pub async fn play(
        &self,
        sequence: impl IntoIterator<Item = Arrival>,
        warmup: f64,
        pod: impl Fn(usize) -> PodBuilder,
    ) -> Result<Played> {
        let mut played = Played::default();
        let mut running: BinaryHeap<Reverse<(u64, String)>> = BinaryHeap::new();
        for (number, arrival) in sequence.into_iter().enumerate() {
            let mut ended = vec![];
            // The bits of times from 0 on are ordered as the times are.
            while running.peek().is_some_and(|Reverse((ends, _))| f64::from_bits(*ends) <= arrival.at) {
                ended.extend(running.pop().map(|Reverse((_, name))| name));
            }
            self.end(&ended).await?;
            let pod = pod(number);
            let name = pod.name().to_owned();
            let is_counted = arrival.at >= warmup;
            played.offered += if is_counted { arrival.slices } else { 0 };
            match self.ask(pod, &arrival.profile, &mut played, is_counted).await.with_context(|| name.clone())? {
                Word::Placed => {
                    played.accepted += if is_counted { arrival.slices } else { 0 };
                    running.push(Reverse((arrival.ends.to_bits(), name)));
                }
                Word::Refused => self.end(&[name]).await?,
            }
        }
        let left: Vec<String> = running.into_iter().map(|Reverse((_, name))| name).collect();
        self.end(&left).await?;
        Ok(played)
    }

    /// Creates a claim and its pod, and waits for what becomes of them.
    async fn ask(&self, pod: PodBuilder, profile: &str, played: &mut Played, is_counted: bool) -> Result<Word> {
        let name = pod.name().to_owned();
        let selector = of_profile(profile);
        let claim = devices::claim(self.ns.name(), &name, vec![request("r", &self.class, 1, Some(&selector))], vec![]);
        let claim: ResourceClaim = serde_json::from_value(claim).context("a claim")?;
        let has_room = self.inventory.has_free(profile, &self.nodes, &self.holdings());
        self.ns.device_claims().create(&PostParams::default(), &claim).await.context("cannot create the claim")?;
        let begin = Instant::now();
        self.ns.create(pod.device_claim(&name)).await?;
        // Without room it must be refused, but for that nobody waits with room: the scheduler has looked at an older state.
        let placed =
            self.pods.until("the pod to be placed", PATIENCE, |pods| is_placed(pods.get(&name)?).then_some(()));
        let word = tokio::select! {
            placed = placed => placed.map(|()| Word::Placed),
            refused = self.refused(&name), if !has_room => refused.map(|()| Word::Refused),
        };
        let word = match word {
            Ok(word) => word,
            Err(error) if has_room => {
                bail!("there is room for {profile}: {error:#}\n{}", self.ns.describe(&name).await)
            }
            Err(error) => return Err(error),
        };
        if let Word::Placed = word {
            if is_counted {
                played.placements.push(begin.elapsed());
            }
            self.check(&name, profile, has_room).await?;
        }
        Ok(word)
    }

    /// Waits until the scheduler says that there is no place for a pod.
    async fn refused(&self, name: &str) -> Result<()> {
        let says = |pod: &Pod| is_unschedulable(pod).then_some(());
        let condition = self.pods.until("the pod to be refused", PATIENCE, |pods| says(pods.get(name)?));
        let told = |event: &Event| tells_of_waiting(event, name);
        let event =
            self.events.until("the pod to be refused", PATIENCE, |events| events.values().any(told).then_some(()));
        tokio::select! {
            refused = condition => refused,
            refused = event => refused,
        }
    }

    /// A pod that is placed has what it asked for, and nobody else has it.
    async fn check(&self, name: &str, profile: &str, has_room: bool) -> Result<()> {
        let own = self.claims.until("the claim to be shown with its devices", PATIENCE, |claims| {
            let holding = Holding::of(claims.get(name)?)?;
            (!holding.users.is_empty()).then_some(holding)
        });
        let own = own.await?;
        ensure!(has_room, "there is no room for {profile}, and it was given {:?}", own.devices);
        let is_right = own.devices.len() == 1 && own.devices.iter().all(|it| self.inventory.is_of_profile(it, profile));
        ensure!(is_right, "{:?} is not what was asked for, {profile}", own.devices);
        self.inventory.check(&self.holdings())
    }

    fn holdings(&self) -> Vec<Holding> {
        self.claims.look(|claims| claims.values().filter_map(Holding::of).collect())
    }

    /// Removes pods with their claims, and waits until both are gone.
    async fn end(&self, names: &[String]) -> Result<()> {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let (pods, claims) = (self.ns.pods(), self.ns.device_claims());
        try_join_all(names.iter().map(async |name| {
            pods.delete(name, &now).await.with_context(|| format!("cannot delete the pod {name}"))?;
            claims.delete(name, &now).await.with_context(|| format!("cannot delete the claim {name}"))?;
            anyhow::Ok(())
        }))
        .await?;
        self.pods.until_gone(names).await?;
        self.claims.until_gone(names).await
    }
}

fn is_placed(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

/// Does kube-scheduler say that there is no place?
fn is_unschedulable(pod: &Pod) -> bool {
    pod_scheduled(pod).is_some_and(|it| it.status == "False" && it.reason.as_deref() == Some("Unschedulable"))
}

/// Does testudo say so, of a pod that kube-scheduler does not look at as long as it has its gate?
fn tells_of_waiting(event: &Event, pod: &str) -> bool {
    let is_about_it = event.regarding.as_ref().is_some_and(|it| it.name.as_deref() == Some(pod));
    is_about_it && event.reason.as_deref() == Some("ClaimsWaiting")
}
