//! A snapshot without names gives the answers of the one with names, whatever devices are selected by.

use serde_json::Value;
use testudo::claims::with_large_stack;
use testudo::snapshot::Snapshot;

use crate::case::Case;
use crate::generate;
use crate::ours::{Ours, ours};

/// Devices of the answer; their names may be others.
fn devices(answer: &Ours) -> usize {
    let Ours::Fits { claims, .. } = answer else { return 0 };
    let devices =
        |claim: &crate::oracle::AllocatedClaim| claim.allocation["devices"]["results"].as_array().map_or(0, Vec::len);
    claims.iter().map(devices).sum()
}

#[test]
fn answers_do_not_hang_on_names() {
    let (mut fit, mut failed) = (0, 0);
    let mut wrong: Vec<String> = vec![];
    for seed in 0..600 {
        let case = generate::case(seed);
        let snapshot = Snapshot::of(&case.objects);
        let anonymised = with_large_stack(|| Ok(snapshot.clone().anonymised())).expect("a thread");
        let (objects, nameless) = (snapshot.into_objects(), anonymised.into_objects());
        assert_eq!(objects.len(), nameless.len(), "seed {seed}: everything is there");
        let is_it = |object: &Value| object["kind"] == "Node" && object["metadata"]["name"] == *case.node;
        let at = objects.iter().position(is_it).expect("the node");
        let node = nameless[at]["metadata"]["name"].as_str().expect("a name").to_owned();
        let with = ours(&Case { objects, ..case.clone() }, Some(&case.node));
        let without = ours(&Case { seed, objects: nameless.clone(), node: node.clone() }, Some(&node));
        if (with.name(), devices(&with)) != (without.name(), devices(&without)) {
            let told: Vec<String> = case.objects.iter().chain(&nameless).map(Value::to_string).collect();
            wrong.push(format!("seed {seed}: {with}\nbut without names {without}\n{}", told.join("\n")));
        }
        fit += u32::from(with.name() == "fits");
        failed += u32::from(with.name() == "error");
    }
    assert!(wrong.is_empty(), "{} are wrong, the first:\n{}", wrong.len(), wrong[0]);
    assert!(fit > 120 && failed > 20, "{fit} fit, {failed} failed");
}
