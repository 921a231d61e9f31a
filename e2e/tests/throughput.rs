//! Pods placed in a second, beside plain kube-scheduler in one run. `make bench` plays it.
//!
//! Plain kube-scheduler twice: as it comes, where it looks at a sample of the nodes only, and looking at every node, as it has
//! to where the best one is wanted. `THROUGHPUT_NODES` (`1000,5000`) and `THROUGHPUT_PODS` (2000) change the size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testudo_e2e::wait::{self, Look};
use testudo_e2e::{ControlPlane, Metrics, Namespace, Observer, Scheduler, SchedulerConfig, node, pod};

use crate::deployed::Deployed;
use crate::figures::Figure;
use crate::stage::Stage;

/// How long the pods of one row may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.deployed("throughput::a_long_queue_is_shown_its_nodes_ahead", long_queue),
        stage.long("throughput::beside_plain_kube_scheduler", Duration::from_secs(3_600), beside_plain),
    ]
}

/// Pods that come faster than kube-scheduler takes them from its queue. Most find their node on themselves when their turn comes.
async fn long_queue(d: Arc<Deployed>) -> Result<()> {
    let (nodes, pods) = (32, 256);
    let ns = d.cp.namespace("queue").await?;
    let l40s = |at| node(&format!("queue-{at}")).product("NVIDIA-L40S", 46068).gpus(8);
    ns.create_nodes((0..nodes).map(l40s)).await?;
    let pair = d.pair("queue").await?;
    let observer = Observer::start(&ns).await?;
    ns.create_at_once((0..pods).map(|at| pod(&format!("queue-{at}")).gpus(1).scheduler("queue"))).await?;
    all_bound(&observer, pods).await?;
    ns.check_nothing_is_overcommitted().await?;
    let metrics = Metrics::read(pair.testudo.metrics()).await?;
    let shown = metrics.count("testudo_pod_writes_total", &[("write", "hint"), ("outcome", "done")])?;
    ensure!(shown >= pods as u64 / 4, "only {shown} of {pods} were shown their nodes ahead");
    ensure!(
        metrics.count("testudo_bindings_total", &[("outcome", "bound")])? == pods as u64,
        "all are bound by testudo"
    );
    drop(pair);
    ns.clear().await
}

fn sizes() -> Result<(Vec<usize>, usize)> {
    let said =
        |name: &str, otherwise: &str| std::env::var(name).ok().filter(|s| !s.is_empty()).unwrap_or(otherwise.into());
    let nodes = said("THROUGHPUT_NODES", "1000,5000");
    let nodes: Result<Vec<usize>, _> = nodes.split(',').map(str::parse).collect();
    let pods = said("THROUGHPUT_PODS", "2000").parse().context("THROUGHPUT_PODS is no number")?;
    Ok((nodes.context("THROUGHPUT_NODES are no numbers")?, pods))
}

async fn beside_plain(d: Arc<Deployed>) -> Result<()> {
    let (sizes, pods) = sizes()?;
    println!("\n{pods} pods of one GPU, created at once; pods bound in a second, all writes counted");
    println!(
        "{:>6}  {:>15}  {:>12}  {:>8}  {:>25}",
        "nodes", "plain, sampling", "plain, every", "testudo", "testudo to plain"
    );
    for nodes in sizes {
        let [sampling, every, testudo] = rows(&d, nodes, pods).await?;
        let ratios = format!("{:.2} sampling, {:.2} every", testudo / sampling, testudo / every);
        println!("{nodes:>6}  {sampling:>15.0}  {every:>12.0}  {testudo:>8.0}  {ratios:>25}");
        let [to_sample, to_every] = if nodes < 5_000 { [">= 1.2 x", ""] } else { [">= 1.5 x", ">= 4 x"] };
        for (who, plain, aim) in [("a sample", sampling, to_sample), ("every node", every, to_every)] {
            let name = format!("pods bound in a second, {nodes} nodes");
            let reference = format!("kube-scheduler, {who}");
            Figure { name, value: testudo, unit: "pods/s", reference: Some((&reference, plain)), aim }.tell();
        }
    }
    Ok(())
}

async fn rows(d: &Deployed, nodes: usize, pods: usize) -> Result<[f64; 3]> {
    ensure!(pods <= nodes * 8, "{pods} pods do not fit on {nodes} nodes");
    let ns = d.cp.namespace(&format!("throughput-{nodes}")).await?.with_patience(PATIENCE);
    let l40s = |at| node(&format!("{}-{at}", ns.name())).product("NVIDIA-L40S", 46068).gpus(8);
    ns.create_nodes((0..nodes).map(l40s)).await?;
    let sampling = plain(&d.cp, &ns, "sampling", 0, pods).await?;
    let every = plain(&d.cp, &ns, "every", 100, pods).await?;
    let name = format!("testudo-{nodes}");
    let pair = d.pair(&name).await?;
    let testudo = pods_per_second(&ns, &name, pods).await?;
    // Who finds a node shown has nothing to choose from.
    let metrics = Metrics::read(pair.testudo.metrics()).await?;
    let chosen = metrics.count("testudo_extender_requests_total", &[("verb", "prioritize")])?;
    println!("{nodes:>6}  {chosen} of {pods} pods came to their turn before a node was shown to them");
    ns.check_nothing_is_overcommitted().await?;
    drop(pair);
    ns.clear().await?;
    Ok([sampling, every, testudo])
}

async fn plain(cp: &ControlPlane, ns: &Namespace, row: &str, percentage_of_nodes: u32, pods: usize) -> Result<f64> {
    let name = format!("{row}-{}", ns.name());
    let config = SchedulerConfig { percentage_of_nodes, ..SchedulerConfig::default() }.named(name.clone());
    let _scheduler = Scheduler::start(cp, &config).await?;
    pods_per_second(ns, &name, pods).await
}

async fn all_bound(observer: &Observer, pods: usize) -> Result<()> {
    wait::until("all pods to have nodes", PATIENCE, async || {
        let bound = observer.bound_count();
        Ok(if bound == pods { Look::Done(()) } else { Look::NotYet(format!("{bound} of {pods} are bound")) })
    })
    .await
}

/// From the first pod that gets a node to the last.
async fn pods_per_second(ns: &Namespace, scheduler: &str, pods: usize) -> Result<f64> {
    let observer = Observer::start(ns).await?;
    // Names of their own: kwok deletes by name, and late when it is busy.
    let all = (0..pods).map(|at| pod(&format!("{scheduler}-{at}")).gpus(1).scheduler(scheduler));
    ns.create_at_once(all).await?;
    all_bound(&observer, pods).await?;
    let times: Vec<Instant> = observer.lives().iter().filter_map(|life| Some(life.bound.as_ref()?.1)).collect();
    let (first, last) = times.iter().min().zip(times.iter().max()).context("nothing was bound")?;
    ns.clear_pods().await?;
    Ok((pods - 1) as f64 / (*last - *first).as_secs_f64())
}
