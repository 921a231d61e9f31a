//! Giving ResourceClaims their devices, and taking them back.
//!
//! First the finalizer that protects an allocated claim is set, with the annotation that says which devices it is given; that
//! request also shows the claim as it is. Then the whole status is written, on the condition that nobody has changed the
//! claim since. Because the first request changes the claim, whatever was under way before it can no longer take effect.

use std::collections::BTreeMap;
use std::time::SystemTime;

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use testudo_core::claims::{Allocation, ClaimKey, ConfigSource, Holding, SeenClaim, fingerprint};
use testudo_core::engine::{ClaimOrder, ClaimOutcome};

use super::devices::API_GROUP;
use crate::claims::{self, DEVICES_ANNOTATION};

/// Keeps an allocated claim from vanishing while it is in use; kube-scheduler and the controller of claims know it.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// How often a claim is read anew at once because somebody has changed it meanwhile.
const TRIES: usize = 3;

/// Writes allocations.
#[derive(Clone)]
pub struct ClaimWriter {
    client: Client,
}

/// A claim as an answer shows it.
struct Shown {
    object: Value,
    seen: SeenClaim,
}

impl ClaimWriter {
    /// One that writes through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Carries out an order.
    pub async fn carry_out(&self, order: &ClaimOrder) -> ClaimOutcome {
        match order {
            ClaimOrder::Allocate { claim, uid, allocation, .. } => self.allocate(claim, uid, allocation).await,
            ClaimOrder::Release { claim, uid, devices } => self.release(claim, uid, devices).await,
        }
    }

    async fn allocate(&self, key: &ClaimKey, uid: &str, allocation: &Allocation) -> ClaimOutcome {
        let holdings: Vec<Holding> = allocation.holdings().collect();
        let devices = fingerprint(&holdings);
        let metadata = json!({"finalizers": [FINALIZER], "annotations": {DEVICES_ANNOTATION: devices}});
        for _ in 0..TRIES {
            let Shown { object, seen } = match self.mark(key, uid, &metadata).await {
                Ok(shown) => shown,
                Err(outcome) => return outcome,
            };
            match &seen.allocation {
                _ if seen.leaving => return refused("it is being deleted"),
                Some(given) if fingerprint(&given.holdings) == devices => {
                    return ClaimOutcome::Allocated { version: seen.version };
                }
                Some(_) => return refused("it was given other devices"),
                None => {}
            }
            let classes = match self.classes(allocation).await {
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
                Err(kube::Error::Api(status)) if status.code == 409 => {}
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
                Err(error) if is_gone(&error) => return ClaimOutcome::Released,
                Err(_) => return ClaimOutcome::Unknown,
            };
            match &seen.allocation {
                _ if *seen.claim.uid != *uid => return ClaimOutcome::Released,
                // A write may still be under way.
                None => {
                    return match self.mark(key, uid, &json!({"annotations": {DEVICES_ANNOTATION: null}})).await {
                        Ok(Shown { seen, .. }) if seen.allocation.is_none() => ClaimOutcome::Released,
                        Err(ClaimOutcome::Refused { .. }) => ClaimOutcome::Released,
                        _ => ClaimOutcome::Unknown,
                    };
                }
                Some(given) if fingerprint(&given.holdings) != devices => return ClaimOutcome::Released,
                Some(_) if seen.is_reserved => return ClaimOutcome::Reserved,
                Some(_) => {}
            }
            if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
                status.remove("allocation");
            }
            match self.write_status(key, object).await {
                Ok(_) => return ClaimOutcome::Released,
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) if is_gone(&error) => return ClaimOutcome::Released,
                Err(_) => return ClaimOutcome::Unknown,
            }
        }
        ClaimOutcome::Unknown
    }

    /// Changes the metadata of this very claim, and shows it.
    async fn mark(&self, key: &ClaimKey, uid: &str, metadata: &Value) -> Result<Shown, ClaimOutcome> {
        let mut metadata = metadata.clone();
        metadata["uid"] = uid.into();
        let patch = Patch::Strategic(json!({ "metadata": metadata }));
        match self.api(key).patch(&key.name, &PatchParams::default(), &patch).await {
            Ok(object) => shown(object).ok_or(ClaimOutcome::Unknown),
            // With another unique id the API server takes the patch for a conflict.
            Err(kube::Error::Api(status)) if status.code == 409 => Err(refused("another claim has its name")),
            Err(error) => Err(outcome_of(&error)),
        }
    }

    async fn write_status(&self, key: &ClaimKey, object: Value) -> Result<SeenClaim, kube::Error> {
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        let written = self.api(key).replace_status(&key.name, &PostParams::default(), &object).await?;
        let shown = shown(written).map(|shown| shown.seen);
        shown.ok_or_else(|| kube::Error::Service("the answer is no ResourceClaim".into()))
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

fn refused(why: &str) -> ClaimOutcome {
    ClaimOutcome::Refused { why: why.into() }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What is to be thought of a write that ended in an error.
fn outcome_of(error: &kube::Error) -> ClaimOutcome {
    match error {
        // Timed out in the API server, or on the way to it (408), a request may still take effect.
        kube::Error::Api(status) if (400..500).contains(&status.code) && !matches!(status.code, 408 | 409 | 429) => {
            ClaimOutcome::Refused { why: status.message.clone() }
        }
        _ => ClaimOutcome::Unknown,
    }
}
