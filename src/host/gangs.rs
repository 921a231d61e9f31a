//! Gangs in a running process: plans are looked for beside everything else, members are pointed to their places, and
//! bindings wait for each other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use testudo_core::engine::{Arrival, Order, PlanTask, Solved};
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::Pod;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, field, info_span, warn};

use super::Host;
use super::news::EventQueue;
use super::orders::{GangWriters, Orders};
use crate::claims::with_large_stack;
use crate::config::Mode;
use crate::extender::Refusal;
use crate::k8s::claims::ClaimWriter;

/// How long reading all claims may take, at the beginning of a term.
const READ_CLAIMS: Duration = Duration::from_secs(20);

/// How long to wait for further changes before plans are looked for: members of a gang are made one after the other.
const GATHER: Duration = Duration::from_millis(5);

/// Gangs are looked at this often though nothing has changed, for what is due.
pub(super) const IDLE: Duration = Duration::from_millis(500);

/// So many plans are looked for before orders are given: where a thousand wait, what is already known is not to wait for them.
const PLANS_AT_ONCE: usize = 16;

impl Host {
    /// Plans gangs, gives their claims devices, and points kube-scheduler to the places of their members; ends never.
    /// Without `writers` nobody is pointed anywhere: kube-scheduler finds the places by asking filter. Who only observes plans
    /// nothing, and lets go of what waits for plans.
    pub async fn plan_gangs(self: Arc<Self>, writers: Option<GangWriters>) {
        if self.mode == Mode::Observe {
            return self.let_go(writers).await;
        }
        let events = writers.as_ref().map(|writers| EventQueue::new(writers.events.clone()));
        let orders = writers.map(|writers| Arc::new(Orders::new(writers)));
        // Orders do not wait for it.
        let mut assessing: Option<JoinHandle<()>> = None;
        // The term in which it is known what earlier leaders gave.
        let mut knows_claims_since: Option<u64> = None;
        loop {
            tokio::select! {
                // Each time the same way: whichever it is, all is looked at.
                biased;
                // What follows from an outcome waits for nobody.
                () = self.outcomes.notified() => {}
                () = self.gang_work.notified() => sleep(GATHER).await,
                () = sleep(IDLE) => {}
            }
            if self.may_answer().is_err() {
                continue;
            }
            let term = self.leadership.terms();
            if let Some(orders) = orders.as_ref().filter(|_| knows_claims_since != Some(term)) {
                if !self.catch_up_on_claims(&orders.writers.claims).await {
                    continue;
                }
                knows_claims_since = Some(term);
            }
            self.count_devices().await;
            let mut planned = 0;
            while planned < PLANS_AT_ONCE && self.plan_next().await {
                planned += 1;
            }
            if planned == PLANS_AT_ONCE {
                self.outcomes.notify_one();
            }
            if assessing.as_ref().is_none_or(JoinHandle::is_finished) && self.has_unassessed_shortfalls() {
                let host = Arc::clone(&self);
                assessing = Some(tokio::spawn(async move { host.assess_shortfalls().await }));
            }
            self.tell_news(orders.as_ref().map(|orders| &orders.writers.statuses), events.as_ref());
            for order in self.gang_orders() {
                if let Some(orders) = &orders {
                    // Planning goes on meanwhile.
                    self.carry_out(orders, order);
                }
            }
        }
    }

    /// Reads all claims once at the beginning of a term, and says whether it is known now what others were given before. Our
    /// watch may be behind that, and a device that is given twice is refused by nobody.
    async fn catch_up_on_claims(&self, writer: &ClaimWriter) -> bool {
        if !self.engine.lock().gives_devices() {
            return true;
        }
        let now_ms = self.now_ms();
        let read = writer.read_all(|seen| self.engine.lock().confirm_claim(seen, now_ms));
        match timeout(READ_CLAIMS, read).await {
            Ok(Ok(())) => {
                let mut engine = self.engine.lock();
                engine.keep_gangs(self.now_ms());
                self.publish(&mut engine);
                true
            }
            // There are none, or they are not for us to see, nor to write.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => true,
            failed => {
                let error = failed.map_or_else(|_| "no answer in time".to_owned(), |read| format!("{read:?}"));
                warn!(error, "claims could not be read: nothing is planned before it is known what they have");
                false
            }
        }
    }

    /// Looks for plans until there is nothing left to plan.
    pub async fn settle_gangs(&self) {
        while self.plan_next().await {}
    }

    /// Looks for the next plan, and says whether there was one to look for.
    async fn plan_next(&self) -> bool {
        let task = {
            let now_ms = self.now_ms();
            let mut engine = self.engine.lock();
            engine.keep_gangs(now_ms);
            let task = engine.next_plan(now_ms);
            self.publish(&mut engine);
            task
        };
        let Some(task) = task else { return false };
        let gang = task.gang().clone();
        let begun = Instant::now();
        let span = info_span!("plan", %gang, pods = task.members(), outcome = field::Empty);
        let solving = span.clone();
        let Ok(solved) = self.searches.run(move || solving.in_scope(|| solve(task))).await else {
            span.record("outcome", "panic");
            self.metrics.planned("panic", begun);
            self.engine.lock().set_aside(&gang, "looking for its places ended in a panic", self.now_ms());
            return true;
        };
        let outcome = solved.label();
        self.metrics.planned(outcome, begun);
        span.record("outcome", outcome);
        debug!(%gang, outcome, took = ?begun.elapsed(), "looked for places");
        let mut engine = self.engine.lock();
        engine.adopt(solved, self.now_ms());
        self.publish(&mut engine);
        true
    }

    fn gang_orders(&self) -> Vec<Order> {
        let mut engine = self.engine.lock();
        let orders = engine.orders(self.now_ms());
        self.publish(&mut engine);
        orders
    }

    /// Waits until all members of the pod's batch are at bind; at the deadline the batch is given up.
    pub(super) async fn pass_barrier(&self, pod: &Pod, node: &NodeName, deadline: Instant) -> Result<(), Refusal> {
        if self.mode == Mode::Observe {
            return Ok(());
        }
        let mut news = pin!(self.barrier_news.notified());
        // From here on nothing is missed.
        news.as_mut().enable();
        let mut arrival = {
            let mut engine = self.engine.lock();
            let arrival = engine.arrive(pod, node, self.now_ms());
            self.publish(&mut engine);
            arrival
        };
        loop {
            let batch = match arrival {
                Arrival::Go => return Ok(()),
                Arrival::No(why) => {
                    self.metrics.bound("gang_refused");
                    return Err(Refusal::Error(why.to_string()));
                }
                Arrival::Wait(batch) => batch,
            };
            // The others of the batch will be brought to whoever leads next.
            if let Err(refusal) = self.may_answer() {
                // Whoever comes last must not find it here.
                self.engine.lock().turn_back(&pod.uid);
                return Err(refusal);
            }
            let is_late = timeout_at(deadline, news.as_mut()).await.is_err();
            news.set(self.barrier_news.notified());
            news.as_mut().enable();
            let mut engine = self.engine.lock();
            if is_late {
                engine.give_up(&pod.uid, &batch, self.now_ms());
                self.publish(&mut engine);
                self.gang_work.notify_one();
            }
            arrival = engine.may_pass(&pod.uid, &batch, self.now_ms());
            self.publish(&mut engine);
        }
    }
}

/// Looks for places; where expressions are evaluated on the way, with room for that.
pub(super) fn solve(task: PlanTask) -> Solved {
    if !task.needs_devices() {
        return task.solve();
    }
    with_large_stack(|| Ok(task.solve())).unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
#[path = "gangs_tests.rs"]
pub(super) mod tests;
