//! What a leader does that only observes: it lets go of what waits for decisions that nobody makes.
//!
//! Where testudo has decided before, or where somebody closes its gate on new pods, pods wait for it to open that gate, and
//! nodes are kept from autoscalers for plans that there are no more.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use testudo_core::engine::Order;
use testudo_core::model::pod::{Gate, Pod, Stage};
use tokio::time::{Instant, sleep};

use super::Host;
use super::gangs::IDLE;
use super::orders::{DEADLINE, GangWriters, Orders, target};

impl Host {
    /// Opens our gate wherever it is closed, and takes our protection from all nodes; ends never. Without `writers` nothing is
    /// done.
    pub(super) async fn let_go(self: Arc<Self>, writers: Option<GangWriters>) {
        let Some(writers) = writers else { return pending().await };
        let orders = Arc::new(Orders::new(writers));
        let mut given: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            sleep(IDLE).await;
            if self.may_answer().is_err() {
                continue;
            }
            // Nothing is written a second time before the first one has ended.
            given.retain(|_, at| at.elapsed() < DEADLINE);
            for order in self.held_back() {
                let Some(target) = target(&order).filter(|target| !given.contains_key(*target)) else { continue };
                given.insert(target.to_owned(), Instant::now());
                self.carry_out(&orders, order);
            }
        }
    }

    /// What is to be written so that nothing waits for us.
    fn held_back(&self) -> Vec<Order> {
        let engine = self.engine.lock();
        let cluster = engine.cluster();
        let snapshot = self.snapshot();
        let is_held = |pod: &Pod| pod.stage == Stage::Pending && pod.steering.gate == Gate::Ours;
        let gated = cluster.pods().filter(|pod| is_held(pod) && snapshot.is_asked_about(pod));
        let protected = engine.protected_nodes().iter().cloned();
        let shown = gated.map(|pod| Order::Show { pod: Arc::clone(pod) });
        shown.chain(protected.map(|node| Order::Unprotect { node })).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Registry;
    use serde_json::{Value, json};
    use testudo_core::engine::{GangPolicy, Policy};
    use testudo_core::model::catalogue::Catalogue;
    use tokio::time::timeout;

    use super::super::gangs::tests::writers;
    use super::*;
    use crate::config::Mode;
    use crate::host::{Bindings, Leadership};
    use crate::k8s::manifests::Manifests;
    use crate::k8s::mock::{ApiServer, failure};
    use crate::k8s::protect::PROTECTED_ANNOTATION;
    use crate::k8s::steering::SCHEDULING_GATE;

    const OURS: &str = "testudo-scheduler";

    fn pod(name: &str, scheduler: &str, gates: &[&str]) -> Value {
        let gates: Vec<Value> = gates.iter().map(|gate| json!({"name": gate})).collect();
        json!({
            "metadata": {"name": name, "namespace": "team", "uid": name, "labels": {"testudo.dev/pod-group": "g"}},
            "spec": {"schedulerName": scheduler, "schedulingGates": gates},
        })
    }

    fn node(name: &str, annotations: &Value) -> Value {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "resourceVersion": "7", "annotations": annotations},
        })
    }

    /// Who sees a protected node, another, and these pods.
    fn observer(mode: Mode, pods: &[Value]) -> Host {
        let gangs = GangPolicy { schedulers: [OURS.to_owned()].into(), ..GangPolicy::default() };
        let policy = Policy { gangs, ..Policy::default() };
        let host = Host::new(policy, mode, Catalogue::builtin(), Bindings::OwnCopy, &mut Registry::default());
        let nodes = [node("kept", &json!({PROTECTED_ANNOTATION: ""})), node("free", &json!({}))];
        host.take_manifests(Manifests {
            nodes: nodes.map(|node| serde_json::from_value(node).expect("a node")).into(),
            pods: pods.iter().map(|pod| serde_json::from_value(pod.clone()).expect("a pod")).collect(),
            ..Manifests::default()
        });
        host
    }

    /// What a host writes within a second and a half.
    async fn written(host: Host, api: &ApiServer) -> Vec<String> {
        let _ = timeout(Duration::from_millis(1_500), Arc::new(host).plan_gangs(Some(writers(api)))).await;
        let requests = api.requests.lock();
        let path = |line: &String| line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let mut written: Vec<String> = requests.iter().filter(|line| line.starts_with("PATCH")).map(path).collect();
        written.sort();
        written
    }

    fn api() -> ApiServer {
        ApiServer::new(|request| {
            let shown = match request.contains("/nodes/") {
                true => node("kept", &json!({PROTECTED_ANNOTATION: ""})),
                false => json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}),
            };
            Some((200, shown.to_string()))
        })
    }

    #[tokio::test]
    async fn nothing_waits_for_who_only_observes() {
        let pods = [
            pod("a", OURS, &[SCHEDULING_GATE]),
            pod("of-others-too", OURS, &[SCHEDULING_GATE, "kueue.x-k8s.io/admission"]),
            pod("open", OURS, &[]),
            pod("of-another", "kai-scheduler", &[SCHEDULING_GATE]),
        ];
        let server = api();
        let once = ["/api/v1/namespaces/team/pods/a", "/api/v1/nodes/kept"];
        assert_eq!(written(observer(Mode::Observe, &pods), &server).await, once);
        assert!(server.requests.lock().iter().any(|line| line.contains("\"$patch\":\"delete\"")));
        // One that decides has no place for this gang, and whoever does not lead does nothing.
        let node = "/api/v1/nodes/kept";
        assert_eq!(written(observer(Mode::Enforce, &pods[..1]), &api()).await, [node]);
        let follower = observer(Mode::Observe, &pods).with_leadership(Leadership::contested());
        assert_eq!(written(follower, &api()).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_may_not_be_opened_is_left_alone_for_a_while() {
        let server = ApiServer::new(|_| Some(failure(403, "Forbidden", "cannot patch resource \"pods\"")));
        let host = observer(Mode::Observe, &[pod("a", OURS, &[SCHEDULING_GATE])]);
        assert_eq!(written(host, &server).await, ["/api/v1/namespaces/team/pods/a"]);
    }
}
