//! What node pools have, what of that is of no use, to pods as they come and to MIG instances of each profile, and how many
//! NVLink sets could start.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use testudo_core::cluster::Slot;
use testudo_core::engine::{Devices, MigSurvey, ProfileRoom, Snapshot};

use super::fleet::device_states;
use super::gauges::{Labels, OTHER, bounded, gauges};
use crate::host::Host;
use crate::overview::{Overview, PoolKey};
use crate::web::view::fleet::FleetView;
use crate::web::view::sets::{SIZES, room};

/// Gauges of node pools.
pub(super) struct PoolMetrics {
    host: Arc<Host>,
    /// Kept from scrape to scrape: only nodes that have changed are looked at again.
    fleet: Mutex<FleetView>,
}

/// Pool and product.
type Pool = (String, String);

impl PoolMetrics {
    /// Looks at the pools of this host when metrics are scraped.
    pub fn new(host: Arc<Host>) -> Self {
        Self { host, fleet: Mutex::default() }
    }
}

impl fmt::Debug for PoolMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMetrics").finish_non_exhaustive()
    }
}

impl Collector for PoolMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.host.snapshot_to_show();
        let overview = Overview::of(&snapshot, []);
        let devices = overview.pools.iter().map(|(key, pool)| (named(key), pool.devices));
        let devices = bounded(devices, (OTHER.to_owned(), String::new()), |sum, more| *sum += more);
        let help = "Devices of a node pool by what becomes of them, slices and replicas as parts of one: used, held for pods \
                    that are not bound yet, idle, stranded (free, but of no use to pods like those that come), closed (on nodes that \
                    take no pods), failed";
        gauges(&mut encoder, "testudo_pool_devices", help, devices.iter().flat_map(|(pool, of)| states(pool, of)))?;
        let fragmentation =
            devices.iter().map(|(pool, of)| (labels(pool), of.fragmentation_permille() as f64 / 1000.0));
        let help = "Share of what is free in a node pool that is of no use to pods like those that come";
        gauges(&mut encoder, "testudo_pool_fragmentation_ratio", help, fragmentation)?;
        let by_profile = profile_rooms(&snapshot);
        let fragmentation = by_profile.iter().flat_map(|(pool, room)| {
            room.iter().map(|(profile, of)| {
                let [name, product] = labels(pool);
                ([name, product, ("profile", profile.clone())], of.fragmentation_permille() as f64 / 1000.0)
            })
        });
        let help = "Share of the free memory slices of a node pool's MIG GPUs that no instance of a profile could have; of a \
                    profile that leaves a part of each GPU over, that part on empty ones, too";
        gauges(&mut encoder, "testudo_pool_profile_fragmentation_ratio", help, fragmentation)?;

        let mut fleet = self.fleet.lock();
        fleet.keep_up(&snapshot);
        let products = room(&fleet).sets;
        drop(fleet);
        let sets = products.iter().flat_map(|free| {
            let counted = SIZES.iter().zip(&free.sets).filter_map(|(size, sets)| Some((size, (*sets)?)));
            counted.map(|(size, sets)| ([("product", free.product.clone()), ("size", size.to_string())], sets))
        });
        let help = "Sets of so many devices that NVLink connects and that are free, by product: by counts, CPUs, memory and \
                    taints are not looked at";
        gauges(&mut encoder, "testudo_free_nvlink_sets", help, sets)
    }
}

fn named(key: &PoolKey) -> Pool {
    (key.name.clone(), key.product.clone().unwrap_or_default())
}

/// What MIG GPUs have left by pool and profile.
fn profile_rooms(snapshot: &Snapshot) -> BTreeMap<Pool, BTreeMap<String, ProfileRoom>> {
    let mut survey = MigSurvey::default();
    let rooms = snapshot.slots().iter().enumerate().filter_map(|(slot, state)| {
        let node = state.as_ref()?.node()?;
        let room = survey.room(snapshot, Slot::at(slot));
        let gpus = snapshot.gpus().get(node.name()).map(|gpus| gpus.as_slice());
        (!room.is_empty()).then(|| (named(&PoolKey::of(node, gpus)), room))
    });
    bounded(rooms, (OTHER.to_owned(), String::new()), |sum, more| {
        more.into_iter().for_each(|(profile, room)| *sum.entry(profile).or_default() += room);
    })
}

fn labels((pool, product): &Pool) -> Labels<2> {
    [("pool", pool.clone()), ("product", product.clone())]
}

fn states(pool: &Pool, devices: &Devices) -> [(Labels<3>, f64); 6] {
    device_states(devices).map(|(state, count)| {
        let [name, product] = labels(pool);
        ([name, product, ("state", state.to_owned())], count)
    })
}
