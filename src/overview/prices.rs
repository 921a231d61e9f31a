//! What nodes cost, as the operator says it, and what devices that do no work cost by that.
//!
//! ```yaml
//! currency: USD
//! prices:
//!   - instanceType: p5.48xlarge
//!     capacityType: on-demand       # on-demand, spot or reserved; without it the price of all that no other row names
//!     perHour: 55.04                # of one node
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use testudo_core::engine::Devices;
use testudo_core::model::place::CapacityType;
use thiserror::Error;

use super::PoolKey;

/// What nodes cost in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Prices {
    currency: String,
    /// In millionths of the currency.
    per_hour: BTreeMap<(String, Option<CapacityType>), i64>,
}

/// Why a file of prices cannot be used; with line and column where that is known.
#[derive(Debug, Error)]
pub enum PriceError {
    /// It cannot be read.
    #[error("cannot read the prices {file}: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// It is not of the right form.
    #[error("prices {file}: {what}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        what: String,
    },
}

/// The prices as they are written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Table {
    currency: String,
    prices: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    instance_type: String,
    capacity_type: Option<Sold>,
    per_hour: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Sold {
    OnDemand,
    Spot,
    Reserved,
}

/// What devices that do no work cost in an hour.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Cost {
    /// A currency, or `GPU-hours` where there are no prices.
    pub unit: String,
    /// Those that are free, and of no use to the pods that come.
    pub stranded: f64,
    /// Those that are free, and of use.
    pub idle: f64,
    /// Those that are kept for pods that are not bound yet.
    pub held: f64,
    /// Those that are free on nodes that take no pods.
    pub closed: f64,
    /// Pools that have no price, and are not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unpriced: Vec<String>,
}

/// The most that a node may cost in an hour: beyond that somebody has mistaken the unit.
const MOST_PER_HOUR: f64 = 1e6;

/// In how many parts of a currency prices are counted.
const PARTS: f64 = 1e6;

impl TryFrom<Table> for Prices {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let mut per_hour = BTreeMap::new();
        for (row, Row { instance_type, capacity_type, per_hour: price }) in table.prices.into_iter().enumerate() {
            if !(0.0..=MOST_PER_HOUR).contains(&price) {
                return Err(format!("prices[{row}]: perHour: {price} is no price of a node"));
            }
            let sold = capacity_type.map(|sold| match sold {
                Sold::OnDemand => CapacityType::OnDemand,
                Sold::Spot => CapacityType::Spot,
                Sold::Reserved => CapacityType::Reserved,
            });
            if per_hour.insert((instance_type.clone(), sold), (price * PARTS).round() as i64).is_some() {
                return Err(format!("prices[{row}]: {instance_type} is priced twice for the same capacity type"));
            }
        }
        Ok(Self { currency: table.currency, per_hour })
    }
}

impl Prices {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or a price makes no sense.
    pub fn load(path: &Path) -> Result<Self, PriceError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(PriceError::Unreadable { file, error }),
        }
    }

    fn parse(file: &str, text: &str) -> Result<Self, PriceError> {
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| PriceError::Malformed { file: file.to_owned(), what: error.to_string() })
    }

    /// What a node of a pool costs in an hour, where that is said.
    pub fn of(&self, pool: &PoolKey) -> Option<f64> {
        let instance_type = pool.instance_type.clone()?;
        let exact = self.per_hour.get(&(instance_type.clone(), pool.capacity_type));
        let price = exact.or_else(|| self.per_hour.get(&(instance_type, None)))?;
        Some(*price as f64 / PARTS)
    }
}

impl Cost {
    /// What the devices of these pools cost that do no work; beside each pool stands how many nodes it has. Devices bear
    /// the price of their nodes in equal parts. Without prices an hour of a device is the unit.
    pub fn of<'p>(pools: impl IntoIterator<Item = (&'p PoolKey, usize, &'p Devices)>, prices: Option<&Prices>) -> Self {
        let unit = prices.map_or("GPU-hours", |prices| &prices.currency).to_owned();
        let mut sum = Self { unit, ..Self::default() };
        for (pool, nodes, devices) in pools {
            let per_device = match prices {
                None => Some(1.0),
                Some(prices) => {
                    prices.of(pool).map(|price| price * nodes as f64 * 1000.0 / devices.capacity_milli.max(1) as f64)
                }
            };
            match per_device {
                Some(price) => sum.add(devices, price),
                None => sum.unpriced.push(pool.to_string()),
            }
        }
        sum
    }

    /// All of it.
    pub fn sum(&self) -> f64 {
        self.stranded + self.idle + self.held + self.closed
    }

    fn add(&mut self, devices: &Devices, price: f64) {
        let cost = |milli: i64| milli as f64 * price / 1000.0;
        self.stranded += cost(devices.stranded_milli);
        self.idle += cost(devices.idle_milli);
        self.held += cost(devices.held_milli);
        self.closed += cost(devices.closed_milli);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "currency: EUR\nprices:\n- {instanceType: p5, perHour: 40}\n- {instanceType: p5, capacityType: spot, perHour: 16}\n";

    fn pool(instance_type: &str, capacity_type: Option<CapacityType>) -> PoolKey {
        PoolKey { instance_type: Some(instance_type.into()), capacity_type, ..PoolKey::default() }
    }

    #[test]
    fn the_capacity_type_decides_where_it_is_priced() {
        let prices = Prices::parse("p.yaml", FILE).unwrap();
        assert_eq!(prices.of(&pool("p5", Some(CapacityType::Spot))), Some(16.0));
        assert_eq!(prices.of(&pool("p5", Some(CapacityType::OnDemand))), Some(40.0));
        assert_eq!(prices.of(&pool("p5", None)), Some(40.0));
        assert_eq!(prices.of(&pool("p4d", None)), None);
    }

    #[test]
    fn devices_bear_the_price_of_their_nodes_in_equal_parts() {
        let prices = Prices::parse("p.yaml", FILE).unwrap();
        let devices = Devices {
            capacity_milli: 16_000,
            idle_milli: 4_000,
            stranded_milli: 2_000,
            held_milli: 1_000,
            closed_milli: 400,
            ..Devices::default()
        };
        let (p5, p4d) = (pool("p5", None), pool("p4d", None));
        let cost = Cost::of([(&p5, 2, &devices), (&p4d, 1, &devices)], Some(&prices));
        assert_eq!((cost.stranded, cost.idle, cost.held, cost.closed, cost.sum()), (10.0, 20.0, 5.0, 2.0, 37.0));
        assert_eq!((cost.unit.as_str(), cost.unpriced.len()), ("EUR", 1));
        let hours = Cost::of([(&p5, 2, &devices), (&p4d, 1, &devices)], None);
        assert_eq!((hours.unit.as_str(), hours.sum(), hours.unpriced.len()), ("GPU-hours", 14.8, 0));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = |text: &str| Prices::parse("p.yaml", text).unwrap_err().to_string();
        let unknown = error("currency: EUR\nprices:\n- {instanceType: p5, perHour: 40, zone: a}\n");
        assert!(unknown.contains("zone") && unknown.contains("line 3"), "{unknown}");
        let negative = error("currency: EUR\nprices: [{instanceType: p5, perHour: -1}]");
        assert!(negative.starts_with("prices p.yaml: prices[0]: perHour: -1 is no price of a node"), "{negative}");
        let twice = error("currency: EUR\nprices: [{instanceType: p5, perHour: 1}, {instanceType: p5, perHour: 2}]");
        assert!(twice.contains("prices[1]: p5 is priced twice for the same capacity type"), "{twice}");
    }
}
