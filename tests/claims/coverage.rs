//! Do the cases look at everything? Each feature must be in many of them, and taking it out must change many answers.

use serde_json::Value;

use crate::case::Case;
use crate::features::FEATURES;
use crate::generate;
use crate::oracle::{self, Answer};

/// Of a thousand cases at least so many have a feature, and so many are answered otherwise without it.
const PRESENT: usize = 15;
const MATTERS: usize = 2;

#[test]
fn every_feature_changes_answers() {
    const CASES: usize = 1_000;
    let cases: Vec<Case> = (0..CASES as u64).map(generate::case).collect();
    let answers = oracle::allocate(&cases);
    println!("{:32} {:>7} {:>9} {:>9}", "feature", "present", "outcomes", "answers");
    let mut missed = vec![];
    for feature in FEATURES {
        let (with, without): (Vec<&Answer>, Vec<Case>) = cases
            .iter()
            .zip(&answers)
            .filter_map(|(case, answer)| {
                Some((answer, Case { objects: feature.taken_out(&case.objects)?, ..case.clone() }))
            })
            .unzip();
        let changed = oracle::allocate_in_haste(&without);
        let pairs = || with.iter().zip(&changed);
        let outcomes = pairs().filter(|(with, without)| with.outcome != without.outcome).count();
        let differ = pairs().filter(|(with, without)| with.outcome != without.outcome || given(with) != given(without));
        let differ = differ.count();
        println!("{:32} {:>7} {outcomes:>9} {differ:>9}", feature.name, with.len());
        if with.len() * 1_000 < PRESENT * CASES || differ * 1_000 < MATTERS * CASES {
            missed.push(feature.name);
        }
    }
    assert!(missed.is_empty(), "too seldom, or without effect: {missed:?}");
}

/// What was allocated, without what is drawn at random.
fn given(answer: &Answer) -> Vec<Value> {
    let mut allocations: Vec<Value> = answer.claims.iter().map(|claim| claim.allocation.clone()).collect();
    for allocation in &mut allocations {
        for result in allocation["devices"]["results"].as_array_mut().into_iter().flatten() {
            result["shareID"].take();
        }
    }
    allocations
}
