//! The alerts, by Prometheus' own tool.

use std::process::Command;

use testudo_e2e::manifests::workspace;
use testudo_e2e::tools;

fn promtool(args: &[&str]) {
    let output = Command::new(tools::promtool().unwrap()).args(args).current_dir(workspace()).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {args:?}: {out}{error}");
}

#[test]
fn the_rules_are_well_formed() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "deploy/chart/testudo/files/alerts.yaml"]);
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    promtool(&["test", "rules", "deploy/alerts_test.yaml"]);
}
