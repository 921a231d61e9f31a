//! Bindings: assumed, checked once more, written, and then committed or rolled back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use testudo_core::claims::{ClaimKey, SeenClaim};
use testudo_core::engine::{ASSUME_TTL_MS, Change, Stance};
use testudo_core::model::fabric::DeviceSet;
use testudo_core::model::node::NodeName;
use testudo_core::model::pod::{Pod, PodKey, PodUid, Stage};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, info, info_span, warn};

use super::Host;
use super::decisions::Verdict;
use super::fields::{gang, note_on_span};
use crate::config::Mode;
use crate::extender::{Binding, Refusal};
use crate::k8s::bind::{self, BindOutcome, Binder};
use crate::k8s::claims::ClaimWriter;

/// Where bindings are written.
#[expect(clippy::large_enum_variant, reason = "a process has one of these")]
pub enum Bindings {
    /// To the cluster.
    Cluster {
        /// Writes them.
        binder: Binder,
        /// Reads the claims of pods before.
        claims: ClaimWriter,
        /// For how long at most.
        timeout: Duration,
    },
    /// Into our own copy of a cluster: there is no other.
    OwnCopy,
}

/// The share of the time for a binding that is left for writing it. Before that it may wait for other members of its gang.
const WRITING: f64 = 0.4;

impl Bindings {
    /// Until when a binding that is asked for now may wait for others.
    fn barrier_deadline(&self) -> Instant {
        let timeout = match self {
            Self::OwnCopy => Duration::from_secs(10),
            Self::Cluster { timeout, .. } => timeout.mul_f64(1.0 - WRITING),
        };
        Instant::now() + timeout
    }

    /// For how long a placement is assumed: twice as long as its binding may take, so that it is not given to another
    /// while that is still under way.
    fn assume_ttl_ms(&self) -> u64 {
        match self {
            Self::OwnCopy => ASSUME_TTL_MS,
            Self::Cluster { timeout, .. } => {
                let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                timeout_ms.saturating_mul(2).max(ASSUME_TTL_MS)
            }
        }
    }
}

impl Host {
    /// Binds a pod as kube-scheduler asks.
    pub(super) async fn bind_once(&self, binding: Binding) -> Result<(), Refusal> {
        let _act = self.leadership.act().await;
        self.may_answer()?;
        let key = PodKey { namespace: binding.pod_namespace.clone(), name: binding.pod_name.clone() };
        let node = NodeName::from(binding.node.as_str());
        let pod = self.pod_to_bind(&key, &PodUid::from(binding.pod_uid.as_str()))?;
        note_on_span(&pod);
        let deadline = self.bindings.barrier_deadline();
        self.confirm_claims(&pod, deadline).instrument(info_span!("confirm_claims")).await?;
        self.pass_barrier(&pod, &node, deadline).instrument(info_span!("barrier")).await?;
        let gpus = self.assume(&pod, &node)?;
        let outcome = match &self.bindings {
            Bindings::OwnCopy => {
                let bound = Pod { stage: Stage::Bound(node.clone()), gpus, ..Pod::clone(&pod) };
                self.apply([Change::PodApplied(Box::new(bound))]);
                BindOutcome::Bound
            }
            Bindings::Cluster { binder, timeout, .. } => {
                let request = bind::Binding {
                    namespace: binding.pod_namespace,
                    name: binding.pod_name,
                    uid: binding.pod_uid,
                    node: binding.node,
                    gpus,
                };
                let write = info_span!("write_binding", %node);
                binder.bind(&request, Instant::now() + timeout.mul_f64(WRITING)).instrument(write).await
            }
        };
        self.settle(&pod, &node, outcome)
    }

    /// The pod as the watch shows it, or as filter was told it a moment ago.
    fn pod_to_bind(&self, key: &PodKey, uid: &PodUid) -> Result<Arc<Pod>, Refusal> {
        let watched = self.engine.lock().cluster().pod(uid).cloned();
        let pod = watched.or_else(|| self.recent.lock().get(uid).cloned());
        let refuse = |text: String| {
            self.metrics.bound("unknown_pod");
            Refusal::Error(text)
        };
        match pod {
            None => {
                Err(refuse(format!("pod {key} (uid {uid}) is not known here: neither watched nor filtered lately")))
            }
            Some(pod) if pod.key != *key => Err(refuse(format!("uid {uid} is that of pod {}, not of {key}", pod.key))),
            Some(pod) => Ok(pod),
        }
    }

    /// Reads the claims of the pod once more. kube-scheduler gives devices by itself to claims that are not ours, to those that
    /// it makes for extended resources, and to one of ours from which it has taken its devices where our watch has not shown
    /// that yet and filter has let the pod pass. By now that is written, and who was promised these devices has to be given
    /// others. Who had them before may have lost them: kube-scheduler gives on at once what it takes back, and our watch shows
    /// that later. And a claim that it has reserved for the pod may have lost that, and been given devices anew, of which it has not
    /// heard: others would be given what the pod runs with.
    async fn confirm_claims(&self, pod: &Pod, deadline: Instant) -> Result<(), Refusal> {
        let (Bindings::Cluster { claims, .. }, Mode::Enforce) = (&self.bindings, self.mode) else { return Ok(()) };
        let (named, is_served) = {
            let engine = self.engine.lock();
            (engine.claims_of(pod), engine.is_served_by_devices(pod))
        };
        if named.is_empty() && !is_served {
            return Ok(());
        }
        let read = timeout_at(deadline, async {
            let own = read_claims(claims, pod, named, is_served).await?;
            let rivals = self.engine.lock().rivals_of(&own);
            Ok((own, read_rivals(claims, rivals).await?))
        });
        let refuse = |text: String| {
            self.metrics.bound("claims_refused");
            Err(Refusal::Error(text))
        };
        let (own, rivals) = match read.await.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(read) => read,
            Err(error) => return refuse(format!("the claims of pod {} cannot be read: {error}", pod.key)),
        };
        let keys: Vec<ClaimKey> = own.iter().map(|seen| seen.claim.key.clone()).collect();
        let unready = own.iter().find(|seen| seen.allocation.is_none() || !seen.is_reserved);
        let unready = unready.map(|seen| {
            let what = if seen.allocation.is_none() { "has no devices" } else { "is reserved for nobody" };
            format!(
                "claim {} of pod {} {what} any more: kube-scheduler has to look at it again",
                seen.claim.key, pod.key
            )
        });
        let mut engine = self.engine.lock();
        let now_ms = self.now_ms();
        for (uid, rival) in rivals {
            match rival {
                Some(seen) => engine.confirm_claim(seen, now_ms),
                None => engine.confirm_gone(&uid),
            }
        }
        own.into_iter().for_each(|seen| engine.confirm_claim(seen, now_ms));
        engine.keep_gangs(now_ms);
        self.publish(&mut engine);
        engine.conflict_of(&keys).or(unready).map_or(Ok(()), refuse)
    }

    fn assume(&self, pod: &Pod, node: &NodeName) -> Result<Option<DeviceSet>, Refusal> {
        let until_ms = self.now_ms().saturating_add(self.bindings.assume_ttl_ms());
        let mut engine = self.engine.lock();
        let assumed = engine.assume(pod, node, until_ms);
        self.publish(&mut engine);
        drop(engine);
        match assumed {
            Ok(gpus) => Ok(gpus),
            Err(error) if self.mode == Mode::Observe => {
                info!(pod = %pod.key, gang = gang(pod), %node, %error, "observed: would have refused the binding");
                Ok(None)
            }
            Err(error) => {
                self.metrics.bound("no_longer_fits");
                warn!(pod = %pod.key, gang = gang(pod), %node, %error, "binding refused");
                self.decided(pod, Verdict::Refused(node.clone(), error.to_string().into()));
                Err(Refusal::Error(error.to_string()))
            }
        }
    }

    /// Remembers what became of a pod whose place was ours to decide.
    fn decided(&self, pod: &Pod, verdict: Verdict) {
        if self.snapshot.load().stance(pod) == Stance::Placed {
            self.decisions.lock().ended(pod, verdict, self.now_ms());
        }
    }

    fn settle(&self, pod: &Pod, node: &NodeName, outcome: BindOutcome) -> Result<(), Refusal> {
        let key = &pod.key;
        let mut engine = self.engine.lock();
        let result = match outcome {
            BindOutcome::Bound | BindOutcome::AlreadyThere => {
                self.metrics.bound(if outcome == BindOutcome::Bound { "bound" } else { "already_bound" });
                engine.commit(&pod.uid);
                self.decided(pod, Verdict::Bound(node.clone()));
                info!(pod = %key, gang = gang(pod), %node, "bound");
                Ok(())
            }
            BindOutcome::Refused { code, message } => {
                self.metrics.bound("refused");
                engine.roll_back(&pod.uid);
                // Others of its gang may run by now.
                self.gang_work.notify_one();
                warn!(pod = %key, gang = gang(pod), %node, code, message, "the API server refused the binding");
                self.decided(pod, Verdict::Refused(node.clone(), message.as_str().into()));
                Err(Refusal::Error(format!("binding pod {key} to node {node} was refused ({code}): {message}")))
            }
            BindOutcome::Unknown { message } => {
                self.metrics.bound("unknown");
                engine.doubt(&pod.uid);
                self.gang_work.notify_one();
                warn!(pod = %key, gang = gang(pod), %node, message, "it is not known whether the pod was bound");
                Err(Refusal::Error(format!("it is not known whether pod {key} was bound to node {node}: {message}")))
            }
        };
        self.publish(&mut engine);
        result
    }
}

/// The claims that a pod names, and, where it is served by devices, the one that was made for it.
async fn read_claims(
    claims: &ClaimWriter,
    pod: &Pod,
    mut keys: Vec<ClaimKey>,
    is_served: bool,
) -> Result<Vec<SeenClaim>, String> {
    if is_served {
        keys.extend(claims.made_for(&pod.key).await.map_err(|error| error.to_string())?);
    }
    let read = async |key| claims.read(key).await.map_err(|error| format!("claim {key}: {error}"));
    try_join_all(keys.iter().map(read)).await
}

/// By their unique ids, who has the same: as they are now, or nothing where there is none of the name any more.
async fn read_rivals(
    claims: &ClaimWriter,
    rivals: BTreeMap<ClaimKey, Box<str>>,
) -> Result<Vec<(Box<str>, Option<SeenClaim>)>, String> {
    let read = async |(key, uid)| match claims.read_if_there(&key).await {
        Ok(seen) => Ok((uid, seen)),
        Err(error) => Err(format!("claim {key}, which has the same: {error}")),
    };
    try_join_all(rivals.into_iter().map(read)).await
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use prometheus_client::registry::Registry;
    use serde_json::{Value, json};
    use testudo_core::engine::{ClaimPolicy, Policy};
    use testudo_core::model::catalogue::Catalogue;

    use super::*;
    use crate::claims;
    use crate::extender::{Extender, Offer, Verdicts};
    use crate::k8s::manifests::Manifests;
    use crate::k8s::mock::{ApiServer, failure};
    use crate::k8s::object;
    use crate::k8s::watch::ClusterEvent;

    fn through(server: &ApiServer) -> Bindings {
        let (binder, claims) = (Binder::new(server.client.clone()), ClaimWriter::new(server.client.clone()));
        Bindings::Cluster { binder, claims, timeout: Duration::from_millis(500) }
    }

    fn cluster(answer: impl Fn() -> Option<(u16, String)> + Send + 'static, timeout: Duration) -> Bindings {
        let client = ApiServer::new(move |_| answer()).client;
        Bindings::Cluster { binder: Binder::new(client.clone()), claims: ClaimWriter::new(client), timeout }
    }

    /// A host with one node of 8 GPUs whose bindings the API server answers like this.
    fn host(answer: impl Fn() -> Option<(u16, String)> + Send + 'static) -> Arc<Host> {
        with_policy(Policy::default(), cluster(answer, Duration::from_millis(50)))
    }

    /// The same under this policy.
    fn with_policy(policy: Policy, bindings: Bindings) -> Arc<Host> {
        let host = Host::new(policy, Mode::Enforce, Catalogue::builtin(), bindings, &mut Registry::default());
        let resources = json!({"cpu": "96", "pods": "110", "nvidia.com/gpu": "8"});
        let node = json!({"metadata": {"name": "a"}, "status": {"capacity": resources, "allocatable": resources}});
        let nodes = vec![serde_json::from_value(node).expect("a node")];
        host.take_manifests(Manifests { nodes, ..Manifests::default() });
        Arc::new(host)
    }

    /// Claims of the class `gpu` are ours.
    fn of_claims() -> Policy {
        let claims = ClaimPolicy { classes: ["gpu".to_owned()].into(), ..ClaimPolicy::default() };
        Policy { claims, ..Policy::default() }
    }

    fn pod(name: &str, spec: Value) -> object::Pod {
        let metadata = json!({"name": name, "namespace": "default", "uid": name});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a pod")
    }

    fn asking(name: &str, gpus: &str) -> object::Pod {
        pod(name, json!({"containers": [{"resources": {"requests": {"nvidia.com/gpu": gpus}}}]}))
    }

    fn fits(host: &Host, name: &str) -> bool {
        host.filter(&asking(name, "8"), &Offer::Names(vec!["a".into()])) == Ok(Verdicts::all_fit(1))
    }

    async fn bind(host: &Host, name: &str) -> Result<(), Refusal> {
        let (pod_name, pod_namespace, pod_uid) = (name.into(), "default".into(), name.into());
        host.bind(Binding { pod_name, pod_namespace, pod_uid, node: "a".into() }).await
    }

    #[tokio::test]
    async fn what_the_api_server_accepts_is_held() {
        let host = host(|| Some((201, "{}".into())));
        assert!(fits(&host, "p"));
        assert_eq!(bind(&host, "p").await, Ok(()));
        assert!(!fits(&host, "q"));
        assert!(host.engine.lock().cluster().unconfirmed().is_empty());
    }

    #[tokio::test]
    async fn what_it_refuses_is_free_again() {
        let host = host(|| Some(failure(404, "NotFound", "pods \"p\" not found")));
        assert!(fits(&host, "p"));
        let Err(Refusal::Error(text)) = bind(&host, "p").await else { panic!("must be refused") };
        assert!(text.starts_with("binding pod default/p to node a was refused (404)"), "{text}");
        assert!(fits(&host, "q"));
    }

    #[tokio::test]
    async fn what_is_in_doubt_stays_held_but_not_against_the_pod_itself() {
        let host = host(|| None);
        assert!(fits(&host, "p"));
        let Err(Refusal::Error(text)) = bind(&host, "p").await else { panic!("must be refused") };
        assert!(text.starts_with("it is not known whether pod default/p was bound to node a"), "{text}");
        assert!(!fits(&host, "q"));
        assert!(fits(&host, "p"));
    }

    /// A claim of the class that is ours, of this version, with `gpu-0` of node `a` where it is given.
    pub(in crate::host) fn claim(name: &str, version: u64, is_given: bool) -> Value {
        let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu"}});
        let mut claim = json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default", "uid": name, "resourceVersion": version.to_string()},
            "spec": {"devices": {"requests": [request]}},
        });
        if is_given {
            let result = json!({"request": "r", "driver": "d", "pool": "a", "device": "gpu-0"});
            let consumer = json!({"resource": "pods", "name": "p", "uid": "p"});
            claim["status"] = json!({"allocation": {"devices": {"results": [result]}}, "reservedFor": [consumer]});
        }
        claim
    }

    #[tokio::test]
    async fn claims_are_read_once_more_before_their_pod_is_bound() {
        let given = |name: &str, version| (200, claim(name, version, true).to_string());
        let gone = failure(404, "NotFound", "resourceclaims \"theirs\" not found");
        let lost = (200, claim("theirs", 9, false).to_string());
        let mut unreserved = claim("c", 8, true);
        unreserved["status"]["reservedFor"] = json!([]);
        let unreserved = (200, unreserved.to_string());
        let without = (200, claim("c", 8, false).to_string());
        let error = || failure(500, "InternalError", "no");
        let answers = [
            (error(), gone.clone(), Err("the claims of pod default/p cannot be read: claim default/c")),
            (
                given("c", 8),
                error(),
                Err("the claims of pod default/p cannot be read: claim default/theirs, which has"),
            ),
            (
                given("c", 8),
                given("theirs", 6),
                Err("device d/a/gpu-0 was given to claims default/c and default/theirs"),
            ),
            (unreserved, gone.clone(), Err("claim default/c of pod default/p is reserved for nobody any more")),
            (without, gone.clone(), Err("claim default/c of pod default/p has no devices any more")),
            (given("c", 8), lost, Ok(())),
            (given("c", 8), gone, Ok(())),
        ];
        for (own, theirs, expected) in answers {
            let server = ApiServer::new(move |request| match request {
                request if request.contains("/resourceclaims/c") => Some(own.clone()),
                request if request.contains("/resourceclaims/theirs") => Some(theirs.clone()),
                _ => Some((201, "{}".into())),
            });
            let host = with_policy(of_claims(), through(&server));
            let pod = pod("p", json!({"resourceClaims": [{"name": "c", "resourceClaimName": "c"}]}));
            host.take([ClusterEvent::PodApplied(Box::new(pod))]);
            // The watch does not show yet that kube-scheduler has given `c` a device, and which.
            for claim in [claim("c", 7, false), claim("theirs", 6, true)] {
                host.take([ClusterEvent::ClaimApplied(Box::new(claims::seen_claim(&claim).expect("a claim")))]);
            }
            match (bind(&host, "p").await, expected) {
                (Ok(()), Ok(())) => assert_eq!(host.engine.lock().take_claim_news(), [], "nothing was given twice"),
                (Err(Refusal::Error(text)), Err(expected)) => assert!(text.starts_with(expected), "{text}"),
                (outcome, expected) => panic!("{outcome:?}, not {expected:?}"),
            }
        }
    }

    /// A pod that asks for a resource which devices serve: kube-scheduler has made a claim for it, which no watch has shown.
    #[tokio::test]
    async fn claims_made_for_extended_resources_are_read_before_their_pod_is_bound() {
        for (theirs_is_given, is_bound) in [(true, false), (false, true)] {
            let server = ApiServer::new(|request| {
                let answer = match request {
                    request if request.contains("/resourceclaims/made") => claim("made", 8, true),
                    request if request.contains("/resourceclaims/theirs") => claim("theirs", 6, true),
                    request if request.contains("GET /api/v1/namespaces/default/pods/p") => {
                        let status = json!({"extendedResourceClaimStatus": {"resourceClaimName": "made"}});
                        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": status})
                    }
                    _ => json!({}),
                };
                Some((200, answer.to_string()))
            });
            let host = with_policy(of_claims(), through(&server));
            let class = json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"},
                "spec": {"extendedResourceName": "nvidia.com/gpu"},
            });
            host.take([ClusterEvent::ClassApplied(Box::new(claims::class(&class).expect("a class")))]);
            let theirs = claims::seen_claim(&claim("theirs", 6, theirs_is_given)).expect("a claim");
            host.take([ClusterEvent::ClaimApplied(Box::new(theirs))]);
            host.take([ClusterEvent::PodApplied(Box::new(asking("p", "1")))]);
            let expected = "device d/a/gpu-0 was given to claims default/made and default/theirs";
            match bind(&host, "p").await {
                Ok(()) => assert!(is_bound),
                Err(Refusal::Error(text)) => assert!(!is_bound && text.starts_with(expected), "{text}"),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_placement_is_assumed_for_longer_than_its_binding_may_take() {
        let ttl_ms = |timeout_s| cluster(|| None, Duration::from_secs(timeout_s)).assume_ttl_ms();
        assert_eq!(ttl_ms(25), ASSUME_TTL_MS);
        assert_eq!(ttl_ms(120), 240_000);
    }
}
