//! What decisions may cost, in instructions: counts come out the same on any machine and however busy it is.
//!
//! Each piece of work runs in a process of its own under valgrind's callgrind, which counts what happens inside of
//! [`counted`] only. What it may cost stands in `instructions.txt`, from a run of this test with `UPDATE_BUDGETS=1`; more
//! than a fifth above that fails. The build is that of the tests, unoptimised: what grows here is work, not what a compiler
//! makes of it. x86-64 only.

#[path = "../../benches/common/fleet.rs"]
mod fleet;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// How far above its budget a count may be, in percent.
const TOLERANCE: u64 = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice()
        && flag == "--count"
    {
        work::run(name);
        return ExitCode::SUCCESS;
    }
    // How cargo, and who works with it, asks what there is.
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    if !cfg!(target_arch = "x86_64") {
        println!("budgets are counts of x86-64 instructions: nothing is compared here");
        return ExitCode::SUCCESS;
    }
    let counts: BTreeMap<&str, u64> = work::ALL.iter().map(|(name, _)| (*name, instructions(name))).collect();
    if std::env::var_os("UPDATE_BUDGETS").is_some() {
        let lines: String = counts.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        std::fs::write(file(), lines).expect("the budgets can be written");
    }
    if compare(&counts, &budgets()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the counts beside their budgets; says whether all are kept.
fn compare(counts: &BTreeMap<&str, u64>, budgets: &BTreeMap<String, u64>) -> bool {
    let mut is_kept = true;
    for (name, count) in counts {
        let Some(budget) = budgets.get(*name) else {
            println!("{name}: {count} instructions, and no budget: run this test with UPDATE_BUDGETS=1");
            is_kept = false;
            continue;
        };
        let percent = (*count as f64 / *budget as f64 - 1.0) * 100.0;
        println!("{name}: {count} instructions, {percent:+.1} % of the budget of {budget}");
        if *count > budget + budget * TOLERANCE / 100 {
            println!("{name}: costs over {TOLERANCE} % more than it may");
            is_kept = false;
        }
    }
    is_kept
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/budget/instructions.txt")
}

fn budgets() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let read = |line: &str| {
        let (name, count) = line.rsplit_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().map(|line| read(line).unwrap_or_else(|| panic!("{line:?} is no budget"))).collect()
}

/// What happens inside of [`counted`] when a piece of work is done, in instructions.
fn instructions(name: &str) -> u64 {
    let itself = std::env::current_exe().expect("this test's own binary");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=*counted_work*")
        .arg(itself)
        .args(["--count", name])
        .output();
    let run = run.unwrap_or_else(|error| panic!("valgrind: {error}; install it (Debian: apt-get install valgrind)"));
    let text = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name}: {text}");
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    let count = collected.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{name}: no count in {text}"));
    assert!(count > 1_000, "{name}: nothing was counted: {text}");
    count
}

/// What callgrind counts.
#[inline(never)]
pub fn counted_work<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}
