//! A replica of testudo: the real host with all its tasks, on a runtime of its own whose clock is the simulation's.
//!
//! It is what `testudo serve` runs, from the watches to the election, but for the sockets: the client's requests go to the
//! simulated network, and the extender's bodies are handed over in memory. A crash drops the runtime with everything in it;
//! a pause does not let it run.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use testudo::config::Mode;
use testudo::extender::Extender;
use testudo::extender::answer::{Answer, Answers};
use testudo::extender::metrics::Metrics;
use testudo::host::{
    BATCH, Bindings, Clock, ElectionTimes, GangWriters, Host, LABEL_DEADLINE, Leadership, Search, Searches,
};
use testudo::k8s::bind::Binder;
use testudo::k8s::claims::ClaimWriter;
use testudo::k8s::events::Events;
use testudo::k8s::fence::fenced;
use testudo::k8s::group_status::GroupStatuses;
use testudo::k8s::leader_label::LeaderLabel;
use testudo::k8s::lease::{Candidate, LeaseOptions};
use testudo::k8s::protect::Protector;
use testudo::k8s::provisioning::Provisioner;
use testudo::k8s::steer::Steerer;
use testudo::k8s::watch::watch_cluster;
use testudo_core::engine::{Engine, Policy};
use testudo_core::model::catalogue::Catalogue;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep_until, timeout};

use crate::api::store::EPOCH_MS;
use crate::network::{From, Outbox};

/// Where the replicas' own pods and their lease are.
pub const NAMESPACE: &str = "testudo-system";

/// How many there are.
pub const REPLICAS: usize = 2;

/// The configuration's defaults.
pub const LEASE: Duration = Duration::from_secs(15);
const ELECTION: ElectionTimes =
    ElectionTimes { renew_deadline: Duration::from_secs(10), retry_period: Duration::from_secs(2) };

/// For so long a call to bind may take; kube-scheduler waits a little longer.
pub const BIND_TIMEOUT: Duration = Duration::from_secs(28);

/// A call to bind that has not been answered yet.
pub type BindCall = oneshot::Receiver<Answer>;

/// A replica.
pub struct Replica {
    index: usize,
    lives: u64,
    life: Option<Life>,
}

/// From a start to a crash.
struct Life {
    number: u64,
    born_ms: u64,
    began: Instant,
    /// It does not run before.
    paused_until_ms: u64,
    outbox: Outbox,
    searches: mpsc::UnboundedReceiver<Search>,
    underway: Vec<Search>,
    /// Who is at bind, and where.
    at_bind: Vec<(String, String, JoinHandle<()>)>,
    host: Arc<Host>,
    answers: Arc<Answers<Host>>,
    leadership: Leadership,
    // Dropped last: what it runs uses the above.
    runtime: Runtime,
}

impl Replica {
    /// One that is not running yet.
    pub fn new(index: usize) -> Self {
        Self { index, lives: 0, life: None }
    }

    /// Its pod.
    pub fn name(index: usize) -> String {
        format!("testudo-{index}")
    }

    /// Starts it.
    pub fn start(&mut self, policy: Policy, catalogue: Arc<Catalogue>, now_ms: u64) {
        self.lives += 1;
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let inside = runtime.enter();
        let outbox = Outbox::default();
        let client = outbox.client();
        let mut registry = Registry::default();
        let leadership = Leadership::contested();
        let fence = leadership.clone();
        let writing = fenced(client.clone(), move || fence.may_write());
        let label = LeaderLabel::new(writing.clone(), NAMESPACE, &Self::name(self.index));
        tokio::spawn(leadership.clone().keep_label(label, LABEL_DEADLINE));
        let devices = policy.claims.is_on();
        let bindings = Bindings::Cluster {
            binder: Binder::new(writing.clone()),
            claims: ClaimWriter::new(writing.clone()),
            timeout: BIND_TIMEOUT.mul_f64(0.9),
        };
        let (queue, searches) = mpsc::unbounded_channel();
        let host = Host::new(policy, Mode::Enforce, catalogue, bindings, &mut registry)
            .with_leadership(leadership.clone())
            .with_time(Clock::starting_at(EPOCH_MS + now_ms), Searches::Elsewhere(queue));
        let host = Arc::new(host);
        let writers = GangWriters {
            steerer: Steerer::new(writing.clone()),
            provisioner: Provisioner::new(writing.clone()),
            protector: Protector::new(writing.clone()),
            claims: ClaimWriter::new(writing.clone()),
            events: Events::new(writing.clone(), Some(Self::name(self.index))),
            statuses: GroupStatuses::start(writing),
        };
        tokio::spawn(Arc::clone(&host).plan_gangs(Some(writers)));
        let (events, incoming) = mpsc::channel(BATCH);
        tokio::spawn(watch_cluster(client.clone(), events, devices));
        let following = Arc::clone(&host);
        tokio::spawn(async move { following.keep_up(incoming).await });
        let options = LeaseOptions {
            namespace: NAMESPACE.into(),
            name: "testudo".into(),
            identity: format!("{}_{}", Self::name(self.index), self.lives),
            duration: LEASE,
        };
        let mut candidate = Candidate::new(client, options);
        let standing = Arc::clone(&host);
        tokio::spawn(async move { standing.stand_for_election(&mut candidate, ELECTION).await });
        let answers =
            Answers { extender: Arc::clone(&host), max_nodes: 1000, metrics: Metrics::register(&mut registry) };
        let began = Instant::now();
        drop(inside);
        self.life = Some(Life {
            number: self.lives,
            born_ms: now_ms,
            began,
            paused_until_ms: 0,
            outbox,
            searches,
            underway: vec![],
            at_bind: vec![],
            host,
            answers: Arc::new(answers),
            leadership,
            runtime,
        });
    }

    /// Ends it, in the middle of whatever it does.
    pub fn crash(&mut self) {
        self.life = None;
    }

    /// Is it there, be it paused?
    pub fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// Does not let it run for a while.
    pub fn pause(&mut self, until_ms: u64) {
        if let Some(life) = &mut self.life {
            life.paused_until_ms = until_ms;
        }
    }

    /// Would it answer at this time?
    pub fn answers(&self, now_ms: u64) -> bool {
        self.life.as_ref().is_some_and(|life| now_ms >= life.paused_until_ms)
    }

    /// Lets it run until this time.
    pub fn run(&mut self, now_ms: u64) {
        let Some(life) = self.life.as_mut().filter(|life| now_ms >= life.paused_until_ms) else { return };
        let until = life.began + Duration::from_millis(now_ms - life.born_ms);
        let was_paused = std::mem::take(&mut life.paused_until_ms) > 0;
        life.runtime.block_on(async {
            if was_paused {
                // Its clock went on while nothing ran.
                advance(until.saturating_duration_since(Instant::now())).await;
            }
            sleep_until(until).await;
        });
        while let Ok(search) = life.searches.try_recv() {
            life.underway.push(search);
        }
    }

    /// What it has sent since this was last asked.
    pub fn take_sent(&mut self) -> Option<(From, Vec<crate::network::Sent>)> {
        let life = self.life.as_ref()?;
        Some(((self.index, life.number), life.outbox.take()))
    }

    /// Is a search under way?
    pub fn is_searching(&self) -> bool {
        self.life.as_ref().is_some_and(|life| !life.underway.is_empty())
    }

    /// Lets its searches come to their end.
    pub fn finish_searches(&mut self) {
        if let Some(life) = &mut self.life {
            let _inside = life.runtime.enter();
            std::mem::take(&mut life.underway).into_iter().for_each(|search| search());
        }
    }

    /// Asks it something.
    pub fn ask<T>(&self, question: impl FnOnce(&Answers<Host>) -> T) -> Option<T> {
        let life = self.life.as_ref()?;
        let _inside = life.runtime.enter();
        Some(question(&life.answers))
    }

    /// Asks it to bind a pod.
    pub fn bind(&mut self, body: &[u8]) -> Option<Result<BindCall, Answer>> {
        let life = self.life.as_mut()?;
        let _inside = life.runtime.enter();
        Some(life.answers.binding(body).map(|binding| {
            let (answer, call) = oneshot::channel();
            let (uid, node) = (binding.pod_uid.clone(), binding.node.clone());
            let (host, answers) = (Arc::clone(&life.host), Arc::clone(&life.answers));
            // Who has called may have hung up: the binding goes on.
            let binding = tokio::spawn(async move {
                let outcome = timeout(BIND_TIMEOUT, host.bind(binding)).await;
                let _ = answer.send(match outcome {
                    Ok(outcome) => answers.bound(outcome),
                    Err(_) => Answer::text(504, "timed out"),
                });
            });
            life.at_bind.push((uid, node, binding));
            call
        }))
    }

    /// The pods that are at bind with it, by unique id, and for which node.
    pub fn at_bind(&mut self) -> Vec<(String, String)> {
        let Some(life) = &mut self.life else { return vec![] };
        life.at_bind.retain(|(_, _, binding)| !binding.is_finished());
        life.at_bind.iter().map(|(uid, node, _)| (uid.clone(), node.clone())).collect()
    }

    /// Does it think that it leads?
    pub fn leads(&self) -> bool {
        let Some(life) = &self.life else { return false };
        let _inside = life.runtime.enter();
        life.leadership.leads() && life.host.ready().is_ok()
    }

    /// Its engine as it is now.
    pub fn engine(&self) -> Option<Engine> {
        Some(self.life.as_ref()?.host.branch())
    }
}
