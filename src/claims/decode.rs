//! Kubernetes objects become what the core computes with. What is malformed is an error that names object and field.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use testudo_core::claims::{
    Alternative, Amount, Amounts, Ask, Attribute, Capacity, Claim, ClaimKey, Constraint, ConstraintRule, Count,
    CounterSet, Device, DeviceClass, DeviceId, Holding, HoldingKind, Node, NodeRequirement, NodeSelector, NodeTerm,
    Nodes, PoolId, Request, RequestPolicy, SeenAllocation, SeenClaim, Selector, Slice, Valid, Wish, fingerprint,
};
use testudo_core::model::pod::PodUid;
use testudo_core::model::taint::{Comparison, Effect, Taint, Toleration};

use super::template::Template;
use super::{DEVICES_ANNOTATION, MalformedObject, wire};
use crate::k8s::object::seconds;

/// Everything that the objects say.
#[derive(Debug, Default)]
pub struct Objects {
    pub nodes: Vec<Node>,
    pub classes: Vec<DeviceClass>,
    pub slices: Vec<Slice>,
    /// Where each claim stands among the objects, and what it says.
    pub claims: Vec<(usize, ClaimState)>,
}

/// A claim asks, or has what it asked for.
#[derive(Debug)]
pub enum ClaimState {
    Unallocated(Claim),
    Allocated(Vec<Holding>),
}

/// kube-scheduler's mark of the claims that it makes for extended resources.
const EXTENDED_RESOURCE_ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";

/// The pod for which kube-scheduler has made a claim, as the claim says.
fn made_for(metadata: &wire::Metadata) -> Option<PodUid> {
    let is_marked = metadata.annotations.get(EXTENDED_RESOURCE_ANNOTATION).is_some_and(|value| value == "true");
    let owner = metadata.owner_references.iter().find(|owner| owner.controller && owner.kind == "Pod");
    owner.filter(|_| is_marked).map(|owner| PodUid::from(owner.uid.as_str()))
}

const DRA: &str = "resource.k8s.io/v1";

/// Reads objects; kinds that are not concerned are passed over.
pub fn objects(objects: &[Value]) -> Result<Objects, MalformedObject> {
    let mut read = Objects::default();
    let mut seen = BTreeMap::new();
    for (at, object) in objects.iter().enumerate() {
        let reader = Reader { object, at };
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        match (text("apiVersion"), text("kind")) {
            ("v1", "Node") => read.nodes.push(reader.node()?),
            (DRA, "DeviceClass") => read.classes.push(reader.class()?),
            (DRA, "ResourceSlice") => read.slices.push(reader.slice()?),
            (DRA, "ResourceClaim") => read.claims.push((at, reader.claim()?)),
            (version, kind @ ("DeviceClass" | "ResourceSlice" | "ResourceClaim")) => {
                let what = format!("{version:?} of {kind} is not supported: use {DRA}");
                return Err(reader.malformed("apiVersion", what));
            }
            (_, "") => return Err(reader.malformed("kind", "is missing")),
            _ => continue,
        }
        if let Some(first) = seen.insert(reader.name(), at) {
            return Err(reader.malformed("metadata.name", format!("is that of object #{first}, too")));
        }
    }
    Ok(read)
}

/// Reads a ResourceClaim with all that the cluster says of it.
pub fn seen_claim(object: &Value) -> Result<SeenClaim, MalformedObject> {
    Reader { object, at: 0 }.seen_claim()
}

/// Reads a ResourceClaimTemplate.
pub fn template(object: &Value) -> Result<Template, MalformedObject> {
    Reader { object, at: 0 }.template()
}

/// Reads a ResourceSlice.
pub fn slice(object: &Value) -> Result<Slice, MalformedObject> {
    Reader { object, at: 0 }.slice()
}

/// Reads a DeviceClass.
pub fn class(object: &Value) -> Result<DeviceClass, MalformedObject> {
    Reader { object, at: 0 }.class()
}

struct Reader<'a> {
    object: &'a Value,
    at: usize,
}

type Read<T> = Result<T, MalformedObject>;

impl Reader<'_> {
    /// Kind, namespace and name, as far as they are there.
    fn name(&self) -> String {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let metadata = self.object.get("metadata");
        let part = |field: &str| text(metadata.and_then(|metadata| metadata.get(field)));
        let (namespace, name) = (part("namespace"), part("name"));
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!("{} {namespace}{slash}{name}", text(self.object.get("kind")))
    }

    fn malformed(&self, field: impl Into<String>, what: impl ToString) -> MalformedObject {
        MalformedObject { at: self.at, object: self.name(), field: field.into(), what: what.to_string() }
    }

    fn wire<T: DeserializeOwned>(&self) -> Read<T> {
        serde_path_to_error::deserialize(self.object)
            .map_err(|error| self.malformed(error.path().to_string(), error.inner()))
    }

    fn required<'t>(&self, field: &str, text: &'t str) -> Read<&'t str> {
        if text.is_empty() { Err(self.malformed(field, "is missing")) } else { Ok(text) }
    }

    fn node(&self) -> Read<Node> {
        let wire::Node { metadata } = self.wire()?;
        let name = self.required("metadata.name", &metadata.name)?.into();
        Ok(Node { name, labels: metadata.labels.iter().collect() })
    }

    fn class(&self) -> Read<DeviceClass> {
        let wire: wire::DeviceClass = self.wire()?;
        let name = self.required("metadata.name", &wire.metadata.name)?.into();
        let wire::DeviceClassSpec { selectors, config, extended_resource_name } = wire.spec;
        Ok(DeviceClass {
            name,
            selectors: self::selectors(selectors),
            configs: config.len(),
            extended_resource: extended_resource_name.map(Into::into),
            created_s: wire.metadata.creation_timestamp.as_deref().and_then(seconds).unwrap_or(0),
        })
    }

    fn slice(&self) -> Read<Slice> {
        let wire::ResourceSlice { metadata, spec } = self.wire()?;
        let pool = PoolId {
            driver: self.required("spec.driver", &spec.driver)?.into(),
            name: self.required("spec.pool.name", &spec.pool.name)?.into(),
        };
        let counters = spec.shared_counters.into_iter().enumerate().map(|(at, set)| {
            let field = format!("spec.sharedCounters[{at}]");
            Ok(CounterSet { name: set.name.into(), counters: self.counters(&field, set.counters)? })
        });
        let devices = spec.devices.into_iter().enumerate();
        Ok(Slice {
            name: self.required("metadata.name", &metadata.name)?.into(),
            pool,
            generation: spec.pool.generation,
            slices: spec.pool.resource_slice_count,
            nodes: nodes(spec.node_name, spec.all_nodes, spec.node_selector),
            per_device_nodes: spec.per_device_node_selection,
            counters: counters.collect::<Read<_>>()?,
            devices: devices.map(|(at, device)| self.device(at, device)).collect::<Read<_>>()?,
        })
    }

    fn device(&self, at: usize, wire: wire::Device) -> Read<Device> {
        let field = format!("spec.devices[{at}]");
        let consumes = wire.consumes_counters.into_iter().enumerate().map(|(at, set)| {
            let field = format!("{field}.consumesCounters[{at}]");
            Ok(CounterSet { name: set.counter_set.into(), counters: self.counters(&field, set.counters)? })
        });
        let capacity = wire.capacity.into_iter().map(|(name, capacity)| {
            let field = format!("{field}.capacity[{name}]");
            Ok((name, self.capacity(&field, capacity)?))
        });
        let attributes = wire.attributes.into_iter().map(|(name, value)| (name, attribute(value)));
        Ok(Device {
            name: self.required(&format!("{field}.name"), &wire.name)?.into(),
            attributes: attributes.collect(),
            capacity: capacity.collect::<Read<_>>()?,
            consumes: consumes.collect::<Read<_>>()?,
            shareable: wire.allow_multiple_allocations,
            nodes: nodes(wire.node_name, wire.all_nodes, wire.node_selector),
            taints: wire.taints.into_iter().filter_map(taint).collect(),
            binds_to_node: wire.binds_to_node,
            binding_conditions: wire.binding_conditions,
            binding_failure_conditions: wire.binding_failure_conditions,
        })
    }

    fn counters(&self, field: &str, counters: BTreeMap<Box<str>, wire::Counter>) -> Read<BTreeMap<Box<str>, Amount>> {
        let counter = |(name, counter): (Box<str>, wire::Counter)| {
            let field = format!("{field}.counters[{name}].value");
            Ok((name, self.optional(&field, counter.value)?.unwrap_or(Amount::ZERO)))
        };
        counters.into_iter().map(counter).collect()
    }

    fn capacity(&self, field: &str, wire: wire::Capacity) -> Read<Capacity> {
        let value = self.optional(&format!("{field}.value"), wire.value)?.unwrap_or(Amount::ZERO);
        let Some(policy) = wire.request_policy else { return Ok(Capacity { value, policy: None }) };
        let field = format!("{field}.requestPolicy");
        let valid = match policy.valid_range {
            Some(range) => {
                let of = |name: &str, value| self.optional(&format!("{field}.validRange.{name}"), value);
                let min = of("min", range.min)?;
                let min = min.ok_or_else(|| self.malformed(format!("{field}.validRange.min"), "is missing"))?;
                Valid::Range { min, max: of("max", range.max)?, step: of("step", range.step)? }
            }
            None if policy.valid_values.is_empty() => Valid::Any,
            None => {
                let values = policy.valid_values.into_iter().enumerate();
                let value = |(at, value)| self.quantity(&format!("{field}.validValues[{at}]"), value);
                Valid::Values(values.map(value).collect::<Read<_>>()?)
            }
        };
        let default = self.optional(&format!("{field}.default"), policy.default)?;
        Ok(Capacity { value, policy: Some(RequestPolicy { default, valid }) })
    }

    fn claim(&self) -> Read<ClaimState> {
        let wire::ResourceClaim { metadata, spec, status } = self.wire()?;
        match status.allocation {
            Some(allocation) => Ok(ClaimState::Allocated(self.holdings(allocation.devices.results)?)),
            None => Ok(ClaimState::Unallocated(self.asked(&metadata, spec)?)),
        }
    }

    fn seen_claim(&self) -> Read<SeenClaim> {
        let wire::ResourceClaim { metadata, spec, status } = self.wire()?;
        let allocation = status.allocation.map(|allocation| {
            let holdings = self.holdings(allocation.devices.results)?;
            let is_ours = metadata.annotations.get(DEVICES_ANNOTATION) == Some(&fingerprint(&holdings));
            Ok(SeenAllocation { holdings, nodes: allocation.node_selector.map(node_selector), is_ours })
        });
        let allocation = allocation.transpose()?;
        let claim = match self.asked(&metadata, spec) {
            Ok(claim) => claim,
            // It has its devices: these are in use, whatever was asked for.
            Err(_) if allocation.is_some() => self.asked(&metadata, wire::ResourceClaimSpec::default())?,
            Err(malformed) => return Err(malformed),
        };
        Ok(SeenClaim {
            claim: Arc::new(claim),
            version: metadata.resource_version.parse().unwrap_or(0),
            allocation,
            is_reserved: !status.reserved_for.is_empty(),
            leaving: metadata.deletion_timestamp.is_some(),
            made_for: made_for(&metadata),
            is_of_group: metadata.owner_references.iter().any(|owner| owner.kind == "PodGroup"),
        })
    }

    fn template(&self) -> Read<Template> {
        let wire::ResourceClaimTemplate { metadata, spec } = self.wire()?;
        let asked = self.asked(&metadata, spec.spec);
        let asked = asked.map_err(|malformed| match malformed.field.strip_prefix("spec.") {
            Some(field) => MalformedObject { field: format!("spec.spec.{field}"), ..malformed },
            None => malformed,
        });
        asked.map(Template::new)
    }

    fn holdings(&self, results: Vec<wire::RequestResult>) -> Read<Vec<Holding>> {
        results.into_iter().enumerate().map(|(at, result)| self.holding(at, result)).collect()
    }

    fn asked(&self, metadata: &wire::Metadata, spec: wire::ResourceClaimSpec) -> Read<Claim> {
        let name = self.required("metadata.name", &metadata.name)?.into();
        let requests = spec.devices.requests.into_iter().enumerate();
        Ok(Claim {
            key: ClaimKey { namespace: metadata.namespace.as_str().into(), name },
            uid: metadata.uid.as_str().into(),
            requests: requests.map(|(at, request)| self.request(at, request)).collect::<Read<_>>()?,
            constraints: spec.devices.constraints.into_iter().map(constraint).collect(),
            configs: spec.devices.config.into_iter().map(|config| config.requests).collect(),
        })
    }

    fn request(&self, at: usize, wire: wire::DeviceRequest) -> Read<Request> {
        let field = format!("spec.devices.requests[{at}]");
        let name = self.required(&format!("{field}.name"), &wire.name)?.into();
        let wish = match wire.exactly {
            _ if !wire.first_available.is_empty() => {
                let alternatives = wire.first_available.into_iter().enumerate().map(|(at, ask)| {
                    let field = format!("{field}.firstAvailable[{at}]");
                    let name = self.required(&format!("{field}.name"), &ask.name)?.into();
                    // Alternatives have no such field.
                    Ok(Alternative { name, ask: self.ask(&field, wire::Ask { admin_access: false, ..ask })? })
                });
                Wish::FirstAvailable(alternatives.collect::<Read<_>>()?)
            }
            Some(ask) => Wish::Exactly(self.ask(&format!("{field}.exactly"), ask)?),
            None => return Err(self.malformed(field, "asks for nothing: exactly or firstAvailable is missing")),
        };
        Ok(Request { name, wish })
    }

    fn ask(&self, field: &str, wire: wire::Ask) -> Read<Ask> {
        let count = match (wire.allocation_mode.as_str(), wire.count) {
            ("All", _) => Count::All,
            // The API server fills in 1.
            ("" | "ExactCount", 0) => Count::Exactly(1),
            ("" | "ExactCount", count) => Count::Exactly(
                u64::try_from(count)
                    .map_err(|_| self.malformed(format!("{field}.count"), format!("{count} is negative")))?,
            ),
            (mode, _) => {
                let what = format!("{mode:?} is not known: use ExactCount or All");
                return Err(self.malformed(format!("{field}.allocationMode"), what));
            }
        };
        let capacity = wire.capacity.map(|capacity| capacity.requests).unwrap_or_default();
        Ok(Ask {
            class: self.required(&format!("{field}.deviceClassName"), &wire.device_class_name)?.into(),
            selectors: selectors(wire.selectors),
            count,
            admin_access: wire.admin_access,
            tolerations: wire.tolerations.into_iter().filter_map(toleration).collect(),
            capacity: self.amounts(&format!("{field}.capacity.requests"), capacity)?,
        })
    }

    fn holding(&self, at: usize, wire: wire::RequestResult) -> Read<Holding> {
        let field = format!("status.allocation.devices.results[{at}]");
        let amounts = |amounts| self.amounts(&format!("{field}.consumedCapacity"), amounts);
        let kind = match (wire.admin_access, wire.share_id) {
            (true, _) => HoldingKind::Admin,
            (false, Some(_)) => HoldingKind::Share(wire.consumed_capacity.map(amounts).transpose()?),
            (false, None) => HoldingKind::Exclusive,
        };
        let pool = PoolId { driver: wire.driver.into(), name: wire.pool.into() };
        Ok(Holding { device: DeviceId { pool, name: wire.device.into() }, kind })
    }

    fn amounts(&self, field: &str, amounts: BTreeMap<Box<str>, wire::Quantity>) -> Read<Amounts> {
        let amount = |(name, value)| {
            let amount = self.quantity(&format!("{field}[{name}]"), value)?;
            Ok((name, amount))
        };
        amounts.into_iter().map(amount).collect()
    }

    fn optional(&self, field: &str, value: Option<wire::Quantity>) -> Read<Option<Amount>> {
        value.map(|value| self.quantity(field, value)).transpose()
    }

    fn quantity(&self, field: &str, value: wire::Quantity) -> Read<Amount> {
        let text = match value {
            wire::Quantity::Text(text) => text,
            wire::Quantity::Number(number) => number.to_string(),
        };
        Amount::parse(text.trim()).map_err(|error| self.malformed(field, error))
    }
}

fn selectors(wire: Vec<wire::DeviceSelector>) -> Vec<Selector> {
    let selector = |wire: wire::DeviceSelector| match wire.cel {
        Some(cel) => Selector::Cel(Arc::from(cel.expression)),
        None => Selector::Unknown,
    };
    wire.into_iter().map(selector).collect()
}

/// Of several values the one that upstream would take.
fn attribute(wire: wire::Attribute) -> Attribute {
    None.or(wire.ints.map(Attribute::Ints))
        .or(wire.bools.map(Attribute::Bools))
        .or(wire.strings.map(Attribute::Strings))
        .or(wire.versions.map(Attribute::Versions))
        .or(wire.int.map(Attribute::Int))
        .or(wire.bool.map(Attribute::Bool))
        .or(wire.string.map(Attribute::String))
        .or(wire.version.map(Attribute::Version))
        .unwrap_or(Attribute::Unknown)
}

/// None for a taint that keeps no claim away.
fn taint(wire: wire::Taint) -> Option<Taint> {
    let effect = Effect::parse(&wire.effect).filter(|effect| *effect != Effect::PreferNoSchedule)?;
    Some(Taint { key: wire.key, value: wire.value, effect })
}

/// None for a toleration that tolerates nothing which keeps a claim away.
fn toleration(wire: wire::Toleration) -> Option<Toleration> {
    let comparison = match wire.operator.as_str() {
        "" | "Equal" => Comparison::Equal(wire.value),
        "Exists" => Comparison::Exists,
        _ => return None,
    };
    let effect = match wire.effect.as_str() {
        "" => None,
        effect => Some(Effect::parse(effect)?),
    };
    Some(Toleration { key: Some(wire.key).filter(|key| !key.is_empty()), comparison, effect })
}

fn constraint(wire: wire::DeviceConstraint) -> Constraint {
    let rule = match (wire.match_attribute, wire.distinct_attribute) {
        (Some(name), _) => ConstraintRule::Match(name.into()),
        (None, Some(name)) => ConstraintRule::Distinct(name.into()),
        (None, None) => ConstraintRule::Unknown,
    };
    Constraint { requests: wire.requests, rule }
}

fn nodes(name: Option<String>, all: bool, selector: Option<wire::NodeSelector>) -> Nodes {
    Nodes { name: name.map(Into::into), all, selector: selector.map(node_selector) }
}

fn node_selector(wire: wire::NodeSelector) -> NodeSelector {
    let requirements = |wire: Vec<wire::NodeRequirement>| {
        let requirement = |wire: wire::NodeRequirement| {
            let wire::NodeRequirement { key, operator, values } = wire;
            NodeRequirement { key, operator, values }
        };
        wire.into_iter().map(requirement).collect()
    };
    let term = |wire: wire::NodeSelectorTerm| NodeTerm {
        labels: requirements(wire.match_expressions),
        fields: requirements(wire.match_fields),
    };
    NodeSelector::new(wire.node_selector_terms.into_iter().map(term).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_that_was_made_for_a_pod_is_marked_and_controlled_by_it() {
        let made_for = |mark: &str, kind: &str, controller: bool| {
            let owner = json!({"apiVersion": "v1", "kind": kind, "name": "p", "uid": "u-1", "controller": controller});
            let annotations = json!({EXTENDED_RESOURCE_ANNOTATION: mark});
            let metadata = json!({"name": "c", "annotations": annotations, "ownerReferences": [owner]});
            let claim = json!({"apiVersion": DRA, "kind": "ResourceClaim", "metadata": metadata, "spec": {}});
            seen_claim(&claim).expect("a claim").made_for
        };
        assert_eq!(made_for("true", "Pod", true), Some("u-1".into()));
        assert_eq!(made_for("yes", "Pod", true), None);
        assert_eq!(made_for("true", "Job", true), None);
        assert_eq!(made_for("true", "Pod", false), None);
    }
}
