//! The scenarios, on one control plane that they share. `cargo test -p testudo-e2e -- NAME` runs some of them.

mod autoscaling;
mod chaos;
mod claims;
mod clusters;
mod control_plane;
mod cpu;
mod deployed;
mod explain;
mod failover;
#[path = "../../benches/common/figures.rs"]
mod figures;
mod first_week;
mod forms;
mod gangs;
mod installed;
mod mig;
mod observability;
mod observe;
mod outage;
mod page;
mod pending;
mod policies;
mod preemption;
mod race;
mod rbac;
mod replicas;
mod sharing;
mod stage;
mod throughput;
mod tls;
mod topology;

use std::process::ExitCode;

fn main() -> ExitCode {
    stage::run(|stage| {
        let mut scenarios = Vec::new();
        scenarios.extend(mig::scenarios(stage));
        scenarios.extend(topology::scenarios(stage));
        scenarios.extend(sharing::scenarios(stage));
        scenarios.extend(cpu::scenarios(stage));
        scenarios.extend(forms::scenarios(stage));
        scenarios.extend(tls::scenarios(stage));
        scenarios.extend(race::scenarios(stage));
        scenarios.extend(preemption::scenarios(stage));
        scenarios.extend(gangs::scenarios(stage));
        scenarios.extend(claims::scenarios(stage));
        scenarios.extend(observability::scenarios(stage));
        scenarios.extend(autoscaling::scenarios(stage));
        scenarios.extend(observe::scenarios(stage));
        scenarios.extend(outage::scenarios(stage));
        scenarios.extend(control_plane::scenarios(stage));
        scenarios.extend(pending::scenarios(stage));
        scenarios.extend(page::scenarios(stage));
        scenarios.extend(explain::scenarios(stage));
        scenarios.extend(failover::scenarios(stage));
        scenarios.extend(first_week::scenarios(stage));
        scenarios.extend(policies::scenarios(stage));
        scenarios.extend(clusters::scenarios(stage));
        scenarios.extend(installed::scenarios(stage));
        scenarios.extend(chaos::scenarios(stage));
        scenarios.extend(throughput::scenarios(stage));
        // It looks back on what the others have asked for.
        scenarios.extend(rbac::scenarios(stage));
        scenarios.push(outage::restart(stage));
        scenarios
    })
}
