//! Carrying out what is ordered: each order is a task beside planning, and has a limited time.
//!
//! An order that is dropped is not lost: what pods, nodes and claims show is compared with what they should show, again and
//! again, and it is given again for as long as it is wanted. So none waits for longer than [`DEADLINE`] while the API server
//! hangs. Else they would pile up, and be carried out when nobody wants them any more: an eviction for a gang that is gone.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use testudo_core::claims::ClaimKey;
use testudo_core::engine::{ClaimOrder, ClaimOutcome, Mark, NodeRequest, Order};
use testudo_core::model::node::NodeName;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::field::display;
use tracing::{debug, info, warn};

use super::Host;
use super::denied::Denied;
use crate::k8s::claims::ClaimWriter;
use crate::k8s::client::is_forbidden;
use crate::k8s::events::Events;
use crate::k8s::group_status::GroupStatuses;
use crate::k8s::protect::Protector;
use crate::k8s::provisioning::{Asked, Provisioner};
use crate::k8s::steer::{SteerError, Steerer};

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

/// An order is carried out within this time after it was given, or dropped.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// What to do where nodes may not be written.
const MAY_NOT_PROTECT: &str = "nodes may not be written, and autoscalers may remove those that gangs need: the chart gives \
     that right with config.autoscaling.enabled";
const MAY_NOT_UNPROTECT: &str = "nodes may not be written, and autoscalers are still kept from removing some: the chart gives \
     that right with config.autoscaling.enabled; set protectNodes: false beside it, and enabled: false only when no node has \
     the annotation testudo.dev/protected any more";

/// Orders under way.
pub(super) struct Orders {
    pub writers: GangWriters,
    writes: Semaphore,
    urgent: Semaphore,
    deadline: Duration,
    denied: Mutex<Denied>,
}

impl Orders {
    pub fn new(writers: GangWriters) -> Self {
        let (writes, urgent) = (Semaphore::new(WRITES), Semaphore::new(URGENT));
        Self { writers, writes, urgent, deadline: DEADLINE, denied: Mutex::default() }
    }
}

impl Host {
    /// Carries out an order, beside everything else.
    pub(super) fn carry_out(self: &Arc<Self>, orders: &Arc<Orders>, order: Order) {
        if target(&order).is_some_and(|target| orders.denied.lock().is_paused(target, Instant::now())) {
            return;
        }
        let (host, orders) = (Arc::clone(self), Arc::clone(orders));
        tokio::spawn(async move {
            let carried_out = async {
                let _act = host.leadership.act().await;
                let permits = if is_urgent(&order) { &orders.urgent } else { &orders.writes };
                // Half of the time is left to write: what is begun at the last moment would only be broken off.
                let Ok(_permit) = timeout(orders.deadline / 2, permits.acquire()).await else { return false };
                host.write(&orders, &order).await;
                true
            };
            if timeout(orders.deadline, carried_out).await != Ok(true) {
                host.drop_late(&order);
            }
        });
    }

    async fn write(&self, orders: &Orders, order: &Order) {
        let writers = &orders.writers;
        match order {
            Order::Claim(order) => {
                let outcome = writers.claims.carry_out(order).await;
                self.conclude(order, outcome);
            }
            Order::Request(request) => self.request_nodes(&writers.provisioner, request).await,
            Order::Protect { node, .. } | Order::Unprotect { node } => orders.write_node(order, node).await,
            order => self.write_pod(orders, order).await,
        }
    }

    /// There was no time for an order.
    fn drop_late(&self, order: &Order) {
        let write = label(order);
        debug!(write, "dropped: it was not carried out in time");
        match order {
            // A part of it may have been written.
            Order::Claim(order) => self.conclude(order, ClaimOutcome::Unknown),
            Order::Request(NodeRequest { gang, .. }) => warn!(%gang, "its ProvisioningRequest was not made in time"),
            Order::Protect { .. } | Order::Unprotect { .. } => {}
            order => self.not_written(order),
        }
    }

    fn conclude(&self, order: &ClaimOrder, outcome: ClaimOutcome) {
        let (ClaimOrder::Allocate { claim, uid, .. } | ClaimOrder::Release { claim, uid, .. }) = order;
        self.metrics.claim_written(&outcome);
        tell_of_claim(claim, &outcome);
        let mut engine = self.engine.lock();
        engine.conclude(claim, uid, outcome, self.now_ms());
        engine.keep_gangs(self.now_ms());
        self.publish(&mut engine);
        self.outcomes.notify_one();
    }

    async fn write_pod(&self, orders: &Orders, order: &Order) {
        let steerer = &orders.writers.steerer;
        let result = match order {
            Order::Nominate { pod, promise } => steerer.nominate(pod, promise, 0).await.map(|()| "done"),
            Order::Hint { pod, node } => steerer.hint(pod, node).await.map(|()| "done"),
            Order::Steer { pod, promise, attempt } => steerer.steer(pod, promise, *attempt).await.map(|()| "done"),
            Order::Withdraw { pod } => steerer.withdraw(pod).await.map(|()| "done"),
            Order::Wake { pod } => steerer.wake(pod, self.now_ms()).await.map(|()| "done"),
            Order::Show { pod } => steerer.show(pod).await.map(|()| "done"),
            Order::Mark(mark) => steerer.mark(mark, self.now_ms()).await.map(|()| "done"),
            // Not on pods.
            Order::Claim(_) | Order::Request(_) | Order::Protect { .. } | Order::Unprotect { .. } => return,
            Order::Evict { pod, gang } => steerer.evict(pod).await.map(|allowed| {
                let pod = &pod.key;
                match allowed {
                    true => info!(%gang, %pod, "evicted for the gang"),
                    false => info!(%gang, %pod, "not evicted yet: its disruption budget does not allow it"),
                }
                if allowed { "done" } else { "not_allowed" }
            }),
        };
        let write = label(order);
        match result {
            Ok(outcome) => self.metrics.pod_written(write, outcome),
            Err(error) => {
                let is_forbidden = matches!(&error, SteerError::Api { error, .. } if is_forbidden(error));
                match orders.is_news_of(order, is_forbidden) {
                    true => warn!(
                        write, %error,
                        "a pod may not be written: `testudo check` says what testudo's account lacks; with gates.enabled: false \
                         the chart does not let it open gates"
                    ),
                    false => debug!(write, %error, "a pod could not be written"),
                }
                self.not_written(order);
            }
        }
    }

    /// A pod was not written.
    fn not_written(&self, order: &Order) {
        // Nothing that the pod shows would tell it.
        match order {
            Order::Wake { pod } => self.engine.lock().not_woken(pod, self.now_ms()),
            Order::Steer { pod, .. } => self.engine.lock().not_steered(pod),
            _ => {}
        }
        self.metrics.pod_written(label(order), "failed");
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
}

impl Orders {
    async fn write_node(&self, order: &Order, node: &NodeName) {
        let protector = &self.writers.protector;
        let (result, gang, done, if_forbidden) = match order {
            Order::Protect { gang, .. } => {
                let result = protector.protect(node.as_str()).await;
                (result, Some(display(gang)), "protected from being removed", MAY_NOT_PROTECT)
            }
            _ => (protector.unprotect(node.as_str()).await, None, "may be removed again", MAY_NOT_UNPROTECT),
        };
        let is_news = self.is_news_of(order, result.as_ref().is_err_and(is_forbidden));
        match result {
            Ok(()) => info!(%node, gang, "{done}"),
            Err(error) if is_news => warn!(%node, gang, %error, "{if_forbidden}"),
            Err(error) => debug!(%node, gang, %error, "its protection could not be written"),
        }
    }

    /// Notes whether an order was forbidden, and says whether that is to be told.
    fn is_news_of(&self, order: &Order, is_forbidden: bool) -> bool {
        let (now, mut denied) = (Instant::now(), self.denied.lock());
        if let Some(target) = target(order) {
            if is_forbidden { denied.note(target, now) } else { denied.forget(target) }
        }
        is_forbidden && denied.is_news(label(order), now)
    }
}

fn tell_of_claim(claim: &ClaimKey, outcome: &ClaimOutcome) {
    match outcome {
        ClaimOutcome::Allocated { .. } => info!(%claim, "given its devices"),
        ClaimOutcome::Refused { why, .. } => warn!(%claim, "not given its devices: {why}"),
        ClaimOutcome::Released { .. } => debug!(%claim, "has not its devices any more"),
        ClaimOutcome::Reserved { .. } => debug!(%claim, "keeps its devices: somebody may use them"),
        ClaimOutcome::Unknown => debug!(%claim, "it is not known what became of the write"),
    }
}

/// What is written, in metrics and log.
fn label(order: &Order) -> &'static str {
    match order {
        Order::Nominate { .. } => "nominate",
        Order::Hint { .. } => "hint",
        Order::Steer { .. } => "steer",
        Order::Withdraw { .. } => "withdraw",
        Order::Wake { .. } => "wake",
        Order::Show { .. } => "show",
        Order::Mark(_) => "mark",
        Order::Evict { .. } => "evict",
        Order::Claim(_) => "claim",
        Order::Request(_) => "request",
        Order::Protect { .. } => "protect",
        Order::Unprotect { .. } => "unprotect",
    }
}

/// What is left alone for a while when it may not be written. Other orders rest by themselves when nothing comes of them.
pub(super) fn target(order: &Order) -> Option<&str> {
    match order {
        Order::Show { pod } => Some(pod.uid.as_str()),
        Order::Protect { node, .. } | Order::Unprotect { node } => Some(node.as_str()),
        _ => None,
    }
}

/// A pod is to show that a device of it was given twice, or a claim is to lose what another needs.
fn is_urgent(order: &Order) -> bool {
    matches!(order, Order::Mark(Mark { conflict: Some(_), .. }) | Order::Claim(ClaimOrder::Release { .. }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use prometheus_client::registry::Registry;
    use serde_json::json;
    use testudo_core::engine::Policy;
    use testudo_core::model::catalogue::Catalogue;
    use testudo_core::model::gang::{Dialect, GangKey};
    use testudo_core::model::pod::{Demand, Pod, PodKey, PodUid};
    use tokio::time::sleep;

    use super::super::gangs::tests::writers;
    use super::*;
    use crate::config::Mode;
    use crate::host::Bindings;
    use crate::k8s::mock::{ApiServer, failure};

    fn host() -> Arc<Host> {
        let (policy, catalogue) = (Policy::default(), Catalogue::builtin());
        Arc::new(Host::new(policy, Mode::Enforce, catalogue, Bindings::OwnCopy, &mut Registry::default()))
    }

    fn gang() -> GangKey {
        GangKey { namespace: "team".into(), name: "g".into(), dialect: Dialect::Testudo }
    }

    fn eviction(number: usize) -> Order {
        let name = format!("p-{number}");
        let key = PodKey { namespace: "team".into(), name: name.as_str().into() };
        let pod = Arc::new(Pod::new(key, PodUid::from(name.as_str()), Demand::default()));
        Order::Evict { pod, gang: gang() }
    }

    #[tokio::test]
    async fn what_could_not_be_written_in_time_is_not_written_later() {
        let hangs = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&hangs);
        let server = ApiServer::new(move |_| (!seen.load(Ordering::Relaxed)).then(|| (201, "{}".into())));
        let deadline = Duration::from_millis(400);
        let orders = Arc::new(Orders { deadline, ..Orders::new(writers(&server)) });
        let host = host();
        for number in 0..10 * WRITES {
            host.carry_out(&orders, eviction(number));
        }
        sleep(deadline / 4).await;
        assert_eq!(server.requests.lock().len(), WRITES, "so many at a time");
        sleep(deadline).await;
        assert_eq!(Arc::strong_count(&orders), 1, "nobody waits any more");
        hangs.store(false, Ordering::Relaxed);
        sleep(deadline).await;
        assert_eq!(server.requests.lock().len(), WRITES, "what was meant then is not done now");
        host.carry_out(&orders, eviction(0));
        sleep(deadline / 2).await;
        assert_eq!(server.requests.lock().len(), WRITES + 1);
    }

    #[tokio::test]
    async fn a_node_that_may_not_be_written_is_left_alone_for_a_while() {
        let shown = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "n", "annotations": {"testudo.dev/protected": ""}},
        });
        let is_allowed = Arc::new(AtomicBool::new(false));
        let allowed = Arc::clone(&is_allowed);
        let server = ApiServer::new(move |request| {
            Some(match request.starts_with("GET") || allowed.load(Ordering::Relaxed) {
                true => (200, shown.to_string()),
                false => failure(403, "Forbidden", "cannot patch resource \"nodes\""),
            })
        });
        let (host, orders) = (host(), Arc::new(Orders::new(writers(&server))));
        let unprotect = async |node: &str| {
            host.carry_out(&orders, Order::Unprotect { node: node.into() });
            while Arc::strong_count(&orders) > 1 {
                sleep(Duration::from_millis(1)).await;
            }
            server.requests.lock().iter().filter(|line| line.starts_with("PATCH")).count()
        };
        assert_eq!((unprotect("a").await, unprotect("a").await, unprotect("b").await), (1, 1, 2));
        assert!(!orders.denied.lock().is_news("unprotect", Instant::now()), "it was told");
        is_allowed.store(true, Ordering::Relaxed);
        assert_eq!((unprotect("c").await, unprotect("c").await), (3, 4), "nothing is paused that is allowed");
    }
}
