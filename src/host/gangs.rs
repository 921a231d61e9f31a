//! Gangs in a running process: plans are looked for beside everything else, members are pointed to their places, and
//! bindings wait for each other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use testudo_core::engine::{Arrival, ClaimOrder, ClaimOutcome, Mark, NodeRequest, Order, PlanTask, Solved};
use testudo_core::model::gang::GangKey;
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::Pod;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, field, info, info_span, warn};

use super::Host;
use super::news::EventQueue;
use crate::claims::with_large_stack;
use crate::config::Mode;
use crate::extender::Refusal;
use crate::k8s::claims::ClaimWriter;
use crate::k8s::events::Events;
use crate::k8s::group_status::GroupStatuses;
use crate::k8s::protect::Protector;
use crate::k8s::provisioning::{Asked, Provisioner};
use crate::k8s::steer::Steerer;

/// How long reading all claims may take, at the beginning of a term.
const READ_CLAIMS: Duration = Duration::from_secs(20);

/// How long to wait for further changes before plans are looked for: members of a gang are made one after the other.
const GATHER: Duration = Duration::from_millis(5);

/// Gangs are looked at this often though nothing has changed, for what is due.
const IDLE: Duration = Duration::from_millis(500);

/// Who writes of gangs to the API server.
pub struct GangWriters {
    /// On pods, where they are to go.
    pub steerer: Steerer,
    /// Asks for nodes.
    pub provisioner: Provisioner,
    /// On nodes, that they are not to be removed.
    pub protector: Protector,
    /// On claims, what devices they have.
    pub claims: ClaimWriter,
    /// What became of gangs.
    pub events: Events,
    /// On the objects that describe them, how far they have come.
    pub statuses: GroupStatuses,
}

/// Pods written at the same time, at most.
const WRITES: usize = 48;

/// What is to be done at once where a device was given twice, at the same time: it does not wait for other writes.
const URGENT: usize = 32;

/// So many plans are looked for before orders are given: where a thousand wait, what is already known is not to wait for them.
const PLANS_AT_ONCE: usize = 16;

impl Host {
    /// Plans gangs, gives their claims devices, and points kube-scheduler to the places of their members; ends never.
    /// Without `writers` nobody is pointed anywhere: kube-scheduler finds the places by asking filter.
    pub async fn plan_gangs(self: Arc<Self>, writers: Option<GangWriters>) {
        let (writes, urgent) = (Arc::new(Semaphore::new(WRITES)), Arc::new(Semaphore::new(URGENT)));
        let events = writers.as_ref().map(|writers| EventQueue::new(writers.events.clone()));
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
            if self.mode == Mode::Observe || self.may_answer().is_err() {
                continue;
            }
            let term = self.leadership.terms();
            if let Some(writers) = writers.as_ref().filter(|_| knows_claims_since != Some(term)) {
                if !self.catch_up_on_claims(&writers.claims).await {
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
            self.tell_news(writers.as_ref().map(|writers| &writers.statuses), events.as_ref());
            let orders = self.gang_orders();
            if let Some(GangWriters { steerer, claims, provisioner, protector, .. }) = &writers {
                // Planning goes on meanwhile: an order is given again only after a while, so that few pile up.
                for order in orders {
                    let permits = if is_urgent(&order) { &urgent } else { &writes };
                    let (host, permits) = (Arc::clone(&self), Arc::clone(permits));
                    let (steerer, claims) = (steerer.clone(), claims.clone());
                    let (provisioner, protector) = (provisioner.clone(), protector.clone());
                    let leadership = self.leadership.clone();
                    tokio::spawn(async move {
                        let _act = leadership.act().await;
                        let _permit = permits.acquire_owned().await;
                        match order {
                            Order::Claim(order) => host.write_claim(&claims, &order).await,
                            Order::Request(request) => host.request_nodes(&provisioner, &request).await,
                            Order::Protect { node, gang } => protect(&protector, &node, &gang).await,
                            Order::Unprotect { node } => unprotect(&protector, &node).await,
                            order => host.write_pod(&steerer, order).await,
                        }
                    });
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

    async fn write_claim(&self, writer: &ClaimWriter, order: &ClaimOrder) {
        let outcome = writer.carry_out(order).await;
        let (ClaimOrder::Allocate { claim, uid, .. } | ClaimOrder::Release { claim, uid, .. }) = order;
        self.metrics.claim_written(&outcome);
        match &outcome {
            ClaimOutcome::Allocated { .. } => info!(%claim, "given its devices"),
            ClaimOutcome::Refused { why, .. } => warn!(%claim, "not given its devices: {why}"),
            ClaimOutcome::Released { .. } => debug!(%claim, "has not its devices any more"),
            ClaimOutcome::Reserved { .. } => debug!(%claim, "keeps its devices: somebody may use them"),
            ClaimOutcome::Unknown => debug!(%claim, "it is not known what became of the write"),
        }
        let mut engine = self.engine.lock();
        engine.conclude(claim, uid, outcome, self.now_ms());
        engine.keep_gangs(self.now_ms());
        self.publish(&mut engine);
        self.outcomes.notify_one();
    }

    async fn write_pod(&self, steerer: &Steerer, order: Order) {
        let (write, result) = match &order {
            Order::Nominate { pod, promise } => ("nominate", steerer.nominate(pod, promise, 0).await.map(|()| "done")),
            Order::Hint { pod, node } => ("hint", steerer.hint(pod, node).await.map(|()| "done")),
            Order::Steer { pod, promise, attempt } => {
                ("steer", steerer.steer(pod, promise, *attempt).await.map(|()| "done"))
            }
            Order::Withdraw { pod } => ("withdraw", steerer.withdraw(pod).await.map(|()| "done")),
            Order::Wake { pod } => ("wake", steerer.wake(pod, self.now_ms()).await.map(|()| "done")),
            Order::Show { pod } => ("show", steerer.show(pod).await.map(|()| "done")),
            Order::Mark(mark) => ("mark", steerer.mark(mark, self.now_ms()).await.map(|()| "done")),
            // Not on pods.
            Order::Claim(_) | Order::Request(_) | Order::Protect { .. } | Order::Unprotect { .. } => return,
            Order::Evict { pod, gang } => {
                let evicted = steerer.evict(pod).await.map(|allowed| {
                    let pod = &pod.key;
                    match allowed {
                        true => info!(%gang, %pod, "evicted for the gang"),
                        false => info!(%gang, %pod, "not evicted yet: its disruption budget does not allow it"),
                    }
                    if allowed { "done" } else { "not_allowed" }
                });
                ("evict", evicted)
            }
        };
        // Not lost: what the pod shows is compared with what it should show, again and again.
        let outcome = result.unwrap_or_else(|error| {
            debug!(write, %error, "a pod could not be written");
            if let Order::Wake { pod } = &order {
                self.engine.lock().not_woken(pod, self.now_ms());
            }
            "failed"
        });
        self.metrics.pod_written(write, outcome);
    }

    async fn request_nodes(&self, provisioner: &Provisioner, request: &NodeRequest) {
        let gang = &request.gang;
        match provisioner.ask(request).await {
            // Another is made when it is asked for the next time.
            Ok(Asked::Over) => return info!(%gang, "its ProvisioningRequest brings no nodes any more, and was deleted"),
            Ok(Asked::Made) => info!(%gang, class = %request.class, "nodes were asked for by a ProvisioningRequest"),
            Ok(Asked::Standing | Asked::Impossible) => {}
            Err(error) => return warn!(%gang, %error, "its ProvisioningRequest could not be made"),
        }
        self.engine.lock().note_request(gang);
        self.gang_work.notify_one();
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

/// A pod is to show that a device of it was given twice, or a claim is to lose what another needs.
fn is_urgent(order: &Order) -> bool {
    matches!(order, Order::Mark(Mark { conflict: Some(_), .. }) | Order::Claim(ClaimOrder::Release { .. }))
}

async fn protect(protector: &Protector, node: &NodeName, gang: &GangKey) {
    match protector.protect(node.as_str()).await {
        Ok(()) => info!(%node, %gang, "protected from being removed"),
        // Not lost, as with pods below.
        Err(error) => debug!(%node, %error, "it could not be protected from being removed"),
    }
}

async fn unprotect(protector: &Protector, node: &NodeName) {
    match protector.unprotect(node.as_str()).await {
        Ok(()) => info!(%node, "may be removed again"),
        Err(error) => debug!(%node, %error, "its protection could not be taken away"),
    }
}

#[cfg(test)]
#[path = "gangs_tests.rs"]
mod tests;
