//! A time of load: pods that are placed at a steady rate, as kube-scheduler does, and what came of it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::api::{Api, Kind};
use crate::client::{Client, best, binding, filter_body, fitting};
use crate::cluster::{has_gpu, node, node_names, pod, pod_key};
use crate::process::Testudo;
use crate::{Size, usage};

/// The verbs that are asked, in that order.
pub const VERBS: [&str; 3] = ["filter", "prioritize", "bind"];
/// Connections that place pods side by side: kube-scheduler filters one at a time and binds beside that.
const CLIENTS: usize = 2;
/// How long kube-scheduler leaves a pod alone whose binding has failed: doubled each time, up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A pod that another is before so often is an error: with back-off that takes half a minute and is no chance.
const TRIES: u32 = 6;

/// What the clients share.
pub struct World<'a> {
    pub api: &'a Api,
    pub size: Size,
    /// The number of the next pod.
    next: AtomicUsize,
    /// Pods that run, oldest first.
    running: Mutex<VecDeque<String>>,
}

/// A pod on its way.
struct Placing {
    at: usize,
    pod: Value,
    /// When it is to be tried.
    due: Instant,
    /// How often a node was taken by another between filter and bind.
    outrun: u32,
}

impl<'a> World<'a> {
    /// Who is placed later asks for a GPU and takes the place of one that has one: as many are in use all the time.
    pub fn of(api: &'a Api, size: Size) -> Self {
        let running = (0..size.pods).filter(|at| has_gpu(*at)).map(pod_key).collect();
        Self { api, size, next: AtomicUsize::new(size.pods), running: Mutex::new(running) }
    }

    /// The number of a pod that there has not been.
    pub fn next_pod(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A new pod, which the API server shows to testudo.
    fn make(&self, due: Instant) -> Placing {
        let at = self.next_pod();
        let pod = pod(at, None);
        self.api.put(Kind::Pods, pod.clone());
        Placing { at, pod, due, outrun: 0 }
    }

    /// As many run as before, and sometimes a kubelet says that its node is well.
    fn end_another(&self, at: usize) {
        let oldest = {
            let mut running = self.running.lock().expect("no panic");
            running.push_back(pod_key(at));
            running.pop_front()
        };
        oldest.into_iter().for_each(|key| self.api.delete(Kind::Pods, &key));
        if at.is_multiple_of(16) {
            let number = at / 16 % self.size.nodes;
            let mut node = node(number);
            node["status"]["conditions"][0]["lastHeartbeatTime"] = json!(format!("{at}"));
            self.api.put(Kind::Nodes, node);
        }
    }
}

/// What came of a time of load.
#[derive(Default)]
pub struct Course {
    /// How long each answer took, by verb.
    took: [Vec<Duration>; 3],
    pub placed: usize,
    /// How often a pod came to bind when its node had just been taken by another.
    pub outrun: usize,
    pub errors: usize,
    time: Duration,
    cpu: Duration,
    changes: u64,
    /// Memory at the end, as part of what it was after a quarter of the time.
    pub growth: f64,
}

impl Course {
    pub fn print(&self, name: &str, rate: f64) {
        let requests: usize = self.took.iter().map(Vec::len).sum();
        let seconds = self.time.as_secs_f64();
        println!(
            "\n{name}: {:.0} requests/s of {rate:.0}, {:.0} changes/s, {:.0} s, {} errors, CPU {:.0} % of one core; \
             {} pods placed, {} times another was bound to the node first",
            requests as f64 / seconds,
            self.changes as f64 / seconds,
            seconds,
            self.errors,
            100.0 * self.cpu.as_secs_f64() / seconds,
            self.placed,
            self.outrun,
        );
        for (verb, (p50, p99)) in VERBS.iter().zip(self.percentiles()) {
            println!("{verb:>12}  p50 {p50:>9.2?}  p99 {p99:>9.2?}");
        }
    }

    /// The median and the slowest hundredth of each verb.
    pub fn percentiles(&self) -> impl Iterator<Item = (Duration, Duration)> {
        self.took.iter().map(|took| {
            let mut sorted = took.clone();
            sorted.sort_unstable();
            let at = |percent: usize| sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied();
            (at(50).unwrap_or_default(), at(99).unwrap_or_default())
        })
    }

    /// One try of a pod. Nothing is left of one that is placed; one that was outrun is tried again later, as kube-scheduler does.
    fn try_to_place(
        &mut self,
        world: &World<'_>,
        client: &mut Client,
        nodes: &str,
        placing: Placing,
    ) -> Result<Option<Placing>> {
        let Placing { at, ref pod, due, outrun } = placing;
        // A pod that waits for the one before it waits for testudo: that counts. What follows is asked as soon as it can be.
        let filtered = self.ask(client, 0, &filter_body(pod, nodes), due)?;
        let fits = fitting(&filtered)?;
        let scored = self.ask(client, 1, &filter_body(pod, fits), Instant::now())?;
        let bound = self.ask(client, 2, &binding(pod, best(&scored)?), Instant::now())?;
        if bound == br#"{"Error":""}"# {
            world.end_another(at);
            self.placed += 1;
            return Ok(None);
        }
        let why = String::from_utf8_lossy(&bound);
        ensure!(why.contains("no longer fits"), "bind of {}: {why}", pod_key(at));
        self.outrun += 1;
        ensure!(outrun + 1 < TRIES, "{} was outrun {TRIES} times: {why}", pod_key(at));
        let backoff = (FIRST_BACKOFF * 2_u32.pow(outrun)).min(LONGEST_BACKOFF);
        Ok(Some(Placing { due: Instant::now() + backoff, outrun: outrun + 1, ..placing }))
    }

    fn ask(&mut self, client: &mut Client, verb: usize, body: &[u8], due: Instant) -> Result<Vec<u8>> {
        match client.post(VERBS[verb], body)? {
            (200, answer) => {
                self.took[verb].push(due.elapsed());
                Ok(answer)
            }
            (status, answer) => bail!("{}: {status} {}", VERBS[verb], String::from_utf8_lossy(&answer)),
        }
    }

    fn add(&mut self, other: Self) {
        self.took.iter_mut().zip(other.took).for_each(|(all, one)| all.extend(one));
        self.placed += other.placed;
        self.outrun += other.outrun;
        self.errors += other.errors;
    }
}

/// Places pods at a steady rate for a time, and those that were outrun until they have their places.
pub fn load(world: &World<'_>, testudo: &Testudo, time: Duration) -> Result<Course> {
    let nodes = node_names(world.size.nodes);
    let interval = Duration::from_secs_f64(VERBS.len() as f64 * CLIENTS as f64 / world.size.rate);
    let (begin, cpu, changes) = (Instant::now(), usage::cpu(testudo.id())?, world.api.changes());
    let place_all = |first: Duration| {
        let mut course = Course::default();
        let mut client = Client::of(testudo.address);
        let (mut next, mut again) = (begin + first, Vec::<Placing>::new());
        loop {
            let earliest = (0..again.len()).min_by_key(|at| again[*at].due);
            let due = earliest.map(|at| again[at].due).into_iter().chain((next < begin + time).then_some(next)).min();
            let Some(due) = due else { break };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let placing = match earliest.filter(|at| again[*at].due == due) {
                Some(at) => again.swap_remove(at),
                None => {
                    next += interval;
                    world.make(due)
                }
            };
            match course.try_to_place(world, &mut client, &nodes, placing) {
                Ok(outrun) => again.extend(outrun),
                Err(error) => {
                    eprintln!("{error:#}");
                    course.errors += 1;
                }
            }
        }
        course
    };
    let mut memory = vec![];
    let mut course = thread::scope(|scope| -> Result<Course> {
        let starts = (0..CLIENTS as u32).map(|client| interval * client / CLIENTS as u32);
        let clients: Vec<_> = starts.map(|first| scope.spawn(move || place_all(first))).collect();
        while !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            memory.push(usage::resident_mb(testudo.id())?);
            thread::sleep(Duration::from_millis(250));
        }
        let mut all = Course::default();
        for client in clients {
            all.add(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?);
        }
        Ok(all)
    })?;
    course.time = begin.elapsed();
    course.cpu = usage::cpu(testudo.id())? - cpu;
    course.changes = world.api.changes() - changes;
    course.growth = memory.last().copied().unwrap_or_default() / memory[memory.len() / 4];
    Ok(course)
}
