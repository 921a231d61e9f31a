//! Everything is killed at random, for half an hour, under load; in the end the books are in order. `make chaos` plays it.
//!
//! `CHAOS_MINUTES` says for how long, `CHAOS_SEED` by what moments, victims and pods are chosen. When something is killed
//! depends on no clock but the seed's order; how long it takes to come back is the machine's matter.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::control_plane::{APISERVER, ETCD};
use testudo_e2e::wait::{self, Look};
use testudo_e2e::{ControlPlane, Namespace, PodBuilder, node, pod};

use crate::deployed::{Deployed, Pair};
use crate::stage::Stage;

const GPU: &str = "nvidia.com/gpu";
const NODES: usize = 12;
const GPUS: u32 = 8;
/// As many GPUs are asked for at a time, more than there are.
const ASKED: i64 = 120;
/// A pod that was refused sleeps for up to ten seconds, one whose watch was missed for longer.
const SETTLING: Duration = Duration::from_secs(180);

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.long("chaos::all_is_in_order_in_the_end", minutes(), all_is_in_order_in_the_end)]
}

fn minutes() -> Duration {
    let said = env::var("CHAOS_MINUTES").ok().and_then(|said| said.parse::<f64>().ok());
    Duration::from_secs_f64(60.0 * said.unwrap_or(30.0).clamp(0.1, 600.0))
}

fn seed() -> Result<u64> {
    let said = env::var("CHAOS_SEED").ok().filter(|said| !said.is_empty());
    said.map_or(Ok(1), |said| said.parse().with_context(|| format!("CHAOS_SEED={said} is no number")))
}

/// A sequence of numbers that a seed chooses (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Etcd,
    ApiServer,
    Scheduler,
    Testudo,
}

impl Victim {
    const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::Scheduler, Self::Testudo];
}

async fn all_is_in_order_in_the_end(d: Arc<Deployed>) -> Result<()> {
    let (seed, scheduler) = (seed()?, "chaos-scheduler");
    let mut pair = d.pair(scheduler).await?;
    let ns = d.cp.namespace("chaos").await?.with_patience(SETTLING);
    let gpu_node = |at| node(&format!("chaos-{at}")).product("NVIDIA-H100-80GB-HBM3", 81559).gpus(GPUS);
    ns.create_nodes((0..NODES).map(gpu_node)).await?;
    let is_over = AtomicBool::new(false);
    let play = async {
        let kills = kill_at_random(&d.cp, &mut pair, Numbers(seed)).await;
        is_over.store(true, Ordering::Relaxed);
        kills
    };
    let (kills, made) = tokio::join!(play, load(&ns, scheduler, Numbers(!seed), &is_over));
    println!("chaos, seed {seed}: {made} pods made, {} kills: {:?}", kills.as_ref().map_or(0, Vec::len), kills);
    kills.and_then(|kills| {
        ensure!(!kills.is_empty() && made > 0, "nothing has happened");
        Ok(())
    })?;
    in_order(&d, &ns).await.with_context(|| format!("CHAOS_SEED={seed}"))?;
    nothing_is_held(&ns, scheduler).await.with_context(|| format!("CHAOS_SEED={seed}"))?;
    ns.clear().await
}

/// Kills one or two at a time, and has them back before the next.
async fn kill_at_random(cp: &ControlPlane, pair: &mut Pair, mut numbers: Numbers) -> Result<Vec<Vec<Victim>>> {
    let (begin, mut kills) = (Instant::now(), vec![]);
    while begin.elapsed() < minutes() {
        tokio::time::sleep(Duration::from_millis(500 + numbers.below(5_000))).await;
        let first = numbers.below(4) as usize;
        let mut victims = vec![Victim::ALL[first]];
        if numbers.below(3) == 0 {
            victims.push(Victim::ALL[(first + 1 + numbers.below(3) as usize) % 4]);
        }
        let away = Duration::from_millis(numbers.below(3_000));
        crash(cp, pair, &victims, away).await.with_context(|| format!("after {kills:?}, {victims:?} for {away:?}"))?;
        kills.push(victims);
    }
    Ok(kills)
}

async fn crash(cp: &ControlPlane, pair: &mut Pair, victims: &[Victim], away: Duration) -> Result<()> {
    let is_victim = |victim: Victim| victims.contains(&victim);
    if is_victim(Victim::Testudo) {
        pair.testudo.kill()?;
    }
    if is_victim(Victim::Scheduler) {
        pair.scheduler.kill()?;
    }
    let core = [(Victim::ApiServer, APISERVER), (Victim::Etcd, ETCD)];
    let core: Vec<&str> = core.into_iter().filter(|(victim, _)| is_victim(*victim)).map(|(_, name)| name).collect();
    cp.crash(&core, away).await?;
    if is_victim(Victim::Testudo) {
        pair.testudo.restart().await?;
    }
    if is_victim(Victim::Scheduler) {
        pair.scheduler.restart().await?;
    }
    // kube-scheduler gives up by itself where it cannot renew its lease, as it does in a pod.
    if pair.scheduler.process()?.check_running().is_err() {
        pair.scheduler.restart().await?;
    }
    Ok(())
}

/// Makes pods and gangs, and deletes others, until it is over; returns how many pods were made. What the API server does
/// not take is tried with the next.
async fn load(ns: &Namespace, scheduler: &str, mut numbers: Numbers, is_over: &AtomicBool) -> usize {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50 + numbers.below(500))).await;
        let Ok(books) = ns.books(GPU).await else { continue };
        let held: i64 = (NODES as i64 * i64::from(GPUS)) - books.free.values().sum::<i64>();
        let asked = held + books.pending.values().map(|(asks, _)| asks).sum::<i64>();
        if asked < ASKED {
            let pods = some_pods(made, &mut numbers);
            made += pods.len();
            let _ = ns.create_all(pods.into_iter().map(|pod| pod.scheduler(scheduler))).await;
        } else if let Ok(pods) = ns.placements().await {
            // A gang goes as a whole, as its controller would end it.
            let names: Vec<String> = pods.into_keys().collect();
            if let Some(name) = names.get(numbers.below(names.len().max(1) as u64) as usize) {
                let base = name.rsplit_once('-').map_or(name.as_str(), |(base, _)| base);
                let all = ns.list().await.unwrap_or_default();
                let all = all.into_iter().filter_map(|pod| pod.metadata.name);
                let gone: Vec<String> =
                    all.filter(|other| other.rsplit_once('-').is_some_and(|(b, _)| b == base)).collect();
                for name in gone {
                    let _ = ns.pods().delete(&name, &Default::default()).await;
                }
            }
        }
    }
    made
}

/// A pod, or the members of a gang; the number makes their names unique.
fn some_pods(number: usize, numbers: &mut Numbers) -> Vec<PodBuilder> {
    if numbers.below(2) == 0 {
        return vec![pod(&format!("one{number}-0")).gpus(1 + numbers.below(u64::from(GPUS)) as u32)];
    }
    let (gang, size) = (format!("gang{number}"), 2 + numbers.below(3));
    let gpus = [2, 4, 8][numbers.below(3) as usize];
    let member = |index| {
        let member = pod(&format!("{gang}-{index}")).gpus(gpus).annotation("testudo.dev/pod-group", &gang);
        member.annotation("testudo.dev/min-member", &size.to_string())
    };
    (0..size).map(member).collect()
}

/// Nothing is double, half or lost: waits until it is so, and then once more looks at what must always be so.
async fn in_order(d: &Deployed, ns: &Namespace) -> Result<()> {
    wait::until("the books to be in order", SETTLING, async || {
        let faults = ns.books(GPU).await?.faults();
        Ok(if faults.is_empty() { Look::Done(()) } else { Look::NotYet(faults.join("; ")) })
    })
    .await?;
    ns.check_nothing_is_overcommitted().await?;
    // An API server that is killed may have bound a pod and not have written that into its log.
    ns.check_nothing_is_bound_twice(&d.cp, d.testudo_account.user()).map(|_| ())
}

/// Nothing is leaked: when all pods are gone every node can be filled.
async fn nothing_is_held(ns: &Namespace, scheduler: &str) -> Result<()> {
    ns.clear_pods().await?;
    let whole = |at| pod(&format!("whole{at}-0")).gpus(GPUS).scheduler(scheduler);
    ns.create_all((0..NODES).map(whole)).await?;
    ns.until_count_bound(NODES).await.map(|_| ())
}
