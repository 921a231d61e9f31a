//! The checker sees what is wrong: allocations that it accepts are spoilt, or the objects changed under them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::case::Case;
use crate::checker;
use crate::generate;
use crate::oracle::{self, AllocatedClaim, Selectors};

type Spoil = fn(&mut Case, &mut [AllocatedClaim]);

/// What is done, and the rules of which the checker must name one.
const SPOILT: &[(&str, &[&str], Spoil)] = &[
    ("a device is missing", &["count", "all", "requests"], |_, given| {
        results(given).for_each(|results| drop(results.pop()));
    }),
    ("a result is for no request", &["requests"], |_, given| each(given, |result| result["request"] = json!("r9"))),
    ("a device that is not there", &["pools"], |_, given| each(given, |result| result["device"] = json!("none"))),
    ("one device for all", &["twice"], |_, given| {
        let devices: Vec<Value> = results(given).flat_map(|results| results.iter().cloned()).collect();
        for result in results(given).flatten() {
            for part in ["driver", "pool", "device"] {
                result[part] = devices[0][part].clone();
            }
        }
    }),
    ("usable on any node", &["nodeSelector"], |_, given| {
        given.iter_mut().for_each(|claim| drop(claim.allocation["nodeSelector"].take()));
    }),
    ("configuration is missing", &["config"], |_, given| {
        given.iter_mut().for_each(|claim| drop(claim.allocation["devices"]["config"].take()));
    }),
    ("tolerations are missing", &["tolerations"], |_, given| each(given, |result| drop(result["tolerations"].take()))),
    ("binding conditions are missing", &["binding"], |_, given| {
        each(given, |result| drop(result["bindingConditions"].take()));
    }),
    ("admin access is not told", &["adminAccess"], |_, given| each(given, |result| drop(result["adminAccess"].take()))),
    ("less is consumed", &["capacity"], |_, given| each(given, |result| drop(result["consumedCapacity"].take()))),
    ("shares have one name", &["shares"], |_, given| {
        each(given, |result| result["shareID"] = json!("00000000-0000-4000-8000-000000000000"));
    }),
    ("it is in use", &["in use"], |case, given| {
        let results: Vec<Value> = results(given).flat_map(|results| results.iter().cloned()).collect();
        let allocation = json!({"devices": {"results": results}});
        case.objects.push(json!({"kind": "ResourceClaim", "status": {"allocation": allocation}}));
    }),
    ("it is tainted", &["taints"], |case, _| {
        devices(case, |device| device["taints"] = json!([{"key": "new", "effect": "NoExecute"}]));
    }),
    ("it has no attributes", &["matchAttribute", "distinctAttribute"], |case, _| {
        class_selectors(case, json!([]));
        devices(case, |device| device["attributes"] = json!({}));
    }),
    ("all attributes are alike", &["distinctAttribute"], |case, _| {
        devices(case, |device| {
            device["attributes"]
                .as_object_mut()
                .into_iter()
                .flatten()
                .for_each(|(_, value)| *value = json!({"int": 1}));
        });
    }),
    ("the pool is not complete", &["pools"], |case, _| {
        slices(case, |slice| slice["spec"]["pool"]["resourceSliceCount"] = json!(99));
    }),
    ("a newer generation took its place", &["pools"], |case, _| {
        let mut newer: Vec<Value> = case.of("ResourceSlice").cloned().collect();
        for slice in &mut newer {
            slice["spec"]["pool"]["generation"] = json!(99);
            slice["spec"]["devices"] = json!([]);
        }
        case.objects.extend(newer);
    }),
    ("counters are used up", &["counters"], |case, _| {
        slices(case, |slice| {
            for set in slice["spec"]["sharedCounters"].as_array_mut().into_iter().flatten() {
                let counters = set["counters"].as_object_mut().expect("counters");
                counters.values_mut().for_each(|counter| *counter = json!({"value": "0"}));
            }
        });
    }),
    ("capacity is too small", &["capacity"], |case, _| {
        devices(case, |device| {
            for (_, capacity) in device["capacity"].as_object_mut().into_iter().flatten() {
                capacity["value"] = json!("1m");
            }
        });
    }),
    ("the class wants others", &["selectors"], |case, _| {
        class_selectors(case, json!([{"cel": {"expression": "device.driver == 'other'"}}]));
    }),
    ("it is for another node", &["pools", "nodes"], |case, _| {
        slices(case, |slice| slice["spec"]["nodeName"] = json!("elsewhere"));
    }),
    ("its slice is for this node, but it is not", &["nodes"], |case, _| {
        devices(case, |device| device["nodeName"] = json!("elsewhere"));
        slices(case, |slice| {
            let another = json!({"name": slice["metadata"]["name"], "allNodes": true});
            slice["spec"]["devices"].as_array_mut().into_iter().for_each(|devices| devices.push(another.clone()));
        });
    }),
];

fn results(given: &mut [AllocatedClaim]) -> impl Iterator<Item = &mut Vec<Value>> {
    given.iter_mut().filter_map(|claim| claim.allocation["devices"]["results"].as_array_mut())
}

fn each(given: &mut [AllocatedClaim], change: fn(&mut Value)) {
    results(given).flatten().for_each(change);
}

fn slices(case: &mut Case, change: fn(&mut Value)) {
    case.objects.iter_mut().filter(|object| object["kind"] == "ResourceSlice").for_each(change);
}

fn devices(case: &mut Case, change: fn(&mut Value)) {
    let slices = case.objects.iter_mut().filter(|object| object["kind"] == "ResourceSlice");
    slices.filter_map(|slice| slice["spec"]["devices"].as_array_mut()).flatten().for_each(change);
}

fn class_selectors(case: &mut Case, selectors: Value) {
    for class in case.objects.iter_mut().filter(|object| object["kind"] == "DeviceClass") {
        class["spec"]["selectors"] = selectors.clone();
    }
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let cases: Vec<Case> = (0..800).map(generate::case).map(|case| oracle::as_asked(&case)).collect();
    let answers = oracle::allocate(&cases);
    let mut selectors = Selectors::new();
    let mut seen = BTreeMap::<&str, usize>::new();
    for (case, answer) in cases.iter().zip(&answers).filter(|(_, answer)| answer.outcome == "fits") {
        for (what, rules, spoil) in SPOILT {
            let (mut case, mut given) = (case.clone(), answer.claims.clone());
            spoil(&mut case, &mut given);
            let fault = checker::check(&case, &given, &mut selectors).err();
            *seen.entry(what).or_default() += usize::from(fault.is_some_and(|fault| rules.contains(&fault.rule)));
        }
    }
    println!("{seen:#?}");
    let unseen: Vec<_> = SPOILT.iter().map(|(what, ..)| what).filter(|what| seen[**what] < 2).collect();
    assert!(unseen.is_empty(), "not seen: {unseen:?}");
}
