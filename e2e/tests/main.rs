//! The scenarios, on one control plane that they share. `cargo test -p testudo-e2e -- NAME` runs some of them.

mod control_plane;
mod stage;

use std::process::ExitCode;

fn main() -> ExitCode {
    stage::run(|stage| {
        let mut scenarios = Vec::new();
        scenarios.extend(control_plane::scenarios(stage));
        scenarios
    })
}
