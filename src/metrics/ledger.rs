//! Is the ledger true? What it says beside what the watch shows, looked at when metrics are scraped.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use testudo_core::cluster::Audit;

use super::gauges::{gauge, gauges};
use crate::host::Host;

/// Comparing walks over all pods under the engine's lock: not more often, whoever asks.
const FRESH: Duration = Duration::from_secs(1);

/// Gauges of the ledger.
pub(super) struct LedgerMetrics {
    host: Arc<Host>,
    last: Mutex<Option<(Instant, Audit)>>,
}

impl LedgerMetrics {
    /// Looks at the ledger of this host when metrics are scraped.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host, last: Mutex::default() }
    }

    fn audit(&self) -> Audit {
        let mut last = self.last.lock();
        match *last {
            Some((at, audit)) if at.elapsed() < FRESH => audit,
            _ => last.insert((Instant::now(), self.host.audit())).1,
        }
    }
}

impl fmt::Debug for LedgerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerMetrics").finish_non_exhaustive()
    }
}

impl Collector for LedgerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let audit = self.audit();
        let snapshot = self.host.snapshot();
        let states = || snapshot.slots().iter().flatten();
        let wrong_sums = states().filter(|state| !state.adds_up()).count();
        let overcommitted = states().filter(|state| state.is_overcommitted()).count();
        let help = "Devices, or counters that devices share, of which claims have been given more than there is: two schedulers \
                    allocate the same devices";
        gauge(&mut encoder, "testudo_devices_given_twice", help, self.host.devices_given_twice() as i64)?;
        let differences = [("not_held", audit.not_held), ("not_seen", audit.not_seen), ("node_sum", wrong_sums)];
        gauges(
            &mut encoder,
            "testudo_ledger_differences",
            "Where the ledger is not what the watch shows: pods on a node that it does not have there (not_held), holdings of \
             pods that are not there (not_seen), nodes whose holdings do not add up (node_sum). Anything but 0 is a bug",
            differences.map(|(kind, count)| ([("kind", kind.to_owned())], count)),
        )?;
        let standings = [
            ("planned", audit.planned),
            ("assumed", audit.assumed),
            ("committed", audit.committed),
            ("observed", audit.observed),
        ];
        gauges(
            &mut encoder,
            "testudo_ledger_holdings",
            "Places in the ledger by how sure they are: kept by a plan, being bound, bound but not seen yet, seen",
            standings.map(|(standing, count)| ([("standing", standing.to_owned())], count)),
        )?;
        gauge(
            &mut encoder,
            "testudo_overcommitted_nodes",
            "Nodes on which more of an accelerator is in use than they can give: devices failed under their pods, or somebody \
             else places pods there, too",
            overcommitted,
        )
    }
}
