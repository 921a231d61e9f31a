//! Why one place was preferred to another.

use std::fmt;

use super::order::Aim;
use super::rank::Rank;

/// What decided between two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Criterion {
    /// A taint advises against the other, or says that it is about to go.
    Welcome,
    /// The pod's own preference.
    Preference,
    /// The kind of capacity suits the pod's priority better.
    Capacity,
    /// Whole devices, then slices, then replicas; for pods without accelerators, nodes without them.
    Form,
    /// The devices are linked with each other.
    Linked,
    /// Both are linked, but the other has devices that failed.
    Healthy,
    /// Less of what is free becomes useless to the pods to come, or dearer devices stay free.
    LeastCost,
    /// Part of the node is in use already.
    PartUsed,
    /// Less is left over.
    FewestLeft,
    /// Part of the NVLink domain is in use already.
    PartUsedDomain,
    /// Nobody is on the node, or more is left over.
    Emptiest,
    /// Nearer to the zones where the service is, or in one with fewer of its replicas: as the policy says.
    Zone,
    /// Fewer replicas of the service on the node, or in the rack.
    Spread,
    /// The places are equally good: the first by name.
    Name,
}

/// The first criterion in which the places differ; `best` is the one that was preferred.
pub fn deciding(best: &Rank, other: &Rank) -> Criterion {
    if best.unwelcome != other.unwelcome {
        return Criterion::Welcome;
    }
    if best.unmet_preference != other.unmet_preference {
        return Criterion::Preference;
    }
    let decides = best.order.aims().find(|aim| best.shortfall(*aim) != other.shortfall(*aim));
    decides.map_or(Criterion::Name, |aim| criterion(aim, best, other))
}

/// What of an aim it is in which two places differ.
fn criterion(aim: Aim, best: &Rank, other: &Rank) -> Criterion {
    match aim {
        Aim::Capacity => Criterion::Capacity,
        Aim::Form => Criterion::Form,
        Aim::Links if other.link == 1 => Criterion::Healthy,
        Aim::Links => Criterion::Linked,
        Aim::Uncut => Criterion::PartUsed,
        Aim::Fragmentation => Criterion::LeastCost,
        Aim::Domains => Criterion::PartUsedDomain,
        Aim::Packing if best.opens != other.opens => Criterion::PartUsed,
        Aim::Packing => Criterion::FewestLeft,
        Aim::Spreading => Criterion::Emptiest,
        Aim::Zone => Criterion::Zone,
        Aim::Replicas => Criterion::Spread,
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Welcome => "no taint advises against it",
            Self::Preference => "the pod prefers it",
            Self::Capacity => "the capacity suits its priority",
            Self::Form => "whole devices before slices and replicas",
            Self::Linked => "its devices are linked",
            Self::Healthy => "none of its devices failed",
            Self::LeastCost => "keeps most usable for others",
            Self::PartUsed => "part-used before idle",
            Self::FewestLeft => "fewest left over",
            Self::PartUsedDomain => "part-used NVLink domain before idle",
            Self::Emptiest => "most left over",
            Self::Zone => "the better zone for its service",
            Self::Spread => "away from its other replicas",
            Self::Name => "first by name",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Order;

    #[test]
    fn the_first_difference_decides() {
        let best = Rank::default();
        assert_eq!(deciding(&best, &best), Criterion::Name);
        let differences = [
            (Rank { unwelcome: 1, ..best }, Criterion::Welcome),
            (Rank { unmet_preference: 1, ..best }, Criterion::Preference),
            (Rank { misfit: 1, ..best }, Criterion::Capacity),
            (Rank { form: 1, ..best }, Criterion::Form),
            (Rank { link: 2, ..best }, Criterion::Linked),
            (Rank { link: 1, ..best }, Criterion::Healthy),
            (Rank { recuttable: 1, ..best }, Criterion::PartUsed),
            (Rank { cost: 1, ..best }, Criterion::LeastCost),
            (Rank { opens: 1, ..best }, Criterion::PartUsed),
            (Rank { left: 1, ..best }, Criterion::FewestLeft),
            (Rank { zone: 1, ..best }, Criterion::Zone),
            (Rank { on_node: 1, ..best }, Criterion::Spread),
            (Rank { in_rack: 1, ..best }, Criterion::Spread),
        ];
        for (other, criterion) in differences {
            assert!(best.packed() < other.packed());
            assert_eq!(deciding(&best, &other), criterion);
        }
        let (best, other) = (Rank { left: 9, ..best }, Rank { cost: 1, ..best });
        assert_eq!(deciding(&best, &other), Criterion::LeastCost, "what comes later does not count");
        assert_eq!(deciding(&best, &Rank { opens_domain: 1, left: 9, ..best }), Criterion::Name, "nobody aims for it");
    }

    #[test]
    fn what_decides_follows_the_order_of_the_profile() {
        let order = Order::of(&[Aim::Domains, Aim::Spreading]).unwrap();
        let best = Rank { order, opens: 1, left: 800, ..Rank::default() };
        let others = [
            (Rank { opens_domain: 1, ..best }, Criterion::PartUsedDomain),
            (Rank { opens: 0, ..best }, Criterion::Emptiest),
            (Rank { left: 700, ..best }, Criterion::Emptiest),
        ];
        for (other, criterion) in others {
            assert!(best.packed() < other.packed());
            assert_eq!(deciding(&best, &other), criterion);
        }
        let dearer = Rank { cost: 1, misfit: 2, zone: 3, ..best };
        assert_eq!((deciding(&best, &dearer), best.packed()), (Criterion::Name, dearer.packed()), "left out");
    }

    #[test]
    fn a_linked_set_with_failed_devices_beats_unlinked_devices() {
        let (failed, unlinked) = (Rank { link: 1, ..Rank::default() }, Rank { link: 2, ..Rank::default() });
        assert_eq!(deciding(&failed, &unlinked), Criterion::Linked);
    }
}
