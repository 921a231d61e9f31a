//! How much of what is asked for is placed where MIG instances come and go, made to order in claims.
//!
//! Plain kube-scheduler and testudo are given the same sequence ([`Churn::sequence`]), one claim a pod, one after the other
//! ([`play`]). `make bench` plays the figure.

mod play;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testudo::sim::mig::{Churn, Mix};
use testudo_core::model::catalogue::Catalogue;
use testudo_e2e::devices::{self, GPUS};
use testudo_e2e::{Namespace, Scheduler, SchedulerConfig, Version, node, pod};

use super::number;
use crate::deployed::Deployed;
use crate::figures::Figure;
use crate::gangs::GATE;
use crate::stage::Stage;
use play::{Arrival, Played, Stand};

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    // Before 1.36 the API server drops the counters that partitions share.
    match Version::from_env() {
        Ok(Version::V1_36) => vec![
            // Alone: what comes to be asked for most, all over the cluster, decides where instances are put.
            stage.deployed_alone("claims::instances_come_and_go", come_and_go),
            stage.long("claims::churn_figure", FIGURE_LIMIT, figure),
        ],
        _ => vec![],
    }
}

/// The mixes of the experiment, with their names.
const MIXES: [(&str, &str); 4] = [
    ("uniform", "1g=1,1g+2mem=1,2g=1,3g=1,4g=1,7g=1"),
    ("small", "1g=.30,1g+2mem=.25,2g=.20,3g=.10,4g=.10,7g=.05"),
    ("big", "1g=.05,1g+2mem=.10,2g=.10,3g=.20,4g=.25,7g=.30"),
    ("bimodal", "1g=.30,1g+2mem=.15,2g=.05,3g=.05,4g=.15,7g=.30"),
];

const PRODUCT: &str = "H100-80GB";
const NODES: usize = 4;

/// The fleet starts empty: so many mean durations pass before anything is counted.
const WARMUP: f64 = 2.0;

/// The seed of the sequence: `TESTUDO_E2E_SEED` in the environment, else always the same.
fn seed() -> Result<u64> {
    number("TESTUDO_E2E_SEED", 1)
}

/// What the experiment offers so many nodes with a mix: so many instances.
fn sequence(mix: &str, seed: u64, nodes: usize, arrivals: usize) -> Result<Vec<Arrival>> {
    let catalogue = Catalogue::builtin();
    let geometry = catalogue.geometries().find(|geometry| geometry.name() == PRODUCT).context(PRODUCT)?;
    let mut churn = Churn::new(geometry, Mix::parse(mix, geometry)?)?;
    (churn.gpus, churn.horizon) = (nodes * GPUS, f64::INFINITY);
    let arrival = |it: testudo::sim::mig::Arrival| {
        let profile = geometry.profile(it.profile);
        Arrival { at: it.at, ends: it.ends, profile: profile.name.clone(), slices: profile.size.into() }
    };
    Ok(churn.sequence(seed).take(arrivals).map(arrival).collect())
}

/// A place for sequences: a namespace with its nodes, and a class of its MIG instances.
struct Ground {
    ns: Namespace,
    class: String,
    stand: Stand,
}

impl Ground {
    async fn new(d: &Deployed, name: &str, nodes: usize) -> Result<Self> {
        let class = format!("{name}-mig");
        d.cp.apply(devices::class(&class, "mig")).await?;
        let ns = d.cp.namespace(name).await?;
        let nodes: Vec<String> = (0..nodes).map(|at| format!("{name}-{at}")).collect();
        ns.create_nodes(nodes.iter().map(|name| node(name))).await?;
        for slice in nodes.iter().flat_map(|name| devices::dynamic_mig(name)) {
            d.cp.apply(slice).await?;
        }
        let stand = Stand::new(&d.cp, &ns, &class, nodes.into_iter().collect::<BTreeSet<_>>()).await?;
        Ok(Self { ns, class, stand })
    }

    /// Plays a sequence through kube-scheduler as it is.
    async fn plain(&self, d: &Deployed, mix: &str, sequence: Vec<Arrival>, warmup: f64) -> Result<Played> {
        let name = format!("{}-plain", self.ns.name());
        let _scheduler = Scheduler::start(&d.cp, &SchedulerConfig::default().named(&name)).await?;
        self.stand.play(sequence, warmup, |at| pod(&format!("plain-{mix}-{at}")).scheduler(&name)).await
    }

    /// Plays a sequence through testudo and its scheduler; pods wait for their devices behind its gate.
    async fn testudo(&self, d: &Deployed, mix: &str, sequence: Vec<Arrival>, warmup: f64) -> Result<Played> {
        let name = format!("{}-testudo", self.ns.name());
        let _pair = d.allocating_pair(&name, &[&self.class], None).await?;
        self.stand.play(sequence, warmup, |at| pod(&format!("testudo-{mix}-{at}")).gate(GATE).scheduler(&name)).await
    }
}

async fn come_and_go(d: Arc<Deployed>) -> Result<()> {
    let ground = Ground::new(&d, "claims-churn", 1).await?;
    let (mix, shares) = MIXES[0];
    // Nothing is refused to what has room: the stand sees to it.
    let played = ground.testudo(&d, mix, sequence(shares, seed()?, 1, 60)?, 0.0).await?;
    ensure!(played.accepted > 0 && played.accepted < played.offered, "the fleet has not become full: {played:?}");
    ensure!(played.accepted_percent() > 50.0, "{played:?}");
    ground.ns.clear().await
}

/// How long the figure may take on a busy machine.
const FIGURE_LIMIT: Duration = Duration::from_secs(3600);

async fn figure(d: Arc<Deployed>) -> Result<()> {
    let ground = Ground::new(&d, "churn", NODES).await?;
    let (seed, arrivals) = (seed()?, number("TESTUDO_E2E_ARRIVALS", 1000)? as usize);
    println!("\n{arrivals} MIG instances asked for at load 1.0, seed {seed}, on {NODES} nodes of {GPUS} H100");
    println!("{:<10} {:<16} {:>10} {:>10} {:>10}", "mix", "", "accepted", "mean", "median");
    let mut pairs = vec![];
    for (mix, shares) in MIXES {
        let plain = ground.plain(&d, mix, sequence(shares, seed, NODES, arrivals)?, WARMUP).await?;
        tell(mix, "kube-scheduler", &plain);
        let testudo = ground.testudo(&d, mix, sequence(shares, seed, NODES, arrivals)?, WARMUP).await?;
        tell(mix, "testudo", &testudo);
        let pair = [plain, testudo].map(|played| (played.accepted_percent(), played.placement_ms().0));
        tell_figures(mix, pair, ">= 1.05 x");
        pairs.push(pair);
    }
    let mean = |who: usize, of: fn(&(f64, f64)) -> f64| {
        pairs.iter().map(|pair| of(&pair[who])).sum::<f64>() / pairs.len() as f64
    };
    tell_figures("mean", [0, 1].map(|who| (mean(who, |it| it.0), mean(who, |it| it.1))), ">= 1.08 x");
    ground.ns.clear().await
}

/// What was accepted and how long it took, of kube-scheduler and of testudo.
fn tell_figures(mix: &str, [plain, testudo]: [(f64, f64); 2], aim: &str) {
    let figures = [
        ("memory slices accepted", testudo.0, "%", plain.0, aim),
        ("time until placed", testudo.1, "ms", plain.1, "<= 1.5 x"),
    ];
    for (what, value, unit, beside, aim) in figures {
        let name = format!("MIG instances that come and go, {mix}: {what}");
        Figure { name, value, unit, reference: Some(("kube-scheduler", beside)), aim }.tell();
    }
}

fn tell(mix: &str, who: &str, played: &Played) {
    let (mean, median) = played.placement_ms();
    let accepted = played.accepted_percent();
    println!("{mix:<10} {who:<16} {accepted:>8.1} % {mean:>7.1} ms {median:>7.1} ms");
}
