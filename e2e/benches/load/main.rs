//! testudo under load: a large cluster, a steady stream of questions and changes, and clients that behave badly.
//!
//!     make load
//!
//! Objects come from an API server that only stores ([`api`]), by the lists and watches that testudo follows in a cluster.
//! Clients ask as kube-scheduler does: each pod is made, filtered on all nodes, prioritized on those that fit, bound, and
//! some older pod is deleted; a pod that was outrun at bind is tried again after a back-off. `LOAD_NODES` (10,000), `LOAD_PODS`
//! (80,000), `LOAD_RATE` (500 requests/s) and `LOAD_SECONDS` (600) change what is played; in 600 s there are as many changes as in
//! hours of a real cluster of that size. Filter counts from the moment at which its pod was due, prioritize and bind, which
//! cannot be due before what they follow is answered, from when they are asked; tries that were outrun count like others.
//!
//! What is promised in docs/trust.md is checked in the end, all of it, and the command fails if anything does not hold.

mod api;
mod client;
mod cluster;
mod course;
mod overload;
mod process;
mod rude;
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use api::Api;
use cluster::{node, node_name, pod};
use course::{Course, VERBS, World, load};
use overload::overload;
use process::Testudo;

/// The aims: docs/trust.md, "Load".
const MOST_MB: f64 = 300.0;
/// With 150 questions at a time: each has a body of 350 kB, and the answer is as large.
const MOST_OVERLOADED_MB: f64 = 400.0;
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How much more memory may be in use at the end than after a quarter of the time.
const GROWTH: f64 = 1.1;
/// Where the slowest hundredth takes more than so many times as long as in the steady time, requests are hurt; less than
/// [`NOTICED`] is no harm and may be another process on a shared core.
const HURT: u32 = 2;
const NOTICED: Duration = Duration::from_millis(5);
/// One in so many pods may be outrun at bind: two that ask at a time may want the same node, the more often the busier the cores.
const OUTRUN: usize = 20;

/// What is played.
#[derive(Debug, Clone, Copy)]
struct Size {
    nodes: usize,
    pods: usize,
    rate: f64,
    time: Duration,
}

impl Size {
    fn from_env(is_bench: bool) -> Self {
        let number = |name: &str, otherwise: f64| {
            let said = std::env::var(name).ok().filter(|said| !said.is_empty());
            said.map_or(otherwise, |said| said.parse().unwrap_or_else(|_| panic!("{name}={said} is no number")))
        };
        // `cargo test --benches` only asks whether it runs.
        let small = |large: f64, small: f64| if is_bench { large } else { small };
        Self {
            nodes: number("LOAD_NODES", small(10_000.0, 50.0)) as usize,
            pods: number("LOAD_PODS", small(80_000.0, 400.0)) as usize,
            rate: number("LOAD_RATE", small(500.0, 100.0)),
            time: Duration::from_secs_f64(number("LOAD_SECONDS", small(600.0, 2.0))),
        }
    }
}

fn main() -> Result<()> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let size = Size::from_env(is_bench);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let begin = Instant::now();
    let pods = (0..size.pods).map(|at| pod(at, Some(node_name(at % size.nodes))));
    let api = runtime.block_on(Api::start((0..size.nodes).map(node), pods))?;
    println!("{} nodes of 8 GPUs, {} pods, made in {:.1?}", size.nodes, size.pods, begin.elapsed());
    let testudo = Testudo::start(api.address)?;
    let ready = testudo.until_ready()?;
    println!("ready {ready:.1?} after the start, with {:.0} MB", usage::resident_mb(testudo.id())?);

    let world = World::of(&api, size);
    let play = |name: &str, time: Duration| -> Result<Course> {
        let course = load(&world, &testudo, time)?;
        course.print(name, size.rate);
        println!("memory until then: {:.0} MB at most", usage::peak_mb(testudo.id())?);
        Ok(course)
    };
    let steady = play("steady", size.time)?;
    // Long enough that who sends no head is waited for in vain.
    let beside = (size.time / 10).max(Duration::from_secs(10));
    let (rude, outcomes) = rude::beside(testudo.address, || play("beside slow clients", beside))?;
    outcomes.iter().for_each(rude::Outcome::print);
    let memory = usage::peak_mb(testudo.id())?;
    let answers = overload(&world, &testudo);
    let after = play("after that", (size.time / 60).max(Duration::from_secs(5)))?;

    let overloaded = usage::peak_mb(testudo.id())?;
    let courses = [&steady, &rude, &after];
    let sum = |count: fn(&Course) -> usize| courses.iter().map(|course| count(course)).sum::<usize>();
    let (placed, outrun, errors) =
        (sum(|course| course.placed), sum(|course| course.outrun), sum(|course| course.errors));
    let mut aims = Aims::default();
    aims.check(errors == 0 && placed > 0, format!("no request fails: {errors} of {placed} pods"));
    aims.check(outrun * OUTRUN <= placed, format!("few are outrun at bind: {outrun}"));
    for outcome in &outcomes {
        aims.check(outcome.is_right(), format!("{} is answered as it has to be", outcome.manners.name));
    }
    aims.check(answers.given > 0, "under overload some are answered");
    aims.check(answers.wrong.is_empty(), "who is not is told that it is too many");
    // A small cluster is no load, and a short time says nothing about latencies.
    if is_bench {
        aims.check(answers.refused > 0, "under overload some are refused");
        aims.unhurt("beside slow clients", &steady, &rude);
        aims.unhurt("after overload", &steady, &after);
        aims.check(steady.growth <= GROWTH, format!("memory grows by {:.2}, {GROWTH} at most", steady.growth));
        aims.check(memory < MOST_MB, format!("{memory:.0} MB at most from the start on, under {MOST_MB}"));
        aims.check(
            overloaded < MOST_OVERLOADED_MB,
            format!("{overloaded:.0} MB at most with overload, under {MOST_OVERLOADED_MB}"),
        );
        aims.check(ready < READY_WITHIN, format!("ready after {ready:.1?}, under {READY_WITHIN:?}"));
    }
    ensure!(aims.missed == 0, "{} aims were missed", aims.missed);
    Ok(())
}

/// What was promised, told one by one.
#[derive(Default)]
struct Aims {
    missed: usize,
}

impl Aims {
    fn check(&mut self, is_kept: bool, what: impl AsRef<str>) {
        println!("{:>6}: {}", if is_kept { "kept" } else { "MISSED" }, what.as_ref());
        self.missed += usize::from(!is_kept);
    }

    /// Whether requests took about as long as in the steady time.
    fn unhurt(&mut self, when: &str, steady: &Course, course: &Course) {
        for ((verb, (_, before)), (_, now)) in VERBS.iter().zip(steady.percentiles()).zip(course.percentiles()) {
            let is_unhurt = now <= (before * HURT).max(before + NOTICED);
            self.check(is_unhurt, format!("{verb} {when}: p99 {now:.2?}, {before:.2?} in the steady time"));
        }
    }
}
