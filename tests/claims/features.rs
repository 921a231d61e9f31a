//! What cases are about, and each thing taken out of them: what is left without it shows whether it mattered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::case::{items, text};

/// Something that an allocator must understand.
pub struct Feature {
    /// What it is.
    pub name: &'static str,
    without: fn(&mut [Value]),
}

impl Feature {
    /// The objects without it; none if they do not have it.
    pub fn taken_out(&self, objects: &[Value]) -> Option<Vec<Value>> {
        let mut rest = objects.to_vec();
        (self.without)(&mut rest);
        // An object that is null was taken out itself.
        rest.retain(|object| !object.is_null());
        (rest != objects).then_some(rest)
    }
}

const fn of(name: &'static str, without: fn(&mut [Value])) -> Feature {
    Feature { name, without }
}

/// Everything that is listed.
pub const FEATURES: &[Feature] = &[
    of("several devices for a request", |all| claims(all, |claim| demand_without(claim, "count"))),
    of("all devices", |all| claims(all, |claim| demand_without(claim, "allocationMode"))),
    of("alternatives", |all| claims(all, first_alternative)),
    of("selectors of a request", |all| claims(all, |claim| demand_without(claim, "selectors"))),
    of("selectors of a class", |all| classes(all, |class| remove(&mut class["spec"], "selectors"))),
    of("matchAttribute", |all| claims(all, |claim| constraints_without(claim, "matchAttribute"))),
    of("distinctAttribute", |all| claims(all, |claim| constraints_without(claim, "distinctAttribute"))),
    of("constraints of some requests", |all| claims(all, constraints_of_all)),
    of("lists as attributes", |all| slices(all, |slice| attributes_without(slice, Value::is_array))),
    of("numbers as attributes", |all| slices(all, |slice| attributes_without(slice, Value::is_i64))),
    of("pools of one node", |all| slices(all, |slice| reach_without(slice, "nodeName"))),
    of("pools of selected nodes", |all| slices(all, |slice| reach_without(slice, "nodeSelector"))),
    of("pools of all nodes", |all| slices(all, |slice| reach_without(slice, "allNodes"))),
    of("nodes of each device", |all| slices(all, |slice| reach_without(slice, "perDeviceNodeSelection"))),
    of("several generations", one_generation),
    of("missing slices", no_slices_missing),
    of("device names given twice", names_once),
    of("counters", |all| slices(all, |slice| devices_without(slice, &["consumesCounters"]))),
    of("shared devices", |all| slices(all, whole_devices)),
    of("policies of requests", |all| slices(all, without_policies)),
    of("wanted capacity", |all| claims(all, |claim| demand_without(claim, "capacity"))),
    of("taints", |all| slices(all, |slice| devices_without(slice, &["taints"]))),
    of("tolerations", |all| claims(all, |claim| demand_without(claim, "tolerations"))),
    of("admin access", |all| claims(all, |claim| demand_without(claim, "adminAccess"))),
    of("devices in use", |all| claims(all, |claim| held_without(claim, |result| result["shareID"].is_null()))),
    of("shares in use", |all| claims(all, |claim| held_without(claim, |result| !result["shareID"].is_null()))),
    of("admin access in use", |all| claims(all, held_in_earnest)),
    of("binding", |all| slices(all, |slice| devices_without(slice, BINDING))),
    of("configuration of a claim", |all| claims(all, config_of_claim)),
    of("configuration of a class", |all| classes(all, |class| remove(&mut class["spec"], "config"))),
];

const BINDING: &[&str] = &["bindingConditions", "bindingFailureConditions", "bindsToNode"];

fn each(objects: &mut [Value], kind: &str, change: fn(&mut Value)) {
    objects.iter_mut().filter(|object| object["kind"] == kind).for_each(change);
}

fn claims(objects: &mut [Value], change: fn(&mut Value)) {
    each(objects, "ResourceClaim", change);
}

fn slices(objects: &mut [Value], change: fn(&mut Value)) {
    each(objects, "ResourceSlice", change);
}

fn classes(objects: &mut [Value], change: fn(&mut Value)) {
    each(objects, "DeviceClass", change);
}

/// Driver, pool and generation of a slice.
fn pool(slice: &Value) -> (String, String, i64) {
    let spec = &slice["spec"];
    let generation = spec["pool"]["generation"].as_i64().unwrap_or(0);
    (text(&spec["driver"]).to_owned(), text(&spec["pool"]["name"]).to_owned(), generation)
}

fn one_generation(objects: &mut [Value]) {
    let mut oldest = BTreeMap::new();
    for (driver, name, generation) in objects.iter().map(pool) {
        let known = oldest.entry((driver, name)).or_insert(generation);
        *known = generation.min(*known);
    }
    for slice in objects.iter_mut().filter(|object| object["kind"] == "ResourceSlice") {
        let (driver, name, generation) = pool(slice);
        if generation > oldest[&(driver, name)] {
            slice.take();
        }
    }
}

fn no_slices_missing(objects: &mut [Value]) {
    let mut counts = BTreeMap::<_, usize>::new();
    for slice in objects.iter().filter(|object| object["kind"] == "ResourceSlice") {
        *counts.entry(pool(slice)).or_default() += 1;
    }
    for slice in objects.iter_mut().filter(|object| object["kind"] == "ResourceSlice") {
        slice["spec"]["pool"]["resourceSliceCount"] = json!(counts[&pool(slice)]);
    }
}

fn names_once(objects: &mut [Value]) {
    let mut names = BTreeSet::new();
    for slice in objects.iter_mut().filter(|object| object["kind"] == "ResourceSlice") {
        let pool = pool(slice);
        if let Some(Value::Array(devices)) = slice.pointer_mut("/spec/devices") {
            devices.retain(|device| names.insert((pool.clone(), text(&device["name"]).to_owned())));
        }
    }
}

/// What was for administrators is for everybody.
fn held_in_earnest(claim: &mut Value) {
    list(claim, "/status/allocation/devices/results").for_each(|result| remove(result, "adminAccess"));
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

/// The items of a list somewhere in an object; none where there is none.
fn list<'a>(object: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

/// What a claim that is to be allocated asks for: its requests and their alternatives.
fn demands(claim: &mut Value) -> Vec<&mut Value> {
    if claim.pointer("/status/allocation").is_some() {
        return vec![];
    }
    let mut demands = vec![];
    for request in list(claim, "/spec/devices/requests") {
        if request.get("exactly").is_some() {
            demands.extend(request.get_mut("exactly"));
        } else {
            demands.extend(list(request, "/firstAvailable"));
        }
    }
    demands
}

fn demand_without(claim: &mut Value, field: &str) {
    for demand in demands(claim) {
        // What is only spelt out is no feature.
        let spelt_out = demand.get(field).is_some_and(|value| *value == "ExactCount" || *value == 1 || *value == false);
        if !spelt_out {
            remove(demand, field);
        }
    }
}

fn first_alternative(claim: &mut Value) {
    let mut any = false;
    for request in list(claim, "/spec/devices/requests") {
        if let Some(first) = request.pointer("/firstAvailable/0").cloned() {
            *request = json!({"name": request["name"], "exactly": first});
            remove(&mut request["exactly"], "name");
            any = true;
        }
    }
    if !any {
        return;
    }
    for pointer in ["/spec/devices/constraints", "/spec/devices/config"] {
        for requests in list(claim, pointer).filter_map(|entry| entry.get_mut("requests")) {
            let short = items(requests).iter().map(|name| text(name).split('/').next().unwrap_or_default().to_owned());
            *requests = json!(short.collect::<BTreeSet<_>>());
        }
    }
}

fn constraints_without(claim: &mut Value, kind: &str) {
    if let Some(Value::Array(constraints)) = claim.pointer_mut("/spec/devices/constraints") {
        constraints.retain(|constraint| constraint[kind].is_null());
    }
}

fn constraints_of_all(claim: &mut Value) {
    list(claim, "/spec/devices/constraints").for_each(|constraint| remove(constraint, "requests"));
}

fn config_of_claim(claim: &mut Value) {
    if let Some(devices) = claim.pointer_mut("/spec/devices") {
        remove(devices, "config");
    }
}

fn devices_without(slice: &mut Value, fields: &[&str]) {
    list(slice, "/spec/devices").for_each(|device| fields.iter().for_each(|field| remove(device, field)));
}

fn attributes_without(slice: &mut Value, gone: fn(&Value) -> bool) {
    for attributes in list(slice, "/spec/devices").filter_map(|device| device.get_mut("attributes")?.as_object_mut()) {
        attributes.retain(|_, value| !value.as_object().is_some_and(|value| value.values().any(gone)));
    }
}

fn reach_without(slice: &mut Value, reach: &str) {
    if !slice["spec"][reach].is_null() {
        slice.take();
    }
}

fn whole_devices(slice: &mut Value) {
    let is_shared = |device: &Value| device["allowMultipleAllocations"] == true;
    if items(&slice["spec"]["devices"]).iter().any(is_shared) {
        devices_without(slice, &["allowMultipleAllocations"]);
        without_policies(slice);
    }
}

fn without_policies(slice: &mut Value) {
    for capacities in list(slice, "/spec/devices").filter_map(|device| device.get_mut("capacity")?.as_object_mut()) {
        capacities.values_mut().for_each(|capacity| remove(capacity, "requestPolicy"));
    }
}

fn held_without(claim: &mut Value, gone: fn(&Value) -> bool) {
    if let Some(Value::Array(results)) = claim.pointer_mut("/status/allocation/devices/results") {
        results.retain(|result| !gone(result));
    }
}
