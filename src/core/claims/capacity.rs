//! How much of a device a request takes: request policies, rounding, and whether it still fits.
//!
//! The rules are those of upstream's `consumable_capacity.go` (`k8s.io/dynamic-resource-allocation/structured`), also for
//! devices that are not shared: they too must be able to give what is asked for.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::slice::{Capacity, RequestPolicy, Valid};

/// Amounts by the name of the capacity.
pub type Amounts = BTreeMap<Box<str>, Amount>;

/// What a request takes of each capacity of a device, if the device can give it beside what it has given already.
pub fn consumption(capacity: &BTreeMap<Box<str>, Capacity>, asked: &Amounts, given: &Amounts) -> Option<Amounts> {
    let parts = parts(capacity, asked, given)?;
    parts.map(|(name, part)| Some((name.into(), part?))).collect()
}

/// Whether a device can give what a request asks for, beside what it has given already.
pub fn suffices(capacity: &BTreeMap<Box<str>, Capacity>, asked: &Amounts, given: &Amounts) -> bool {
    parts(capacity, asked, given).is_some_and(|mut parts| parts.all(|(_, part)| part.is_some()))
}

/// What is taken of each capacity, none where it cannot be given. None at all when something is asked for that the device
/// has not.
fn parts<'c>(
    capacity: &'c BTreeMap<Box<str>, Capacity>,
    asked: &'c Amounts,
    given: &'c Amounts,
) -> Option<impl Iterator<Item = (&'c str, Option<Amount>)>> {
    let taken = |name: &'c str, capacity: &Capacity| {
        let part = part(capacity, asked.get(name).copied());
        let is_wrong = capacity.policy.as_ref().is_some_and(|policy| violates(part, policy));
        let given = given.get(name).copied().unwrap_or(Amount::ZERO);
        (name, (!is_wrong && given.plus(part) <= capacity.value).then_some(part))
    };
    let has_all = asked.keys().all(|name| capacity.contains_key(name));
    has_all.then(|| capacity.iter().map(move |(name, capacity)| taken(name, capacity)))
}

/// What a request gets: the default or all of it when it does not say, else the next part that there is.
fn part(capacity: &Capacity, asked: Option<Amount>) -> Amount {
    let policy = capacity.policy.as_ref();
    let Some(asked) = asked else {
        return policy.and_then(|policy| policy.default).unwrap_or(capacity.value);
    };
    match policy.map(|policy| &policy.valid) {
        Some(Valid::Range { min, .. }) if asked < *min => *min,
        Some(Valid::Range { min, step: Some(step), .. }) => {
            let (min, step) = (min.units(), step.units());
            let above = asked.units().saturating_sub(min);
            let steps = above.checked_div(step).unwrap_or(0).saturating_add(i64::from(remainder(above, step) != 0));
            Amount::binary(min.saturating_add(step.saturating_mul(steps)))
        }
        Some(Valid::Values(values)) => values.iter().copied().find(|value| asked <= *value).unwrap_or(asked),
        _ => asked,
    }
}

fn violates(part: Amount, policy: &RequestPolicy) -> bool {
    if policy.default.is_some_and(|default| part.is_written_like(default)) {
        return false;
    }
    match &policy.valid {
        Valid::Any => false,
        Valid::Values(values) => !values.is_empty() && values.iter().all(|value| *value != part),
        Valid::Range { min, max, step } => {
            let off_step = |step: &Amount| remainder(part.units().saturating_sub(min.units()), step.units()) != 0;
            max.is_some_and(|max| part > max) || step.as_ref().is_some_and(off_step)
        }
    }
}

/// A step of nothing is never met.
fn remainder(distance: i64, step: i64) -> i64 {
    distance.checked_rem(step).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::parse(text).expect("a quantity")
    }

    fn amounts(pairs: &[(&str, &str)]) -> Amounts {
        pairs.iter().map(|(name, text)| ((*name).into(), amount(text))).collect()
    }

    fn memory(value: &str, default: Option<&str>, valid: Valid) -> BTreeMap<Box<str>, Capacity> {
        let policy = RequestPolicy { default: default.map(amount), valid };
        BTreeMap::from([("memory".into(), Capacity { value: amount(value), policy: Some(policy) })])
    }

    /// What is taken of the memory; none when it does not fit.
    fn taken(capacity: &BTreeMap<Box<str>, Capacity>, asked: Option<&str>, given: &str) -> Option<String> {
        let asked = asked.map_or(Amounts::new(), |asked| amounts(&[("memory", asked)]));
        consumption(capacity, &asked, &amounts(&[("memory", given)])).map(|taken| taken["memory"].to_string())
    }

    #[test]
    fn a_range_rounds_up_to_its_steps() {
        let range = Valid::Range { min: amount("2Gi"), max: Some(amount("20Gi")), step: Some(amount("4Gi")) };
        let capacity = memory("40Gi", Some("2Gi"), range);
        for (asked, given, expected) in [
            (None, "0", Some("2Gi")),
            (Some("1Gi"), "0", Some("2Gi")),
            (Some("3Gi"), "0", Some("6Gi")),
            (Some("6Gi"), "0", Some("6Gi")),
            (Some("19Gi"), "0", None),
            (Some("21Gi"), "0", None),
            (Some("3Gi"), "34Gi", Some("6Gi")),
            (Some("3Gi"), "35Gi", None),
        ] {
            assert_eq!(taken(&capacity, asked, given).as_deref(), expected, "{asked:?} beside {given}");
        }
    }

    #[test]
    fn values_round_up_to_the_next_and_nothing_lies_above_the_last() {
        let capacity = memory("40Gi", Some("4Gi"), Valid::Values(vec![amount("4Gi"), amount("8Gi")]));
        for (asked, expected) in [(None, Some("4Gi")), (Some("5Gi"), Some("8Gi")), (Some("9Gi"), None)] {
            assert_eq!(taken(&capacity, asked, "0").as_deref(), expected, "{asked:?}");
        }
    }

    #[test]
    fn without_a_policy_all_is_taken_unless_less_is_asked_for() {
        let capacity = BTreeMap::from([("memory".into(), Capacity { value: amount("40Gi"), policy: None })]);
        assert_eq!(taken(&capacity, None, "0").as_deref(), Some("40Gi"));
        assert_eq!(taken(&capacity, None, "1"), None);
        assert_eq!(taken(&capacity, Some("10Gi"), "30Gi").as_deref(), Some("10Gi"));
        assert_eq!(taken(&capacity, Some("41Gi"), "0"), None);
        assert_eq!(consumption(&capacity, &amounts(&[("cores", "1")]), &Amounts::new()), None);
        assert_eq!(consumption(&BTreeMap::new(), &Amounts::new(), &Amounts::new()), Some(Amounts::new()));
    }

    #[test]
    fn steps_of_nothing_do_not_divide() {
        let range = Valid::Range { min: amount("1"), max: None, step: Some(amount("0")) };
        assert_eq!(taken(&memory("4", None, range), Some("3"), "0"), None);
    }
}
