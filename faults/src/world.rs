//! The simulated cluster: everything there is, moved on step by step.

use std::sync::Arc;

use serde_json::json;
use testudo::sim::rng::Rng;
use testudo_core::engine::{
    AheadPolicy, AutoscalingPolicy, ClaimPolicy, GangPolicy, PlacementPolicy, Policy, Profile, Profiles, Quotas,
    Starvation,
};
use testudo_core::model::catalogue::Catalogue;
use testudo_core::model::quota::{Item, Quota};

use crate::actors::autoscaler::Autoscaler;
use crate::actors::controllers::ClaimController;
use crate::actors::kubelets::Kubelets;
use crate::actors::kueue::Kueue;
use crate::actors::machines::{Station, class};
use crate::actors::users::{self, Users};
use crate::api::store::{Kind, Store};
use crate::facts::SCHEDULER;
use crate::invariants::{Auditor, Rule, Seen, Violation};
use crate::network::Network;
use crate::panics;
use crate::replica::{NAMESPACE, REPLICAS, Replica};
use crate::scheduler::{Around, Scheduler};
use crate::script::{CHAOS_MS, Input, Script};
use crate::service::{Service, labelled};
use crate::story::Story;

/// For so long after the last fault everything that can be placed has to be.
pub const QUIET_MS: u64 = 90_000;

/// A time at which faults are over: one may last for a while.
const CALM_FROM_MS: u64 = CHAOS_MS + 25_000;

/// After so long a gang counts as one that has waited long, and for how long nodes are kept free for it then.
pub const PATIENCE: Starvation = Starvation { after_ms: 6_000, keep_free_ms: 8_000, pause_ms: 60_000 };

/// Where nodes may be kept free at the end, whoever is kept away from them has so much longer: there may be several gangs for
/// which they are, one after the other, and then none for a while.
const KEPT_AWAY_MS: u64 = 90_000;
const LOOKED_AT_EACH_MS: u64 = 5_000;

/// A copy of an engine is made for it.
const LEDGERS_READ_EACH_MS: u64 = 2_000;

/// The cluster.
pub struct World {
    pub(crate) store: Store,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) stations: Vec<Station>,
    network: Network,
    /// The last of them leads; others may not know it yet, until then.
    schedulers: Vec<(Scheduler, u64)>,
    kubelets: Kubelets,
    claims: ClaimController,
    kueue: Kueue,
    users: Users,
    autoscaler: Option<Autoscaler>,
    rng: Rng,
    restarts: Vec<(u64, usize)>,
    /// What happens to who writes, after how many more writes, while things happen at all.
    ambushes: Vec<(usize, Input)>,
    /// The store as it was when something last happened.
    moved: (u64, u64),
    /// The replica that the Service leads to, and as of which version of the store.
    leader: Option<usize>,
    routed: u64,
    auditor: Auditor,
    ledgers_read_ms: u64,
    /// Which replicas had heard of everything at the last step.
    heard: Vec<bool>,
    catalogue: Arc<Catalogue>,
    policy: Policy,
    /// A search comes to its end in one of so many steps.
    search_steps: usize,
    now_ms: u64,
    steps: u64,
    story: Story,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What was found wrong.
    pub violation: Option<Violation>,
    /// How many steps it took.
    pub steps: u64,
    /// The version of the store at the end, and what it has in it, as a number: the same for the same script.
    pub digest: u64,
    /// What was seen on the way, for the report.
    pub seen: Seen,
}

/// Plays a script to its end, or until something is wrong. A panic is wrong, too.
pub fn play(script: &Script, story: Story) -> (Outcome, Story) {
    let outcome = panics::caught(|| play_on(script, story.clone())).unwrap_or_else(|what| {
        let violation = Some(Violation { rule: Rule::NoPanic, what });
        Outcome { violation, steps: 0, digest: 0, seen: Seen::default() }
    });
    (outcome, story)
}

fn play_on(script: &Script, story: Story) -> Outcome {
    // Of what depends on chance in other crates: the jitter of pauses.
    fastrand::seed(script.seed);
    let mut world = World::new(script, story);
    let end_ms = CALM_FROM_MS + QUIET_MS;
    let mut violation = world.run(&script.inputs, end_ms);
    if violation.is_none() {
        violation = world.audit_end();
        let mut until_ms = end_ms;
        // Nodes may be kept free just now, which ends. So long as it is only about that.
        let may_end = |violation: &Violation| script.impatient && matches!(violation.rule, Rule::Placed | Rule::Clean);
        while until_ms < end_ms + KEPT_AWAY_MS && violation.as_ref().is_some_and(may_end) {
            until_ms += LOOKED_AT_EACH_MS;
            violation = world.run(&[], until_ms).or_else(|| world.audit_end());
        }
    }
    if let Some(violation) = &violation {
        let now_ms = world.now_ms;
        world.story.tell(now_ms, || format!("WRONG: {violation}"));
    }
    world.auditor.note_in_part(&world.store);
    Outcome { violation, steps: world.steps, digest: world.digest(), seen: world.auditor.seen() }
}

/// What the operator has configured, with shorter times.
fn policy(script: &Script) -> Policy {
    let gangs = GangPolicy {
        schedulers: [SCHEDULER.to_owned()].into(),
        bind_window_ms: 20_000,
        refusal_ms: 20_000,
        avoid_ms: 10_000,
        ..GangPolicy::default()
    };
    let classes = ["gpu", "mig"].map(str::to_owned).into();
    let claims = ClaimPolicy { classes, unused_ms: 10_000, unwatched_ms: 60_000, ..ClaimPolicy::default() };
    // Few wait here at a time.
    let ahead = AheadPolicy { min_waiting: 2, skipped: 0, ..AheadPolicy::default() };
    let quota = script.quota.map(|quota| {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let limits = Quota::default().limited(Item::Gpus, count(quota.gpus)).limited(Item::Gangs, count(quota.gangs));
        (users::NAMESPACE.into(), limits)
    });
    let profile = Profile { starvation: script.impatient.then_some(PATIENCE), ..Profile::default() };
    let (quotas, profiles) = (Quotas::new(quota, None), Profiles::new([], profile));
    let placement = PlacementPolicy { quotas, profiles, ..PlacementPolicy::default() };
    let autoscaling = { script.group.as_ref() }.map(|_| AutoscalingPolicy {
        show_after_ms: 3_000,
        protect_after_ms: 1_000,
        ..AutoscalingPolicy::default()
    });
    Policy { gangs, claims, ahead, placement, autoscaling, ..Policy::default() }
}

impl World {
    fn new(script: &Script, story: Story) -> Self {
        let mut rng = Rng::new(script.seed);
        let mut store = Store::default();
        for kind in ["gpu", "mig"] {
            store.create(Kind::Class, class(kind)).expect("a new class");
        }
        for index in 0..REPLICAS {
            let metadata = json!({"namespace": NAMESPACE, "name": Replica::name(index)});
            let spec = json!({"nodeName": "control-plane", "containers": []});
            let pod = json!({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}});
            store.create(Kind::Pod, pod).expect("a new pod");
        }
        let mut stations: Vec<Station> =
            script.nodes.iter().enumerate().map(|(index, machine)| Station::new(index, machine.clone())).collect();
        stations.iter_mut().for_each(|station| station.join(&mut store));
        let mut world = Self {
            network: Network::new(rng.branch()),
            schedulers: vec![(Scheduler::new(rng.branch(), &store), u64::MAX)],
            kubelets: Kubelets::new(rng.branch()),
            claims: ClaimController::new(rng.branch()),
            kueue: Kueue::new(rng.branch()),
            users: Users::new(rng.branch()),
            autoscaler: script.group.clone().map(|group| Autoscaler::new(group, rng.branch())),
            replicas: (0..REPLICAS).map(Replica::new).collect(),
            restarts: vec![],
            ambushes: vec![],
            moved: (0, 0),
            leader: None,
            routed: 0,
            auditor: Auditor::new(script.quota, script.impatient.then_some(PATIENCE.after_ms)),
            ledgers_read_ms: 0,
            heard: vec![false; REPLICAS],
            catalogue: Catalogue::builtin(),
            policy: policy(script),
            search_steps: if script.plans_slowly { 30 } else { 2 },
            now_ms: 0,
            steps: 0,
            stations,
            store,
            story,
            rng,
        };
        (0..REPLICAS).for_each(|index| world.start(index));
        world
    }

    fn start(&mut self, index: usize) {
        self.replicas[index].start(self.policy.clone(), Arc::clone(&self.catalogue), self.now_ms);
    }

    /// Goes on until then, or until something is wrong.
    fn run(&mut self, inputs: &[(u64, Input)], end_ms: u64) -> Option<Violation> {
        let mut inputs = inputs.iter().peekable();
        while self.now_ms < end_ms {
            while let Some((_, input)) = inputs.next_if(|(at, _)| *at <= self.now_ms) {
                self.take(input);
            }
            self.step();
            let panic = panics::take().map(|what| Violation { rule: Rule::NoPanic, what });
            let violation = panic.or_else(|| self.audit());
            let next = inputs.peek().map_or(end_ms, |(at, _)| *at);
            self.now_ms = self.next_ms().min(next.max(self.now_ms + 1));
            self.steps += 1;
            if violation.is_some() {
                return violation;
            }
        }
        None
    }

    fn take(&mut self, input: &Input) {
        let now_ms = self.now_ms;
        self.story.tell(now_ms, || format!("-- {input}"));
        self.auditor.hear(input, now_ms);
        self.store.set_time(now_ms);
        match input {
            Input::Create(workload) => self.users.create(workload.clone(), now_ms),
            Input::Delete(name) => self.users.delete(name, &mut self.store),
            Input::Lose(name) => self.users.lose(name, &mut self.store),
            Input::Grow(name) => self.users.grow(name, now_ms),
            Input::Renew(name) => self.users.renew(name, &mut self.store, now_ms),
            Input::Fail(name) => self.users.fail(name, &mut self.store, now_ms),
            Input::NodeComes(machine) => {
                let mut station = Station::new(self.stations.len(), machine.clone());
                station.join(&mut self.store);
                self.stations.push(station);
            }
            Input::Crash(index, for_ms) => {
                if self.replicas[*index].is_alive() {
                    self.replicas[*index].crash();
                    self.network.forget(*index);
                    self.restarts.push((now_ms + for_ms, *index));
                }
            }
            Input::Pause(index, for_ms) => self.replicas[*index].pause(now_ms + for_ms),
            Input::CrashAtWrite(nth, _) | Input::PauseAtWrite(nth, _) => self.ambushes.push((*nth, input.clone())),
            Input::Storm(weather, for_ms) => self.network.set_weather(*weather, now_ms + for_ms),
            Input::BreakWatches => self.network.break_watches(None),
            Input::Compact => self.store.compact(),
            Input::SchedulerRestarts(for_ms) => {
                for (scheduler, _) in &mut self.schedulers {
                    scheduler.restart(&self.store, now_ms + for_ms);
                }
            }
            Input::SchedulerTakesOver(for_ms) => {
                for (_, until_ms) in &mut self.schedulers {
                    *until_ms = (*until_ms).min(now_ms + for_ms);
                }
                let next = Scheduler::new(self.rng.branch(), &self.store);
                self.schedulers.push((next, u64::MAX));
            }
            Input::DeleteClaims(name) => self.users.delete_claims(name, &mut self.store),
            Input::Refuse(node, for_ms) => {
                for (scheduler, _) in &mut self.schedulers {
                    scheduler.refuse(&format!("n{node}"), now_ms + for_ms);
                }
            }
            Input::OnlyLook(name) => {
                self.around(|scheduler, around| scheduler.only_look(name, around));
            }
            Input::NodeGoes(..) | Input::Cordon(..) | Input::GpusFail(..) | Input::Republish(..) => self.strike(input),
        }
    }

    /// Something happens to a machine.
    fn strike(&mut self, input: &Input) {
        let now_ms = self.now_ms;
        let (Input::NodeGoes(node, ..)
        | Input::Cordon(node, ..)
        | Input::GpusFail(node, ..)
        | Input::Republish(node, ..)) = input
        else {
            return;
        };
        let Some(station) = self.stations.get_mut(*node).filter(|station| station.back_ms.is_none()) else { return };
        match input {
            Input::NodeGoes(_, for_ms) => station.leave(now_ms + for_ms, &mut self.store),
            Input::Cordon(_, for_ms) => station.close(now_ms + for_ms, &mut self.store),
            Input::GpusFail(_, gpus, for_ms) => station.fail(*gpus, now_ms + for_ms, &mut self.store),
            Input::Republish(_, gpu, for_ms) => station.hide(*gpu, now_ms + for_ms, &mut self.store),
            _ => {}
        }
    }

    /// Lets each kube-scheduler do something.
    fn around(&mut self, step: impl Fn(&mut Scheduler, &mut Around<'_>)) {
        let (now_ms, lag_ms) = (self.now_ms, self.network.lag_ms());
        if self.routed != self.store.version() {
            (self.routed, self.leader) = (self.store.version(), labelled(&self.store));
        }
        self.schedulers.retain(|(_, until_ms)| now_ms < *until_ms);
        for (scheduler, _) in &mut self.schedulers {
            let service = Service::new(&mut self.replicas, self.leader);
            let mut around = Around { service, store: &mut self.store, story: &mut self.story, now_ms, lag_ms };
            step(scheduler, &mut around);
        }
    }

    fn step(&mut self) {
        let now_ms = self.now_ms;
        self.store.set_time(now_ms);
        self.mend();
        self.network.step(&mut self.store, &mut self.story, now_ms);
        let mut writes = vec![];
        for replica in &mut self.replicas {
            replica.run(now_ms);
            if replica.is_searching() && self.rng.below(self.search_steps) == 0 {
                replica.finish_searches();
            }
            if let Some((from, sent)) = replica.take_sent() {
                writes.extend(sent.iter().filter(|sent| sent.is_decisive()).map(|_| from.0));
                self.network.send(from, sent, now_ms);
            }
        }
        if now_ms >= CHAOS_MS {
            self.ambushes.clear();
        }
        writes.into_iter().for_each(|index| self.spring_ambushes(index));
        self.around(Scheduler::step);
        self.kubelets.step(&mut self.store, &mut self.story, now_ms);
        self.claims.step(&mut self.store, now_ms);
        self.kueue.step(&mut self.store, &mut self.story, now_ms);
        self.users.step(&mut self.store, &mut self.story, now_ms);
        if let Some(autoscaler) = &mut self.autoscaler {
            let shrinks = now_ms < CHAOS_MS;
            autoscaler.step(&mut self.stations, &mut self.store, &mut self.story, now_ms, shrinks);
        }
        if self.store.version() != self.moved.0 {
            self.moved = (self.store.version(), now_ms);
        }
    }

    /// A replica has sent a request that writes something.
    fn spring_ambushes(&mut self, index: usize) {
        self.ambushes.iter_mut().for_each(|(left, _)| *left -= 1);
        let sprung: Vec<_> = self.ambushes.extract_if(.., |(left, _)| *left == 0).collect();
        for (_, input) in sprung {
            match input {
                Input::CrashAtWrite(_, for_ms) => self.take(&Input::Crash(index, for_ms)),
                Input::PauseAtWrite(_, for_ms) => self.take(&Input::Pause(index, for_ms)),
                _ => {}
            }
        }
    }

    /// What was to be over by now is.
    fn mend(&mut self) {
        let now_ms = self.now_ms;
        let (due, later): (Vec<_>, Vec<_>) = self.restarts.drain(..).partition(|(at, _)| *at <= now_ms);
        self.restarts = later;
        for (_, index) in due {
            self.story.tell(now_ms, || format!("testudo-{index} starts"));
            self.start(index);
        }
        for station in &mut self.stations {
            if station.back_ms.is_some_and(|at| at <= now_ms) {
                self.story.tell(now_ms, || format!("node {} is back", station.name));
                station.join(&mut self.store);
            }
            if station.back_ms.is_none() && station.mended_ms.is_some_and(|at| at <= now_ms) {
                self.story.tell(now_ms, || format!("node {} is mended", station.name));
                station.mend(&mut self.store);
            }
        }
    }

    /// When something happens next, at the latest.
    fn next_ms(&mut self) -> u64 {
        let is_lively = self.now_ms < self.moved.1 + 100
            || self.schedulers.iter().any(|(scheduler, _)| scheduler.is_busy())
            || self.replicas.iter().any(Replica::is_searching);
        let pause = if is_lively { 2 + self.rng.below(40) } else { 300 } as u64;
        let machines = [self.network.next_ms(), self.kubelets.next_ms()];
        let due = machines.into_iter().chain([self.kueue.next_ms(), self.users.next_ms()]).flatten();
        let due = due.chain(self.schedulers.iter().filter_map(|(it, _)| it.next_ms()));
        let due = due.chain(self.autoscaler.iter().map(Autoscaler::next_ms)).min().unwrap_or(u64::MAX);
        (self.now_ms + pause).min(due).max(self.now_ms + 1)
    }

    fn audit(&mut self) -> Option<Violation> {
        for replica in &mut self.replicas {
            self.auditor.note_at_bind(replica.at_bind(), self.now_ms);
        }
        self.auditor.check(&self.store, self.now_ms).or_else(|| self.audit_ledgers())
    }

    /// Reads the ledger of a replica now and then, when it has heard everything, and has had a moment to take that in.
    fn audit_ledgers(&mut self) -> Option<Violation> {
        let has_heard = |(index, replica): (usize, &Replica)| {
            replica.answers(self.now_ms) && self.network.has_told_all(index, &self.store)
        };
        let heard: Vec<bool> = self.replicas.iter().enumerate().map(has_heard).collect();
        let heard_before = std::mem::replace(&mut self.heard, heard);
        if self.now_ms < self.ledgers_read_ms + LEDGERS_READ_EACH_MS {
            return None;
        }
        let can_be_read =
            self.replicas.iter().zip(self.heard.iter().zip(heard_before)).filter(|(_, (now, before))| **now && *before);
        let engines: Vec<_> = can_be_read.filter_map(|(replica, _)| replica.engine()).collect();
        if !engines.is_empty() {
            self.ledgers_read_ms = self.now_ms;
        }
        engines.iter().find_map(|engine| self.auditor.check_ledger(&self.store, engine))
    }

    fn audit_end(&mut self) -> Option<Violation> {
        let engines: Vec<_> = self.replicas.iter().filter_map(Replica::engine).collect();
        assert_eq!(engines.len(), self.replicas.len(), "a replica is not there at the end");
        let could_add = self.autoscaler.as_ref().map(Autoscaler::could_add).unwrap_or_default();
        self.auditor.check_end(&self.store, &engines, &could_add)
    }

    fn digest(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.store.version().hash(&mut hasher);
        for (key, pod) in self.store.all(Kind::Pod) {
            (key.to_string(), pod["spec"].to_string(), pod["status"].to_string()).hash(&mut hasher);
        }
        hasher.finish()
    }
}
