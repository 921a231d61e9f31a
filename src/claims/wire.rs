//! Objects of `resource.k8s.io/v1` as they stand on the wire, cut down to what an allocation is decided by.
//!
//! Fields are named as in the Kubernetes API. What Go writes as `null` is read as absent.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::Value;

/// `null` is the same as absent.
fn null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A quantity, as text or as a number.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    Text(String),
    Number(serde_json::Number),
}

macro_rules! wire {
    ($(#[doc = $doc:literal] $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $(#[serde(deserialize_with = "null")] $(#[$attribute])* pub $field: $type,)*
        }
    )*};
}

wire! {
    /// `metadata`.
    Metadata {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
        creation_timestamp: Option<String>,
        deletion_timestamp: Option<String>,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        owner_references: Vec<OwnerReference>,
    }
    /// What an object was made for.
    OwnerReference { kind: String, uid: String, controller: bool, }

    /// A Node.
    Node { metadata: Metadata, }

    /// A DeviceClass.
    DeviceClass { metadata: Metadata, spec: DeviceClassSpec, }
    /// Its spec.
    DeviceClassSpec { selectors: Vec<DeviceSelector>, config: Vec<Value>, extended_resource_name: Option<String>, }
    /// A selector.
    DeviceSelector { cel: Option<CelSelector>, }
    /// A CEL expression.
    CelSelector { expression: String, }

    /// A ResourceSlice.
    ResourceSlice { metadata: Metadata, spec: ResourceSliceSpec, }
    /// Its spec.
    ResourceSliceSpec {
        driver: String,
        pool: ResourcePool,
        node_name: Option<String>,
        node_selector: Option<NodeSelector>,
        all_nodes: bool,
        devices: Vec<Device>,
        per_device_node_selection: bool,
        shared_counters: Vec<CounterSet>,
    }
    /// The pool that a slice is a part of.
    ResourcePool { name: String, generation: i64, resource_slice_count: i64, }
    /// Counters under a name.
    CounterSet { name: String, counters: BTreeMap<Box<str>, Counter>, }
    /// What a device takes of counters.
    CounterConsumption { counter_set: String, counters: BTreeMap<Box<str>, Counter>, }
    /// A counter.
    Counter { value: Option<Quantity>, }
    /// A device.
    Device {
        name: String,
        attributes: BTreeMap<Box<str>, Attribute>,
        capacity: BTreeMap<Box<str>, Capacity>,
        consumes_counters: Vec<CounterConsumption>,
        node_name: Option<String>,
        node_selector: Option<NodeSelector>,
        all_nodes: bool,
        taints: Vec<Taint>,
        binds_to_node: bool,
        binding_conditions: Option<Vec<String>>,
        binding_failure_conditions: Option<Vec<String>>,
        allow_multiple_allocations: bool,
    }
    /// An attribute: one of these.
    Attribute {
        int: Option<i64>,
        bool: Option<bool>,
        string: Option<Box<str>>,
        version: Option<Box<str>>,
        ints: Option<Vec<i64>>,
        bools: Option<Vec<bool>>,
        strings: Option<Vec<Box<str>>>,
        versions: Option<Vec<Box<str>>>,
    }
    /// A capacity.
    Capacity { value: Option<Quantity>, request_policy: Option<RequestPolicy>, }
    /// Which parts of it can be asked for.
    RequestPolicy { default: Option<Quantity>, valid_values: Vec<Quantity>, valid_range: Option<ValidRange>, }
    /// A range of parts.
    ValidRange { min: Option<Quantity>, max: Option<Quantity>, step: Option<Quantity>, }
    /// A taint of a device.
    Taint { key: String, value: String, effect: String, }

    /// A node selector.
    NodeSelector { node_selector_terms: Vec<NodeSelectorTerm>, }
    /// A term of one.
    NodeSelectorTerm { match_expressions: Vec<NodeRequirement>, match_fields: Vec<NodeRequirement>, }
    /// A requirement of a term.
    NodeRequirement { key: String, operator: String, values: Vec<String>, }

    /// A ResourceClaim.
    ResourceClaim { metadata: Metadata, spec: ResourceClaimSpec, status: ResourceClaimStatus, }
    /// A ResourceClaimTemplate.
    ResourceClaimTemplate { metadata: Metadata, spec: ResourceClaimTemplateSpec, }
    /// Its spec: what the claims that are made from it say.
    ResourceClaimTemplateSpec { spec: ResourceClaimSpec, }
    /// Its spec.
    ResourceClaimSpec { devices: DeviceClaim, }
    /// What it asks for.
    DeviceClaim { requests: Vec<DeviceRequest>, constraints: Vec<DeviceConstraint>, config: Vec<ClaimConfig>, }
    /// A request.
    DeviceRequest { name: String, exactly: Option<Ask>, first_available: Vec<Ask>, }
    /// What a request asks for, and one of several things that it would take.
    Ask {
        name: String,
        device_class_name: String,
        selectors: Vec<DeviceSelector>,
        allocation_mode: String,
        count: i64,
        admin_access: bool,
        tolerations: Vec<Toleration>,
        capacity: Option<CapacityRequirements>,
    }
    /// How much of each device.
    CapacityRequirements { requests: BTreeMap<Box<str>, Quantity>, }
    /// A toleration.
    Toleration { key: String, operator: String, value: String, effect: String, }
    /// A constraint.
    DeviceConstraint {
        requests: Vec<String>,
        match_attribute: Option<String>,
        distinct_attribute: Option<String>,
    }
    /// A configuration, as far as it says whom it is for.
    ClaimConfig { requests: Vec<String>, }
    /// Its status.
    ResourceClaimStatus { allocation: Option<AllocationResult>, reserved_for: Vec<Value>, }
    /// What it got.
    AllocationResult { devices: DeviceAllocationResult, node_selector: Option<NodeSelector>, }
    /// Which devices it got.
    DeviceAllocationResult { results: Vec<RequestResult>, }
    /// A device that it got.
    RequestResult {
        driver: String,
        pool: String,
        device: String,
        admin_access: bool,
        #[serde(rename = "shareID")]
        share_id: Option<String>,
        consumed_capacity: Option<BTreeMap<Box<str>, Quantity>>,
    }
}
