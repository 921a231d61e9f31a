//! What the state of a host amounts to, in gauges that are computed when they are asked for.
//!
//! What happens is counted where it happens (`host`, `extender`); here is what *is*: the fleet and its pools, who waits, whether
//! the ledger is true, how fresh the watches are. Labels are of few values: pools and resources beyond a limit count as one.

mod fleet;
mod gangs;
mod gauges;
mod ledger;
mod pools;
mod quotas;
mod shortfalls;
mod watches;

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::host::Host;
use crate::k8s::pulse::Pulse;

/// Registers the gauges of this host.
pub fn register(registry: &mut Registry, host: &Arc<Host>) {
    registry.register_collector(Box::new(fleet::FleetMetrics::new(Arc::clone(host))));
    registry.register_collector(Box::new(pools::PoolMetrics::new(Arc::clone(host))));
    registry.register_collector(Box::new(gangs::GangMetrics::new(Arc::clone(host))));
    registry.register_collector(Box::new(ledger::LedgerMetrics::new(Arc::clone(host))));
    registry.register_collector(Box::new(shortfalls::ShortfallMetrics::new(Arc::clone(host))));
    registry.register_collector(Box::new(quotas::QuotaMetrics::new(Arc::clone(host))));
}

/// Registers the gauges of the watches whose answers this has heard.
pub fn register_watches(registry: &mut Registry, pulse: Pulse) {
    registry.register_collector(Box::new(watches::WatchMetrics::new(pulse)));
}

#[cfg(test)]
mod tests;
