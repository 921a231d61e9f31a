//! The leader goes in peace, or is killed, while pods and gangs come.

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::{Namespace, Observer, PodBuilder, node, pod};

use crate::deployed::Deployed;
use crate::gangs::WINDOW;
use crate::replicas::Replicas;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed_alone("failover::goes_in_peace", goes_in_peace),
        stage.deployed_alone("failover::is_killed", is_killed),
        stage.deployed_alone("failover::both_are_restarted", both_are_restarted),
    ]
}

/// Pods that come while the leader changes: `TESTUDO_E2E_PODS` in the environment, else not many.
fn pods() -> Result<usize> {
    let said = env::var("TESTUDO_E2E_PODS").ok().filter(|said| !said.is_empty());
    said.map_or(Ok(96), |said| said.parse().with_context(|| format!("TESTUDO_E2E_PODS={said} is no number")))
}

/// The duration of the shipped lease: so long after the last sign of life of a leader another may take it.
const LEASE: Duration = Duration::from_secs(15);

/// Members of a gang, each with a whole node.
const SIZE: usize = 4;

/// How long the pods take that come one after the other.
const LOAD: Duration = Duration::from_secs(20);

async fn goes_in_peace(d: Arc<Deployed>) -> Result<()> {
    let took = under_load(&d, "peace", async |replicas, leader| replicas.testudo(leader).stop().await).await?;
    eprintln!("    no placement for {:.2} s around SIGTERM", took.as_secs_f64());
    ensure!(took < Duration::from_secs(6), "{took:?}: it was to be 3 s, the rest is for busy machines");
    Ok(())
}

async fn is_killed(d: Arc<Deployed>) -> Result<()> {
    let took = under_load(&d, "killed", async |replicas, leader| replicas.testudo(leader).kill()).await?;
    eprintln!("    no placement for {:.2} s around kill -9, with a lease of {LEASE:?}", took.as_secs_f64());
    ensure!(
        took < LEASE + Duration::from_secs(3),
        "{took:?}: it was to be 2 s after the lease, and one is for busy machines"
    );
    Ok(())
}

async fn both_are_restarted(d: Arc<Deployed>) -> Result<()> {
    let took = under_load(&d, "rolling", async |replicas, leader| {
        for number in [leader, 1 - leader] {
            replicas.testudo(number).stop().await?;
            replicas.testudo(number).restart().await?;
        }
        Ok(())
    })
    .await?;
    eprintln!("    no placement for {:.2} s while both are restarted", took.as_secs_f64());
    Ok(())
}

/// Lets pods and gangs come, and something happen to the leader meanwhile. Says for how long nothing was placed.
async fn under_load(
    d: &Deployed,
    name: &str,
    happen: impl AsyncFnOnce(&mut Replicas, usize) -> Result<()>,
) -> Result<Duration> {
    let scheduler = format!("{name}-scheduler");
    let mut replicas = Replicas::start(d, &scheduler, &[]).await?;
    let leader = replicas.until_other_leads(None).await?;
    replicas.check_leader(leader).await?;
    let ns = d.cp.namespace(&format!("failover-{name}")).await?;
    let (singles, gangs) = (pods()?, pods()? / 16);
    let nodes = singles.div_ceil(8) + gangs * SIZE + 1;
    let whole = |at| node(&format!("{}-{at}", ns.name())).gpus(8).product("NVIDIA-H100-80GB-HBM3", 81559);
    ns.create_nodes((0..nodes).map(whole)).await?;
    let observer = Observer::start(&ns).await?;

    let load = come(&ns, &scheduler, singles, gangs);
    let change = async {
        tokio::time::sleep(LOAD / 4).await;
        happen(&mut replicas, leader).await
    };
    let (names, ()) = tokio::try_join!(load, change)?;
    observer.until_bound(&names).await?;
    ns.until_all_running(&names).await?;
    observer.check_never_bound(|_| false)?;
    ns.check_nothing_is_overcommitted().await?;
    ns.check_bindings(&d.cp, d.testudo_account.user()).await?;
    ensure!(observer.lives().len() == names.len(), "a pod was made twice: {} lives", observer.lives().len());
    for gang in 0..gangs {
        let members: Vec<String> = (0..SIZE).map(|index| format!("gang{gang}-{index}")).collect();
        observer.until_bound_together(&members, WINDOW).await?;
    }
    ns.clear().await?;
    // Whoever was killed or stopped for good comes back, so that the end finds two.
    if replicas.testudo(leader).process()?.check_running().is_err() {
        replicas.testudo(leader).restart().await?;
    }
    replicas.end().await?;
    longest_pause(&observer)
}

/// The longest time between two placements, one after the other.
fn longest_pause(observer: &Observer) -> Result<Duration> {
    let mut times: Vec<Instant> = observer.lives().into_iter().filter_map(|life| Some(life.bound?.1)).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().context("nothing was placed")
}

/// Single pods and gangs, one after the other over the time of the load. Returns their names.
async fn come(ns: &Namespace, scheduler: &str, singles: usize, gangs: usize) -> Result<Vec<String>> {
    let single = |at: usize| pod(&format!("single-{at}")).gpus(1);
    let member = |gang: usize, index: usize| {
        let member = pod(&format!("gang{gang}-{index}")).gpus(8).gate("testudo.dev/gang");
        member
            .annotation("testudo.dev/pod-group", &format!("gang{gang}"))
            .annotation("testudo.dev/min-member", &SIZE.to_string())
    };
    let mut coming: Vec<PodBuilder> = Vec::new();
    for at in 0..singles {
        coming.push(single(at));
        if gangs > 0 && at % (singles / gangs) == 0 && at / (singles / gangs) < gangs {
            coming.extend((0..SIZE).map(|index| member(at / (singles / gangs), index)));
        }
    }
    let names = coming.iter().map(|pod| pod.name().to_owned()).collect();
    let pause = LOAD / u32::try_from(coming.len()).context("too many pods")?;
    let mut ticks = tokio::time::interval(pause);
    for pod in coming {
        ticks.tick().await;
        ns.create(pod.scheduler(scheduler)).await?;
    }
    Ok(names)
}
