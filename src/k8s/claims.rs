//! Giving ResourceClaims their devices, taking them back, and reading them beside the watch.
//!
//! First the finalizer that protects an allocated claim is set, with the annotation that says which devices it is given, on the
//! condition that the claim is as it was seen: else the annotation could come to stand for devices that were given before. Then
//! the whole status is written, on the condition that nobody has changed the claim since. Because the first request changes the
//! claim, whatever was under way before it can no longer take effect.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use testudo_core::claims::{Allocation, ClaimKey, ConfigSource, Holding, SeenClaim, fingerprint};
use testudo_core::engine::{ClaimOrder, ClaimOutcome};
use testudo_core::model::pod::PodKey;

use super::devices::API_GROUP;
use super::pages;
use crate::claims::{self, DEVICES_ANNOTATION};

/// Keeps an allocated claim from vanishing while it is in use; kube-scheduler and the controller of claims know it.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// How often a claim is read anew at once because somebody has changed it meanwhile.
const TRIES: usize = 3;

/// Writes allocations, and reads them.
#[derive(Clone)]
pub struct ClaimWriter {
    client: Client,
}

/// A claim as an answer shows it.
struct Shown {
    object: Value,
    seen: SeenClaim,
}

/// Why a claim could not be marked.
enum Unmarked {
    /// It is not as it was seen, or another one.
    Changed,
    /// There is nothing more to be done.
    Ended(ClaimOutcome),
}

impl ClaimWriter {
    /// One that writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Carries out an order.
    pub async fn carry_out(&self, order: &ClaimOrder) -> ClaimOutcome {
        match order {
            ClaimOrder::Allocate { claim, uid, version, allocation, .. } => {
                self.allocate(claim, uid, *version, allocation).await
            }
            ClaimOrder::Release { claim, uid, devices } => self.release(claim, uid, devices).await,
        }
    }

    /// The claim as it is now.
    ///
    /// # Errors
    /// When the API server does not answer, has no such claim, or answers with something else.
    pub async fn read(&self, key: &ClaimKey) -> Result<SeenClaim, kube::Error> {
        shown(self.api(key).get(&key.name).await?).map(|shown| shown.seen).ok_or_else(not_a_claim)
    }

    /// The same, or nothing if there is no claim of this name.
    ///
    /// # Errors
    /// When the API server does not answer, or answers with something else.
    pub async fn read_if_there(&self, key: &ClaimKey) -> Result<Option<SeenClaim>, kube::Error> {
        match self.read(key).await {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all claims as they are now, and shows each that can be read as one.
    ///
    /// # Errors
    /// When the API server does not answer, or not to the end: some have been shown then.
    pub async fn read_all(&self, mut show: impl FnMut(SeenClaim)) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource("ResourceClaim", "resourceclaims"));
        let mut page = Some(pages::first());
        while let Some(asked) = page {
            let claims = api.list(&asked).await?;
            page = pages::after(&claims.metadata);
            claims.items.into_iter().filter_map(shown).for_each(|shown| show(shown.seen));
        }
        Ok(())
    }

    /// The claim that kube-scheduler has made for a pod, since it asks for an extended resource that devices serve.
    ///
    /// # Errors
    /// When the API server does not answer, or has no such pod.
    pub async fn made_for(&self, pod: &PodKey) -> Result<Option<ClaimKey>, kube::Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &pod.namespace, &ApiResource::erase::<Pod>(&()));
        let object = api.get(&pod.name).await?;
        let name = object.data.pointer("/status/extendedResourceClaimStatus/resourceClaimName").and_then(Value::as_str);
        Ok(name.map(|name| ClaimKey { namespace: pod.namespace.as_str().into(), name: name.into() }))
    }

    async fn allocate(&self, key: &ClaimKey, uid: &str, mut version: u64, allocation: &Allocation) -> ClaimOutcome {
        let holdings: Vec<Holding> = allocation.holdings().collect();
        let devices = fingerprint(&holdings);
        for _ in 0..TRIES {
            let metadata = json!({
                "resourceVersion": version.to_string(),
                "finalizers": [FINALIZER],
                "annotations": {DEVICES_ANNOTATION: devices},
            });
            let (marked, classes) = tokio::join!(self.mark(key, uid, &metadata), self.classes(allocation));
            let marked = match marked {
                Err(Unmarked::Changed) => self.read_again(key, uid).await.map(|seen| (None, seen)),
                Err(Unmarked::Ended(outcome)) => Err(outcome),
                Ok(Shown { object, seen }) => Ok((Some(object), seen)),
            };
            let (object, seen) = match marked {
                Ok(shown) => shown,
                Err(outcome) => return outcome,
            };
            version = seen.version;
            match &seen.allocation {
                _ if seen.leaving => return refused("it is being deleted", seen),
                Some(given) if fingerprint(&given.holdings) == devices => {
                    return ClaimOutcome::Allocated { version };
                }
                Some(_) => return refused("it was given other devices", seen),
                None => {}
            }
            let Some(object) = object else { continue };
            let classes = match classes {
                Ok(classes) => classes,
                Err(error) => return outcome_of(&error),
            };
            let mut object = claims::allocated(&object, allocation, |class| classes.get(class));
            let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            object["status"]["allocation"]["allocationTimestamp"] = now.into();
            match self.write_status(key, object).await {
                Ok(seen) if fingerprint(seen.holdings()) == devices => {
                    return ClaimOutcome::Allocated { version: seen.version };
                }
                // Fields were dropped that it cannot do without: what stands there now is not what was meant.
                Ok(_) => return ClaimOutcome::Unknown,
                Err(kube::Error::Api(status)) if status.code == 409 => match self.read_again(key, uid).await {
                    Ok(seen) => version = seen.version,
                    Err(outcome) => return outcome,
                },
                Err(error) => return outcome_of(&error),
            }
        }
        ClaimOutcome::Unknown
    }

    async fn release(&self, key: &ClaimKey, uid: &str, devices: &str) -> ClaimOutcome {
        for _ in 0..TRIES {
            let Shown { mut object, seen } = match self.api(key).get(&key.name).await {
                Ok(object) => match shown(object) {
                    Some(shown) => shown,
                    None => return ClaimOutcome::Unknown,
                },
                Err(error) if is_gone(&error) => return ClaimOutcome::Released { seen: None },
                Err(_) => return ClaimOutcome::Unknown,
            };
            match &seen.allocation {
                _ if *seen.claim.uid != *uid => return released(seen),
                // A write may still be under way.
                None => {
                    return match self.mark(key, uid, &json!({"annotations": {DEVICES_ANNOTATION: null}})).await {
                        Ok(Shown { seen, .. }) if seen.allocation.is_none() => released(seen),
                        Err(Unmarked::Changed | Unmarked::Ended(ClaimOutcome::Refused { .. })) => released(seen),
                        _ => ClaimOutcome::Unknown,
                    };
                }
                Some(given) if fingerprint(&given.holdings) != devices => return released(seen),
                Some(_) if seen.is_reserved => return ClaimOutcome::Reserved { seen: Box::new(seen) },
                Some(_) => {}
            }
            if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
                status.remove("allocation");
            }
            match self.write_status(key, object).await {
                Ok(seen) => return released(seen),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) if is_gone(&error) => return ClaimOutcome::Released { seen: None },
                Err(_) => return ClaimOutcome::Unknown,
            }
        }
        ClaimOutcome::Unknown
    }

    /// The claim as it is after somebody else has changed it; an error where there is nothing more to be done.
    async fn read_again(&self, key: &ClaimKey, uid: &str) -> Result<SeenClaim, ClaimOutcome> {
        match self.read(key).await {
            Ok(seen) if *seen.claim.uid == *uid => Ok(seen),
            Ok(other) => Err(refused("another claim has its name", other)),
            Err(error) => Err(outcome_of(&error)),
        }
    }

    /// Changes the metadata of this very claim, and shows it.
    async fn mark(&self, key: &ClaimKey, uid: &str, metadata: &Value) -> Result<Shown, Unmarked> {
        let mut metadata = metadata.clone();
        metadata["uid"] = uid.into();
        let patch = Patch::Strategic(json!({ "metadata": metadata }));
        match self.api(key).patch(&key.name, &PatchParams::default(), &patch).await {
            Ok(object) => shown(object).ok_or(Unmarked::Ended(ClaimOutcome::Unknown)),
            // With another unique id, too, the API server takes the patch for a conflict.
            Err(kube::Error::Api(status)) if status.code == 409 => Err(Unmarked::Changed),
            Err(error) => Err(Unmarked::Ended(outcome_of(&error))),
        }
    }

    async fn write_status(&self, key: &ClaimKey, object: Value) -> Result<SeenClaim, kube::Error> {
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        let written = self.api(key).replace_status(&key.name, &PostParams::default(), &object).await?;
        let shown = shown(written).map(|shown| shown.seen);
        shown.ok_or_else(not_a_claim)
    }

    /// The classes of which configurations are written into the allocation.
    async fn classes(&self, allocation: &Allocation) -> Result<BTreeMap<String, Value>, kube::Error> {
        let mut classes = BTreeMap::new();
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource("DeviceClass", "deviceclasses"));
        for config in &allocation.configs {
            let ConfigSource::Class { class, .. } = &config.source else { continue };
            if !classes.contains_key(&**class) {
                let object = serde_json::to_value(api.get(class).await?).map_err(kube::Error::SerdeError)?;
                classes.insert(class.to_string(), object);
            }
        }
        Ok(classes)
    }

    fn api(&self, key: &ClaimKey) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &key.namespace, &resource("ResourceClaim", "resourceclaims"))
    }
}

fn resource(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(API_GROUP, "v1", kind), plural)
}

fn shown(object: DynamicObject) -> Option<Shown> {
    let object = serde_json::to_value(object).ok()?;
    let seen = claims::seen_claim(&object).ok()?;
    Some(Shown { object, seen })
}

fn not_a_claim() -> kube::Error {
    kube::Error::Service("the answer is no ResourceClaim".into())
}

fn refused(why: &str, seen: SeenClaim) -> ClaimOutcome {
    ClaimOutcome::Refused { why: why.into(), seen: Some(Box::new(seen)) }
}

fn released(seen: SeenClaim) -> ClaimOutcome {
    ClaimOutcome::Released { seen: Some(Box::new(seen)) }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What is to be thought of a write that ended in an error.
fn outcome_of(error: &kube::Error) -> ClaimOutcome {
    match error {
        // Timed out in the API server, or on the way to it (408), a request may still take effect.
        kube::Error::Api(status) if (400..500).contains(&status.code) && !matches!(status.code, 408 | 409 | 429) => {
            ClaimOutcome::Refused { why: status.message.clone(), seen: None }
        }
        _ => ClaimOutcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use testudo_core::claims::{AllocatedDevice, ConfigRef, DeviceId, PoolId};

    use super::super::mock::{ApiServer, failure};
    use super::*;

    const UID: &str = "u-1";
    const SEEN: u64 = 7;

    fn key() -> ClaimKey {
        ClaimKey { namespace: "team".into(), name: "c".into() }
    }

    fn allocation(device: &str) -> Arc<Allocation> {
        let pool = PoolId { driver: "gpu.nvidia.com".into(), name: "n".into() };
        let device = AllocatedDevice {
            request: 0,
            alternative: 0,
            request_name: "r".into(),
            device: DeviceId { pool, name: device.into() },
            admin_access: false,
            share: None,
            binding_conditions: vec![],
            binding_failure_conditions: vec![],
        };
        let source = ConfigSource::Class { class: "gpu".into(), index: 0 };
        let configs = vec![ConfigRef { source, requests: vec!["r".into()] }];
        Arc::new(Allocation { devices: vec![device], configs, nodes: None })
    }

    fn devices(device: &str) -> String {
        fingerprint(&allocation(device).holdings().collect::<Vec<_>>())
    }

    fn allocate() -> ClaimOrder {
        let (claim, uid, allocation) = (key(), UID.into(), allocation("gpu-0"));
        ClaimOrder::Allocate { claim, uid, version: SEEN, allocation, node: "n".into() }
    }

    fn release() -> ClaimOrder {
        ClaimOrder::Release { claim: key(), uid: UID.into(), devices: devices("gpu-0") }
    }

    fn claim() -> Value {
        let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu"}});
        json!({
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "c", "namespace": "team", "uid": UID, "resourceVersion": SEEN.to_string()},
            "spec": {"devices": {"requests": [request]}},
        })
    }

    fn given(device: &str, is_reserved: bool) -> Value {
        let mut claim = claim();
        claim["metadata"]["resourceVersion"] = (SEEN + 1).to_string().into();
        claim["metadata"]["annotations"] = json!({DEVICES_ANNOTATION: devices(device)});
        let result = json!({"request": "r", "driver": "gpu.nvidia.com", "pool": "n", "device": device});
        claim["status"] = json!({"allocation": {"devices": {"results": [result]}}});
        if is_reserved {
            claim["status"]["reservedFor"] = json!([{"resource": "pods", "name": "p", "uid": "u-p"}]);
        }
        claim
    }

    /// An API server with one claim: each write makes the next version of it, and one of an older version is refused. The
    /// first so many writes of the status meet a change by somebody else.
    fn server(claim: Value, mut conflicts: usize) -> (ApiServer, Arc<Mutex<Value>>) {
        let state = Arc::new(Mutex::new(claim));
        let shared = Arc::clone(&state);
        let server = ApiServer::new(move |request| {
            let mut claim = shared.lock();
            let (line, body) = request.split_once(" {").unwrap_or((request, "}"));
            if line.contains("/deviceclasses/") {
                let opaque = json!({"opaque": {"driver": "gpu.nvidia.com", "parameters": {"a": 1}}});
                let class = json!({"kind": "DeviceClass", "apiVersion": "resource.k8s.io/v1",
                    "metadata": {"name": "gpu"}, "spec": {"config": [opaque]}});
                return Some((200, class.to_string()));
            }
            let body: Value = serde_json::from_str(&format!("{{{body}")).unwrap_or_default();
            let next = |claim: &mut Value| {
                let version: u64 = claim["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
                claim["metadata"]["resourceVersion"] = (version + 1).to_string().into();
            };
            if line.starts_with("PATCH") {
                let is_said = |field: &str| !body["metadata"][field].is_null();
                let differs = |field: &str| body["metadata"][field] != claim["metadata"][field];
                if ["uid", "resourceVersion"].iter().any(|field| is_said(field) && differs(field)) {
                    return Some(failure(409, "Conflict", "changed"));
                }
                let mut annotations = body["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
                annotations.retain(|_, value| !value.is_null());
                claim["metadata"]["annotations"] = annotations.into();
                next(&mut claim);
            } else if line.starts_with("PUT") {
                if conflicts > 0 {
                    conflicts -= 1;
                    next(&mut claim);
                }
                if body["metadata"]["resourceVersion"] != claim["metadata"]["resourceVersion"] {
                    return Some(failure(409, "Conflict", "changed"));
                }
                claim["status"] = body["status"].clone();
                next(&mut claim);
            }
            Some((200, claim.to_string()))
        });
        (server, state)
    }

    async fn carry_out(order: ClaimOrder, claim: Value, conflicts: usize) -> (ClaimOutcome, Vec<String>, Value) {
        let (server, state) = server(claim, conflicts);
        let outcome = ClaimWriter::new(server.client.clone()).carry_out(&order).await;
        let methods = server.requests.lock().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let state = state.lock().clone();
        (outcome, methods, state)
    }

    #[tokio::test]
    async fn first_the_finalizer_and_the_mark_then_the_whole_status() {
        let (server, state) = server(claim(), 0);
        let outcome = ClaimWriter::new(server.client.clone()).carry_out(&allocate()).await;
        assert_eq!(outcome, ClaimOutcome::Allocated { version: 9 });
        let requests = server.requests.lock();
        // The class is read beside that.
        let writes: Vec<&String> = requests.iter().filter(|line| !line.starts_with("GET")).collect();
        let [first, second] = writes[..] else { panic!("{requests:?}") };
        assert!(first.contains(FINALIZER) && first.contains(&devices("gpu-0")), "{first}");
        assert!(second.starts_with("PUT /apis/resource.k8s.io/v1/namespaces/team/resourceclaims/c/status"), "{second}");
        let state = state.lock();
        let allocation = &state["status"]["allocation"];
        assert_eq!(allocation["devices"]["results"][0]["device"], "gpu-0");
        assert_eq!(allocation["devices"]["config"][0]["source"], "FromClass", "{allocation}");
        assert!(allocation["allocationTimestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{allocation}");
        assert!(claims::seen_claim(&state).unwrap().allocation.unwrap().is_ours, "it is known again");
    }

    #[tokio::test]
    async fn a_claim_that_changes_meanwhile_is_looked_at_again() {
        let (outcome, _, state) = carry_out(allocate(), claim(), 1).await;
        assert!(matches!(outcome, ClaimOutcome::Allocated { .. }));
        assert_eq!(state["status"]["allocation"]["devices"]["results"][0]["device"], "gpu-0");
        let (outcome, methods, state) = carry_out(allocate(), claim(), TRIES).await;
        assert_eq!(outcome, ClaimOutcome::Unknown);
        assert_eq!(methods.iter().filter(|method| *method == "PUT").count(), TRIES);
        assert_eq!(state["status"], Value::Null);
    }

    fn refused_as(why: &str, claim: &Value) -> ClaimOutcome {
        refused(why, claims::seen_claim(claim).expect("a claim"))
    }

    #[tokio::test]
    async fn what_a_claim_has_already_is_not_replaced() {
        let expected = [
            ("gpu-0", ClaimOutcome::Allocated { version: 8 }),
            ("gpu-1", refused_as("it was given other devices", &given("gpu-1", false))),
        ];
        for (device, expected) in expected {
            let (outcome, methods, state) = carry_out(allocate(), given(device, false), 0).await;
            assert_eq!(outcome, expected, "{device}");
            assert!(!methods.iter().any(|method| method == "PUT"), "{device}: {methods:?}");
            assert_eq!(state, given(device, false), "it is still known who gave it");
        }
        let mut leaving = claim();
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let (outcome, _, state) = carry_out(allocate(), leaving, 0).await;
        assert_eq!(outcome, refused_as("it is being deleted", &state));
        let mut other = claim();
        other["metadata"]["uid"] = "u-2".into();
        let (outcome, _, state) = carry_out(allocate(), other, 0).await;
        assert_eq!(outcome, refused_as("another claim has its name", &state));
    }

    #[tokio::test]
    async fn no_clear_answer_is_unknown() {
        for (code, expected) in [(500, None), (504, None), (429, None), (403, Some("no")), (404, Some("no"))] {
            let server = ApiServer::new(move |_| Some(failure(code, "Reason", "no")));
            let outcome = ClaimWriter::new(server.client.clone()).carry_out(&allocate()).await;
            let refused = |why: &str| ClaimOutcome::Refused { why: why.into(), seen: None };
            assert_eq!(outcome, expected.map_or(ClaimOutcome::Unknown, refused), "{code}");
        }
    }

    #[tokio::test]
    async fn what_nobody_uses_is_taken_back() {
        let (outcome, _, state) = carry_out(release(), given("gpu-0", false), 1).await;
        assert_eq!(state["status"]["allocation"], Value::Null);
        assert_eq!(outcome, released(claims::seen_claim(&state).unwrap()));
        let (outcome, methods, state) = carry_out(release(), given("gpu-0", true), 0).await;
        let reserved = ClaimOutcome::Reserved { seen: Box::new(claims::seen_claim(&state).unwrap()) };
        assert_eq!((outcome, methods.len()), (reserved, 1));
        assert_ne!(state["status"]["allocation"], Value::Null);
        let others = given("gpu-1", false);
        let (outcome, methods, _) = carry_out(release(), others.clone(), 0).await;
        assert_eq!((outcome, methods.len()), (released(claims::seen_claim(&others).unwrap()), 1), "it is not ours");
    }

    #[tokio::test]
    async fn a_write_that_is_still_under_way_is_overtaken() {
        let (outcome, methods, state) = carry_out(release(), claim(), 0).await;
        assert_eq!(
            (outcome, methods.as_slice()),
            (released(claims::seen_claim(&state).unwrap()), ["GET".to_owned(), "PATCH".to_owned()].as_slice())
        );
        assert_eq!(state["metadata"]["resourceVersion"], "8");
        let gone = ApiServer::new(|_| Some(failure(404, "NotFound", "gone")));
        assert_eq!(
            ClaimWriter::new(gone.client.clone()).carry_out(&release()).await,
            ClaimOutcome::Released { seen: None }
        );
    }
}
