//! Each bug of a list is found within a thousand seeds. Builds a copy of the source: for `make test-all`.

use std::fs;
use std::path::Path;
use std::process::Command;

use testudo_faults::mutations::{ALL, SWITCH, put_into};

/// What is not copied.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

#[test]
#[ignore = "builds testudo anew: make test-all"]
fn every_bug_on_purpose_is_found_within_a_thousand_seeds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let target = root.join("target/mutants");
    let (copy, built) = (target.join("source"), target.join("build"));
    let _ = fs::remove_dir_all(&copy);
    copy_folder(root, &copy);
    put_into(&copy).unwrap_or_else(|error| panic!("{error}"));
    let mut build = Command::new(env!("CARGO"));
    // A folder of its own for what is built: cargo takes a copy for what it is a copy of.
    build.args(["build", "--locked", "--profile", "bench", "--package", "testudo-faults"]).current_dir(&copy);
    let status = build.env("CARGO_TARGET_DIR", &built).status().expect("cargo runs");
    assert!(status.success(), "the copy with the bugs cannot be built");
    let program = built.join("release/sim");
    let mut survivors = vec![];
    for mutation in ALL {
        let output = Command::new(&program).arg("--brief").env(SWITCH, mutation.name).output().expect("it runs");
        let report = String::from_utf8_lossy(&output.stdout);
        let report = report.lines().next().unwrap_or_default();
        println!("{:<45} {report}", mutation.name);
        let is_as_expected = mutation.breaks.iter().any(|rule| report.contains(&format!("FAILS: {rule:?}")));
        if !is_as_expected {
            survivors.push(format!("{}: {report}", mutation.name));
        }
    }
    assert!(survivors.is_empty(), "not found, or by another rule than expected:\n{}", survivors.join("\n"));
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder that can be listed") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        let (path, copy) = (entry.path(), to.join(&name));
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
        } else if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, &copy).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
