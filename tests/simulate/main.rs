//! `testudo simulate` as scripts call it.

mod bad_input;
mod extender;
mod html;
mod mig;
mod published;
mod reports;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An extract of the openb trace, with every model of GPU.
fn extract(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openb").join(file)
}

/// Runs the program with arguments divided by spaces; `NODES` and `PODS` stand for the extract.
fn simulate(arguments: &str) -> Output {
    simulate_with(arguments, &[])
}

/// The same with more arguments, taken as they are.
fn simulate_with(arguments: &str, more: &[&str]) -> Output {
    let (nodes, pods) = (extract("nodes.csv"), extract("pods.csv"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_testudo"));
    command.arg("simulate").args(arguments.split_whitespace().map(|argument| match argument {
        "NODES" => nodes.display().to_string(),
        "PODS" => pods.display().to_string(),
        other => other.to_owned(),
    }));
    command.args(more);
    command.output().expect("the program runs")
}

/// What it wrote, once it succeeded.
fn written(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Its report.
fn report(arguments: &str) -> serde_json::Value {
    serde_json::from_str(&written(&simulate(&format!("{arguments} -o json")))).expect("JSON")
}

/// How much a policy allocated in the mean at a load.
fn allocated(report: &serde_json::Value, policy: &str, load: &str) -> f64 {
    let policies = report["policies"].as_array().expect("a list of policies");
    let found = policies.iter().find(|one| one["name"] == policy).expect("the policy");
    found["mean"]["allocated_percent"][load].as_f64().expect("an allocation at this load")
}
