//! Could these pods be placed on what is free? A plain search over all choices, for small clusters.

use std::collections::BTreeMap;

use crate::facts::{Amounts, Claim, Counter, Device, Devices, Node, Pod};

/// What is free.
#[derive(Debug, Clone)]
pub struct Free {
    nodes: BTreeMap<String, Amounts>,
    devices: Devices,
    taken: Vec<Device>,
}

/// Steps of a search, at most: beyond that nothing is claimed.
const MAX_STEPS: usize = 200_000;

impl Free {
    /// Beside what runs.
    pub fn of<'s>(
        nodes: &[Node],
        pods: &[Pod],
        claims: &[Claim],
        slices: impl Iterator<Item = &'s serde_json::Value> + Clone,
    ) -> Self {
        let used = |node: &str| pods.iter().filter(|pod| pod.is_on(node)).map(|pod| pod.asks).sum::<Amounts>();
        let open = nodes.iter().filter(|node| !node.closed);
        Self {
            nodes: open.map(|node| (node.name.clone(), node.has - used(&node.name))).collect(),
            devices: Devices::read(slices),
            taken: claims.iter().filter_map(|claim| claim.devices.clone()).flatten().collect(),
        }
    }

    /// Places for all of these at once, each with what its claims ask for.
    pub fn places(&self, pods: &[(&Pod, Vec<(String, usize)>)]) -> Option<Vec<String>> {
        let mut steps = 0;
        self.clone().place(pods, &mut steps)
    }

    fn place(&mut self, pods: &[(&Pod, Vec<(String, usize)>)], steps: &mut usize) -> Option<Vec<String>> {
        let Some(((pod, asks), rest)) = pods.split_first() else { return Some(vec![]) };
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for node in names {
            *steps += 1;
            if *steps > MAX_STEPS {
                return None;
            }
            if !self.nodes[&node].covers(pod.asks) {
                continue;
            }
            let mut next = self.clone();
            next.nodes.insert(node.clone(), self.nodes[&node] - pod.asks);
            let wanted: Vec<&str> = { asks.iter() }.flat_map(|(class, count)| vec![class.as_str(); *count]).collect();
            if let Some(places) = next.give(&node, &wanted, rest, steps) {
                return Some([vec![node], places].concat());
            }
        }
        None
    }

    /// Devices for one pod, in every way, and then the other pods.
    fn give(
        &mut self,
        node: &str,
        wanted: &[&str],
        rest: &[(&Pod, Vec<(String, usize)>)],
        steps: &mut usize,
    ) -> Option<Vec<String>> {
        let Some((kind, more)) = wanted.split_first() else { return self.place(rest, steps) };
        let fitting: Vec<Device> = self.free_devices(node, kind);
        for device in fitting {
            *steps += 1;
            if *steps > MAX_STEPS {
                return None;
            }
            let mut next = self.clone();
            next.taken.push(device);
            if let Some(places) = next.give(node, more, rest, steps) {
                return Some(places);
            }
        }
        None
    }

    fn free_devices(&self, node: &str, kind: &str) -> Vec<Device> {
        let mut drawn: BTreeMap<&Counter, i64> = BTreeMap::new();
        for (counter, amount) in
            self.taken.iter().filter_map(|it| self.devices.devices.get(it)).flat_map(|it| &it.draws)
        {
            *drawn.entry(counter).or_default() += amount;
        }
        let has_room = |(counter, amount): &(Counter, i64)| {
            let has = self.devices.counters.get(counter).copied().unwrap_or(0);
            drawn.get(counter).copied().unwrap_or(0) + amount <= has
        };
        let of_node = self.devices.devices.iter().filter(|(_, it)| it.node == node && it.kind == kind);
        let free = of_node.filter(|(device, it)| !self.taken.contains(device) && it.draws.iter().all(has_room));
        free.map(|(device, _)| device.clone()).collect()
    }
}
