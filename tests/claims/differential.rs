//! The claim allocator beside upstream's.

mod case;
mod checker;
mod generate;
mod oracle;

use std::collections::BTreeMap;

#[test]
fn smoke() {
    let cases: Vec<_> = (0..5000).map(generate::case).collect();
    let mut counts = BTreeMap::<String, usize>::new();
    let mut selectors = oracle::Selectors::new();
    for (case, answer) in cases.iter().zip(oracle::allocate(&cases)) {
        *counts.entry(answer.outcome.clone()).or_default() += 1;
        if answer.outcome == "fits" {
            if let Err(fault) = checker::check(case, &answer.claims, &mut selectors) {
                *counts.entry(format!("fault {}", fault.rule)).or_default() += 1;
                if counts[&format!("fault {}", fault.rule)] < 5 {
                    println!("{} {}: {fault}", case.seed, case.node);
                }
            }
        }
    }
    println!("{counts:#?}");
}
