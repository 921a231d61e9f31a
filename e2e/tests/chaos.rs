//! Everything is killed at random, for half an hour, under load; the books are in order all the time, and in the end. `make
//! chaos` plays it.
//!
//! `CHAOS_MINUTES` says for how long, `CHAOS_SEED` by what moments, victims and pods are chosen. When something is killed
//! depends on no clock but the seed's order; how long it takes to come back is the machine's matter.

mod load;
mod victims;

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::books::watched::WatchedBooks;

use self::load::{CLASS, Load};
use self::victims::{Victim, Victims};
use crate::deployed::Deployed;
use crate::stage::Stage;

/// A pod that was refused sleeps for up to ten seconds, one whose watch was missed for longer, and a leader that was killed has
/// a lease to run out.
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

async fn all_is_in_order_in_the_end(d: Arc<Deployed>) -> Result<()> {
    let seed = seed()?;
    play(&d, seed).await.with_context(|| format!("CHAOS_SEED={seed}"))
}

async fn play(d: &Deployed, seed: u64) -> Result<()> {
    let scheduler = "chaos-scheduler";
    // Devices that were given to a claim before somebody was killed are given back soon, beside everything else.
    let changes = [("/claims/deviceClasses", json!([CLASS])), ("/claims/releaseUnusedAfter", json!("3s"))];
    let mut victims = Victims::start(d, scheduler, &changes).await?;
    let ns = d.cp.namespace("chaos").await?.with_patience(SETTLING);
    let load = Load::new(&d.cp, ns, scheduler).await?;
    let watched = WatchedBooks::start(&d.cp, &load.ns).await?;
    let is_over = AtomicBool::new(false);
    let kills = async {
        let kills = kill_at_random(&mut victims, Numbers(seed)).await;
        is_over.store(true, Ordering::Relaxed);
        kills
    };
    let (kills, happened) = tokio::join!(kills, load.play(Numbers(!seed), &is_over));
    let (kills, happened) = (kills?, happened?);
    let killed: BTreeMap<Victim, usize> = kills.iter().flatten().fold(BTreeMap::new(), |mut killed, victim| {
        *killed.entry(*victim).or_default() += 1;
        killed
    });
    println!("chaos, seed {seed}: {} times something was killed: {killed:?}", kills.len());
    println!("{happened}");
    ensure!(!kills.is_empty(), "nothing was killed");
    let end = in_order_in_the_end(d, &mut victims, &load).await;
    // What was seen before says more about what is wrong in the end.
    let outcomes = [happened.check(), watched.check().map(|states| println!("{states} states were audited")), end];
    let faults: Vec<String> = outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    load.ns.clear().await?;
    victims.end().await
}

/// All are back, and nothing comes any more: what is left has to settle, and then to go without leaving anything behind.
async fn in_order_in_the_end(d: &Deployed, victims: &mut Victims, load: &Load) -> Result<()> {
    victims.controllers_again().await?;
    victims.until_led().await?;
    let begin = Instant::now();
    load.in_order(SETTLING).await?;
    println!("in order {:.1} s later", begin.elapsed().as_secs_f64());
    load.nothing_is_held().await?;
    load.in_order(SETTLING).await?;
    load.ns.check_nothing_is_overcommitted().await?;
    // An API server that is killed may have bound a pod and not have written that into its log.
    load.ns.check_nothing_is_bound_twice(&d.cp, d.testudo_account.user()).map(drop)
}

/// Kills one or two at a time, and has them back before the next; says who it was.
async fn kill_at_random(victims: &mut Victims, mut numbers: Numbers) -> Result<Vec<Vec<Victim>>> {
    let (begin, mut kills) = (Instant::now(), vec![]);
    while begin.elapsed() < minutes() {
        tokio::time::sleep(Duration::from_millis(500 + numbers.below(5_000))).await;
        let all = Victim::ALL.len();
        let first = numbers.below(all as u64) as usize;
        let mut chosen = vec![Victim::ALL[first]];
        if numbers.below(3) == 0 {
            chosen.push(Victim::ALL[(first + 1 + numbers.below(all as u64 - 1) as usize) % all]);
        }
        let away = Duration::from_millis(numbers.below(3_000));
        let killed = victims.crash(&chosen, away).await;
        kills.push(killed.with_context(|| format!("after {kills:?}, {chosen:?} for {away:?}"))?);
    }
    Ok(kills)
}
