//! testudo is killed while it gives claims their devices: in the end each claim has its own or none, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::Trial;
use testudo_e2e::devices::{self, request};
use testudo_e2e::wait::{self, Look, PATIENCE};

use super::Setting;
use crate::deployed::Deployed;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("claims::killed_while_it_allocates", killed_while_it_allocates)]
}

/// After these times, from the first pod on: before, amid and after the writes.
const MOMENTS: [Duration; 3] = [Duration::from_millis(30), Duration::from_millis(90), Duration::from_millis(250)];

const PODS: usize = 8;

async fn killed_while_it_allocates(d: Arc<Deployed>) -> Result<()> {
    let mut s = Setting::new(&d, "claims-crash").await?;
    s.node("a", devices::whole_gpus).await?;
    s.node("b", devices::whole_gpus).await?;
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let names: Vec<String> = (0..PODS).map(|at| format!("r{round}-{at}")).collect();
        for name in &names {
            s.claim(name, vec![request("r", &s.gpu, 1, None)], vec![]).await?;
        }
        let kill = async {
            tokio::time::sleep(moment).await;
            s.pair.testudo.kill()
        };
        let pods = names.iter().map(|name| testudo_e2e::pod(name).scheduler(&s.scheduler).device_claim(name));
        let (created, killed) = tokio::join!(s.ns.create_at_once(pods), kill);
        created.and(killed)?;
        // Of some the pod is gone when testudo is back: whatever their claims were given, nobody will use it.
        let (gone, left) = names.split_at(PODS / 2);
        s.ns.delete_all(gone).await?;
        s.pair.testudo.restart().await?;
        s.ns.until_all_running(left).await.with_context(|| format!("killed after {moment:?}"))?;
        until_only_users_have_devices(&s).await.with_context(|| format!("killed after {moment:?}"))?;
        s.check_books().await?;
        s.ns.delete_all(left).await?;
    }
    s.ns.clear().await
}

/// Waits until every claim that has devices is used by somebody.
async fn until_only_users_have_devices(s: &Setting) -> Result<()> {
    wait::until("what nobody uses to be taken back", PATIENCE, async || {
        let given = s.given().await?;
        let unused = given.iter().filter(|(_, given)| given.as_ref().is_some_and(|given| !given.is_reserved));
        let unused: Vec<&String> = unused.map(|(claim, _)| claim).collect();
        Ok(if unused.is_empty() { Look::Done(()) } else { Look::NotYet(format!("{unused:?}")) })
    })
    .await
}
