//! Two replicas, one of which leads: it goes in peace, it is killed, it is stopped and comes back. Nobody is placed twice, and
//! nobody waits longer than it takes to notice.

mod handover;
mod paused;
mod upgrade;

use libtest_mimic::Trial;

use crate::stage::Stage;

/// Each alone: there is one lease.
pub fn scenarios(stage: &Stage) -> Vec<Trial> {
    [handover::scenarios(stage), paused::scenarios(stage), upgrade::scenarios(stage)].into_iter().flatten().collect()
}
