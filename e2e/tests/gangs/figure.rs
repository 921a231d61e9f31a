//! The figure to beat: how long it takes until all gangs that fit are whole, of more than fit. `make bench` plays it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use libtest_mimic::Trial;
use serde_json::json;
use testudo_e2e::observer::Life;
use testudo_e2e::wait::{self, Look};
use testudo_e2e::{ControlPlane, Namespace, Observer, Options, PodBuilder, Scheduler, SchedulerConfig, Version, pod};

use super::{GATE, WINDOW, h100s, of_gang};
use crate::deployed::Deployed;
use crate::figures::Figure;
use crate::stage::Stage;

pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    vec![stage.deployed("gangs::figure_of_1000_nodes_and_200_gangs", figure).with_ignored_flag(true)]
}

const NODES: usize = 1_000;
const GANGS: usize = 200;
const SIZE: usize = 8;
/// Whole nodes, so this is how many gangs fit.
const FIT: usize = NODES / SIZE;

/// How long any of them gets.
const PATIENCE: Duration = Duration::from_secs(90);

/// What came of one scheduler.
struct Row {
    name: &'static str,
    whole: usize,
    half: usize,
    /// From the first creation until the last gang that fits was whole.
    took: Option<Duration>,
    /// From the first creation until the last pod was made.
    creation: Duration,
    /// The longest time that a gang was half placed before it was whole.
    longest: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, whole, half, took, creation, longest } = self;
        let took = took.map_or_else(|| "never".to_owned(), |took| format!("{:.1}", took.as_secs_f64()));
        let (creation, longest) = (creation.as_secs_f64(), longest.as_secs_f64());
        write!(f, "{name:<24} {whole:>6} {half:>6} {took:>10} {creation:>10.1} {longest:>13.2}s")
    }
}

fn gang_of(pod: &str) -> &str {
    pod.rsplit_once('-').map_or(pod, |(gang, _)| gang)
}

/// The names of all gangs of one scheduler. Each has its own: kwok deletes by name, and late when it is busy, which is
/// not to hit the next one's pods.
fn gangs(of: &str) -> impl Iterator<Item = String> {
    (0..GANGS).map(move |gang| format!("{of}{gang:03}"))
}

/// The first members of all gangs, the second ones of all, and so on.
fn members(of: &str) -> impl Iterator<Item = (String, PodBuilder)> {
    let pairs = (0..SIZE).flat_map(move |index| gangs(of).map(move |gang| (gang, index)));
    pairs.map(|(gang, index)| (gang.clone(), pod(&format!("{gang}-{index}")).gpus(8)))
}

async fn figure(d: Arc<Deployed>) -> Result<()> {
    println!("\n{GANGS} gangs of {SIZE} pods of 8 GPUs, created in turns, {NODES} nodes of 8 GPUs: {FIT} fit");
    println!("{:<24} {:>6} {:>6} {:>10} {:>10} {:>14}", "", "whole", "half", "seconds", "creation", "longest half");
    let mut rows = vec![];
    {
        let ns = stage_with_nodes(&d.cp, "figure").await?;
        rows.push(plain(&d.cp, &ns).await?);
        rows.push(testudo(&d, &ns).await?);
        ns.clear().await?;
    }
    if d.cp.version() >= Version::V1_36 {
        rows.push(native().await?);
    }
    let [plain, testudo, ..] = &rows[..] else { anyhow::bail!("a row is missing") };
    tell(testudo, plain, rows.get(2));
    ensure!(plain.whole == 0, "plain kube-scheduler has made {} gangs whole", plain.whole);
    ensure!((testudo.whole, testudo.half) == (FIT, 0), "testudo: {} whole, {} half", testudo.whole, testudo.half);
    ensure!(testudo.longest <= WINDOW, "a gang was half placed for {:?}", testudo.longest);
    Ok(())
}

/// How many gangs became what, beside plain kube-scheduler; how soon, beside the only other one that makes gangs whole.
fn tell(testudo: &Row, plain: &Row, native: Option<&Row>) {
    let seconds = |of: fn(&Row) -> Option<Duration>| {
        let beside = native.and_then(of).map(|took| ("native gang API", took.as_secs_f64()));
        (of(testudo).unwrap_or(PATIENCE).as_secs_f64(), "s", beside)
    };
    let count = |of: fn(&Row) -> usize| (of(testudo) as f64, "gangs", Some(("kube-scheduler", of(plain) as f64)));
    let figures = [
        ("whole", count(|row| row.whole), ">= 125 gangs"),
        ("half placed in the end", count(|row| row.half), "<= 0 gangs"),
        ("until all that fit are whole", seconds(|row| row.took), ""),
        ("longest half placed", seconds(|row| Some(row.longest)), "<= 2 s"),
    ];
    for (what, (value, unit, reference), aim) in figures {
        let name = format!("{GANGS} gangs on {NODES} nodes, {FIT} fit: {what}");
        Figure { name, value, unit, reference, aim }.tell();
    }
}

async fn stage_with_nodes(cp: &ControlPlane, name: &str) -> Result<Namespace> {
    let ns = cp.namespace(name).await?.with_patience(PATIENCE);
    ns.create_nodes(h100s(&ns, NODES)).await?;
    Ok(ns)
}

async fn plain(cp: &ControlPlane, ns: &Namespace) -> Result<Row> {
    let name = "figure-plain";
    let _scheduler = Scheduler::start(cp, &SchedulerConfig::default().named(name)).await?;
    play(ns, ("plain", "kube-scheduler"), |_, pod| pod.scheduler(name)).await
}

async fn testudo(d: &Deployed, ns: &Namespace) -> Result<Row> {
    let name = "figure-testudo";
    let _pair = d.pair(name).await?;
    let row = play(ns, ("testudo", "testudo"), |gang, pod| of_gang(pod, gang, SIZE).gate(GATE).scheduler(name)).await?;
    ns.check_nothing_is_overcommitted().await?;
    Ok(row)
}

/// Kubernetes' own gangs need a control plane with alpha gates.
async fn native() -> Result<Row> {
    let gates = ["GenericWorkload", "GangScheduling"].map(|gate| (gate.to_owned(), true)).to_vec();
    let runtime_config = vec!["scheduling.k8s.io/v1alpha2=true".to_owned()];
    let cp =
        ControlPlane::start(Options { version: Version::from_env()?, feature_gates: gates, runtime_config }).await?;
    let ns = stage_with_nodes(&cp, "figure").await?;
    let groups = stream::iter(gangs("native")).map(|gang| {
        cp.apply(json!({
            "apiVersion": "scheduling.k8s.io/v1alpha2",
            "kind": "PodGroup",
            "metadata": {"name": gang, "namespace": ns.name()},
            "spec": {"schedulingPolicy": {"gang": {"minCount": SIZE}}},
        }))
    });
    groups.buffered(16).try_for_each(async |_| Ok(())).await?;
    let name = "figure-native";
    let _scheduler = Scheduler::start(&cp, &SchedulerConfig::default().named(name)).await?;
    play(&ns, ("native", "native gang API"), |gang, pod| pod.scheduling_group(gang).scheduler(name)).await
}

/// Creates all pods and watches until all gangs that fit are whole, or all nodes are taken.
async fn play(
    ns: &Namespace,
    (gangs, name): (&str, &'static str),
    with: impl Fn(&str, PodBuilder) -> PodBuilder,
) -> Result<Row> {
    let observer = Observer::start(ns).await?;
    let begin = Instant::now();
    ns.create_at_once(members(gangs).map(|(gang, pod)| with(&gang, pod))).await?;
    let creation = begin.elapsed();
    let settled = wait::until("the nodes to be taken", PATIENCE, async || {
        let bound = observer.bound_count();
        Ok(if bound == NODES { Look::Done(()) } else { Look::NotYet(format!("{bound} pods are bound")) })
    })
    .await;
    if let Err(error) = settled {
        println!("{name}: {error:#}");
    }
    let row = row((gangs, name), begin, creation, &observer.lives());
    println!("{row}");
    ns.clear_pods().await?;
    Ok(row)
}

fn row((of, name): (&str, &'static str), begin: Instant, creation: Duration, lives: &[Life]) -> Row {
    let mut row = Row { name, whole: 0, half: 0, took: None, creation, longest: Duration::ZERO };
    let mut last = begin;
    for gang in gangs(of) {
        let members = lives.iter().filter(|life| gang_of(&life.name) == gang);
        let times: Vec<Instant> = members.filter_map(|life| Some(life.bound.as_ref()?.1)).collect();
        let (Some(first), Some(latest)) = (times.iter().min(), times.iter().max()) else { continue };
        if times.len() < SIZE {
            row.half += 1;
            continue;
        }
        row.whole += 1;
        row.longest = row.longest.max(*latest - *first);
        last = last.max(*latest);
    }
    row.took = (row.whole == FIT).then(|| last - begin);
    row
}
