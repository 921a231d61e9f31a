//! testudo is killed while it binds a gang, at moments that a seed chooses: each gang is whole in the end, or has not
//! begun.

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::wait::{self, Look, PATIENCE};
use testudo_e2e::{Namespace, Observer};

use super::{bound, h100s, member, names, until_whole};
use crate::deployed::{Deployed, Pair};
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("gangs::killed_while_it_binds", killed_while_it_binds)]
}

/// How often to kill: `TESTUDO_E2E_CRASHES` in the environment, else few times.
fn rounds() -> Result<u64> {
    let said = env::var("TESTUDO_E2E_CRASHES").ok().filter(|said| !said.is_empty());
    said.map_or(Ok(3), |said| said.parse().with_context(|| format!("TESTUDO_E2E_CRASHES={said} is no number")))
}

/// What the moments are chosen by: `TESTUDO_E2E_SEED` in the environment, else always the same.
fn seed() -> Result<u64> {
    let said = env::var("TESTUDO_E2E_SEED").ok().filter(|said| !said.is_empty());
    said.map_or(Ok(1), |said| said.parse().with_context(|| format!("TESTUDO_E2E_SEED={said} is no number")))
}

/// When it is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the first member was made.
    After(Duration),
    /// When so many members have been bound.
    Bound(usize),
}

impl Moment {
    /// Half of them by time, half by what has been done.
    fn choose(seed: u64, round: u64) -> Self {
        // SplitMix64
        let mut mixed = (seed << 32 | round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        if mixed.is_multiple_of(2) {
            Self::Bound((mixed >> 1) as usize % SIZE)
        } else {
            Self::After(Duration::from_millis((mixed >> 1) % 400))
        }
    }
}

/// Two gangs of this size do not fit side by side.
const SIZE: usize = 6;
const NODES: usize = 10;

/// How long after its return testudo may need for what it had begun: kube-scheduler lets pods that failed wait for up to
/// ten seconds.
const RECOVERY: Duration = Duration::from_secs(20);

async fn killed_while_it_binds(d: Arc<Deployed>) -> Result<()> {
    let scheduler = "crash-scheduler";
    let mut pair = d.pair(scheduler).await?;
    let ns = d.cp.namespace("gang-crash").await?;
    ns.create_nodes(h100s(&ns, NODES)).await?;
    let seed = seed()?;
    for round in 0..rounds()? {
        let moment = Moment::choose(seed, round);
        // Names of its own: kwok deletes by name, and late when it is busy.
        let gangs = ["a", "b"].map(|gang| format!("{gang}{round}"));
        play(&ns, &mut pair, &gangs, scheduler, moment)
            .await
            .with_context(|| format!("TESTUDO_E2E_SEED={seed}, round {round}: killed at {moment:?}"))?;
    }
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ns.clear().await
}

async fn play(ns: &Namespace, pair: &mut Pair, gangs: &[String; 2], scheduler: &str, moment: Moment) -> Result<()> {
    let observer = Observer::start(ns).await?;
    let begin = Instant::now();
    let member = |gang: &String, index| member(gang, index, SIZE).scheduler(scheduler);
    let members = (0..SIZE).flat_map(|index| gangs.each_ref().map(|gang| member(gang, index)));
    let kill = async {
        match moment {
            Moment::After(time) => tokio::time::sleep_until((begin + time).into()).await,
            Moment::Bound(count) => until_any_bound(ns, count).await?,
        }
        pair.testudo.kill()
    };
    let (created, killed) = tokio::join!(ns.create_all(members), kill);
    created.and(killed)?;
    pair.testudo.restart().await?;
    let back = Instant::now();

    let first = until_whole(ns, SIZE).await?;
    ensure!(back.elapsed() < RECOVERY, "gang {first} was whole only {:?} after testudo was back", back.elapsed());
    let second = if first == gangs[0] { &gangs[1] } else { &gangs[0] };
    let why = format!("gang gang-crash/{second}: needs {SIZE} places");
    ns.until_pending_with_message(&format!("{second}-0"), &[&why]).await?;
    observer.until_bound(&names(&first, SIZE)).await?;
    observer.check_never_bound(|name| name.starts_with(second.as_str()))?;
    ns.check_nothing_is_overcommitted().await?;

    ns.delete_all(&names(&first, SIZE)).await?;
    observer.until_bound_together(&names(second, SIZE), super::WINDOW).await?;
    ns.check_nothing_is_overcommitted().await?;
    ns.delete_all(&names(second, SIZE)).await
}

async fn until_any_bound(ns: &Namespace, count: usize) -> Result<()> {
    wait::until(&format!("{count} members to be bound"), PATIENCE, async || {
        let bound = bound(ns).await?;
        Ok(if bound.values().any(|have| *have >= count) || count == 0 {
            Look::Done(())
        } else {
            Look::NotYet(format!("{bound:?}"))
        })
    })
    .await
}
