//! Resource pools: who reaches them, what is in them, and in which slices they come.

use serde_json::{Value, json};

use super::cluster::{DRIVERS, node_selector};
use super::dice::Dice;
use super::theme::Theme;
use super::{devices, faults, partitions, shares};

/// A pool before it is cut into objects.
pub struct Pool {
    pub driver: &'static str,
    pub name: String,
    pub generation: usize,
    /// What is added to the number of slices that the pool says it has.
    pub miscounted: i64,
    pub slices: Vec<Slice>,
}

/// Part of a pool.
pub struct Slice {
    pub reach: Reach,
    pub content: Content,
    pub generation: usize,
}

/// Counters have slices of their own.
pub enum Content {
    Devices(Vec<Value>),
    Counters(Vec<Value>),
}

/// From where devices can be used.
#[derive(Clone)]
pub enum Reach {
    Node(String),
    Selector(Value),
    AllNodes,
    PerDevice,
}

/// The slices of one to four pools, more of them for the node that is asked for than for others.
pub fn slices(dice: &mut Dice, theme: &Theme, nodes: &[Value], asked: &str) -> Vec<Value> {
    let count = *dice.weighted(&[(32, 1), (33, 2), (22, 3), (13, 4)]);
    let mut pools: Vec<Pool> = vec![];
    for index in 0..count {
        let mut pool = draw(dice, theme, nodes, asked, index);
        if pools.iter().any(|other| other.driver == pool.driver && other.name == pool.name) {
            pool.name = format!("{}-{index}", pool.name);
        }
        if theme.pool_faults && dice.chance(50) {
            faults::spoil(dice, theme, nodes, &mut pool);
        }
        pools.push(pool);
    }
    let mut objects: Vec<Value> = pools.into_iter().flat_map(|pool| pool.objects(dice)).collect();
    if dice.chance(30) {
        dice.shuffle(&mut objects);
    }
    objects
}

fn draw(dice: &mut Dice, theme: &Theme, nodes: &[Value], asked: &str, index: usize) -> Pool {
    let driver = match (theme.partitions || theme.large) && index == 0 {
        true => DRIVERS[0],
        false => DRIVERS[*dice.weighted(&[(60, 0), (28, 1), (12, 2)])],
    };
    let reach = match dice.weighted(&[(55, 0), (12, 1), (20, 2), (if theme.per_device { 60 } else { 0 }, 3)]) {
        0 if dice.chance(70) => Reach::Node(asked.to_owned()),
        0 => Reach::Node(any_node(dice, nodes)),
        1 => Reach::Selector(node_selector(dice, nodes)),
        2 => Reach::AllNodes,
        _ => Reach::PerDevice,
    };
    let name = match &reach {
        // NVIDIA's driver names pools like nodes, and so may another driver.
        Reach::Node(node) if dice.chance(70) => node.clone(),
        _ => format!("pool-{index}"),
    };
    let mut contents = vec![];
    let mut members = if theme.partitions && driver == DRIVERS[0] && (index == 0 || dice.chance(60)) {
        let (counters, members) = partitions::gpus(dice, theme, driver);
        let apart = if counters.len() == 2 && dice.chance(25) { 1 } else { counters.len() };
        contents.extend(counters.chunks(apart).map(|sets| Content::Counters(sets.to_vec())));
        members
    } else if theme.shares && dice.chance(65) {
        let count = dice.between(1, 3);
        (0..count).map(|index| shares::device(dice, theme, driver, index)).collect()
    } else {
        let count = if theme.large && index == 0 { dice.between(66, 70) } else { dice.between(1, 6) };
        (0..count).map(|index| devices::device(dice, theme, driver, index)).collect()
    };
    if matches!(reach, Reach::PerDevice) {
        for device in &mut members {
            match dice.between(0, 2) {
                0 if dice.chance(50) => device["nodeName"] = json!(asked),
                0 => device["nodeName"] = json!(any_node(dice, nodes)),
                1 => device["nodeSelector"] = node_selector(dice, nodes),
                _ => device["allNodes"] = json!(true),
            }
        }
    }
    let parts = dice.between(1, members.len().clamp(1, 3));
    contents.extend(members.chunks(members.len().div_ceil(parts)).map(|part| Content::Devices(part.to_vec())));
    let generation = *dice.pick(&[0, 1, 1, 7]);
    let mut slices: Vec<Slice> =
        contents.into_iter().map(|content| Slice { reach: reach.clone(), content, generation }).collect();
    if slices.len() > 1 && !matches!(reach, Reach::PerDevice) && dice.chance(15) {
        // A pool may have devices for several nodes, slice by slice.
        let other = Reach::Node(any_node(dice, nodes));
        slices.last_mut().expect("there are two").reach = other;
    }
    Pool { driver, name, generation, miscounted: 0, slices }
}

/// The name of one of the nodes.
pub fn any_node(dice: &mut Dice, nodes: &[Value]) -> String {
    dice.pick(nodes)["metadata"]["name"].as_str().expect("a node has a name").to_owned()
}

impl Pool {
    fn objects(self, dice: &mut Dice) -> Vec<Value> {
        let current = self.slices.iter().filter(|slice| slice.generation == self.generation).count();
        let count = (current as i64 + self.miscounted).max(1);
        let mut letters: Vec<char> = ('a'..='z').collect();
        dice.shuffle(&mut letters);
        let objects = self.slices.into_iter().enumerate().map(|(index, slice)| {
            let mut spec = json!({
                "driver": self.driver,
                "pool": {"name": self.name, "generation": slice.generation, "resourceSliceCount": count},
            });
            match slice.reach {
                Reach::Node(node) => spec["nodeName"] = json!(node),
                Reach::Selector(selector) => spec["nodeSelector"] = selector,
                Reach::AllNodes => spec["allNodes"] = json!(true),
                Reach::PerDevice => spec["perDeviceNodeSelection"] = json!(true),
            }
            match slice.content {
                Content::Devices(devices) => spec["devices"] = json!(devices),
                Content::Counters(sets) => spec["sharedCounters"] = json!(sets),
            }
            // Slices are tried in the order of their names, which is not that of the pool's making.
            let driver = self.driver.split('.').next().unwrap_or_default();
            let name = format!("{}-{driver}-{}-{index}", letters[index], self.name);
            json!({
                "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec,
            })
        });
        objects.collect()
    }
}
