//! What sort of pod: what it takes from a node, rounded, so that pods which ask for much the same count as the same.

use super::pod::Demand;
use super::resources::{ResourceName, Resources};
use super::selector::NodeAffinity;

/// What pods of one sort take from a node, and which nodes they accept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// The accelerator that they ask for.
    pub accelerator: ResourceName,
    /// How many units of it.
    pub units: i64,
    /// Thousandths of CPUs, rounded up to three significant bits.
    pub cpu_milli: i64,
    /// Bytes of memory, rounded up to three significant bits.
    pub memory: i64,
    /// Which nodes they accept and which taints they tolerate; asks for nothing and wishes for nothing.
    pub conditions: Demand,
}

impl Shape {
    /// The shape of pods with this demand; none for those that ask for no accelerator. Of several accelerators the first
    /// by name counts: who asks for two kinds at once is rare.
    pub fn of(demand: &Demand) -> Option<Self> {
        let (accelerator, _, units) = demand.accelerators().next()?;
        Some(Self {
            accelerator: accelerator.clone(),
            units,
            cpu_milli: round_up(demand.requests.get(ResourceName::CPU)),
            memory: round_up(demand.requests.get(ResourceName::MEMORY)),
            conditions: Demand {
                requests: Resources::default(),
                class_devices: demand.class_devices.clone(),
                affinity: NodeAffinity { preferred: vec![], ..demand.affinity.clone() },
                tolerations: demand.tolerations.clone(),
            },
        })
    }

    /// Do its pods accept any node, taints apart?
    pub fn accepts_any_node(&self) -> bool {
        let affinity = &self.conditions.affinity;
        affinity.selector.iter().next().is_none() && affinity.required.is_none()
    }
}

/// Rounds up to a number of which only the three highest bits are set: in steps of an eighth to a quarter.
fn round_up(amount: i64) -> i64 {
    let amount = amount.max(0);
    let low_bits = (i64::BITS - amount.leading_zeros()).saturating_sub(3);
    let step = 1i64 << low_bits;
    amount.checked_add(step - 1).map_or(i64::MAX, |raised| raised / step * step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::selector::{Preference, Requirement, Term};
    use crate::testing::pod;

    #[test]
    fn amounts_are_rounded_up() {
        let rounded = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 1000, 3152].map(round_up);
        assert_eq!(rounded, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 1024, 3584]);
        assert_eq!(round_up(-5), 0);
        assert!(round_up(i64::MAX) > 1 << 62);
    }

    #[test]
    fn wishes_and_small_differences_make_no_other_shape() {
        let term = Term { labels: vec![Requirement::equals("zone", "b")], name: vec![] };
        let wish = NodeAffinity { preferred: vec![Preference { weight: 1, term }], ..NodeAffinity::default() };
        let shape = |pod: crate::testing::PodBuilder| Shape::of(&pod.demand());
        let plain = shape(pod("a").gpus(2).asks("cpu", 8000));
        assert_eq!(shape(pod("b").gpus(2).asks("cpu", 7900).affinity(wish)), plain);
        assert_ne!(shape(pod("c").gpus(4).asks("cpu", 8000)), plain);
        assert_ne!(shape(pod("d").gpus(2).asks("cpu", 8000).selects("zone", "b")), plain);
        assert_eq!(shape(pod("e")), None);
    }
}
