//! The devices that there are: classes and slices as they were last seen, and what of that the desk has yet to hear.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::claims::{Allocator, Amount, Claim, Device, DeviceClass, DeviceId, Node, PoolId, Slice};
use crate::cluster::Cluster;
use crate::model::node::NodeName;

/// Classes and slices, by name, and what has changed since an allocator was last told.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    classes: BTreeMap<Box<str>, DeviceClass>,
    slices: BTreeMap<Box<str>, Arc<Slice>>,
    pools: BTreeMap<PoolId, BTreeSet<Box<str>>>,
    /// The node of each pool that was ever seen to be for one node.
    homes: BTreeMap<PoolId, NodeName>,
    /// The same the other way round.
    at_home: BTreeMap<NodeName, BTreeSet<PoolId>>,
    untold: Untold,
}

#[derive(Debug, Clone, Default)]
struct Untold {
    nodes: BTreeSet<NodeName>,
    classes: BTreeSet<Box<str>>,
    pools: BTreeSet<PoolId>,
}

impl Fleet {
    /// A node is there, is gone, or has other labels.
    pub fn touch_node(&mut self, name: &NodeName) {
        self.untold.nodes.insert(name.clone());
    }

    /// A class is new, or has changed.
    pub fn set_class(&mut self, class: DeviceClass) {
        self.untold.classes.insert(class.name.clone());
        self.classes.insert(class.name.clone(), class);
    }

    /// A class is gone. Says whether it served an extended resource.
    pub fn remove_class(&mut self, name: &str) -> bool {
        let Some(class) = self.classes.remove(name) else { return false };
        self.untold.classes.insert(name.into());
        class.extended_resource.is_some()
    }

    /// All classes but these are gone. Says whether any of them served an extended resource.
    pub fn retain_classes(&mut self, listed: &BTreeSet<String>) -> bool {
        let gone: Vec<Box<str>> = self.classes.keys().filter(|name| !listed.contains(&***name)).cloned().collect();
        gone.iter().filter(|name| self.remove_class(name)).count() > 0
    }

    /// A slice is new, or has changed. Returns the pools that are others by that.
    pub fn set_slice(&mut self, slice: Arc<Slice>) -> Vec<PoolId> {
        if self.slices.get(&slice.name) == Some(&slice) {
            return vec![];
        }
        let mut pools = self.remove_slice(&slice.name).into_iter().collect::<Vec<_>>();
        self.pools.entry(slice.pool.clone()).or_default().insert(slice.name.clone());
        self.untold.pools.insert(slice.pool.clone());
        pools.push(slice.pool.clone());
        if let Some(node) = slice.nodes.single() {
            let node = NodeName::from(node);
            self.at_home.entry(node.clone()).or_default().insert(slice.pool.clone());
            self.homes.insert(slice.pool.clone(), node);
        }
        self.slices.insert(slice.name.clone(), slice);
        pools
    }

    /// A slice is gone. Returns the pool that it was of.
    pub fn remove_slice(&mut self, name: &str) -> Option<PoolId> {
        let slice = self.slices.remove(name)?;
        if let Some(names) = self.pools.get_mut(&slice.pool) {
            names.remove(name);
            if names.is_empty() {
                self.pools.remove(&slice.pool);
            }
        }
        self.untold.pools.insert(slice.pool.clone());
        Some(slice.pool.clone())
    }

    /// All slices but these are gone. Returns the pools that are others by that.
    pub fn retain_slices(&mut self, listed: &BTreeSet<String>) -> Vec<PoolId> {
        let gone: Vec<Box<str>> = self.slices.keys().filter(|name| !listed.contains(&***name)).cloned().collect();
        gone.iter().filter_map(|name| self.remove_slice(name)).collect()
    }

    /// The node that a pool is for, or was for, if it is one.
    pub fn home(&self, pool: &PoolId) -> Option<NodeName> {
        self.homes.get(pool).cloned()
    }

    /// The pools that are for one node.
    pub fn pools_of(&self, node: &NodeName) -> impl Iterator<Item = &PoolId> {
        self.at_home.get(node).into_iter().flatten().filter(|pool| self.homes.get(*pool) == Some(node))
    }

    /// Their slices.
    pub fn slices_of(&self, node: &NodeName) -> impl Iterator<Item = &Slice> {
        let names = self.pools_of(node).filter_map(|pool| self.pools.get(pool)).flatten();
        names.filter_map(|name| self.slices.get(name).map(|slice| &**slice))
    }

    /// All pools.
    pub fn pools(&self) -> impl Iterator<Item = &PoolId> {
        self.pools.keys()
    }

    /// The slice of the newest generation that describes a device, and where in it.
    pub fn described(&self, device: &DeviceId) -> Option<(&Slice, usize)> {
        let is_it = |known: &Device| known.name == device.name;
        self.newest(&device.pool).find_map(|slice| Some((slice, slice.devices.iter().position(is_it)?)))
    }

    /// The counters of a set of a pool, and how much there is of each.
    pub fn counters(&self, pool: &PoolId, set: &str) -> Option<&BTreeMap<Box<str>, Amount>> {
        let mut sets = self.newest(pool).flat_map(|slice| &slice.counters);
        sets.find(|known| *known.name == *set).map(|known| &known.counters)
    }

    fn newest(&self, pool: &PoolId) -> impl Iterator<Item = &Slice> {
        let names = self.pools.get(pool).into_iter().flatten();
        let slices = names.filter_map(|name| self.slices.get(name).map(|slice| &**slice));
        let newest = slices.clone().map(|slice| slice.generation).max();
        slices.filter(move |slice| Some(slice.generation) == newest)
    }

    /// For each extended resource a claim for one device that serves it. Of several classes the newest counts, then the first
    /// by name, as in kube-scheduler (`updateResourceName2class` of its `extendedresourcecache`).
    pub fn extended_asks(&self) -> BTreeMap<Box<str>, Claim> {
        let mut serves: BTreeMap<&Box<str>, &DeviceClass> = BTreeMap::new();
        for class in self.classes.values() {
            let Some(resource) = &class.extended_resource else { continue };
            let known = serves.entry(resource).or_insert(class);
            if class.created_s > known.created_s {
                *known = class;
            }
        }
        serves.into_iter().map(|(resource, class)| (resource.clone(), Claim::of_one(&class.name))).collect()
    }

    /// The extended resources that devices serve.
    pub fn extended_resources(&self) -> BTreeSet<Box<str>> {
        self.classes.values().filter_map(|class| class.extended_resource.clone()).collect()
    }

    /// Tells an allocator what has changed since it was last told.
    pub fn tell(&mut self, allocator: &mut Allocator, cluster: &Cluster) {
        let Untold { nodes, classes, pools } = std::mem::take(&mut self.untold);
        for name in nodes {
            match cluster.node(name.as_str()).and_then(|state| state.node()) {
                Some(node) => {
                    let (name, labels) = (name.as_str().into(), node.parts.labels.clone());
                    allocator.set_node(Node { name, labels });
                }
                None => allocator.remove_node(name.as_str()),
            }
        }
        for name in classes {
            match self.classes.get(&name) {
                Some(class) => allocator.set_class(class.clone()),
                None => allocator.remove_class(&name),
            }
        }
        for pool in pools {
            let names = self.pools.get(&pool).into_iter().flatten();
            let slices = names.filter_map(|name| self.slices.get(name).cloned()).collect();
            allocator.set_pool(&pool, slices);
        }
    }

    /// Of how many pools that are gone is known where they were.
    pub fn former_homes(&self) -> usize {
        self.homes.len().saturating_sub(self.pools.len())
    }

    /// Where pools were that are gone is forgotten, save of these.
    pub fn forget_homes(&mut self, is_in_use: impl Fn(&PoolId) -> bool) {
        let Self { homes, at_home, pools, .. } = self;
        homes.retain(|pool, _| pools.contains_key(pool) || is_in_use(pool));
        at_home.values_mut().for_each(|at_home| at_home.retain(|pool| homes.contains_key(pool)));
        at_home.retain(|_, pools| !pools.is_empty());
    }

    /// How much an allocator has yet to be told.
    pub fn untold(&self) -> usize {
        self.untold.nodes.len() + self.untold.classes.len() + self.untold.pools.len()
    }

    /// How many classes and pools there are.
    pub fn len(&self) -> usize {
        self.classes.len() + self.pools.len()
    }

    /// The allocator that was told until now is no more.
    pub fn forget_untold(&mut self) {
        self.untold = Untold::default();
    }

    /// For an allocator that has heard nothing yet.
    pub fn tell_anew(&mut self, cluster: &Cluster) {
        let nodes = cluster.slots().iter().flatten().filter_map(|state| state.node());
        self.untold.nodes.extend(nodes.map(|node| node.name().clone()));
        self.untold.classes.extend(self.classes.keys().cloned());
        self.untold.pools.extend(self.pools.keys().cloned());
    }
}
