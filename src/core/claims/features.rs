//! Attributes and capacities of devices by number: of one name, what has equal numbers is equal.
//!
//! Fleets have many devices and few kinds of them. What is asked of devices again and again - does a selector take them, do
//! they share a value - is asked of numbers.

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;

use super::amount::Written;
use super::attribute::{Attribute, ValueSet};
use super::cel;
use super::inventory::Listing;
use super::slice::Device;

/// Which of the two maps of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Facet {
    Attributes,
    Capacity,
}

/// The name of an attribute or a capacity, as devices write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeatureName(u32);

/// What is known of a value of an attribute.
#[derive(Debug, Clone)]
struct KnownValue {
    /// What constraints compare.
    set: Option<ValueSet>,
    /// Whether selectors can look at devices with it.
    is_readable: bool,
}

/// A device by numbers.
#[derive(Debug, Clone)]
struct Row {
    /// Where its features are.
    features: (u32, u32),
    driver: u32,
    shareable: bool,
    is_readable: bool,
}

type Table<T> = IndexSet<T, FxBuildHasher>;

/// The features of all descriptions of devices.
#[derive(Debug, Clone, Default)]
pub(super) struct Features {
    drivers: Table<Box<str>>,
    attribute_names: Table<Box<str>>,
    capacity_names: Table<Box<str>>,
    attributes: IndexMap<Attribute, KnownValue, FxBuildHasher>,
    amounts: Table<Written>,
    features: Vec<(FeatureName, u32)>,
    /// By listing.
    rows: Vec<Row>,
}

impl Features {
    /// Adds the next description of a device.
    pub fn add(&mut self, driver: &str, device: &Device) {
        let first = number_of(self.features.len());
        let mut is_readable = true;
        for (name, value) in &device.attributes {
            let known = KnownValue::of;
            let at = match self.attributes.get_index_of(value) {
                Some(at) => at,
                None => self.attributes.insert_full(value.clone(), known(value)).0,
            };
            is_readable &= self.attributes[at].is_readable;
            let name = FeatureName::new(Facet::Attributes, known_as(&mut self.attribute_names, name));
            self.features.push((name, number_of(at)));
        }
        for (name, capacity) in &device.capacity {
            let name = FeatureName::new(Facet::Capacity, known_as(&mut self.capacity_names, name));
            self.features.push((name, number_of(self.amounts.insert_full(capacity.value.written()).0)));
        }
        let features = (first, number_of(self.features.len()));
        let driver = known_as(&mut self.drivers, driver);
        self.rows.push(Row { features, driver, shareable: device.shareable, is_readable });
    }

    /// How many names there are; none has its number taken away.
    pub fn names(&self) -> usize {
        self.attribute_names.len() + self.capacity_names.len()
    }

    /// A name by its number, if any device has it.
    pub fn name(&self, facet: Facet, name: &str) -> Option<FeatureName> {
        let names = match facet {
            Facet::Attributes => &self.attribute_names,
            Facet::Capacity => &self.capacity_names,
        };
        names.get_index_of(name).map(|at| FeatureName::new(facet, number_of(at)))
    }

    /// The number of what a device has under a name.
    pub fn value(&self, listing: Listing, name: FeatureName) -> Option<u32> {
        let (from, to) = self.rows[listing.index()].features;
        let mut features = self.features[from as usize..to as usize].iter();
        features.find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// What constraints compare of an attribute.
    pub fn value_set(&self, listing: Listing, name: FeatureName) -> Option<&ValueSet> {
        self.attributes[self.value(listing, name)? as usize].set.as_ref()
    }

    /// What selectors see beside attributes and capacities: the driver, and whether the device can be shared.
    pub fn kind(&self, listing: Listing) -> u32 {
        let row = &self.rows[listing.index()];
        row.driver * 2 + u32::from(row.shareable)
    }

    /// Whether selectors can look at a device; else all of them fail on it.
    pub fn is_readable(&self, listing: Listing) -> bool {
        self.rows[listing.index()].is_readable
    }
}

impl FeatureName {
    fn new(facet: Facet, at: u32) -> FeatureName {
        FeatureName(at * 2 + u32::from(facet == Facet::Capacity))
    }
}

impl KnownValue {
    fn of(attribute: &Attribute) -> KnownValue {
        KnownValue { set: attribute.values(), is_readable: cel::check_attribute("", attribute).is_ok() }
    }
}

fn known_as(table: &mut Table<Box<str>>, text: &str) -> u32 {
    number_of(table.get_index_of(text).unwrap_or_else(|| table.insert_full(text.into()).0))
}

fn number_of(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than four billion features")
}

#[cfg(test)]
mod tests {
    use super::super::testing::device;
    use super::*;

    #[test]
    fn equal_values_of_a_name_have_equal_numbers_and_others_do_not() {
        let mut features = Features::default();
        let unwritten = device("c").with_capacity("memory", "1024Mi", None);
        let devices = [
            device("a").with("index", 1).with_capacity("memory", "1Gi", None),
            device("b").with("index", 1).with_capacity("memory", "1073741824", None),
            device("c").with_text("index", "1"),
            unwritten,
        ];
        devices.iter().for_each(|device| features.add("d", device));
        let at = |facet, name: &str| {
            let name = features.name(facet, name).expect("a name");
            (0..devices.len()).map(|listing| features.value(Listing::at(listing), name)).collect::<Vec<_>>()
        };
        let index = at(Facet::Attributes, "index");
        assert!(index[0].is_some() && index[0] == index[1] && index[0] != index[2] && index[3].is_none());
        let memory = at(Facet::Capacity, "memory");
        assert!(memory[0] != memory[1], "selectors can tell how an amount was written");
        assert_eq!(memory[0], memory[3]);
        assert_eq!(features.name(Facet::Capacity, "index"), None);
    }
}
