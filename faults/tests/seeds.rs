//! The simulation in the tests: a thousand seeds, and what makes them trustworthy.

use std::fs;
use std::path::Path;

use testudo_faults::invariants::Seen;
use testudo_faults::many;
use testudo_faults::mutations::{ALL, mutated};
use testudo_faults::script::Script;
use testudo_faults::story::Story;
use testudo_faults::world::play;

#[test]
fn nothing_goes_wrong_in_a_thousand_seeds() {
    let threads = std::thread::available_parallelism().map_or(2, Into::into);
    let report = many::play(0..1_000, threads);
    println!("{report}");
    if let Some(failure) = &report.failure {
        panic!("seed {} fails: {}\n{}", failure.seed, failure.violation, failure.history());
    }
    // Rules that nothing could have broken say nothing.
    let Seen { bound, gangs, excused, allocated, taken_back, ledgers, .. } = report.seen;
    assert!(bound > 5_000 && gangs > 1_000 && allocated > 1_000 && taken_back > 40, "{report}");
    assert!(excused < gangs && ledgers > 1_000, "{report}");
    let Seen { over_quota_long, kept_away, beside_former, started_beside, .. } = report.seen;
    assert!(over_quota_long > 10 && kept_away > 10 && beside_former > 100 && started_beside > 10, "{report}");
    let Seen { extras, passed, admitted, admitted_in_part, staged, staged_after, .. } = report.seen;
    assert!(extras > 100 && passed > 10 && admitted > 100 && admitted_in_part > 10, "{report}");
    assert!(staged > 100 && staged_after > 10, "{report}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in [3, 7, 8] {
        let run = || {
            let (outcome, story) = play(&Script::of(seed), Story::written());
            // Some times are those of the wall, and are not read by anybody; names of Events have them, too.
            let told = |line: &String| line.split("/events/").next().unwrap_or(line).chars().take(90).collect();
            let lines: Vec<String> = story.lines().iter().map(told).collect();
            (outcome.steps, outcome.digest, lines)
        };
        let (first, second) = (run(), run());
        let difference = first.2.iter().zip(&second.2).find(|(one, other)| one != other);
        assert_eq!(difference, None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn each_bug_on_purpose_finds_its_place() {
    for mutation in ALL {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(mutation.file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        mutated(&text, mutation).unwrap_or_else(|error| panic!("{error}"));
    }
}
