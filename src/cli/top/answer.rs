//! What `testudo top` shows, in the form in which it is shown.

use std::io::Write;

use serde::Serialize;
use testudo_core::engine::{Devices, GangStage};

use super::super::output::table;
use crate::overview::{Cost, Overview, PoolKey, PoolSummary, Prices};

/// What is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    accelerator_nodes: usize,
    other_nodes: usize,
    fleet: DeviceLine,
    pools: Vec<PoolLine>,
    waiting_gangs: Vec<GangLine>,
    placed_gangs: usize,
    cost_per_hour: Cost,
}

/// Devices: fractions where they are shared or cut.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceLine {
    capacity: f64,
    used: f64,
    held: f64,
    idle: f64,
    stranded: f64,
    closed: f64,
    failed: f64,
    used_percent: f64,
    fragmentation_percent: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolLine {
    pool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    nodes: usize,
    idle_nodes: usize,
    #[serde(flatten)]
    devices: DeviceLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    wasted_per_hour: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GangLine {
    gang: String,
    priority: i32,
    members: usize,
    stage: &'static str,
    why: String,
}

/// The columns of pools.
pub const POOL_COLUMNS: [&str; 12] =
    ["POOL", "PRODUCT", "NODES", "IDLE", "GPUS", "USED", "HELD", "FREE", "STRANDED", "CLOSED", "FAILED", "FRAGMENTED"];

/// The columns of gangs.
pub const GANG_COLUMNS: [&str; 5] = ["WAITING GANG", "PRIORITY", "MEMBERS", "STAGE", "WHY"];

impl Answer {
    /// Puts an overview into this form.
    pub fn new(overview: &Overview, prices: Option<&Prices>) -> Self {
        let devices = overview.devices();
        Self {
            accelerator_nodes: overview.accelerator_nodes(),
            other_nodes: overview.other_nodes,
            fleet: DeviceLine::new(&devices),
            pools: overview.pools.iter().map(|(key, pool)| PoolLine::new(key, pool, prices)).collect(),
            waiting_gangs: overview
                .waiting
                .iter()
                .map(|gang| GangLine {
                    gang: gang.key.to_string(),
                    priority: gang.priority,
                    members: gang.members.len(),
                    stage: match gang.stage {
                        GangStage::Gathering => "not complete",
                        GangStage::Waiting => "no places",
                        GangStage::Clearing => "others make way",
                        GangStage::Planned | GangStage::Running => "has places",
                    },
                    why: gang.why.as_deref().unwrap_or_default().to_owned(),
                })
                .collect(),
            placed_gangs: overview.placed_gangs,
            cost_per_hour: overview.cost(prices),
        }
    }

    /// The fleet in one line.
    pub fn headline(&self) -> String {
        let DeviceLine { used, held, idle, stranded, closed, failed, used_percent, .. } = &self.fleet;
        format!(
            "{}: {used} used ({used_percent:.0} %), {held} held, {idle} idle, {stranded} stranded, {closed} closed, \
             {failed} failed",
            self.nodes()
        )
    }

    /// What it costs, in one line.
    pub fn cost(&self) -> String {
        let Cost { unit, stranded, idle, held, closed, unpriced } = &self.cost_per_hour;
        let mut line =
            format!("Per hour, in {unit}: {idle:.2} idle, {stranded:.2} stranded, {held:.2} held, {closed:.2} closed");
        if !unpriced.is_empty() {
            line += &format!("; no price for {}", unpriced.join(", "));
        }
        line
    }

    /// How many nodes there are, in one line.
    pub fn nodes(&self) -> String {
        let (nodes, others) = (self.accelerator_nodes, self.other_nodes);
        format!("{nodes} nodes with accelerators, {others} without; {} devices", self.fleet.capacity)
    }

    /// Each state that devices can be in, with how many are.
    pub fn states(&self) -> [(&'static str, f64); 6] {
        let DeviceLine { used, held, idle, stranded, closed, failed, .. } = self.fleet;
        [("used", used), ("held", held), ("idle", idle), ("stranded", stranded), ("closed", closed), ("failed", failed)]
    }

    /// Pools, by [`POOL_COLUMNS`].
    pub fn pool_rows(&self) -> Vec<Vec<String>> {
        self.pools.iter().map(PoolLine::row).collect()
    }

    /// Waiting gangs, by [`GANG_COLUMNS`].
    pub fn gang_rows(&self) -> Vec<Vec<String>> {
        let row = |gang: &GangLine| {
            let GangLine { gang, priority, members, stage, why } = gang;
            vec![gang.clone(), priority.to_string(), members.to_string(), (*stage).to_owned(), why.clone()]
        };
        self.waiting_gangs.iter().map(row).collect()
    }

    /// How many gangs run, or are about to.
    pub fn placed_gangs(&self) -> usize {
        self.placed_gangs
    }

    /// Writes plain tables.
    pub fn table(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.headline())?;
        let mut pools = table();
        pools.set_header(POOL_COLUMNS);
        pools.add_rows(self.pool_rows());
        writeln!(out, "{pools}")?;
        writeln!(out, "{}", self.cost())?;
        writeln!(out, "{} gangs have places, {} wait", self.placed_gangs, self.waiting_gangs.len())?;
        if self.waiting_gangs.is_empty() {
            return Ok(());
        }
        let mut gangs = table();
        gangs.set_header(GANG_COLUMNS);
        gangs.add_rows(self.gang_rows());
        writeln!(out, "{gangs}")
    }
}

impl DeviceLine {
    fn new(devices: &Devices) -> Self {
        let whole = |milli: i64| milli as f64 / 1000.0;
        let percent = |permille: i64| permille as f64 / 10.0;
        let used_permille = devices.used_milli * 1000 / devices.capacity_milli.max(1);
        Self {
            capacity: whole(devices.capacity_milli),
            used: whole(devices.used_milli),
            held: whole(devices.held_milli),
            idle: whole(devices.idle_milli),
            stranded: whole(devices.stranded_milli),
            closed: whole(devices.closed_milli),
            failed: whole(devices.failed_milli),
            used_percent: percent(used_permille),
            fragmentation_percent: percent(devices.fragmentation_permille()),
        }
    }
}

impl PoolLine {
    fn new(key: &PoolKey, pool: &PoolSummary, prices: Option<&Prices>) -> Self {
        let priced = prices.filter(|prices| prices.of(key).is_some());
        let cost = priced.map(|prices| Cost::of([(key, pool.nodes, &pool.devices)], Some(prices)));
        Self {
            pool: key.to_string(),
            instance_type: key.instance_type.clone(),
            product: key.product.clone(),
            nodes: pool.nodes,
            idle_nodes: pool.idle_nodes,
            devices: DeviceLine::new(&pool.devices),
            wasted_per_hour: cost.map(|cost| cost.sum()),
        }
    }

    fn row(&self) -> Vec<String> {
        let DeviceLine { capacity, used, held, idle, stranded, closed, failed, fragmentation_percent, .. } =
            &self.devices;
        let free = idle + stranded;
        let amounts = [capacity, used, held, &free, stranded, closed, failed].map(|amount| format!("{amount:.1}"));
        let mut row = vec![self.pool.clone(), self.product.clone().unwrap_or_default()];
        row.extend([self.nodes.to_string(), self.idle_nodes.to_string()]);
        row.extend(amounts.iter().map(|amount| amount.trim_end_matches(".0").to_owned()));
        row.push(format!("{fragmentation_percent:.0} %"));
        row
    }
}
