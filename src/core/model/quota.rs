//! How much of what a namespace may have: amounts, limits, and what is said of one that is reached.

use std::fmt;

use super::accelerator::AcceleratorKind;
use super::pod::Demand;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// GPUs and Neuron devices, by resources and by claims; of shareable GPUs the thousandths that are asked for.
    Gpus,
    /// MIG slices of whatever size.
    MigSlices,
    /// Replicas of shared devices (`*.shared`).
    Replicas,
    /// Neuron cores.
    NeuronCores,
    /// Gangs that have started, or have places.
    Gangs,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gpus, Self::MigSlices, Self::Replicas, Self::NeuronCores, Self::Gangs];

    /// A short name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gpus => "gpus",
            Self::MigSlices => "mig_slices",
            Self::Replicas => "replicas",
            Self::NeuronCores => "neuron_cores",
            Self::Gangs => "gangs",
        }
    }

    /// What so many of it are called.
    fn noun(self, milli: i64) -> &'static str {
        match (self, milli == ONE) {
            (Self::Gpus, true) => "GPU",
            (Self::Gpus, false) => "GPUs",
            (Self::MigSlices, true) => "MIG slice",
            (Self::MigSlices, false) => "MIG slices",
            (Self::Replicas, true) => "shared replica",
            (Self::Replicas, false) => "shared replicas",
            (Self::NeuronCores, true) => "Neuron core",
            (Self::NeuronCores, false) => "Neuron cores",
            (Self::Gangs, true) => "gang",
            (Self::Gangs, false) => "gangs",
        }
    }

    /// Which of them the units of an extended resource are; none for what is no accelerator.
    fn of(kind: &AcceleratorKind, shared: bool) -> Self {
        match kind {
            AcceleratorKind::GpuShare | AcceleratorKind::NeuronDevice => Self::Gpus,
            AcceleratorKind::NeuronCore => Self::NeuronCores,
            _ if shared => Self::Replicas,
            AcceleratorKind::Gpu => Self::Gpus,
            AcceleratorKind::Mig(_) => Self::MigSlices,
        }
    }
}

/// One, in the thousandths in which is counted.
const ONE: i64 = 1000;

/// How much of each item, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts([i64; Item::ALL.len()]);

impl Amounts {
    /// What a demand asks for.
    pub fn of(demand: &Demand) -> Self {
        let mut amounts = Self::default();
        for (_, resource, count) in demand.accelerators() {
            let milli = if resource.kind == AcceleratorKind::GpuShare { count } else { count.saturating_mul(ONE) };
            amounts.add_milli(Item::of(&resource.kind, resource.shared), milli);
        }
        amounts
    }

    /// So many of an item.
    pub fn whole(item: Item, count: i64) -> Self {
        let mut amounts = Self::default();
        amounts.add_milli(item, count.saturating_mul(ONE));
        amounts
    }

    fn add_milli(&mut self, item: Item, milli: i64) {
        let sum = &mut self.0[item as usize];
        *sum = sum.saturating_add(milli);
    }

    /// The same with these.
    pub fn plus(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self
    }

    /// The greater of both, item by item.
    pub fn or_more(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(most, other)| *most = (*most).max(other));
        self
    }

    /// What of this is beyond these.
    pub fn beyond(self, other: &Self) -> Self {
        self.less(other).or_more(&Self::default())
    }

    /// The same without these.
    pub fn less(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(sum, less)| *sum = sum.saturating_sub(less));
        self
    }

    /// How much of an item, in thousandths.
    pub fn milli(&self, item: Item) -> i64 {
        self.0[item as usize]
    }

    /// Is it nothing?
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// How much a namespace may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota([Option<i64>; Item::ALL.len()]);

impl Quota {
    /// The same with a limit to an item.
    pub fn limited(mut self, item: Item, count: u32) -> Self {
        self.0[item as usize] = Some(i64::from(count) * ONE);
        self
    }

    /// The limits that there are, in thousandths.
    pub fn limits(&self) -> impl Iterator<Item = (Item, i64)> {
        Item::ALL.into_iter().filter_map(|item| Some((item, self.0[item as usize]?)))
    }

    /// What stands against so much more where so much is in use: the first limit that would be passed. Of an item of which
    /// nothing is asked for nobody is reminded, though more of it is in use than may be.
    pub fn check(&self, namespace: &str, used: &Amounts, more: &Amounts) -> Result<(), OverQuota> {
        let passed = |(item, limit): &(Item, i64)| {
            more.milli(*item) > 0 && used.milli(*item).saturating_add(more.milli(*item)) > *limit
        };
        let Some((item, limit)) = self.limits().find(passed) else { return Ok(()) };
        Err(OverQuota { namespace: namespace.into(), item, requested: more.milli(item), limit, used: used.milli(item) })
    }
}

/// A namespace may not have that much. The text names what is asked for and what is allowed, and not what is in use: see
/// [`Reason`](crate::placement::Reason). Amounts are in thousandths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OverQuota {
    /// Which.
    pub namespace: Box<str>,
    /// Of what.
    pub item: Item,
    /// How much is asked for.
    pub requested: i64,
    /// How much it may have.
    pub limit: i64,
    /// How much it has.
    pub used: i64,
}

impl OverQuota {
    /// What is in use, for those who look now.
    pub fn in_use(&self) -> impl fmt::Display {
        Milli(self.used)
    }
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, item, requested, limit, .. } = self;
        let of = |milli: i64| format!("{} {}", Milli(milli), item.noun(milli));
        match item {
            Item::Gangs => write!(f, "over quota: namespace {namespace} may have {} at a time", of(*limit)),
            _ => write!(f, "over quota: needs {}, namespace {namespace} may have {}", of(*requested), Milli(*limit)),
        }
    }
}

/// Thousandths as people write them.
struct Milli(i64);

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % ONE {
            0 => write!(f, "{}", self.0 / ONE),
            rest => f.write_str(format!("{}.{:03}", self.0 / ONE, rest.abs()).trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    fn amounts(asks: &[(&str, i64)]) -> Amounts {
        Amounts::of(&asks.iter().fold(pod("p"), |pod, (resource, count)| pod.asks(resource, *count)).demand())
    }

    #[test]
    fn each_resource_counts_as_what_it_is() {
        let counted = [
            ("nvidia.com/gpu", 2, Item::Gpus, 2000),
            ("alibabacloud.com/gpu-milli", 500, Item::Gpus, 500),
            ("aws.amazon.com/neuron", 4, Item::Gpus, 4000),
            ("nvidia.com/mig-1g.5gb", 3, Item::MigSlices, 3000),
            ("nvidia.com/gpu.shared", 1, Item::Replicas, 1000),
            ("nvidia.com/mig-1g.5gb.shared", 1, Item::Replicas, 1000),
            ("aws.amazon.com/neuroncore", 8, Item::NeuronCores, 8000),
        ];
        for (resource, count, item, milli) in counted {
            let amounts = amounts(&[(resource, count)]);
            assert_eq!(amounts.milli(item), milli, "{resource}");
            assert_eq!(Item::ALL.into_iter().filter(|item| amounts.milli(*item) != 0).count(), 1, "{resource}");
        }
        assert!(amounts(&[("cpu", 4000)]).is_zero());
    }

    #[test]
    fn what_would_pass_a_limit_is_refused_with_the_numbers_of_the_quota() {
        let quota = Quota::default().limited(Item::Gpus, 8).limited(Item::MigSlices, 0);
        let (six, two) = (amounts(&[("nvidia.com/gpu", 6)]), amounts(&[("nvidia.com/gpu", 2)]));
        assert_eq!(quota.check("team", &six, &two), Ok(()));
        let over = quota.check("team", &six, &six).unwrap_err();
        assert_eq!(over.to_string(), "over quota: needs 6 GPUs, namespace team may have 8");
        assert_eq!(over.in_use().to_string(), "6");
        let slices = amounts(&[("nvidia.com/mig-1g.5gb", 1)]);
        assert!(quota.check("team", &Amounts::default(), &slices).is_err(), "none is a limit, too");
        let full = six.plus(&six);
        assert_eq!(quota.check("team", &full, &Amounts::default()), Ok(()), "whoever asks for none is not in the way");
        let share = amounts(&[("alibabacloud.com/gpu-milli", 250)]);
        let over = quota.check("team", &full, &share).unwrap_err();
        assert_eq!(over.to_string(), "over quota: needs 0.25 GPUs, namespace team may have 8");
    }

    #[test]
    fn amounts_add_up() {
        let (a, b) = (amounts(&[("nvidia.com/gpu", 6)]), amounts(&[("nvidia.com/mig-1g.5gb", 1)]));
        assert_eq!(a.plus(&b).less(&a), b);
        assert_eq!(Amounts::whole(Item::Gangs, 2).milli(Item::Gangs), 2000);
    }
}
