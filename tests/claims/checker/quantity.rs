//! Kubernetes quantities, read for themselves.

use serde_json::Value;

/// A quantity in billionths, which is as fine as they get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Quantity(pub i128);

const UNIT: i128 = 1_000_000_000;

impl Quantity {
    /// Reads a quantity as JSON has it: left out it is 0.
    pub fn read(value: &Value) -> Self {
        let text = match value {
            Value::Null => return Self::default(),
            Value::Number(number) => number.to_string(),
            other => other.as_str().unwrap_or_else(|| panic!("{other} is no quantity")).to_owned(),
        };
        Self::parse(&text).unwrap_or_else(|| panic!("{text:?} is no quantity"))
    }

    fn parse(text: &str) -> Option<Self> {
        const SUFFIXES: [(&str, i128, i128); 16] = [
            ("Ki", 1 << 10, 1),
            ("Mi", 1 << 20, 1),
            ("Gi", 1 << 30, 1),
            ("Ti", 1 << 40, 1),
            ("Pi", 1 << 50, 1),
            ("Ei", 1 << 60, 1),
            ("n", 1, 1_000_000_000),
            ("u", 1, 1_000_000),
            ("m", 1, 1_000),
            ("k", 1_000, 1),
            ("M", 1_000_000, 1),
            ("G", 1_000_000_000, 1),
            ("T", 1_000_000_000_000, 1),
            ("P", 1_000_000_000_000_000, 1),
            ("E", 1_000_000_000_000_000_000, 1),
            ("", 1, 1),
        ];
        let (number, times, by) =
            SUFFIXES.iter().find_map(|(suffix, times, by)| Some((text.strip_suffix(suffix)?, times, by)))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        Some(Self(digits * UNIT * times / by / 10i128.pow(u32::try_from(fraction.len()).ok()?)))
    }

    /// The next whole number, which is what upstream reckons steps in.
    pub fn whole(self) -> i128 {
        self.0.div_euclid(UNIT) + i128::from(self.0.rem_euclid(UNIT) > 0)
    }

    /// A whole number.
    pub fn of(whole: i128) -> Self {
        Self(whole * UNIT)
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        quantities.fold(Self::default(), |sum, quantity| sum + quantity)
    }
}
