//! A set of the accelerators of one machine.

use std::fmt;

/// Devices of one machine by index; bit `i` is device `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceSet(pub u32);

impl DeviceSet {
    /// No device.
    pub const EMPTY: DeviceSet = DeviceSet(0);

    /// Devices `0..count`; at most 32.
    pub fn first(count: usize) -> DeviceSet {
        DeviceSet(1u32.checked_shl(count as u32).map_or(u32::MAX, |bit| bit - 1))
    }

    /// Number of devices.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a device is in it.
    pub fn contains(self, device: usize) -> bool {
        device < 32 && self.0 & (1 << device) != 0
    }

    /// Whether every device of this is in the other.
    pub fn is_subset(self, other: DeviceSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// This and one more device.
    ///
    /// # Panics
    /// When the index is 32 or more.
    #[must_use]
    pub fn with(self, device: usize) -> DeviceSet {
        assert!(device < 32, "device {device} is beyond a DeviceSet");
        DeviceSet(self.0 | 1 << device)
    }

    /// Devices of either.
    #[must_use]
    pub fn union(self, other: DeviceSet) -> DeviceSet {
        DeviceSet(self.0 | other.0)
    }

    /// Devices of both.
    #[must_use]
    pub fn intersection(self, other: DeviceSet) -> DeviceSet {
        DeviceSet(self.0 & other.0)
    }

    /// Devices of this that are not in the other.
    #[must_use]
    pub fn minus(self, other: DeviceSet) -> DeviceSet {
        DeviceSet(self.0 & !other.0)
    }

    /// The indexes, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let device = rest.trailing_zeros() as usize;
            rest &= rest.checked_sub(1)?;
            Some(device)
        })
    }

    /// Every subset of `count` devices, in lexicographic order of their indexes.
    pub fn subsets(self, count: usize) -> impl Iterator<Item = DeviceSet> {
        let devices: Vec<usize> = self.iter().collect();
        let mut chosen: Option<Vec<usize>> = (count <= devices.len()).then(|| (0..count).collect());
        std::iter::from_fn(move || {
            let current = chosen.take()?;
            let set = current.iter().fold(DeviceSet::EMPTY, |set, &at| set.with(devices[at]));
            // The next combination: advance the last position that still can, and restart those behind it.
            let movable = (0..count).rev().find(|&i| current[i] < devices.len() - count + i);
            chosen = movable.map(|i| {
                let mut next = current;
                let from = next[i] + 1;
                for (offset, position) in next[i..].iter_mut().enumerate() {
                    *position = from + offset;
                }
                next
            });
            Some(set)
        })
    }
}

impl FromIterator<usize> for DeviceSet {
    fn from_iter<I: IntoIterator<Item = usize>>(devices: I) -> DeviceSet {
        devices.into_iter().fold(DeviceSet::EMPTY, DeviceSet::with)
    }
}

impl fmt::Display for DeviceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indexes: Vec<String> = self.iter().map(|device| device.to_string()).collect();
        write!(f, "{{{}}}", indexes.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_come_in_lexicographic_order_and_are_complete() {
        let set = DeviceSet::from_iter([0, 2, 3, 5]);
        let pairs: Vec<String> = set.subsets(2).map(|s| s.to_string()).collect();
        assert_eq!(pairs, ["{0,2}", "{0,3}", "{0,5}", "{2,3}", "{2,5}", "{3,5}"]);
        assert_eq!(set.subsets(0).collect::<Vec<_>>(), [DeviceSet::EMPTY]);
        assert_eq!(set.subsets(4).collect::<Vec<_>>(), [set]);
        assert_eq!(set.subsets(5).count(), 0);
        assert_eq!(DeviceSet::first(16).subsets(8).count(), 12870);
    }

    #[test]
    fn set_arithmetic() {
        let (low, odd) = (DeviceSet::first(4), DeviceSet::from_iter([1, 3, 5]));
        assert_eq!(low.intersection(odd).to_string(), "{1,3}");
        assert_eq!(low.minus(odd).to_string(), "{0,2}");
        assert_eq!(low.union(odd).len(), 5);
        assert!(!odd.is_subset(low) && odd.is_subset(DeviceSet::first(32)));
        assert_eq!(DeviceSet(1 << 31 | 5).iter().collect::<Vec<_>>(), [0, 2, 31]);
        assert!(odd.contains(5) && !odd.contains(0) && !odd.contains(40));
    }
}
