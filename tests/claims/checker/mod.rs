//! Is an allocation legal? Decided from the API's documentation, on the objects as they are, without the allocator's code.
//!
//! Only the result is judged, not how it was found: several results may be legal, and the best of them is not asked for.

mod attributes;
mod capacity;
mod counters;
mod demands;
mod held;
mod nodes;
mod pools;
mod quantity;
mod uses;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::case::{Case, is_pending, items, text};
use crate::oracle::{AllocatedClaim, Selectors};
use demands::Demand;
use held::Held;
use pools::{Device, DeviceId, Pool};
use quantity::Quantity;
use uses::Use;

/// A rule that an allocation breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which rule.
    pub rule: &'static str,
    /// How.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// The most devices that a claim may be given.
const MOST: usize = 32;

/// Checks the allocations of all claims that were to be allocated.
pub fn check(case: &Case, allocated: &[AllocatedClaim], selectors: &mut Selectors) -> Result<(), Fault> {
    let claims: Vec<&Value> = case.of("ResourceClaim").filter(|claim| is_pending(claim)).collect();
    let names = |claims: &mut dyn Iterator<Item = String>| claims.collect::<Vec<_>>();
    let wanted = names(&mut claims.iter().map(|claim| text(&claim["metadata"]["name"]).to_owned()));
    let given = names(&mut allocated.iter().map(|claim| claim.name.clone()));
    ensure("claims", wanted == given, || format!("{given:?} were allocated, {wanted:?} were to be"))?;

    let mut demands = vec![];
    for (claim, given) in claims.iter().zip(allocated) {
        let results = items(&given.allocation["devices"]["results"]);
        ensure("limit", results.len() <= MOST, || format!("{} devices for one claim", results.len()))?;
        demands.push(demands::demands(claim, results).map_err(|text| Fault { rule: "requests", text })?);
    }
    let node = case.of("Node").find(|node| node["metadata"]["name"] == case.node).expect("the node is there");
    let checker = Checker { case, node, pools: pools::pools(case, node), held: held::held(case) };
    let mut uses = vec![];
    for (index, demands) in demands.iter().enumerate() {
        for demand in demands {
            checker.right_devices(demand, selectors)?;
            for &result in &demand.results {
                let device = checker.device(result)?;
                uses.push(Use { claim: index, demand, result, device });
            }
        }
    }
    for ((claim, given), (index, demands)) in claims.iter().zip(allocated).zip(demands.iter().enumerate()) {
        let uses: Vec<&Use<'_>> = uses.iter().filter(|used| used.claim == index).collect();
        checker.constraints(claim, &uses)?;
        checker.written(claim, given, demands, &uses)?;
    }
    uses::nothing_twice(&uses, &checker.held)?;
    uses::enough_capacity(&uses, &checker.held)?;
    counters::not_overdrawn(&checker.pools, &uses, &checker.held)
}

fn ensure(rule: &'static str, holds: bool, text: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault { rule, text: text() }) }
}

struct Checker<'a> {
    case: &'a Case,
    node: &'a Value,
    pools: BTreeMap<(String, String), Pool<'a>>,
    held: Held,
}

impl<'a> Checker<'a> {
    /// The device of a result, where the node may use it.
    fn device(&self, result: &Value) -> Result<Device<'a>, Fault> {
        let [driver, pool, name] = [&result["driver"], &result["pool"], &result["device"]].map(text);
        let fault = |text: &str| Fault { rule: "pools", text: format!("{driver}/{pool}/{name}: {text}") };
        let found = self.pools.get(&(driver.to_owned(), pool.to_owned())).ok_or_else(|| fault("no such pool here"))?;
        if found.incomplete || found.invalid {
            return Err(fault("its pool must not be used"));
        }
        let device = found.devices.iter().find(|device| device.device["name"] == name);
        let device = *device.ok_or_else(|| fault("no such device here"))?;
        ensure("nodes", nodes::reaches(device.place(), self.node), || format!("{name} is not for {}", self.case.node))?;
        Ok(device)
    }

    /// The right number of devices, each of which matches.
    fn right_devices(&self, demand: &Demand<'_>, selectors: &mut Selectors) -> Result<(), Fault> {
        for result in &demand.results {
            let device = self.device(result)?;
            let id = device.id();
            ensure("selectors", self.matches(demand, &device, selectors), || format!("{id:?} for {}", demand.name))?;
            ensure("taints", demand.tolerates(device.device), || format!("{id:?} for {}", demand.name))?;
            ensure("capacity", capacity::consumed(device.device, demand.spec).is_some(), || {
                format!("{id:?} has not what {} wants", demand.name)
            })?;
        }
        let ids: BTreeSet<DeviceId> =
            demand.results.iter().map(|result| Ok(self.device(result)?.id())).collect::<Result<_, Fault>>()?;
        ensure("twice", ids.len() == demand.results.len(), || format!("a device twice for {}", demand.name))?;
        if !demand.wants_all() {
            return ensure("count", demand.results.len() == demand.count(), || {
                format!("{} devices for {}, which wants {}", demand.results.len(), demand.name, demand.count())
            });
        }
        ensure("all", self.pools.values().all(|pool| !pool.incomplete && !pool.invalid), || {
            format!("{} wants all, and not all are known", demand.name)
        })?;
        let mut all = BTreeSet::<DeviceId>::new();
        for device in self.pools.values().flat_map(|pool| &pool.devices) {
            if nodes::reaches(device.place(), self.node)
                && self.matches(demand, device, selectors)
                && self.has_room(device, demand)
            {
                all.insert(device.id());
            }
        }
        ensure("all", !all.is_empty() && ids == all, || format!("{} wants {all:?} and got {ids:?}", demand.name))
    }

    /// Whether others have left as much of a device as is wanted. One that is used up is none of "all".
    fn has_room(&self, device: &Device<'_>, demand: &Demand<'_>) -> bool {
        let Some(consumed) = capacity::consumed(device.device, demand.spec) else { return false };
        let held = self.held.consumed.get(&device.id());
        consumed.into_iter().all(|(name, wanted)| {
            let before = held.and_then(|held| held.get(&name)).copied().unwrap_or_default();
            before + wanted <= Quantity::read(&device.device["capacity"][&name]["value"])
        })
    }

    fn matches(&self, demand: &Demand<'_>, device: &Device<'_>, selectors: &mut Selectors) -> bool {
        let class = &demand.spec["deviceClassName"];
        let Some(class) = self.case.of("DeviceClass").find(|object| object["metadata"]["name"] == *class) else {
            return false;
        };
        let all = items(&class["spec"]["selectors"]).iter().chain(items(&demand.spec["selectors"]));
        let mut expressions = all.map(|selector| text(&selector["cel"]["expression"]));
        expressions.all(|expression| selectors.value(expression, device.driver(), device.device) == "true")
    }

    fn constraints(&self, claim: &Value, uses: &[&Use<'_>]) -> Result<(), Fault> {
        for constraint in items(&claim["spec"]["devices"]["constraints"]) {
            let named = uses.iter().filter(|used| used.demand.is_named(&constraint["requests"]));
            let (rule, attribute) = match constraint["matchAttribute"].as_str() {
                Some(attribute) => ("matchAttribute", attribute),
                None => ("distinctAttribute", text(&constraint["distinctAttribute"])),
            };
            let sets: Option<Vec<_>> = named.map(|used| attributes::values(&used.device, attribute)).collect();
            let sets = sets.ok_or_else(|| Fault { rule, text: format!("a device has no {attribute}") })?;
            let holds = match rule {
                "matchAttribute" => {
                    let common = sets
                        .iter()
                        .skip(1)
                        .fold(sets.first().cloned(), |common, set| Some(common?.intersection(set).cloned().collect()));
                    common.is_none_or(|common: BTreeSet<String>| !common.is_empty())
                }
                _ => {
                    sets.iter().enumerate().all(|(index, set)| sets[..index].iter().all(|other| other.is_disjoint(set)))
                }
            };
            ensure(rule, holds, || format!("{attribute} of the devices is {sets:?}"))?;
        }
        Ok(())
    }

    /// What is copied into the allocation for others to read.
    fn written(
        &self,
        claim: &Value,
        given: &AllocatedClaim,
        demands: &[Demand<'_>],
        uses: &[&Use<'_>],
    ) -> Result<(), Fault> {
        let config = written::config(self.case, claim, demands);
        let found = items(&given.allocation["devices"]["config"]);
        ensure("config", found == config, || format!("{found:?} instead of {config:?}"))?;
        let places: Vec<_> = uses.iter().map(|used| (used.device.place(), used.device.device)).collect();
        let selector = nodes::selector_of(&places, &self.case.node);
        let found = &given.allocation["nodeSelector"];
        ensure("nodeSelector", *found == selector, || format!("{found} instead of {selector}"))?;
        for used in uses {
            let (result, device) = (used.result, used.device.device);
            let same = |rule, found: &Value, wanted: &[Value]| {
                ensure(rule, items(found) == wanted, || format!("{found} instead of {wanted:?}"))
            };
            same("tolerations", &result["tolerations"], &used.demand.tolerations())?;
            for part in ["bindingConditions", "bindingFailureConditions"] {
                same("binding", &result[part], items(&device[part]))?;
            }
            let admin = result["adminAccess"] == true;
            ensure("adminAccess", admin == used.demand.is_admin(), || format!("{admin} for {}", used.demand.name))?;
        }
        Ok(())
    }
}
