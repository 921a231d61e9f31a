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

use serde::Deserialize;
use testudo_core::model::place::CapacityType;
use thiserror::Error;

use super::{Devices, Overview, PoolKey};

/// What nodes cost in an hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// How the currency is called.
    pub currency: String,
    per_hour: BTreeMap<(String, Option<CapacityType>), f64>,
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
    /// A row makes no sense.
    #[error("prices {file}: prices[{row}]: {what}")]
    Row {
        /// The file.
        file: String,
        /// Counted from 0.
        row: usize,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
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
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Those that are free, and of no use to the pods that come.
    pub stranded: f64,
    /// Those that are free, and of use.
    pub idle: f64,
    /// Those that are kept for pods that are not bound yet.
    pub held: f64,
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
        let read: File = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| PriceError::Malformed { file: file.to_owned(), what: error.to_string() })?;
        let mut per_hour = BTreeMap::new();
        for (row, Row { instance_type, capacity_type, per_hour: price }) in read.prices.into_iter().enumerate() {
            let wrong = |what: String| PriceError::Row { file: file.to_owned(), row, what };
            if !price.is_finite() || price < 0.0 {
                return Err(wrong(format!("perHour: {price} is no price")));
            }
            let sold = capacity_type.map(|sold| match sold {
                Sold::OnDemand => CapacityType::OnDemand,
                Sold::Spot => CapacityType::Spot,
                Sold::Reserved => CapacityType::Reserved,
            });
            if per_hour.insert((instance_type.clone(), sold), price).is_some() {
                return Err(wrong(format!("{instance_type} is priced twice for the same capacity type")));
            }
        }
        Ok(Self { currency: read.currency, per_hour })
    }

    /// What a node of a pool costs in an hour, where that is said.
    pub fn of(&self, pool: &PoolKey) -> Option<f64> {
        let instance_type = pool.instance_type.clone()?;
        let exact = self.per_hour.get(&(instance_type.clone(), pool.capacity_type));
        exact.or_else(|| self.per_hour.get(&(instance_type, None))).copied()
    }

    /// What the devices of a pool cost that do no work, where its price is said: devices bear the price of their nodes in
    /// equal parts.
    pub fn wasted_in(&self, pool: &PoolKey, nodes: usize, devices: &Devices) -> Option<Cost> {
        let per_milli = self.of(pool)? * nodes as f64 / devices.capacity_milli.max(1) as f64;
        let cost = |milli: i64| milli as f64 * per_milli;
        Some(Cost {
            stranded: cost(devices.stranded_milli),
            idle: cost(devices.idle_milli),
            held: cost(devices.held_milli),
        })
    }

    /// The same of all pools together, and the pools that have no price.
    pub fn wasted<'o>(&self, overview: &'o Overview) -> (Cost, Vec<&'o PoolKey>) {
        let (mut sum, mut unpriced) = (Cost::default(), vec![]);
        for (key, pool) in &overview.pools {
            match self.wasted_in(key, pool.nodes, &pool.devices) {
                Some(cost) => {
                    sum.stranded += cost.stranded;
                    sum.idle += cost.idle;
                    sum.held += cost.held;
                }
                None => unpriced.push(key),
            }
        }
        (sum, unpriced)
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
            ..Devices::default()
        };
        let cost = prices.wasted_in(&pool("p5", None), 2, &devices).unwrap();
        assert_eq!(cost, Cost { stranded: 10.0, idle: 20.0, held: 5.0 });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = |text: &str| Prices::parse("p.yaml", text).unwrap_err().to_string();
        let unknown = error("currency: EUR\nprices:\n- {instanceType: p5, perHour: 40, zone: a}\n");
        assert!(unknown.contains("zone") && unknown.contains("line 3"), "{unknown}");
        let negative = error("currency: EUR\nprices: [{instanceType: p5, perHour: -1}]");
        assert_eq!(negative, "prices p.yaml: prices[0]: perHour: -1 is no price");
        let twice = error("currency: EUR\nprices: [{instanceType: p5, perHour: 1}, {instanceType: p5, perHour: 2}]");
        assert_eq!(twice, "prices p.yaml: prices[1]: p5 is priced twice for the same capacity type");
    }
}
