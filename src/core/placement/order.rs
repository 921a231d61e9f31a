//! What a place is chosen for, and in which order: the part of a [`Rank`](super::Rank) that a policy decides.

use std::fmt;

/// What a place can be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// The kind of capacity (spot, on demand, reserved) suits the pod's priority.
    Capacity,
    /// Whole devices before slices before replicas, for a pod that names none; no accelerators for a pod that asks for none.
    Form,
    /// Several devices are connected by NVLink or NeuronLink, on a node none of whose devices failed.
    Links,
    /// Slices and replicas go to nodes in use: an idle one could be cut otherwise.
    Uncut,
    /// The place costs the pods to come the least: see [`fragmentation`](super::fragmentation).
    Fragmentation,
    /// NVLink domains of several nodes stay whole: those in use come before idle ones.
    Domains,
    /// Nodes in use before idle ones, then those with the least left over.
    Packing,
    /// Idle nodes before those in use, then those with the most left over.
    Spreading,
    /// The zone suits the pod's service.
    Zone,
    /// Few replicas of the pod's service on the node, then in the rack.
    Replicas,
}

impl Aim {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Capacity,
        Self::Form,
        Self::Links,
        Self::Uncut,
        Self::Fragmentation,
        Self::Domains,
        Self::Packing,
        Self::Spreading,
        Self::Zone,
        Self::Replicas,
    ];

    /// As it is written in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Form => "form",
            Self::Links => "links",
            Self::Uncut => "uncut",
            Self::Fragmentation => "fragmentation",
            Self::Domains => "domains",
            Self::Packing => "packing",
            Self::Spreading => "spreading",
            Self::Zone => "zone",
            Self::Replicas => "replicas",
        }
    }

    /// Is it about who else is around? That costs more to find out than all the rest.
    pub fn is_about_others(self) -> bool {
        matches!(self, Self::Zone | Self::Replicas)
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Aims, the most important first. What is not among them does not count.
///
/// Each is in here once at most, and only one of packing and spreading; so the ranks by any order fit into one integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Four bits for each aim, its number counted from 1, the first in the lowest bits; and from [`NAMED`] on one bit for each
    /// that is named at all.
    aims: u64,
}

/// Why aims are no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// One is named twice.
    #[error("{0} is named twice")]
    Twice(Aim),
    /// They contradict each other.
    #[error("packing and spreading contradict each other: leave one out")]
    PackingAndSpreading,
}

/// The aims of what nobody has said anything about.
pub(super) const DEFAULT_AIMS: [Aim; 8] =
    [Aim::Capacity, Aim::Form, Aim::Links, Aim::Uncut, Aim::Fragmentation, Aim::Packing, Aim::Zone, Aim::Replicas];

/// How many bits an aim takes.
const BITS: u32 = 4;

/// Where the bits begin that say which aims are named. Below there is room for one more than there can be.
const NAMED: u32 = 40;

impl Order {
    /// The order of what nobody has said anything about.
    pub const DEFAULT: Self = Self::packed(&DEFAULT_AIMS);

    /// Aims in this order.
    ///
    /// # Errors
    /// When one is named twice, or two contradict each other.
    pub fn of(aims: &[Aim]) -> Result<Self, OrderError> {
        if let Some((_, aim)) = aims.iter().enumerate().find(|(at, aim)| aims[..*at].contains(aim)) {
            return Err(OrderError::Twice(*aim));
        }
        if aims.contains(&Aim::Packing) && aims.contains(&Aim::Spreading) {
            return Err(OrderError::PackingAndSpreading);
        }
        Ok(Self::packed(aims))
    }

    const fn packed(aims: &[Aim]) -> Self {
        let (mut packed, mut at) = (0, 0);
        while at < aims.len() {
            packed |= (aims[at] as u64 + 1) << (BITS * at as u32) | 1 << (NAMED + aims[at] as u32);
            at += 1;
        }
        Self { aims: packed }
    }

    /// The aims, the most important first.
    pub fn aims(self) -> impl Iterator<Item = Aim> {
        let mut left = self.aims & ((1 << NAMED) - 1);
        std::iter::from_fn(move || {
            let number = (left & ((1 << BITS) - 1)) as usize;
            left >>= BITS;
            Some(Aim::ALL[number.checked_sub(1)?])
        })
    }

    /// Does it name this aim?
    pub fn has(self, aim: Aim) -> bool {
        self.aims >> (NAMED + aim as u32) & 1 == 1
    }

    /// Does who else is around decide only between places that are equal otherwise?
    pub fn asks_for_others_last(self) -> bool {
        self.aims().skip_while(|aim| !aim.is_about_others()).all(Aim::is_about_others)
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.aims()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_what_it_was_made_of() {
        let aims = [Aim::Replicas, Aim::Spreading, Aim::Capacity];
        let order = Order::of(&aims).unwrap();
        assert_eq!(order.aims().collect::<Vec<_>>(), aims);
        assert!(order.has(Aim::Spreading) && !order.has(Aim::Packing));
        assert_eq!(Order::of(&[]).unwrap().aims().count(), 0);
        let all_but_one: Vec<Aim> = Aim::ALL.into_iter().filter(|aim| *aim != Aim::Spreading).collect();
        assert_eq!(Order::of(&all_but_one).unwrap().aims().collect::<Vec<_>>(), all_but_one);
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(Order::of(&[Aim::Zone, Aim::Form, Aim::Zone]), Err(OrderError::Twice(Aim::Zone)));
        assert_eq!(Order::of(&[Aim::Packing, Aim::Spreading]), Err(OrderError::PackingAndSpreading));
    }

    #[test]
    fn others_are_asked_for_last_unless_something_comes_after_them() {
        assert!(Order::DEFAULT.asks_for_others_last());
        assert!(Order::of(&[Aim::Packing]).unwrap().asks_for_others_last());
        assert!(!Order::of(&[Aim::Replicas, Aim::Packing]).unwrap().asks_for_others_last());
    }
}
