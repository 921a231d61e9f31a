//! Small clusters for tests.

use super::*;
use crate::model::taint::{Effect, Taint};

pub fn amount(text: &str) -> Amount {
    Amount::parse(text).expect("a quantity")
}

pub fn amounts(pairs: &[(&str, &str)]) -> Amounts {
    pairs.iter().map(|(name, text)| ((*name).into(), amount(text))).collect()
}

pub fn node(name: &str) -> Node {
    Node { name: name.into(), labels: [("zone", "a")].into_iter().collect() }
}

pub fn class(name: &str, expression: Option<&str>) -> DeviceClass {
    let selectors = expression.map(|expression| Selector::Cel(expression.into())).into_iter().collect();
    DeviceClass { name: name.into(), selectors, configs: 0, extended_resource: None, created_s: 0 }
}

pub fn device(name: &str) -> Device {
    Device { name: name.into(), ..Device::default() }
}

impl Device {
    pub(crate) fn with(mut self, name: &str, value: i64) -> Device {
        self.attributes.insert(name.into(), Attribute::Int(value));
        self
    }

    pub(crate) fn with_text(mut self, name: &str, value: &str) -> Device {
        self.attributes.insert(name.into(), Attribute::String(value.into()));
        self
    }

    pub(crate) fn with_capacity(mut self, name: &str, value: &str, policy: Option<RequestPolicy>) -> Device {
        self.capacity.insert(name.into(), Capacity { value: amount(value), policy });
        self
    }

    pub(crate) fn shareable(self) -> Device {
        Device { shareable: true, ..self }
    }

    pub(crate) fn taking(mut self, set: &str, counters: &[(&str, &str)]) -> Device {
        self.consumes.push(CounterSet { name: set.into(), counters: amounts(counters) });
        self
    }

    pub(crate) fn tainted(mut self) -> Device {
        self.taints.push(Taint { key: "broken".into(), value: String::new(), effect: Effect::NoSchedule });
        self
    }
}

/// A slice that is its whole pool, on one node.
pub fn slice(node: &str, devices: Vec<Device>) -> Slice {
    Slice {
        name: format!("{node}-devices").into(),
        pool: PoolId { driver: "d".into(), name: node.into() },
        generation: 1,
        slices: 1,
        nodes: Nodes { name: Some(node.into()), ..Nodes::default() },
        per_device_nodes: false,
        counters: vec![],
        devices,
    }
}

/// Two slices that are a pool: devices and counters.
pub fn with_counters(node: &str, sets: &[(&str, &[(&str, &str)])], devices: Vec<Device>) -> Vec<Slice> {
    let counters =
        sets.iter().map(|(name, counters)| CounterSet { name: (*name).into(), counters: amounts(counters) }).collect();
    let devices = Slice { slices: 2, ..slice(node, devices) };
    let counters = Slice { name: format!("{node}-counters").into(), counters, devices: vec![], ..devices.clone() };
    vec![counters, devices]
}

pub fn ask(class: &str, count: u64) -> Ask {
    Ask {
        class: class.into(),
        selectors: vec![],
        count: Count::Exactly(count),
        admin_access: false,
        tolerations: vec![],
        capacity: Amounts::new(),
    }
}

impl Ask {
    pub(crate) fn selected(mut self, expression: &str) -> Ask {
        self.selectors.push(Selector::Cel(expression.into()));
        self
    }

    pub(crate) fn all(self) -> Ask {
        Ask { count: Count::All, ..self }
    }
}

pub fn request(name: &str, ask: Ask) -> Request {
    Request { name: name.into(), wish: Wish::Exactly(ask) }
}

pub fn first_of(name: &str, asks: Vec<(&str, Ask)>) -> Request {
    let alternative = |(name, ask): (&str, Ask)| Alternative { name: name.into(), ask };
    Request { name: name.into(), wish: Wish::FirstAvailable(asks.into_iter().map(alternative).collect()) }
}

pub fn claim(name: &str, requests: Vec<Request>) -> Claim {
    Claim {
        key: ClaimKey { namespace: "default".into(), name: name.into() },
        uid: format!("uid-{name}").into(),
        requests,
        constraints: vec![],
        configs: vec![],
    }
}

impl Claim {
    pub(crate) fn matching(mut self, attribute: &str) -> Claim {
        self.constraints.push(Constraint { requests: vec![], rule: ConstraintRule::Match(attribute.into()) });
        self
    }

    pub(crate) fn distinct(mut self, attribute: &str) -> Claim {
        self.constraints.push(Constraint { requests: vec![], rule: ConstraintRule::Distinct(attribute.into()) });
        self
    }
}

pub fn allocator(slices: Vec<Slice>) -> Allocator {
    let classes = vec![class("any", None), class("even", Some("device.attributes['d'].index % 2 == 0"))];
    Allocator::new(Inventory::new(vec![node("n"), node("m")], classes, slices))
}

/// The devices on node `n`, by claim: `a+b`; `no`, or `error`.
pub fn outcome(allocator: &mut Allocator, claims: &[Claim]) -> String {
    let mut scorer = choice::Thrifty::new(allocator);
    match allocator.allocate_on("n", claims, &mut scorer) {
        Err(_) => "error".into(),
        Ok(Answer { verdict: Verdict::Refused(refusal), .. }) => {
            assert!(refusal.complete);
            "no".into()
        }
        Ok(Answer { verdict: Verdict::Fits(fit), .. }) => {
            let names = |allocation: &Allocation| {
                let names: Vec<&str> = allocation.devices.iter().map(|device| &*device.device.name).collect();
                names.join("+")
            };
            fit.allocations.iter().map(names).collect::<Vec<_>>().join(" ")
        }
    }
}

pub fn held(name: &str) -> Holding {
    let pool = PoolId { driver: "d".into(), name: "n".into() };
    Holding { device: DeviceId { pool, name: name.into() }, kind: HoldingKind::Exclusive }
}

/// A GPU that is cut on demand: its profiles as `(profile, GPU profile id, slices, starts)`.
fn cut(gpu: usize, product: &str, profiles: &[(&str, u8, u8, &[u8])]) -> Vec<Device> {
    let mut devices = vec![];
    for (profile, id, slices, starts) in profiles {
        for start in *starts {
            let counters: Vec<String> = (*start..start + slices).map(|slice| format!("memory-slice-{slice}")).collect();
            let counters: Vec<(&str, &str)> = counters.iter().map(|name| (name.as_str(), "1")).collect();
            let name = format!("gpu-{gpu}-mig-{}-{id}-{start}", profile.replace('.', ""));
            let device = device(&name).with_text("type", "mig").with_text("productName", product);
            devices.push(device.with_text("profile", profile).taking(&format!("gpu-{gpu}-counter-set"), &counters));
        }
    }
    devices
}

const A30: &[(&str, u8, u8, &[u8])] =
    &[("1g.6gb", 14, 1, &[0, 1, 2, 3]), ("2g.12gb", 5, 2, &[0, 2]), ("4g.24gb", 0, 4, &[0])];

/// Slices of a node with so many A30 that are cut on demand.
pub fn a30s(node: &str, count: usize) -> Vec<Slice> {
    let slices: Vec<(String, &str)> = (0..4).map(|slice| (format!("memory-slice-{slice}"), "1")).collect();
    let slices: Vec<(&str, &str)> = slices.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let names: Vec<String> = (0..count).map(|gpu| format!("gpu-{gpu}-counter-set")).collect();
    let sets: Vec<(&str, &[(&str, &str)])> = names.iter().map(|name| (name.as_str(), slices.as_slice())).collect();
    let devices = (0..count).flat_map(|gpu| cut(gpu, "NVIDIA A30", A30)).collect();
    with_counters(node, &sets, devices)
}
