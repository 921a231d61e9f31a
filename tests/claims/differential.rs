//! The claim allocator beside upstream's own (`k8s.io/dynamic-resource-allocation/structured`, in `e2e/dra-oracle`):
//! the same cases to both, which must agree on what fits, what does not, and what is an error. Every allocation, ours and
//! theirs, must be legal for a checker that uses the code of neither.
//!
//!     e2e/tools/build.sh && cargo test -p testudo-e2e --test claims
//!
//! | variable | meaning |
//! |---|---|
//! | `CLAIMS_CASES` | how many cases; default 10,000 |
//! | `CLAIMS_SEED` | the seed of the first; default 0. With `CLAIMS_CASES=1` one case is asked again |

mod anonymised;
mod case;
mod checker;
mod compare;
mod corrupted;
mod coverage;
mod features;
mod generate;
mod oracle;
mod ours;
mod selectors;
mod shrink;

use std::collections::BTreeMap;
use std::{env, fmt, thread};

use serde_json::json;

use case::Case;
use compare::{Agreement, Disagreement, compare};
use oracle::{Answer, Selectors};
use ours::{Ours, ours};

/// As many cases as are kept in memory at once.
const BATCH: u64 = 2_000;
/// As many disagreements as are worth reading.
const TOLD: usize = 5;

fn from_env(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// What came of the comparison.
#[derive(Default)]
struct Tally {
    agreements: BTreeMap<Agreement, u64>,
    disagreements: BTreeMap<String, u64>,
    told: Vec<String>,
}

impl Tally {
    fn count(&self, agreement: Agreement) -> u64 {
        self.agreements.get(&agreement).copied().unwrap_or_default()
    }

    fn disagreement(&mut self, case: &Case, upstream: &Answer, found: &Disagreement, admitted: bool) {
        let count = self.disagreements.entry(found.kind.clone()).or_default();
        *count += 1;
        // The first of each kind says most.
        if *count == 1 && self.told.len() < TOLD {
            let smallest = shrink::shrink(case, found, admitted);
            let objects: String = smallest.objects.iter().map(|object| format!("\n  {object}")).collect();
            let now = ours(&smallest, Some(&smallest.node));
            self.told.push(format!(
                "seed {}: {}\n{}\ntheirs, as it was: {}\nnode {}, shrunk to:{objects}\nours, shrunk: {} {}",
                case.seed,
                found.kind,
                found.text,
                json!(upstream.claims.iter().map(|claim| &claim.allocation).collect::<Vec<_>>()),
                smallest.node,
                now.name(),
                now.why(),
            ));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}\n{:?}", self.agreements, self.disagreements)?;
        self.told.iter().try_for_each(|told| writeln!(f, "\n{told}"))
    }
}

/// Asks both, and compares.
fn differ(seeds: std::ops::Range<u64>, draw: fn(u64) -> Case, admitted: bool) -> Tally {
    let mut tally = Tally::default();
    let mut selectors = Selectors::new();
    let mut start = seeds.start;
    while start < seeds.end {
        let cases: Vec<Case> = (start..seeds.end.min(start + BATCH)).map(draw).collect();
        start += BATCH;
        let (theirs, ours) = thread::scope(|scope| {
            let theirs = scope.spawn(|| oracle::allocate(&cases));
            let ours: Vec<Ours> = cases.iter().map(|case| ours(case, Some(&case.node))).collect();
            (theirs.join().expect("upstream answered"), ours)
        });
        for ((case, upstream), ours) in cases.iter().zip(&theirs).zip(&ours) {
            if upstream.outcome == "fits"
                && let Err(fault) = checker::check(&oracle::as_asked(case), &upstream.claims, &mut selectors)
            {
                let kind = format!("theirs is illegal ({})", fault.rule);
                let found = Disagreement { kind, text: fault.to_string() };
                tally.disagreement(case, upstream, &found, admitted);
            }
            match compare(case, upstream, ours, &mut selectors) {
                Ok(agreement) => *tally.agreements.entry(agreement).or_default() += 1,
                Err(disagreement) => tally.disagreement(case, upstream, &disagreement, admitted),
            }
        }
    }
    tally
}

#[test]
fn ours_and_upstream_agree() {
    let (first, count) = (from_env("CLAIMS_SEED", 0), from_env("CLAIMS_CASES", 10_000));
    let tally = differ(first..first + count, generate::case, true);
    println!("{tally}");
    assert!(tally.disagreements.is_empty(), "\n{tally}");
    // A comparison in which one answer is rare, or in which upstream does not answer, shows little.
    if count >= 1_000 {
        for often in [Agreement::Fits, Agreement::NoFit, Agreement::Error] {
            assert!(tally.count(often) * 20 > count, "{often:?} is rare\n{tally}");
        }
        assert!(tally.count(Agreement::Unknown) * 500 < count, "upstream is too slow\n{tally}");
        assert!(tally.count(Agreement::UpstreamForgets) * 200 < count, "too much is excused\n{tally}");
    }
}

#[test]
fn what_the_api_server_refuses_is_answered_alike() {
    let tally = differ(0..500, generate::refused, false);
    assert!(tally.disagreements.is_empty(), "\n{tally}");
}

#[test]
fn the_api_server_would_admit_every_case() {
    let cases: Vec<Case> = (0..1_000).map(generate::case).collect();
    let objects: Vec<_> = cases.iter().map(|case| case.objects.clone()).collect();
    for (case, answer) in cases.iter().zip(oracle::admit(&objects)) {
        assert_eq!(answer.outcome, "admitted", "seed {}: {}", case.seed, answer.message);
    }
}

#[test]
fn the_api_server_would_admit_every_allocation() {
    let cases: Vec<Case> = (0..500).map(generate::case).collect();
    let allocated: Vec<_> = cases.iter().filter_map(|case| Some((case, testudo_claims(case)?))).collect();
    assert!(allocated.len() > 100, "{} of {} cases were allocated", allocated.len(), cases.len());
    let claims: Vec<_> = allocated.iter().map(|(_, claims)| claims.clone()).collect();
    for ((case, _), answer) in allocated.iter().zip(oracle::admit(&claims)) {
        assert_eq!(answer.outcome, "admitted", "seed {}: {}", case.seed, answer.message);
    }
}

fn testudo_claims(case: &Case) -> Option<Vec<serde_json::Value>> {
    match testudo::claims::allocate(&case.objects, Some(&case.node)) {
        testudo::claims::Outcome::Allocated { claims, .. } => Some(claims),
        _ => None,
    }
}

/// Without a node, ours finds one where upstream says that it fits, if there is any.
#[test]
fn the_best_node_is_one_that_fits() {
    let cases: Vec<Case> = (0..4_000).map(generate::case).filter(|case| case.nodes().len() > 1).take(1_000).collect();
    let each: Vec<Case> = cases
        .iter()
        .flat_map(|case| case.nodes().into_iter().map(|node| Case { node: node.to_owned(), ..case.clone() }))
        .collect();
    let mut answers = oracle::allocate(&each).into_iter();
    let mut selectors = Selectors::new();
    for case in &cases {
        let theirs: BTreeMap<&str, Answer> = case.nodes().into_iter().zip(answers.by_ref()).collect();
        let somewhere = |outcome: &str| theirs.values().any(|answer| answer.outcome == outcome);
        let ours = ours(case, None);
        let agree = match &ours {
            Ours::Fits { node, claims } => {
                let case = Case { node: node.clone(), ..case.clone() };
                assert_eq!(checker::check(&case, claims, &mut selectors), Ok(()), "seed {}", case.seed);
                compare(&case, &theirs[node.as_str()], &ours, &mut selectors).is_ok()
            }
            Ours::NoFit { complete, .. } => *complete && !somewhere("fits"),
            Ours::Error(_) => somewhere("error") || somewhere("panic"),
            Ours::Broken(_) => false,
        };
        let said: BTreeMap<_, _> = theirs.iter().map(|(node, answer)| (node, &answer.outcome)).collect();
        assert!(
            agree || somewhere("timeout"),
            "seed {}: theirs {said:?}, ours {} {}",
            case.seed,
            ours.name(),
            ours.why()
        );
    }
}
