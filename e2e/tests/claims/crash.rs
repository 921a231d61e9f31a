//! testudo is killed while it gives claims their devices, at moments that a seed chooses: in the end each claim has its own or
//! none, and nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use testudo::sim::rng::Rng;
use testudo_e2e::devices::{self, request};
use testudo_e2e::wait::{self, Look, PATIENCE};

use super::{Setting, number};
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("claims::killed_while_it_allocates", killed_while_it_allocates)]
}

const PODS: usize = 8;

/// When it is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the first pod was made: before, amid or after the writes.
    After(Duration),
    /// When so many claims have their devices.
    Given(usize),
}

impl Moment {
    fn choose(dice: &mut Rng) -> Self {
        match dice.below(2) {
            0 => Self::After(Duration::from_millis(dice.below(400) as u64)),
            _ => Self::Given(1 + dice.below(PODS)),
        }
    }
}

async fn killed_while_it_allocates(d: Arc<Deployed>) -> Result<()> {
    let mut s = Setting::new(&d, "claims-crash").await?;
    s.node("a", devices::whole_gpus).await?;
    s.node("b", devices::whole_gpus).await?;
    // As often as `TESTUDO_E2E_CRASHES` says, else few times.
    let (crashes, seed) = (number("TESTUDO_E2E_CRASHES", 3)?, number("TESTUDO_E2E_SEED", 1)?);
    let mut dice = Rng::new(seed);
    for round in 0..crashes {
        let moment = Moment::choose(&mut dice);
        let killed = format!("TESTUDO_E2E_SEED={seed}, round {round}: killed at {moment:?}");
        play(&mut s, round, moment).await.context(killed)?;
    }
    s.ns.clear().await
}

async fn play(s: &mut Setting, round: u64, moment: Moment) -> Result<()> {
    let names: Vec<String> = (0..PODS).map(|at| format!("r{round}-{at}")).collect();
    for name in &names {
        s.claim(name, vec![request("r", &s.gpu, 1, None)], vec![]).await?;
    }
    let kill = async {
        match moment {
            Moment::After(time) => tokio::time::sleep(time).await,
            Moment::Given(count) => until_given(&s.ns, count).await?,
        }
        s.pair.testudo.kill()
    };
    let pods = names.iter().map(|name| testudo_e2e::pod(name).scheduler(&s.scheduler).device_claim(name));
    let (created, killed) = tokio::join!(s.ns.create_at_once(pods), kill);
    created.and(killed)?;
    // Of some the pod is gone when testudo is back: whatever their claims were given, nobody will use it.
    let (gone, left) = names.split_at(PODS / 2);
    s.ns.delete_all(gone).await?;
    s.pair.testudo.restart().await?;
    s.ns.until_all_running(left).await?;
    until_only_users_have_devices(s, left).await?;
    s.ns.check_devices(&s.cp).await?;
    s.ns.delete_all(left).await
}

async fn until_given(ns: &testudo_e2e::Namespace, count: usize) -> Result<()> {
    wait::until(&format!("{count} claims to have devices"), PATIENCE, async || {
        let given = ns.holdings().await?.iter().filter(|holding| !holding.devices.is_empty()).count();
        Ok(if given >= count { Look::Done(()) } else { Look::NotYet(format!("{given} have")) })
    })
    .await
}

/// Waits until of all claims just those of these pods have devices, and are used.
async fn until_only_users_have_devices(s: &Setting, pods: &[String]) -> Result<()> {
    let wanted: BTreeSet<String> = pods.iter().map(|pod| format!("{}/{pod}", s.ns.name())).collect();
    wait::until("what nobody uses to be taken back", PATIENCE, async || {
        let holdings = s.ns.holdings().await?;
        let is_used = holdings.iter().all(|holding| !holding.users.is_empty());
        let holders: BTreeSet<String> = holdings.into_iter().map(|holding| holding.claim).collect();
        Ok(if is_used && holders == wanted {
            Look::Done(())
        } else {
            Look::NotYet(format!("{holders:?} have devices"))
        })
    })
    .await
}
